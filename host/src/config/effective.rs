//! The configuration in force: local, dynamic and default values merged by who may set what (config.md §2).

use super::dcs_section::{self, DcsSettings};
use super::dynamic::DynamicConfig;
use super::fencing::{self, WatchdogSettings};
use super::legacy;
use super::local::LocalConfig;
use super::log::{self, LogSettings};
use super::reading::{Layers, integer_at, some_text_at};
use super::restapi::{self, CtlSettings, RestApiSettings};
use super::{bootstrap, check, server, settings};
use regent_core::model::{BootstrapSettings, ServerSettings, Settings};
use serde_json::Value;

/// The configuration in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// What decisions depend on.
    pub settings: Settings,
    /// The local server.
    pub server: ServerSettings,
    /// A new cluster.
    pub bootstrap: BootstrapSettings,
    /// The REST API.
    pub restapi: RestApiSettings,
    /// Calls to other members.
    pub ctl: CtlSettings,
    /// The log.
    pub log: LogSettings,
    /// The store.
    pub dcs: DcsSettings,
    /// The Linux watchdog.
    pub watchdog: WatchdogSettings,
    /// The part of a sharded database that this cluster is; `None` for one that is whole.
    pub citus: Option<CitusSettings>,
    /// What had to be adjusted or left aside.
    pub warnings: Vec<String>,
}

/// The part of a sharded database that a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CitusSettings {
    /// 0 for the coordinator.
    pub group: u32,
    /// The database that is sharded.
    pub database: String,
}

impl Effective {
    /// Merges everything for a server of this version (`server_version_num`; 0 where it is not known).
    pub fn build(local: &LocalConfig, dynamic: &DynamicConfig, version: u32) -> Effective {
        let mut dynamic = dynamic.to_value();
        let mut warnings = local.warnings.clone();
        legacy::modernise_dynamic(&mut dynamic);
        for finding in check::dynamic(&dynamic) {
            warnings.push(format!("dynamic configuration: {} {}", finding.path, finding.reason));
        }
        let layers = Layers { local: &local.document, dynamic: &dynamic };
        let settings = settings::build(layers, &mut warnings);
        let server = server::build(layers, &settings, version, &mut warnings);
        let bootstrap = bootstrap::build(layers.local, &mut warnings);
        Effective {
            bootstrap,
            restapi: restapi::restapi(layers.local),
            ctl: restapi::ctl(layers.local),
            log: log::build(layers.local),
            dcs: dcs_section::build(layers.local, &settings),
            watchdog: fencing::watchdog(layers.local),
            citus: citus(layers.local),
            server,
            settings,
            warnings,
        }
    }
}

/// Both keys, or the section counts for nothing.
pub(super) fn citus(local: &Value) -> Option<CitusSettings> {
    let group = integer_at(local, "citus.group").and_then(|group| u32::try_from(group).ok())?;
    let database = some_text_at(local, "citus.database")?;
    Some(CitusSettings { group, database })
}

#[cfg(test)]
mod tests;
