//! What the host offers to plugins: its log. Plugins have their own copy of every global, so records are carried over.

use crate::abi::{HostServices, HostServicesRef, Level, LogRecord};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::RStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// The host's services, made once.
pub(crate) fn services() -> HostServicesRef {
    static SERVICES: OnceLock<HostServicesRef> = OnceLock::new();
    *SERVICES.get_or_init(|| HostServices { log_enabled, log, counter_add, gauge_set }.leak_into_prefix())
}

extern "C" fn log_enabled(_plugin_id: u64, level: Level, _target: RStr<'_>) -> bool {
    let enabled = || match level {
        Level::ERROR => tracing::enabled!(target: "dcs_plugin", tracing::Level::ERROR),
        Level::WARN => tracing::enabled!(target: "dcs_plugin", tracing::Level::WARN),
        Level::INFO => tracing::enabled!(target: "dcs_plugin", tracing::Level::INFO),
        Level::DEBUG => tracing::enabled!(target: "dcs_plugin", tracing::Level::DEBUG),
        _ => tracing::enabled!(target: "dcs_plugin", tracing::Level::TRACE),
    };
    catch_unwind(enabled).unwrap_or(false)
}

extern "C" fn log(record: &LogRecord<'_>) {
    let write = || {
        let fields: String =
            record.fields.iter().map(|pair| format!(" {}={}", pair.0.as_str(), pair.1.as_str())).collect();
        let (message, from) = (record.message.as_str(), record.target.as_str());
        match record.level {
            Level::ERROR => {
                tracing::error!(target: "dcs_plugin", "{message}{fields} (from {from})")
            }
            Level::WARN => tracing::warn!(target: "dcs_plugin", "{message}{fields} (from {from})"),
            Level::INFO => tracing::info!(target: "dcs_plugin", "{message}{fields} (from {from})"),
            Level::DEBUG => {
                tracing::debug!(target: "dcs_plugin", "{message}{fields} (from {from})")
            }
            _ => tracing::trace!(target: "dcs_plugin", "{message}{fields} (from {from})"),
        }
    };
    // A panic must not cross the boundary; the record is lost then.
    let _lost = catch_unwind(AssertUnwindSafe(write)).is_err();
}

extern "C" fn counter_add(plugin_id: u64, name: RStr<'_>, label: RStr<'_>, delta: u64) {
    let write = || tracing::trace!(target: "dcs_plugin", plugin_id, delta, "counter {name} {label}");
    let _lost = catch_unwind(AssertUnwindSafe(write)).is_err();
}

extern "C" fn gauge_set(plugin_id: u64, name: RStr<'_>, label: RStr<'_>, value: i64) {
    let write = || tracing::trace!(target: "dcs_plugin", plugin_id, value, "gauge {name} {label}");
    let _lost = catch_unwind(AssertUnwindSafe(write)).is_err();
}
