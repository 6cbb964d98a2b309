//! What the API server keeps, as far as it matters here: an object's name, version and annotations, and of pods where
//! they run.

use crate::fields::{Annotations, Changes};
use serde_json::{Map, Value, json};

/// An object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its name.
    pub name: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Its annotations.
    pub annotations: Annotations,
    /// Its labels.
    pub labels: Annotations,
    /// Of pods: the address, once there is one.
    pub ip: Option<String>,
    /// Of pods: the machine.
    pub machine: Option<String>,
    /// Of pods: which one of that name it is.
    pub uid: String,
    /// Of Endpoints: who stands behind the service; a missing list is an empty one (K8S-02).
    pub subsets: Value,
}

impl Object {
    /// An object as the server tells it; `None` if it is none.
    pub fn read(value: &Value) -> Option<Object> {
        let meta = value.get("metadata")?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let subsets = value.get("subsets").filter(|subsets| subsets.is_array());
        Some(Object {
            name: text(meta.get("name"))?,
            version: text(meta.get("resourceVersion"))?,
            annotations: texts(meta.get("annotations")),
            labels: texts(meta.get("labels")),
            ip: text(value.pointer("/status/podIP")).filter(|ip| !ip.is_empty()),
            machine: text(value.pointer("/spec/nodeName")),
            uid: text(meta.get("uid")).unwrap_or_default(),
            subsets: subsets.cloned().unwrap_or_else(|| json!([])),
        })
    }

    /// The same with those changes.
    pub fn change(&mut self, changes: &Changes) {
        for (name, text) in changes {
            match text {
                Some(text) => drop(self.annotations.insert(name.clone(), text.clone())),
                None => drop(self.annotations.remove(name)),
            }
        }
    }

    /// An annotation that says something.
    pub fn said(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

fn texts(value: Option<&Value>) -> Annotations {
    let texts = value.and_then(Value::as_object).into_iter().flatten();
    texts.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}

/// A list: its objects and its version.
pub(crate) fn list(value: &Value) -> Option<(Vec<Object>, String)> {
    let version = value.pointer("/metadata/resourceVersion")?.as_str()?.to_owned();
    let items = match value.get("items") {
        None | Some(Value::Null) => Vec::new(),
        Some(items) => items.as_array()?.iter().filter_map(Object::read).collect(),
    };
    Some((items, version))
}

/// Changes as a patch; with a version the server refuses it for any other.
pub(crate) fn patch(changes: &Changes, version: Option<&str>) -> Value {
    let annotations: Map<String, Value> = changes.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    let mut meta = json!({ "annotations": annotations });
    if let Some(version) = version {
        meta["resourceVersion"] = json!(version);
    }
    json!({ "metadata": meta })
}

/// Which of two versions of one object is newer: they are numbers that grow. `true` where that can not be told.
pub(crate) fn newer(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version > than,
        _ => version != than,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K8S-02.
    #[test]
    fn objects_are_read() {
        let value = json!({
            "metadata": {"name": "a", "resourceVersion": "7", "uid": "u", "annotations": {"x": "y", "n": 5}},
            "spec": {"nodeName": "m"}, "status": {"podIP": "10.0.0.1"}, "subsets": null,
        });
        let object = Object::read(&value).expect("it is one");
        assert_eq!((object.name.as_str(), object.version.as_str(), &object.subsets), ("a", "7", &json!([])));
        assert_eq!((object.ip.as_deref(), object.machine.as_deref()), (Some("10.0.0.1"), Some("m")));
        assert_eq!(object.annotations.into_iter().collect::<Vec<_>>(), [("x".to_owned(), "y".to_owned())]);
        assert_eq!(Object::read(&json!({"metadata": {}})), None);
        let all = json!({"metadata": {"resourceVersion": "9"}, "items": [value, {}]});
        assert_eq!(list(&all).map(|(items, version)| (items.len(), version)), Some((1, "9".to_owned())));
        assert_eq!(list(&json!({"metadata": {"resourceVersion": "9"}, "items": null})).map(|it| it.0.len()), Some(0));
        assert!(list(&json!([])).is_none());
    }

    #[test]
    fn versions_grow() {
        assert!(newer("10", "9") && !newer("9", "10") && !newer("9", "9"));
        assert!(newer("a", "b") && !newer("a", "a"));
        let changes = Changes::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]);
        let expected = json!({"metadata": {"annotations": {"a": "1", "b": null}, "resourceVersion": "4"}});
        assert_eq!(patch(&changes, Some("4")), expected);
    }
}
