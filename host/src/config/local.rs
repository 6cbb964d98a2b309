//! The local configuration: one document from all its sources, checked, in present spelling.

use super::check::{self, Weight};
use super::dynamic::DynamicConfig;
use super::errors::{ConfigError, ConfigErrors, Place};
use super::legacy;
use super::reading::{at, some_text_at};
use super::redact::redacted;
use super::schema::{self, Need};
use super::sources::{Gathered, Places, Source, gather};
use serde_json::Value;

/// The local configuration as one document, and what is odd about it.
#[derive(Clone)]
pub struct LocalConfig {
    /// The document. It holds secrets.
    pub document: Value,
    /// Unknown keys and the like: worth a word, no reason to refuse.
    pub warnings: Vec<String>,
    places: Places,
}

impl LocalConfig {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// With everything that is wrong: texts that are no YAML, and keys whose values are of the wrong kind.
    pub fn load(source: &Source) -> Result<LocalConfig, ConfigErrors> {
        LocalConfig::read(gather(source)?.if_any(source)?)
    }

    /// The same, but nothing may be configured: what an operator's command needs may stand on its command line.
    ///
    /// # Errors
    /// As [`LocalConfig::load`].
    pub fn load_if_any(source: &Source) -> Result<LocalConfig, ConfigErrors> {
        LocalConfig::read(gather(source)?)
    }

    fn read(gathered: Gathered) -> Result<LocalConfig, ConfigErrors> {
        let Gathered { mut document, places, mut warnings, mut errors } = gathered;
        warnings.extend(legacy::modernise_local(&mut document));
        for finding in check::local(&document) {
            let place = places.of(&finding.path);
            if finding.weight == Weight::Wrong {
                errors.push(ConfigError { place, key: finding.path, reason: finding.reason });
            } else {
                warnings.push(format!("{place}{} {}", finding.path, finding.reason));
            }
        }
        if errors.is_empty() { Ok(LocalConfig { document, warnings, places }) } else { Err(ConfigErrors(errors)) }
    }

    /// The dynamic configuration that a new cluster begins with.
    pub fn bootstrap_dynamic(&self) -> Option<DynamicConfig> {
        let mut document = at(&self.document, "bootstrap.dcs")?.clone();
        let citus = super::effective::citus(&self.document);
        if let (Some(_), Some(map)) = (citus, document.as_object_mut()) {
            map.entry("synchronous_mode").or_insert(Value::from("quorum"));
        }
        DynamicConfig::from_value(document).ok()
    }

    /// What is missing for a daemon to run: keys, each with the word for it.
    pub fn missing(&self) -> Vec<String> {
        let required = schema::settings().filter(|setting| setting.need == Need::Required);
        let absent = required.filter(|setting| some_text_at(&self.document, setting.path).is_none());
        absent.map(|setting| format!("{} is not defined.", setting.path)).collect()
    }

    /// Where the value at a path was given, or what holds it.
    pub fn place_of(&self, path: &str) -> Place {
        self.places.of(path)
    }

    /// The configuration as YAML, secrets hidden.
    pub fn shown(&self) -> String {
        serde_yaml::to_string(&redacted(&self.document)).unwrap_or_default()
    }

    /// The same items as another configuration, wherever they stand.
    pub fn same_items(&self, other: &LocalConfig) -> bool {
        self.document == other.document
    }
}

/// Secrets are hidden.
impl std::fmt::Debug for LocalConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalConfig")
            .field("document", &redacted(&self.document).to_string())
            .field("warnings", &self.warnings)
            .finish()
    }
}

#[cfg(test)]
mod tests;
