//! The settings that are understood: one table from which checks, hints, the environment's names and documentation are
//! drawn. It says what a key is; what a value means is said where it is read.

mod dynamic_keys;
mod local_keys;
mod spelling;
mod store_keys;

pub(super) use spelling::nearest;
pub(super) use store_keys::{STORE_KEYS, STORES, store_variable};

/// What a value must be. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Any scalar.
    Text,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// A whole number, at least and at most.
    Integer(i64, i64),
    /// A span of time, at least so many seconds.
    Seconds(u64),
    /// A number of bytes, at least.
    Bytes(i64),
    /// Permission bits, octal where it is a text.
    Mode,
    /// A truth value in any of its words.
    Truth,
    /// A truth value, or this word.
    TruthOr(&'static str),
    /// A list of scalars.
    List,
    /// A mapping.
    Map,
    /// A list of names and one-key mappings, or a mapping.
    ListOrMap,
    /// A list of scalars, or one text (with commas).
    TextOrList,
    /// A list of mappings.
    Maps,
    /// One text, or a list of names and one-key mappings.
    Format,
    /// How a fence is used: a word, or false for off.
    Fence,
    /// Whatever.
    Any,
}

/// Who may set a key (config.md §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// The file and the environment alone.
    Local,
    /// The store's document alone.
    Dynamic,
    /// Both; the local value wins.
    Either,
}

/// When a changed value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// At once, or with the next heartbeat.
    AtRuntime,
    /// When the PostgreSQL server was restarted.
    OnServerRestart,
    /// When the daemon was restarted.
    OnDaemonRestart,
}

/// Whether a node can do without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Optional,
    /// A daemon runs without it, but `validate` asks for it.
    Expected,
    /// A daemon does not start without it.
    Required,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Path with dots; `*` stands for any name.
    pub path: &'static str,
    pub kind: Kind,
    pub layer: Layer,
    /// As documentation shows it; empty where there is none.
    pub default: &'static str,
    /// The variable without `PATRONI_`; empty where there is none.
    pub variable: &'static str,
    pub need: Need,
    pub applied: Applied,
    /// A wrong value is refused even where a default could serve: the default would protect less than was meant.
    pub strict: bool,
}

/// Every setting but those of the stores' sections.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    local_keys::SETTINGS.iter().chain(dynamic_keys::SETTINGS)
}

/// The settings that a document of this layer may hold.
pub(super) fn settings_of(layer: Layer) -> impl Iterator<Item = &'static Setting> {
    settings().filter(move |setting| setting.layer == layer || setting.layer == Layer::Either)
}

/// The setting of a path, as one that has a row of its own or as one of any name.
pub(super) fn find(path: &str) -> Option<&'static Setting> {
    let own = settings().find(|setting| setting.path == path);
    own.or_else(|| settings().find(|setting| setting.path.contains('*') && fits(setting.path, path)))
}

/// A path fits a pattern: equal word by word, where `*` equals any word.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(word), Some(key)) if word == "*" || word == key => {}
            _ => return false,
        }
    }
}

const fn setting(path: &'static str, kind: Kind, layer: Layer) -> Setting {
    Setting {
        path,
        kind,
        layer,
        default: "",
        variable: "",
        need: Need::Optional,
        applied: Applied::AtRuntime,
        strict: false,
    }
}

const fn local(path: &'static str, kind: Kind) -> Setting {
    setting(path, kind, Layer::Local)
}

const fn dynamic(path: &'static str, kind: Kind) -> Setting {
    setting(path, kind, Layer::Dynamic)
}

const fn either(path: &'static str, kind: Kind) -> Setting {
    setting(path, kind, Layer::Either)
}

impl Setting {
    const fn default(mut self, default: &'static str) -> Setting {
        self.default = default;
        self
    }

    const fn variable(mut self, variable: &'static str) -> Setting {
        self.variable = variable;
        self
    }

    const fn required(mut self) -> Setting {
        self.need = Need::Required;
        self
    }

    const fn expected(mut self) -> Setting {
        self.need = Need::Expected;
        self
    }

    const fn with_server(mut self) -> Setting {
        self.applied = Applied::OnServerRestart;
        self
    }

    const fn strict(mut self) -> Setting {
        self.strict = true;
        self
    }

    const fn with_daemon(mut self) -> Setting {
        self.applied = Applied::OnDaemonRestart;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_setting_and_every_variable_stands_once() {
        let mut paths = BTreeSet::new();
        let mut variables = BTreeSet::new();
        for setting in settings() {
            assert!(paths.insert(setting.path), "{} stands twice", setting.path);
            let fresh = setting.variable.is_empty() || variables.insert(setting.variable);
            assert!(fresh, "{} stands twice", setting.variable);
        }
    }

    #[test]
    fn every_setting_stands_in_a_mapping() {
        for setting in settings() {
            let Some((above, _)) = setting.path.rsplit_once('.') else {
                continue;
            };
            let above = find(above).unwrap_or_else(|| panic!("{above} has no row"));
            let holds = matches!(above.kind, Kind::Map | Kind::Any | Kind::ListOrMap);
            assert!(holds, "{} can not hold {}", above.path, setting.path);
        }
    }

    #[test]
    fn patterns_fit() {
        assert!(fits("tags.*", "tags.x"));
        assert!(!fits("tags.*", "tags.x.y"));
        assert!(!fits("tags.*", "tags"));
        assert_eq!(find("tags.clonefrom").unwrap().path, "tags.clonefrom");
        assert_eq!(find("tags.other").unwrap().path, "tags.*");
    }
}
