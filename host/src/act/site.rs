//! What the remote side of a standby cluster means for the recovery of a local server. Pure.

use regent_core::model::{Role, StandbyCluster};
use std::collections::BTreeMap;

/// What the remote side of a standby cluster says about recovery. Only its leader lags behind on purpose (SB-02).
pub(super) fn recovery_overrides(site: &StandbyCluster, role: Role) -> BTreeMap<String, String> {
    let delay = site.recovery_min_apply_delay.as_ref().filter(|_| role == Role::StandbyLeader);
    let said = [
        ("restore_command", site.restore_command.as_ref()),
        ("archive_cleanup_command", site.archive_cleanup_command.as_ref()),
        ("recovery_min_apply_delay", delay),
    ];
    said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_leader_lags_behind_on_purpose() {
        // SB-02
        let some = |text: &str| Some(text.to_owned());
        let site = StandbyCluster {
            host: some("east"),
            restore_command: some("fetch %f %p"),
            archive_cleanup_command: some("clean %r"),
            recovery_min_apply_delay: some("5min"),
            ..StandbyCluster::default()
        };
        let check = |site: &StandbyCluster, role, expected: &[(&str, &str)]| {
            let found = recovery_overrides(site, role);
            let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{role}");
        };
        let both = [("archive_cleanup_command", "clean %r"), ("restore_command", "fetch %f %p")];
        check(&site, Role::Replica, &both);
        check(&site, Role::StandbyLeader, &[both[0], ("recovery_min_apply_delay", "5min"), both[1]]);
        check(&StandbyCluster::default(), Role::StandbyLeader, &[]);
    }
}
