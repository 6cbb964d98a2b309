//! What is important enough: one level for all, and others for single loggers.

use std::collections::BTreeMap;
use tracing::Level;

/// Crates whose own debugging nobody asked for: warnings only, unless a logger of their name says otherwise.
const QUIET: [&str; 9] = ["hyper", "reqwest", "rustls", "tokio_postgres", "h2", "mio", "tower", "tonic", "etcd_client"];

/// Loggers of the peer and what their records come from here.
const NAMED_BY_THE_PEER: [(&str, &[&str]); 3] =
    [("patroni", &["regent"]), ("urllib3", &["hyper", "reqwest"]), ("etcd", &["etcd_client"])];

/// The levels in force: 0 nothing, 1 errors only, to 5 everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    all: u8,
    /// By the beginning of the target, the longest first.
    single: Vec<(String, u8)>,
}

impl Default for Levels {
    fn default() -> Self {
        Levels::new("INFO", &BTreeMap::new())
    }
}

impl Levels {
    pub(super) fn new(all: &str, loggers: &BTreeMap<String, String>) -> Levels {
        let quiet = QUIET.iter().map(|name| ((*name).to_owned(), 2));
        let mut single: BTreeMap<String, u8> = quiet.collect();
        for (logger, level) in loggers {
            let Some(level) = number(level) else { continue };
            single.extend(targets(logger).into_iter().map(|target| (target, level)));
        }
        let mut single: Vec<_> = single.into_iter().collect();
        single.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Levels { all: number(all).unwrap_or(3), single }
    }

    /// Changes the level of all that has none of its own; an unknown name changes nothing.
    pub(super) fn set(&mut self, name: &str) {
        self.all = number(name).unwrap_or(self.all);
    }

    /// A record of this target and level is written.
    pub(super) fn allow(&self, target: &str, level: Level) -> bool {
        let below =
            |prefix: &str| target.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        let own = self.single.iter().find(|(prefix, _)| below(prefix)).map(|(_, level)| *level);
        let level = match level {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        };
        level <= own.unwrap_or(self.all)
    }
}

fn number(name: &str) -> Option<u8> {
    match name.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" | "ERROR" => Some(1),
        "WARNING" | "WARN" => Some(2),
        "INFO" => Some(3),
        "DEBUG" => Some(4),
        "NOTSET" | "TRACE" => Some(5),
        _ => None,
    }
}

/// The targets of a logger: modules are parted by dots there and by colons here.
fn targets(logger: &str) -> Vec<String> {
    let path = logger.replace('.', "::");
    let (first, rest) = path.split_once("::").map_or((path.as_str(), None), |(first, rest)| (first, Some(rest)));
    let itself = [first];
    let ours = NAMED_BY_THE_PEER.iter().find(|(name, _)| *name == first).map_or(&itself[..], |(_, ours)| *ours);
    ours.iter().map(|name| rest.map_or((*name).to_owned(), |rest| format!("{name}::{rest}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_loggers_have_levels_of_their_own() {
        // LOG-01, LOG-04
        let loggers = [("patroni.postgres", "DEBUG"), ("urllib3", "ERROR"), ("h2", "INFO"), ("x", "loud")];
        let loggers = loggers.map(|(name, level)| (name.to_owned(), level.to_owned()));
        let mut levels = Levels::new("WARNING", &BTreeMap::from(loggers));
        let check = |levels: &Levels, target: &str, level: Level, expected: bool| {
            assert_eq!(levels.allow(target, level), expected, "{target} {level}");
        };
        check(&levels, "regent::agent", Level::WARN, true);
        check(&levels, "regent::agent", Level::INFO, false);
        check(&levels, "regent::postgres::start", Level::DEBUG, true);
        check(&levels, "regent::postgresql", Level::DEBUG, false);
        check(&levels, "reqwest::connect", Level::WARN, false);
        check(&levels, "hyper", Level::ERROR, true);
        check(&levels, "h2::codec", Level::INFO, true);
        check(&levels, "tonic", Level::INFO, false);
        levels.set("DEBUG");
        check(&levels, "regent::agent", Level::DEBUG, true);
        check(&levels, "tonic", Level::DEBUG, false);
        levels.set("louder");
        check(&levels, "regent::agent", Level::DEBUG, true);
    }
}
