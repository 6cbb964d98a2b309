//! `regent plugin list`: the backend that a configuration would load, whether it accepts its section, and which others
//! lie beside it. Those are not opened: opening a library runs it.

use super::{Report, check, line};
use crate::config::{DynamicConfig, Effective, LocalConfig, Source, no_store};
use crate::dcs::{StoreOptions, examine, find, folders, plugins_in};
use crate::ports;
use std::path::{Path, PathBuf};

/// Any version does: what depends on the server's is not looked at here.
const SERVER_VERSION: u32 = 150_000;

/// Looks at the configuration's backend.
pub(super) fn report(config: Option<PathBuf>) -> Report {
    let source = Source::new(config, ports::patroni_variables());
    let local = match LocalConfig::load(&source) {
        Ok(local) => local,
        Err(errors) => {
            let text = errors.0.iter().map(|error| format!("{error}\n")).collect();
            return Report { text, good: false };
        }
    };
    let effective = Effective::build(&local, &DynamicConfig::default(), SERVER_VERSION);
    let mut text = String::new();
    let good = chosen(&mut text, &effective);
    others(&mut text, effective.dcs.folder.as_deref());
    Report { text, good }
}

fn chosen(text: &mut String, effective: &Effective) -> bool {
    let (dcs, settings) = (&effective.dcs, &effective.settings);
    if dcs.name.is_empty() {
        text.push_str(&format!("{}\n", no_store()));
        return false;
    }
    line(text, "store", &dcs.name);
    let options = StoreOptions {
        name: dcs.name.clone(),
        section: dcs.section.clone(),
        folder: dcs.folder.clone(),
        path: dcs.path.clone(),
        sha256: dcs.sha256.clone(),
        namespace: dcs.namespace.clone(),
        scope: settings.scope.clone(),
        member: settings.name.clone(),
        ttl: settings.ttl,
        loop_wait: settings.loop_wait,
        retry_timeout: settings.retry_timeout,
    };
    let path = match find(&options) {
        Ok(path) => path,
        Err(error) => {
            line(text, "verdict", &error.to_string());
            return false;
        }
    };
    line(text, "file", &path.display().to_string());
    let found = examine(&path, dcs.sha256.as_deref());
    check::tell(text, &found);
    let Ok(plugin) = &found.loaded else {
        return false;
    };
    let section = plugin.check_config(&dcs.section.to_string());
    line(
        text,
        "section",
        &section.as_ref().map_or_else(|error| format!("refused: {error}"), |()| "accepted".to_owned()),
    );
    section.is_ok()
}

fn others(text: &mut String, folder: Option<&Path>) {
    let folders = folders(folder);
    let named: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    text.push_str(&format!("\nIn {}:\n", named.join(", ")));
    let found = plugins_in(&folders);
    if found.is_empty() {
        text.push_str("no plugin\n");
    }
    for (name, path) in found {
        line(text, &name, &path.display().to_string());
    }
}
