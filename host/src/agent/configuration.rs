//! The configuration in force: the local file and the store's document, merged; and what a change of either means.

use crate::config::{DynamicConfig, Effective, LocalConfig, Source};
use std::sync::Arc;

/// The configuration in force.
#[derive(Debug)]
pub struct Configuration {
    /// Where the local part comes from.
    pub source: Source,
    /// The local part.
    pub local: LocalConfig,
    /// The store's part; `None` until the store or a saved copy gave one.
    pub dynamic: Option<DynamicConfig>,
    /// Both merged.
    pub effective: Arc<Effective>,
    /// `server_version_num` of the binaries.
    pub version: u32,
}

impl Configuration {
    /// Takes a new document from the store, with whole numbers in it that were too long for more than their digits.
    /// Says whether anything changed; an invalid document changes nothing.
    pub fn take_dynamic(&mut self, document: &serde_json::Value, long: &[String]) -> bool {
        let dynamic = match DynamicConfig::from_value(document.clone()) {
            Ok(dynamic) => dynamic,
            Err(error) => {
                tracing::warn!("the store's configuration is left aside: {error}");
                return false;
            }
        };
        if self.dynamic.as_ref() == Some(&dynamic) {
            return false;
        }
        for path in long {
            tracing::warn!("the store's {path} is a whole number of more than 64 bits: it is taken as text");
        }
        self.dynamic = Some(dynamic);
        self.rebuild()
    }

    /// Reads the local part again. Errors are logged and change nothing.
    pub fn reload_local(&mut self) -> bool {
        match LocalConfig::load(&self.source) {
            Ok(local) => {
                self.local = local;
                self.rebuild()
            }
            Err(errors) => {
                tracing::error!("the configuration was not reloaded, the old one stays: {errors}");
                false
            }
        }
    }

    fn rebuild(&mut self) -> bool {
        let dynamic = self.dynamic.clone().unwrap_or_default();
        let effective = Effective::build(&self.local, &dynamic, self.version);
        for warning in &effective.warnings {
            if !self.effective.warnings.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        for key in crate::config::changes(&self.effective, &effective).after_restart {
            tracing::warn!("a changed {key} only counts once the daemon is started again");
        }
        for sentence in crate::config::changed_parameters(&self.effective, &effective) {
            tracing::info!("{sentence}");
        }
        let changed = effective != *self.effective;
        self.effective = Arc::new(effective);
        changed
    }

    /// `conn_url` of this member.
    pub fn conn_url(&self) -> String {
        let server = &self.effective.server;
        format!("postgres://{}/{}", server.connect_address, server.database)
    }

    /// `proxy_url` of this member, where it has one.
    pub fn proxy_url(&self) -> Option<String> {
        let server = &self.effective.server;
        server.proxy_address.as_ref().map(|address| format!("postgres://{address}/{}", server.database))
    }

    /// `api_url` of this member.
    pub fn api_url(&self) -> String {
        let restapi = &self.effective.restapi;
        let scheme = if restapi.certfile.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/patroni", restapi.connect_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn configured(postgresql: &str) -> Configuration {
        let text = format!(
            "scope: a\nname: b\nrestapi: {{listen: '*:8008', connect_address: 'h:8008'}}\npostgresql: {postgresql}"
        );
        let source = Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text)]));
        let local = LocalConfig::load(&source).expect("it is good");
        let effective = Arc::new(Effective::build(&local, &DynamicConfig::default(), 150_000));
        Configuration { source, local, dynamic: None, effective, version: 150_000 }
    }

    #[test]
    fn addresses_are_published_as_they_are_configured() {
        // CFG-12, CFG-39
        let plain = configured("{listen: '*:5433', connect_address: 'h:5433', data_dir: /d}");
        assert_eq!((plain.conn_url().as_str(), plain.proxy_url()), ("postgres://h:5433/postgres", None));
        let proxied =
            configured("{connect_address: 'h:5433', proxy_address: 'p:6432', data_dir: /d, database: pipeline}");
        assert_eq!(proxied.conn_url(), "postgres://h:5433/pipeline");
        assert_eq!(proxied.proxy_url().as_deref(), Some("postgres://p:6432/pipeline"));
        assert_eq!(proxied.effective.server.connect_address, "h:5433", "nobody connects by it but clients");
        assert_eq!(proxied.api_url(), "http://h:8008/patroni");
    }
}
