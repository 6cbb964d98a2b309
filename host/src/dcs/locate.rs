//! Finds the plugin of the configured store, loads it and opens the store.

use super::store::Store;
use regent_plugin_api::host::{Backend, DcsError, LoadError, OpenOptions, Plugin};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where distributions put plugins.
const SYSTEM_FOLDER: &str = "/usr/lib/regent/plugins";

/// What the store is opened with.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The configuration section's name, which chooses the plugin: `local`, `etcd3`, ...
    pub name: String,
    /// The section as JSON; it may hold secrets.
    pub section: serde_json::Value,
    /// `plugins.dir`.
    pub folder: Option<PathBuf>,
    /// `plugins.dcs.NAME.path`.
    pub path: Option<PathBuf>,
    /// `plugins.dcs.NAME.sha256`.
    pub sha256: Option<String>,
    /// The namespace.
    pub namespace: String,
    /// The cluster.
    pub scope: String,
    /// This member.
    pub member: String,
    /// How long the lock lives.
    pub ttl: Duration,
    /// Time between heartbeats.
    pub loop_wait: Duration,
    /// How long a call may be retried.
    pub retry_timeout: Duration,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// No file.
    #[error("the plugin {file} for the store {name:?} is in none of {searched}; found there: {found}")]
    Missing {
        /// The section's name.
        name: String,
        /// The file's name.
        file: String,
        /// Folders looked into.
        searched: String,
        /// Plugins that are there.
        found: String,
    },
    /// The file is not usable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin does not accept its section.
    #[error("the store {name:?} can not be opened: {error}")]
    Open {
        /// The section's name.
        name: String,
        /// What the plugin said.
        error: DcsError,
    },
}

/// Opens the configured store. The store itself need not be reachable.
///
/// # Errors
/// When its plugin is missing, is no plugin, or does not accept the configuration.
pub async fn open(options: &StoreOptions) -> Result<Store, LocateError> {
    let path = find(options)?;
    let plugin = Plugin::load(&path, options.sha256.as_deref())?;
    let name = || options.name.clone();
    let section = options.section.to_string();
    plugin.check_config(&section).map_err(|error| LocateError::Open { name: name(), error })?;
    tracing::info!("the store is {} {} ({})", plugin.name(), plugin.version(), path.display());
    let open = OpenOptions {
        namespace: options.namespace.clone(),
        scope: options.scope.clone(),
        member: options.member.clone(),
        ttl: options.ttl,
        loop_wait: options.loop_wait,
        retry_timeout: options.retry_timeout,
        config_json: section,
    };
    let backend = Backend::open(&plugin, open).await.map_err(|error| LocateError::Open { name: name(), error })?;
    Ok(Store::new(backend, options.member.clone()))
}

/// The file of the configured store's plugin.
///
/// # Errors
/// When it is in none of the folders.
pub fn find(options: &StoreOptions) -> Result<PathBuf, LocateError> {
    if let Some(path) = &options.path {
        return Ok(path.clone());
    }
    let file = format!("libregent_dcs_{}.so", options.name);
    let folders = folders(options.folder.as_deref());
    let found = folders.iter().map(|folder| folder.join(&file)).find(|path| path.exists());
    found.ok_or_else(|| LocateError::Missing {
        name: options.name.clone(),
        file,
        searched: folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
        found: found_in(&folders),
    })
}

/// The folders that are looked into: the configured one, else beside the binary, in the library folder of its
/// installation, in the system's.
pub fn folders(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(folder) = configured {
        return vec![folder.to_owned()];
    }
    let mut folders = Vec::new();
    if let Ok(binary) = std::env::current_exe()
        && let Some(folder) = binary.parent()
    {
        folders.push(folder.to_owned());
        folders.push(folder.join("../lib/regent/plugins"));
    }
    folders.push(PathBuf::from(SYSTEM_FOLDER));
    folders
}

/// The plugins in those folders: their stores and files, in the order in which they would be found.
pub fn plugins_in(folders: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let name = |path: &Path| {
        let file = path.file_name()?.to_str()?;
        Some(file.strip_prefix("libregent_dcs_")?.strip_suffix(".so")?.to_owned())
    };
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut here: Vec<_> = entries.filter_map(|entry| Some((name(&entry.path())?, entry.path()))).collect();
        here.sort();
        here.retain(|(name, _)| found.iter().all(|(known, _)| known != name));
        found.append(&mut here);
    }
    found
}

fn found_in(folders: &[PathBuf]) -> String {
    let mut names: Vec<_> = plugins_in(folders).into_iter().map(|(name, _)| name).collect();
    names.sort();
    if names.is_empty() { "no plugin".to_owned() } else { names.join(", ") }
}
