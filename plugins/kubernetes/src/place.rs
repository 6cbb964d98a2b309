//! Where keys lie: the cluster's objects and their names, and the pods.

use regent_plugin_sdk::KeyKind;

/// The group that an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The lock, the status, the failsafe topology, and what is not known yet.
    Leader,
    /// The dynamic configuration, the system identifier, the history.
    Config,
    /// A request for a switchover.
    Failover,
    /// Who is synchronous.
    Sync,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 4] = [Place::Leader, Place::Config, Place::Failover, Place::Sync];

    /// The keys of known kinds that lie here.
    pub fn kinds(self) -> &'static [KeyKind] {
        match self {
            Place::Leader => &[KeyKind::Leader, KeyKind::Status, KeyKind::Failsafe],
            Place::Config => &[KeyKind::Config, KeyKind::Initialize, KeyKind::History],
            Place::Failover => &[KeyKind::Failover],
            Place::Sync => &[KeyKind::Sync],
        }
    }

    /// Where a key lies; `None` for those of members, which lie in their pods.
    pub fn of(kind: KeyKind) -> Option<Place> {
        match kind {
            KeyKind::Member => None,
            KeyKind::Other(_) => Some(Place::Leader),
            known => Place::ALL.into_iter().find(|place| place.kinds().contains(&known)),
        }
    }
}

/// What the cluster's keys are annotations of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// ConfigMaps.
    ConfigMaps,
    /// Endpoints; that of the lock is the one of the primary's service.
    Endpoints,
}

impl Keeper {
    /// The resource's name in paths.
    pub fn resource(self) -> &'static str {
        match self {
            Keeper::ConfigMaps => "configmaps",
            Keeper::Endpoints => "endpoints",
        }
    }

    /// What an object says it is.
    pub fn kind(self) -> &'static str {
        match self {
            Keeper::ConfigMaps => "ConfigMap",
            Keeper::Endpoints => "Endpoints",
        }
    }

    /// An object's name.
    pub fn name(self, scope: &str, place: Place) -> String {
        match (place, self) {
            (Place::Leader, Keeper::Endpoints) => scope.to_owned(),
            (Place::Leader, Keeper::ConfigMaps) => format!("{scope}-leader"),
            (Place::Config, _) => format!("{scope}-config"),
            (Place::Failover, _) => format!("{scope}-failover"),
            (Place::Sync, _) => format!("{scope}-sync"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K8S-01.
    #[test]
    fn objects_have_the_names_that_others_know() {
        let names = |keeper: Keeper| Place::ALL.map(|place| keeper.name("demo", place)).join(" ");
        assert_eq!(names(Keeper::Endpoints), "demo demo-config demo-failover demo-sync");
        assert_eq!(names(Keeper::ConfigMaps), "demo-leader demo-config demo-failover demo-sync");
        assert_eq!(Place::of(KeyKind::Member), None);
        assert_eq!(Place::of(KeyKind::History), Some(Place::Config));
        assert_eq!(Place::of(KeyKind::Other(5)), Some(Place::Leader));
    }
}
