//! The document as a page that people go on editing: sections apart, with a word on what is only read once.

use crate::ctl::document::block;
use serde_json::{Map, Value};

/// Above `bootstrap`.
const BOOTSTRAP: &str = "\
# Read once, when the cluster is made. Whatever is changed here later changes nothing.
";

/// Above `bootstrap.dcs`.
const DCS: &str = "  \
  # Becomes the configuration that all members share, in the store. Once the cluster is there, it is changed with
  # `regentctl edit-config` or the REST API's /config.
";

/// Above the store's section.
const STORE: &str = "\
# The store: etcd3 or consul; or local with the path of a file, for the nodes of one machine.
";

/// Sections that name a store.
const STORES: [&str; 3] = ["etcd3", "consul", "local"];

/// What stands first in `bootstrap.dcs`.
const TIMING: [&str; 3] = ["loop_wait", "retry_timeout", "ttl"];

/// The page.
pub(super) fn text(document: &Value) -> String {
    let mut text = String::new();
    for (name, value) in document.as_object().into_iter().flatten() {
        if value.is_object() && !text.is_empty() {
            text.push('\n');
        }
        match name.as_str() {
            "bootstrap" => text.push_str(&bootstrap(value)),
            name => {
                if STORES.contains(&name) {
                    text.push_str(STORE);
                }
                text.push_str(&section(name, value));
            }
        }
    }
    text
}

fn section(name: &str, value: &Value) -> String {
    let mut text = block(&Value::Object(Map::from_iter([(name.to_owned(), value.clone())])));
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn bootstrap(value: &Value) -> String {
    let mut text = format!("{BOOTSTRAP}bootstrap:\n{DCS}  dcs:\n");
    let mut rest = value.clone();
    let mut dcs = rest.as_object_mut().and_then(|map| map.shift_remove("dcs")).unwrap_or_default();
    let dcs = dcs.as_object_mut();
    let mut dcs = dcs.map(std::mem::take).unwrap_or_default();
    let first = TIMING.iter().filter_map(|name| Some(((*name).to_owned(), dcs.shift_remove(*name)?)));
    let first: Vec<_> = first.collect();
    for (name, value) in first.into_iter().chain(dcs) {
        text.push_str(&indented(&section(&name, &value), 4));
    }
    for (name, value) in rest.as_object().into_iter().flatten() {
        text.push_str(&indented(&section(name, value), 2));
    }
    text
}

fn indented(text: &str, by: usize) -> String {
    let space = " ".repeat(by);
    text.lines().map(|line| format!("{space}{line}\n")).collect()
}
