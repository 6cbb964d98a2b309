//! The configuration in force: local, dynamic and default values merged by who may set what (config.md §2).

use super::dynamic::DynamicConfig;
use super::local::LocalConfig;
use super::{schema, sections, server, settings};
use regent_core::model::{BootstrapSettings, FenceMode, Secret, ServerSettings, Settings, SynchronousMode};
use serde_json::Value;
use std::path::PathBuf;

/// How the REST API is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestApiSettings {
    /// Where it listens.
    pub listen: String,
    /// Where others reach it.
    pub connect_address: String,
    /// User name and password for what changes something.
    pub authentication: Option<(String, Secret)>,
    /// The certificate; with it, TLS is spoken.
    pub certfile: Option<PathBuf>,
    /// Its key.
    pub keyfile: Option<PathBuf>,
    /// Authorities of client certificates, and of members' certificates.
    pub cafile: Option<PathBuf>,
    /// `none`, `optional` or `required`.
    pub verify_client: String,
    /// Who may change something.
    pub allowlist: Vec<String>,
    /// Members may, too.
    pub allowlist_include_members: bool,
    /// Headers for every full answer.
    pub extra_headers: Vec<(String, String)>,
}

/// How other members' APIs are called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CtlSettings {
    /// User name and password.
    pub authentication: Option<(String, Secret)>,
    /// Certificates are not checked.
    pub insecure: bool,
    /// Authorities of the members' certificates.
    pub cacert: Option<PathBuf>,
    /// Our certificate.
    pub certfile: Option<PathBuf>,
    /// Its key.
    pub keyfile: Option<PathBuf>,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// The least important level that is written.
    pub level: String,
    /// Where files go: the decision journal's; without it, it is kept in memory only.
    pub dir: Option<PathBuf>,
}

/// Which store, and where its plugin is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DcsSettings {
    /// The section's name; empty where there is none.
    pub name: String,
    /// The section, with what every store needs to know copied in. It may hold secrets.
    pub section: Value,
    /// The namespace.
    pub namespace: String,
    /// `plugins.dir`.
    pub folder: Option<PathBuf>,
    /// `plugins.dcs.NAME.path`.
    pub path: Option<PathBuf>,
    /// `plugins.dcs.NAME.sha256`.
    pub sha256: Option<String>,
}

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
    /// What is odd about all this.
    pub warnings: Vec<String>,
}

impl Effective {
    /// Merges everything for a server of this version (`server_version_num`; 0 where it is not known).
    pub fn build(local: &LocalConfig, dynamic: &DynamicConfig, version: u32) -> Effective {
        let (local_document, dynamic) = (&local.document, &dynamic.to_value());
        let mut warnings = local.warnings.clone();
        warnings.extend(schema::check_dynamic(dynamic));
        let settings = settings::build(local_document, dynamic, &mut warnings);
        warnings.extend(not_yet(&settings));
        let server = server::build(local_document, dynamic, &settings, version, &mut warnings);
        let bootstrap = server::bootstrap(local_document, &mut warnings);
        let dcs = sections::dcs(local_document, &settings);
        Effective {
            server,
            bootstrap,
            restapi: sections::restapi(local_document),
            ctl: sections::ctl(local_document),
            log: sections::log(local_document),
            dcs,
            settings,
            warnings,
        }
    }
}

/// What this version reads and does not act on: an operator who relies on it must hear so.
fn not_yet(settings: &Settings) -> Vec<String> {
    let wishes = [
        ("synchronous_mode", settings.synchronous_mode != SynchronousMode::Off),
        ("standby_cluster", settings.standby_cluster.is_some()),
        ("failsafe_mode", settings.failsafe_mode),
        ("watchdog.mode: required", settings.watchdog == FenceMode::Required),
    ];
    let wished = wishes.into_iter().filter(|(_, wished)| *wished);
    wished.map(|(name, _)| format!("{name} is configured, but this version does not act on it yet")).collect()
}

impl LocalConfig {
    /// The dynamic configuration that a new cluster begins with.
    pub fn bootstrap_dynamic(&self) -> Option<DynamicConfig> {
        let document = self.document.get("bootstrap")?.get("dcs")?.clone();
        DynamicConfig::from_value(document).ok()
    }

    /// What is missing for a daemon to run: keys, each with the word for it.
    pub fn missing(&self) -> Vec<String> {
        let required =
            ["name", "scope", "restapi.listen", "restapi.connect_address", "postgresql.listen", "postgresql.data_dir"];
        let absent = required.into_iter().filter(|path| super::value::text_at(&self.document, path).is_none());
        absent.map(|path| format!("{path} is not defined.")).collect()
    }
}
