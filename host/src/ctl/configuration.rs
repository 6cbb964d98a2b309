//! `show-config` and `edit-config`.

use super::context::{Context, done};
use super::document::block;
use super::output::{confirm, line};
use super::programs::{edited, paged};
use super::{CtlError, Result};
use crate::config::{deep_equal, document, merge_patch};
use crate::dcs::{Answer, Snapshot};
use serde_json::{Map, Value};
use similar::TextDiff;
use std::io::Read;

/// How the configuration is to be changed.
#[derive(Default)]
pub(super) struct Edit {
    pub quiet: bool,
    pub set: Vec<String>,
    pub pg: Vec<String>,
    pub apply: Option<String>,
    pub replace: Option<String>,
    pub force: bool,
}

/// `show-config`.
pub(super) async fn show(context: &Context) -> Result<()> {
    print(&context.read().await?.1);
    Ok(())
}

/// Prints the dynamic configuration, where there is one.
pub(super) fn print(snapshot: &Snapshot) {
    if let Some(config) = &snapshot.config {
        line(&block(config));
    }
}

/// `edit-config`.
pub(super) async fn edit(context: &Context, edit: &Edit) -> Result<()> {
    let (store, snapshot) = context.read().await?;
    let Some(new) = proposal(context, &snapshot, edit)? else { return Ok(()) };
    match store.write_config(&new, snapshot.view.config, context.patience()).await {
        Answer::Refused(_) => Err(CtlError::new("Config modification aborted due to concurrent changes")),
        answer => {
            done(answer)?;
            line("Configuration changed");
            Ok(())
        }
    }
}

/// What is to be written, after the operator has seen it and agreed; or nothing.
pub(super) fn proposal(context: &Context, snapshot: &Snapshot, edit: &Edit) -> Result<Option<Value>> {
    let (Some(old), Some(_)) = (&snapshot.config, &snapshot.view.config) else {
        return Err(CtlError::new(format!("The config key does not exist in the cluster {}", context.scope)));
    };
    let new = changed(old, edit, &context.scope)?;
    if deep_equal(old, &new) {
        if !edit.quiet {
            line("Not changed");
        }
        return Ok(None);
    }
    if !edit.quiet {
        let text = difference(&block(old), &block(&new));
        if !paged(&text)? {
            line(&text);
        }
    }
    let piped = [&edit.apply, &edit.replace].into_iter().flatten().any(|source| source == "-");
    if piped && !edit.force {
        line("Use --force option to apply changes");
        return Ok(None);
    }
    Ok(if edit.force || confirm("Apply these changes?")? { Some(new) } else { None })
}

fn changed(old: &Value, edit: &Edit, scope: &str) -> Result<Value> {
    let mut new = old.clone();
    if let Some(source) = &edit.replace {
        new = read(source)?;
    }
    if let Some(source) = &edit.apply {
        merge_patch(&mut new, &read(source)?);
    }
    for setting in &edit.set {
        set(&mut new, setting, "")?;
    }
    for setting in &edit.pg {
        set(&mut new, setting, "postgresql.parameters.")?;
    }
    let by_hand = edit.replace.is_none() && edit.apply.is_none() && edit.set.is_empty() && edit.pg.is_empty();
    if by_hand { parse(&edited(&block(old), scope)?) } else { Ok(new) }
}

fn parse(text: &str) -> Result<Value> {
    let value = document(text).map_err(CtlError::new)?;
    if value.is_object() { Ok(value) } else { Err(CtlError::new("the configuration must be a dictionary")) }
}

fn read(source: &str) -> Result<Value> {
    parse(&text_of(source)?)
}

/// What is in the file, or comes from standard input where it is called `-`.
pub(super) fn text_of(source: &str) -> Result<String> {
    let text = if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(source)
    };
    text.map_err(|error| CtlError::new(format!("{source}: {error}")))
}

/// `a.b=value`: the value is YAML, `null` removes. Below `postgresql.parameters` the rest of the path is one name.
fn set(config: &mut Value, setting: &str, prefix: &str) -> Result<()> {
    let invalid = format!("Invalid parameter setting {setting}");
    let (path, text) = setting.split_once('=').ok_or_else(|| CtlError::new(invalid.clone()))?;
    let value = document(text).map_err(|reason| CtlError::new(format!("{invalid}: {reason}")))?;
    let path = format!("{prefix}{}", path.trim());
    let keys: Vec<&str> = match path.strip_prefix("postgresql.parameters.") {
        Some(name) => vec!["postgresql", "parameters", name],
        None => path.split('.').collect(),
    };
    put(config, &keys, value);
    Ok(())
}

fn put(place: &mut Value, keys: &[&str], value: Value) {
    let Some((key, rest)) = keys.split_first() else { return };
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    let Value::Object(map) = place else { return };
    if !rest.is_empty() {
        let inner = map.entry((*key).to_owned()).or_insert_with(|| Value::Object(Map::new()));
        put(inner, rest, value);
        let empty = inner.as_object().is_some_and(Map::is_empty);
        if empty {
            map.shift_remove(*key);
        }
    } else if value.is_null() {
        map.shift_remove(*key);
    } else {
        map.insert((*key).to_owned(), value);
    }
}

fn difference(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(3).header("", "").to_string();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_put_where_they_belong() {
        let check = |mut config: Value, setting: &str, prefix: &str, expected: Value| {
            set(&mut config, setting, prefix).unwrap();
            assert_eq!(config, expected, "{setting}");
        };
        check(json!({}), "ttl=20", "", json!({"ttl": 20}));
        let parameters = json!({"postgresql": {"parameters": {"a.b": "x"}}});
        check(json!({}), "a.b=x", "postgresql.parameters.", parameters.clone());
        check(parameters, "postgresql.parameters.a.b=null", "", json!({}));
        check(json!({}), "ttl='18446744073709551616'", "", json!({"ttl": "18446744073709551616"}));
        assert!(set(&mut json!({}), "nonsense", "").is_err());
    }

    #[test]
    fn a_whole_number_that_would_lose_digits_is_refused() {
        let check = |error: CtlError, expected: &str| assert_eq!(error.to_string(), expected);
        let long = "123456789012345678901234567890";
        let setting = format!("a={long}");
        check(
            set(&mut json!({}), &setting, "postgresql.parameters.").unwrap_err(),
            &format!(
                "Invalid parameter setting a={long}: this is a whole number of more than 64 bits: put it in quotes"
            ),
        );
        check(
            parse(&format!("ttl: 30\npostgresql:\n  parameters:\n    - -{long}\n")).unwrap_err(),
            "postgresql.parameters.0 is a whole number of more than 64 bits: put it in quotes",
        );
        check(parse("a: [1").unwrap_err(), "line 2: while parsing a flow sequence, expected ',' or ']'");
        check(parse("[1]").unwrap_err(), "the configuration must be a dictionary");
    }

    #[test]
    fn differences_are_unified() {
        let text = difference("a: 1\nb: 2\n", "a: 1\nb: 3\n");
        assert!(text.contains("-b: 2") && text.contains("+b: 3"), "{text}");
    }
}
