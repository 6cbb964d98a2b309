//! This member's own key and the labels of its pod, by which services find it.

use crate::backend::Kubernetes;
use crate::call::{Repeat, failed};
use crate::config::Soft;
use crate::fields::{self, Changes};
use crate::http::Request;
use crate::object::{Object, patch};
use crate::place::Keeper;
use regent_plugin_sdk::{Cx, ErrorKind, Key, KeyKind, Result, log};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// States of a member that is not there yet.
const BOOTSTRAPPING: [&str; 4] = [
    "initializing new cluster",
    "running custom bootstrap script",
    "starting after custom bootstrap",
    "creating replica",
];

impl Kubernetes {
    /// Writes our key and labels, unless they say so already.
    pub(crate) async fn touch(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        if self.fixed.keeper == Keeper::Endpoints && self.holds() {
            self.make_service(cx).await;
        }
        let key = Key { kind: KeyKind::Member, name: self.member.clone() };
        let changes = fields::write(&key, value);
        let labels = labels(&self.server.soft(), value, self.holds());
        if let Some(pod) = self.memory().pod(&self.member).filter(|pod| says(pod, &changes, &labels)) {
            return Ok(pod.version.clone());
        }
        let mut body = patch(&changes, None);
        body["metadata"]["labels"] = json!(labels);
        let reply = self.server.run(cx, Repeat::Write, &Request::patch(self.own_pod(), body), &[]).await?.reply;
        match reply.status {
            200 => {
                let pod = Object::read(&reply.body);
                let pod = pod.ok_or_else(|| failed(ErrorKind::Indeterminate, "an answer that is no pod"))?;
                self.memory().saw_pod(pod.clone());
                Ok(pod.version)
            }
            404 => {
                let (name, namespace) = (&self.member, &self.fixed.namespace);
                let why = format!("there is no pod {name} in the namespace {namespace}: a member is named as its pod");
                Err(failed(ErrorKind::Unavailable, &why))
            }
            _ => Err(failed(ErrorKind::Invalid, &reply.text())),
        }
    }

    /// Endpoints without a service are cleaned away: a headless one keeps the configuration (K8S-04).
    async fn make_service(&self, cx: &Cx) {
        if self.service_made.swap(true, Ordering::AcqRel) {
            return;
        }
        let name = format!("{}-config", self.scope);
        let body = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "labels": self.labels() },
            "spec": { "clusterIP": "None" },
        });
        match self.server.run(cx, Repeat::Write, &Request::create(self.collection("services"), body), &[]).await {
            Ok(answer) if [200, 201, 409].contains(&answer.reply.status) => {}
            Ok(answer) => log::warn(&format!("kubernetes: the service {name}: {}", answer.reply.text())),
            // Not allowed: somebody else will have to make it.
            Err(error) if error.kind == ErrorKind::Auth => {}
            Err(error) => {
                self.service_made.store(false, Ordering::Release);
                log::debug(&format!("the service {name} is not made yet: {error}"));
            }
        }
    }
}

fn says(pod: &Object, changes: &Changes, labels: &Changes) -> bool {
    changes.iter().all(|(name, text)| pod.annotations.get(name) == text.as_ref())
        && labels.iter().all(|(name, text)| pod.labels.get(name) == text.as_ref())
}

/// The labels of a member that says this of itself.
fn labels(soft: &Soft, value: &[u8], leads: bool) -> Changes {
    let value: Value = serde_json::from_slice(value).unwrap_or_default();
    let said = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (role, state) = (said("role"), said("state"));
    let is_primary = ["primary", "master"].contains(&role.as_str());
    let (shown, second) = if leads {
        let shown = if role == "standby_leader" { &soft.standby_leader } else { &soft.leader };
        (Some(shown.clone()), Some("primary".to_owned()))
    } else if state == "running" && !is_primary && !role.is_empty() {
        let shown = if role == "replica" { soft.follower.clone() } else { role.clone() };
        (Some(shown), Some(role))
    } else {
        (None, None)
    };
    let mut labels = Changes::from([(soft.role_label.clone(), shown)]);
    if let Some(label) = &soft.tmp_role_label {
        labels.insert(label.clone(), second);
    }
    let begins = BOOTSTRAPPING.contains(&state.as_str());
    labels.extend(soft.bootstrap_labels.iter().map(|(name, text)| (name.clone(), begins.then(|| text.clone()))));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// K8S-01, K8S-06.
    #[test]
    fn pods_are_labelled_by_what_they_are() {
        let section = r#"{"labels": {"a": "b"}, "follower_label_value": "f", "tmp_role_label": "t",
                          "standby_leader_label_value": "s", "bootstrap_labels": {"new": "yes"}}"#;
        let soft = Config::read(section).expect("it is right").soft;
        let check = |role: &str, state: &str, leads: bool, expected: [Option<&str>; 3]| {
            let value = json!({"role": role, "state": state}).to_string();
            let labels = labels(&soft, value.as_bytes(), leads);
            let found = ["role", "t", "new"].map(|name| labels[name].as_deref());
            assert_eq!(found, expected, "{role} {state} {leads}");
        };
        check("primary", "running", true, [Some("primary"), Some("primary"), None]);
        check("standby_leader", "running", true, [Some("s"), Some("primary"), None]);
        check("replica", "running", false, [Some("f"), Some("replica"), None]);
        check("primary", "running", false, [None, None, None]);
        check("replica", "stopped", false, [None, None, None]);
        check("replica", "creating replica", false, [None, None, Some("yes")]);
        assert_eq!(super::labels(&soft, b"garbage", false)["role"], None);
    }
}
