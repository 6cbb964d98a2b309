//! The configuration files of the local server: what they must say for a role, and writing them. Nothing here starts,
//! stops or reloads a server.

mod access;
mod parameters;
mod recovery;
mod store;
mod text;

pub use parameters::command_line;
pub use recovery::{FollowTarget, RECOVERY_PARAMETERS, Recovery, is_true};

use super::Server;
use super::conninfo;
use super::control::{self, ControlFile};
use super::error::{PgError, blocking};
use recovery::Signal;
use regent_core::model::{BootstrapSettings, Role, ServerSettings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::Access;

/// The files that ask for recovery.
const SIGNALS: [&str; 3] = ["standby.signal", "recovery.signal", "recovery.conf"];

/// A parameter whose value in the server differs from the configuration until the server is restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRestart {
    /// The parameter.
    pub name: String,
    /// What the server runs with, in human units.
    pub old: String,
    /// What it would run with.
    pub new: String,
}

/// What the server is to be configured as.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Whose overrides apply.
    pub role: Role,
    /// How it recovers.
    pub recovery: Recovery,
    /// `synchronous_standby_names`; `None`: what the user's parameters say.
    pub synchronous_standby_names: Option<String>,
    /// Parameters that the situation forces, whatever the configuration says: `hot_standby_feedback` and its like.
    pub forced: BTreeMap<String, String>,
    /// Who gets in.
    pub access: AccessRules,
}

/// Who gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRules {
    /// As configured.
    Configured,
    /// Our accounts from this machine, without a password: they have none yet.
    Bootstrap,
}

impl Wanted {
    /// A primary.
    pub fn primary() -> Wanted {
        Wanted {
            role: Role::Primary,
            recovery: Recovery::None,
            synchronous_standby_names: None,
            forced: BTreeMap::new(),
            access: AccessRules::Configured,
        }
    }

    /// A replica that follows `target`.
    pub fn replica(target: FollowTarget) -> Wanted {
        let recovery = Recovery::Standby { follow: target, overrides: BTreeMap::new() };
        Wanted { role: Role::Replica, recovery, ..Wanted::primary() }
    }

    /// The server that a custom bootstrap method left, until its recovery has ended and post_bootstrap is done: nothing
    /// is archived (BOOT-05), and connections are refused where recovery would otherwise pause instead of ending.
    pub fn custom_bootstrap(bootstrap: &BootstrapSettings) -> Wanted {
        let action = bootstrap.recovery_conf.as_ref().and_then(|conf| conf.get("recovery_target_action"));
        let mut forced = BTreeMap::from([("archive_mode".to_owned(), "off".to_owned())]);
        if bootstrap.keep_existing_recovery_conf || action.is_some_and(|action| action == "promote") {
            forced.insert("hot_standby".into(), "off".into());
        }
        let recovery = match (&bootstrap.recovery_conf, bootstrap.keep_existing_recovery_conf) {
            (Some(conf), _) => Recovery::Custom(conf.clone()),
            (None, true) => Recovery::Keep,
            (None, false) => Recovery::None,
        };
        Wanted { recovery, forced, access: AccessRules::Bootstrap, ..Wanted::primary() }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// postgresql.conf changed (from 12 on, recovery settings are in it).
    pub conf: bool,
    /// pg_hba.conf changed.
    pub hba: bool,
    /// pg_ident.conf changed.
    pub ident: bool,
    /// recovery.conf changed, or a signal file appeared or went away: only a restart acts on that.
    pub recovery: bool,
    /// The password file of the walreceiver changed.
    pub passfile: bool,
    /// Values that were kept higher than configured because a standby must.
    pub held_back: Vec<PendingRestart>,
    /// The main parameters as written.
    pub parameters: BTreeMap<String, String>,
}

impl Written {
    /// Anything that a reload is good for.
    pub fn changed(&self) -> bool {
        self.conf || self.hba || self.ident || self.passfile
    }
}

/// Texts for files: what is about to be written.
struct Plan {
    conf: String,
    hba: Option<String>,
    ident: Option<String>,
    signal: Option<(Signal, String)>,
    passfile: Option<String>,
    keep_recovery: bool,
}

impl Server {
    /// Writes every configuration file for what is wanted, each only where it differs. Works on a stopped server and
    /// on a running one; a running one has to be told to reload.
    pub async fn configure(&self, wanted: &Wanted) -> Result<Written, PgError> {
        let control = match wanted.recovery {
            Recovery::None => None,
            _ => Some(control::control_file(&self.binaries, &self.settings.data_dir).await?),
        };
        let addresses = match wanted.access {
            AccessRules::Configured => Vec::new(),
            AccessRules::Bootstrap => self.local_addresses().await,
        };
        let (plan, mut written) = self.plan(wanted, control.as_ref(), &addresses);
        let (settings, version) = (self.settings.clone(), self.binaries.version());
        blocking(move || {
            plan.write(&settings, version, &mut written)?;
            Ok(written)
        })
        .await
    }

    /// Copies the configuration files beside the data; after every successful start.
    pub async fn save_configuration(&self) -> Result<(), PgError> {
        let settings = self.settings.clone();
        blocking(move || store::save_backups(&settings)).await
    }

    /// Brings back configuration files that a clone did not bring along, and forgets a promotion that was asked of the
    /// server that was cloned; after every clone.
    pub async fn restore_configuration(&self) -> Result<(), PgError> {
        let settings = self.settings.clone();
        blocking(move || {
            for trigger in ["promote", "fallback_promote"] {
                store::remove_if_there(&settings.data_dir.join(trigger))?;
            }
            store::restore_backups(&settings)
        })
        .await
    }

    /// Writes the walreceiver's password file; children get its path as PGPASSFILE. `None`: nothing to write.
    pub(crate) async fn write_password_file(&self, path: PathBuf, text: Option<String>) -> Result<bool, PgError> {
        let Some(text) = text else {
            return Ok(false);
        };
        let data_dir = self.settings.data_dir.clone();
        blocking(move || write_secret(&data_dir, &path, &text)).await
    }

    fn plan(&self, wanted: &Wanted, control: Option<&ControlFile>, addresses: &[String]) -> (Plan, Written) {
        let (settings, version) = (&*self.settings, self.binaries.version());
        let mut parameters = parameters::effective(settings, version, wanted.role);
        self.leave_out_unknown(&mut parameters);
        if let Some(names) = &wanted.synchronous_standby_names {
            parameters.insert("synchronous_standby_names".into(), names.clone());
        }
        parameters.extend(wanted.forced.clone());
        let held_back = control
            .map(|control| parameters::adjust_for_standby(&mut parameters, version, control))
            .unwrap_or_default();
        let recovery = recovery::recovery_settings(settings, version, &wanted.recovery);
        let ours = wanted.access == AccessRules::Bootstrap;
        let custom = |name| self.custom_file(name).filter(|_| !ours);
        let include = match &settings.custom_conf {
            Some(path) => path.to_string_lossy().into_owned(),
            None => format!("{}.base.conf", settings.config_base_name),
        };
        let path = |custom: Option<String>, default: PathBuf| custom.unwrap_or(default.to_string_lossy().into_owned());
        let conf = text::postgresql_conf(&text::MainFile {
            include: &include,
            parameters: &parameters,
            hba_file: &path(custom("hba_file"), store::hba_file(settings)),
            ident_file: &path(custom("ident_file"), store::ident_file(settings)),
            recovery: recovery.as_ref().map(|(_, values)| values).filter(|_| version >= 120_000),
        });
        let passfile = match &wanted.recovery {
            Recovery::Standby { follow: FollowTarget::Source(source), .. } if version >= 100_000 => {
                conninfo::password_file(&settings.accounts.replication, &source.host, &source.port)
            }
            _ => None,
        };
        let plan = Plan {
            conf,
            hba: self.access_rules(wanted, addresses),
            ident: self.identities(wanted),
            signal: recovery.map(|(signal, values)| (signal, text::recovery_conf(&values))),
            passfile,
            keep_recovery: wanted.recovery == Recovery::Keep,
        };
        (plan, Written { held_back, parameters, ..Written::default() })
    }

    /// A server does not start on a setting that it does not know (CFG-35).
    fn leave_out_unknown(&self, parameters: &mut BTreeMap<String, String>) {
        for name in &self.settings.unlisted {
            if !self.binaries.describes(name) && parameters.remove(name).is_some() {
                tracing::warn!("postgresql.parameters: this server does not know {name}: left out");
            }
        }
    }

    /// The user's own `hba_file` or `ident_file`, resolved against the configuration folder.
    fn custom_file(&self, name: &str) -> Option<String> {
        let path = self.settings.parameters.get(name).filter(|path| !path.is_empty())?;
        Some(self.settings.config_dir.join(path).to_string_lossy().into_owned())
    }

    fn access_rules(&self, wanted: &Wanted, addresses: &[String]) -> Option<String> {
        let settings = &self.settings;
        if wanted.access == AccessRules::Bootstrap {
            let user = |account: &regent_core::model::Account| account.username.clone().unwrap_or_default();
            let (replication, superuser) = (user(&settings.accounts.replication), user(&settings.accounts.superuser));
            return Some(text::lines_file(&text::bootstrap_access(&replication, &superuser, addresses)));
        }
        let own = parameters::overrides(settings, wanted.role).and_then(|overrides| overrides.pg_hba.as_ref());
        let lines = own.or(settings.pg_hba.as_ref()).filter(|_| self.custom_file("hba_file").is_none())?;
        Some(text::lines_file(lines))
    }

    fn identities(&self, wanted: &Wanted) -> Option<String> {
        let own = parameters::overrides(&self.settings, wanted.role).and_then(|overrides| overrides.pg_ident.as_ref());
        let lines = own.or(self.settings.pg_ident.as_ref()).filter(|_| self.custom_file("ident_file").is_none())?;
        Some(text::lines_file(lines))
    }

    /// The addresses that our local connections come from and go to.
    async fn local_addresses(&self) -> Vec<String> {
        let host = super::connection::tcp_host(&self.settings);
        let mut found: Vec<String> = match tokio::net::lookup_host((host.as_str(), self.settings.port)).await {
            Ok(addresses) => addresses.map(|address| address.ip().to_string()).collect(),
            Err(error) => {
                tracing::warn!("could not resolve {host}: {error}");
                Vec::new()
            }
        };
        found.dedup();
        found
    }
}

impl Plan {
    fn write(self, settings: &ServerSettings, version: u32, written: &mut Written) -> Result<(), PgError> {
        let data_dir = &settings.data_dir;
        // Backups come first: a clone may have brought our main file without the base that it includes, and our main
        // file must never become the base.
        store::restore_backups(settings)?;
        store::keep_base(settings)?;
        if let Some(passfile) = &self.passfile {
            written.passfile = write_secret(data_dir, &settings.pgpass, passfile)?;
        }
        if let Some(hba) = &self.hba {
            written.hba = store::write_file(data_dir, &store::hba_file(settings), hba, Access::Server)?;
        } else if !store::hba_file(settings).exists() {
            let original = std::fs::read_to_string(data_dir.join("pg_hba.conf")).unwrap_or_default();
            written.hba = store::write_file(data_dir, &store::hba_file(settings), &original, Access::Server)?;
        }
        if let Some(ident) = &self.ident {
            written.ident = store::write_file(data_dir, &store::ident_file(settings), ident, Access::Server)?;
        }
        // From 12 on primary_conninfo is in it, and with it a secret that no password file can hold.
        let secret = settings.accounts.replication.sslpassword.is_some();
        let access = if secret { Access::Secret } else { Access::Server };
        written.conf = store::write_file(data_dir, &store::main_file(settings), &self.conf, access)?;
        if !self.keep_recovery {
            written.recovery = self.write_recovery(data_dir, version)?;
        }
        Ok(())
    }

    fn write_recovery(&self, data_dir: &Path, version: u32) -> Result<bool, PgError> {
        let file = |name| data_dir.join(name);
        if version < 120_000 {
            return match &self.signal {
                Some((_, text)) => store::write_file(data_dir, &file("recovery.conf"), text, Access::Secret),
                None => store::remove_if_there(&file("recovery.conf")),
            };
        }
        let auto = file("postgresql.auto.conf");
        if let Ok(present) = std::fs::read_to_string(&auto) {
            store::write_file(data_dir, &auto, &text::without_recovery(&present), Access::Server)?;
        }
        let (wanted, other) = match &self.signal {
            Some((Signal::Standby, _)) => (Some("standby.signal"), vec!["recovery.signal"]),
            Some((Signal::Recovery, _)) => (Some("recovery.signal"), vec!["standby.signal"]),
            None => (None, vec!["standby.signal", "recovery.signal"]),
        };
        let mut changed = false;
        if let Some(wanted) = wanted {
            changed |= store::write_file(data_dir, &file(wanted), "", Access::Server)?;
        }
        for other in other {
            changed |= store::remove_if_there(&file(other))?;
        }
        Ok(changed)
    }
}

fn write_secret(data_dir: &Path, path: &Path, text: &str) -> Result<bool, PgError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(PgError::io_at("create", folder))?;
    }
    store::write_file(data_dir, path, text, Access::Secret)
}

/// Whether a start would begin with recovery as a standby, or from a backup.
pub fn has_recovery_signal(data_dir: &Path) -> bool {
    SIGNALS.iter().any(|name| data_dir.join(name).exists())
}

/// Removes every file that asks for recovery: a single-user server must not recover as a standby.
pub(super) fn forget_recovery(data_dir: &Path) -> Result<(), PgError> {
    for name in SIGNALS {
        store::remove_if_there(&data_dir.join(name))?;
    }
    Ok(())
}

/// Where the main configuration file is.
pub(super) fn main_file(settings: &ServerSettings) -> PathBuf {
    store::main_file(settings)
}

/// Puts an empty file there, durable in its folder.
pub(super) fn touch(data_dir: &Path, name: &str) -> Result<(), PgError> {
    store::write_file(data_dir, &data_dir.join(name), "", Access::Server).map(|_| ())
}

/// The recovery settings of what is wanted, by the names that the server has for them; `None` where there are none.
pub(super) fn wanted_recovery(
    settings: &ServerSettings,
    version: u32,
    wanted: &Recovery,
) -> Option<BTreeMap<String, String>> {
    recovery::recovery_settings(settings, version, wanted).map(|(_, values)| values)
}

#[cfg(test)]
mod tests;
