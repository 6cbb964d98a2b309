//! A new section of the configuration while the daemon runs: the object takes it, or goes on with the old one, and the
//! log says which.

use super::{Backend, GRACE, lock};
use crate::abi;
use crate::types::convert;
use std::sync::Arc;

impl Backend {
    /// Hands the backend its section as it is configured now. What it does not accept, or not while it runs, changes
    /// nothing; objects that are opened later are opened with what was accepted.
    pub fn reload(&self, config_json: String) {
        let shared = Arc::clone(&self.shared);
        let changed = lock(&shared.options).config_json != config_json;
        let object = lock(&shared.current).clone();
        let Some(object) = object else {
            // The next object would be opened with a section that nobody has looked at.
            tracing::warn!(target: "dcs_plugin", "the section of the store was not read again: the backend does not answer");
            return;
        };
        object.queue.add(GRACE, move |backend| {
            let checked = shared.plugin.check_config(&config_json);
            let answer =
                checked.and_then(|()| convert::result_from(backend.reload(config_json.as_str().into()), |said| said));
            match answer {
                Ok(said) if said == abi::Reload::APPLIED => {
                    lock(&shared.options).config_json = config_json;
                    if changed {
                        tracing::info!(target: "dcs_plugin", "the section of the store is in force as it is now");
                    }
                }
                Ok(_) => tracing::warn!(
                    target: "dcs_plugin",
                    "the changed section of the store only counts once the daemon is started again: the old one stays"
                ),
                Err(error) => tracing::error!(
                    target: "dcs_plugin",
                    "the changed section of the store is refused, the old one stays: {error}"
                ),
            }
        });
    }
}
