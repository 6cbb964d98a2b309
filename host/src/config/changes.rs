//! What changed between two configurations, and what of it a running daemon can take: decided here only.

use super::effective::Effective;

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys that only count after the daemon was started again.
    pub after_restart: Vec<&'static str>,
}

/// Compares two configurations.
pub fn changes(old: &Effective, new: &Effective) -> Changes {
    let mut after_restart = Vec::new();
    let mut compare = |name: &'static str, differs: bool| {
        if differs {
            after_restart.push(name);
        }
    };
    compare("name", old.settings.name != new.settings.name);
    compare("scope", old.settings.scope != new.settings.scope);
    compare("namespace", old.dcs.namespace != new.dcs.namespace);
    compare("postgresql.data_dir", old.server.data_dir != new.server.data_dir);
    compare("postgresql.bin_dir", old.server.bin_dir != new.server.bin_dir);
    compare(
        "plugins",
        (&old.dcs.folder, &old.dcs.path, &old.dcs.name) != (&new.dcs.folder, &new.dcs.path, &new.dcs.name),
    );
    compare("guard.mode", old.settings.guard != new.settings.guard);
    Changes { after_restart }
}
