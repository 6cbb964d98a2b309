//! The way into the host's log.

use regent_plugin_api::abi::{HostServicesRef, Level, LogRecord};
use std::panic::Location;
use std::sync::OnceLock;

static HOST: OnceLock<(HostServicesRef, u64)> = OnceLock::new();

pub(crate) fn connect(host: HostServicesRef, plugin_id: u64) {
    // The first object's services serve the whole library: they are the same for all.
    let _first = HOST.set((host, plugin_id));
}

#[track_caller]
fn write(level: Level, message: &str) {
    let Some((host, plugin_id)) = HOST.get() else {
        return;
    };
    let place = Location::caller();
    let target = env!("CARGO_PKG_NAME");
    if !(host.log_enabled())(*plugin_id, level, target.into()) {
        return;
    }
    (host.log())(&LogRecord {
        level,
        plugin_id: *plugin_id,
        target: target.into(),
        message: message.into(),
        file: place.file().into(),
        line: place.line(),
        fields: regent_plugin_api::private::abi_stable::std_types::RSlice::EMPTY,
    });
}

/// Somebody must look.
#[track_caller]
pub fn error(message: &str) {
    write(Level::ERROR, message);
}

/// Something is not as it should be.
#[track_caller]
pub fn warn(message: &str) {
    write(Level::WARN, message);
}

/// Worth knowing.
#[track_caller]
pub fn info(message: &str) {
    write(Level::INFO, message);
}

/// For who looks closely.
#[track_caller]
pub fn debug(message: &str) {
    write(Level::DEBUG, message);
}
