//! `regent plugin check`: one file, everything that is known of it, and the verdict.

use super::{Report, line};
use crate::dcs::{API, Examination, examine};
use std::path::Path;

/// Looks at the file.
pub(super) fn report(path: &Path, sha256: Option<&str>) -> Report {
    let found = examine(path, sha256);
    let mut text = String::new();
    line(&mut text, "file", &path.display().to_string());
    tell(&mut text, &found);
    Report { text, good: found.loaded.is_ok() }
}

/// What was found, without the file's name.
pub(super) fn tell(text: &mut String, found: &Examination) {
    if let Some(file) = &found.file {
        let us = nix::unistd::geteuid().as_raw();
        let owner = match file.owner {
            0 => "root".to_owned(),
            owner if owner == us => format!("user {owner}, who asks"),
            owner => format!("user {owner}"),
        };
        line(text, "owner", &format!("{owner}, mode {:03o}, {} bytes", file.mode, file.bytes));
        line(text, "sha256", file.sha256.as_deref().unwrap_or("can not be read"));
    }
    if let Some(manifest) = &found.manifest {
        let panics = if manifest.unwinds { "" } else { ", panic=abort" };
        line(text, "backend", &format!("{} {}{panics}", manifest.name, manifest.version));
        let ((major, minor), ours) = (manifest.api, API);
        line(text, "API", &format!("{major}.{minor}, this daemon speaks {}.{}", ours.0, ours.1));
    }
    match &found.loaded {
        Ok(plugin) => {
            let can = plugin.capabilities();
            let seconds = |time: std::time::Duration| time.as_secs_f64();
            let mut abilities = vec![format!("ttl {} to {} s", seconds(can.min_ttl), seconds(can.max_ttl))];
            abilities.push(format!("values up to {} bytes", can.max_value_bytes));
            let named = [(can.native_watch, "watches"), (can.atomic_multi_write, "writes several keys at once")];
            abilities.extend(named.iter().filter(|(can, _)| *can).map(|(_, what)| (*what).to_owned()));
            line(text, "can", &abilities.join(", "));
            let settings = plugin.settings();
            let settings = if settings.is_empty() { "it does not say".to_owned() } else { settings.join(", ") };
            line(text, "settings", &settings);
            line(text, "verdict", "it would be loaded");
        }
        Err(error) => line(text, "verdict", &format!("it would not be loaded: {}", error.reason)),
    }
}
