//! `guard` and `watchdog`: what makes sure that a server that may no longer write is stopped.

use super::judge::FENCE_WORDS;
use super::reading::{at, file_at, integer_at, some_text_at};
use super::units::truth;
use regent_core::model::FenceMode;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// The Linux watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// Whether it is used.
    pub mode: FenceMode,
    /// Its device.
    pub device: PathBuf,
    /// How long before the lock's end it fires; `None`: after half of the lock's time.
    pub safety_margin: Option<Duration>,
    /// Which kind of device it is, where it is not the usual.
    pub driver: Option<String>,
}

/// `watchdog`. An unknown mode was warned about and means off.
pub(super) fn watchdog(local: &Value) -> WatchdogSettings {
    let margin = integer_at(local, "watchdog.safety_margin").filter(|margin| *margin >= -1);
    let margin = u64::try_from(margin.unwrap_or(5)).ok();
    WatchdogSettings {
        mode: mode(local, "watchdog.mode"),
        device: file_at(local, "watchdog.device").unwrap_or_else(|| PathBuf::from("/dev/watchdog")),
        safety_margin: margin.map(Duration::from_secs),
        driver: some_text_at(local, "watchdog.driver").filter(|driver| driver != "default"),
    }
}

/// `guard.mode` or `watchdog.mode`.
pub(super) fn mode(local: &Value, path: &str) -> FenceMode {
    let Some(value) = at(local, path) else {
        return FenceMode::Automatic;
    };
    if truth(value) == Some(false) {
        return FenceMode::Off;
    }
    let said = value.as_str().unwrap_or_default();
    let known = FENCE_WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(said));
    match known.map(|(_, meaning)| *meaning) {
        Some("automatic") => FenceMode::Automatic,
        Some("required") => FenceMode::Required,
        _ => FenceMode::Off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn modes_in_many_words() {
        let check = |value: Value, expected: FenceMode| {
            assert_eq!(mode(&json!({"guard": {"mode": value}}), "guard.mode"), expected, "{value}");
        };
        check(json!(null), FenceMode::Automatic);
        check(json!("Auto"), FenceMode::Automatic);
        check(json!("require"), FenceMode::Required);
        check(json!(false), FenceMode::Off);
        check(json!("disabled"), FenceMode::Off);
        check(json!("what"), FenceMode::Off);
    }

    #[test]
    fn the_watchdog_has_defaults() {
        let settings = watchdog(&json!({}));
        assert_eq!(settings.device, PathBuf::from("/dev/watchdog"));
        assert_eq!(settings.safety_margin, Some(Duration::from_secs(5)));
        assert_eq!(watchdog(&json!({"watchdog": {"safety_margin": -1}})).safety_margin, None);
    }
}
