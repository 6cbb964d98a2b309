//! The section `kubernetes:` of the configuration, read strictly: every complaint names the key and the reason.

use crate::fields::Annotations;
use crate::place::Keeper;
use regent_dcs_common::Section;
use regent_plugin_sdk::Result;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where PostgreSQL listens, unless `ports` says so.
const PORT: u16 = 5432;

/// The settings that count.
pub(crate) const SETTINGS: &[&str] = &[
    "api_server",
    "bootstrap_labels",
    "bypass_api_service",
    "cacert",
    "context",
    "follower_label_value",
    "kubeconfig",
    "labels",
    "leader_label_value",
    "namespace",
    "pod_ip",
    "ports",
    "retriable_http_codes",
    "role_label",
    "scope_label",
    "standby_leader_label_value",
    "tmp_role_label",
    "use_endpoints",
];

/// What the section says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// What stays as long as an object lives.
    pub fixed: Fixed,
    /// What may change meanwhile.
    pub soft: Soft,
}

/// Where things are, and what finds them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fixed {
    /// The cluster's namespace.
    pub namespace: String,
    /// The labels of all of the cluster's objects and pods, but for its name.
    pub labels: Annotations,
    /// The label that holds the cluster's name.
    pub scope_label: String,
    /// Endpoints or ConfigMaps.
    pub keeper: Keeper,
    /// How the API server is found.
    pub access: Access,
}

/// How the API server is found, and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// A kubeconfig other than the one of the environment.
    pub kubeconfig: Option<PathBuf>,
    /// Its context.
    pub context: Option<String>,
    /// The authority of the server's certificate, other than the one that the environment tells.
    pub cacert: Option<PathBuf>,
    /// The server's address, other than the one that the environment tells.
    pub server: Option<String>,
    /// The servers behind the service are asked one by one, without the balancer before them.
    pub bypass: bool,
}

/// What each request takes anew.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Soft {
    /// The label that says what a pod is.
    pub role_label: String,
    /// What it says of a primary.
    pub leader: String,
    /// What it says of a replica.
    pub follower: String,
    /// What it says of a standby cluster's leader.
    pub standby_leader: String,
    /// A second label, whose values are not configured.
    pub tmp_role_label: Option<String>,
    /// Labels of a pod that is not there yet.
    pub bootstrap_labels: Annotations,
    /// The pod's address, if its status does not tell it.
    pub pod_ip: Option<String>,
    /// The ports of the primary's service, as Endpoints have them.
    pub ports: Value,
    /// Statuses after which a request is sent again, beside the usual ones.
    pub retriable: Vec<u16>,
}

impl Config {
    /// Reads the section.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key.
    pub fn read(config_json: &str) -> Result<Config> {
        let section = Section::read("kubernetes", config_json)?;
        let labels = texts(&section, "labels")?;
        if labels.is_empty() {
            return Err(section.at("labels", "needed: the labels that the cluster's pods have, like {application: db}"));
        }
        let text = |key: &str, usual: &str| Ok(section.text(key)?.unwrap_or_else(|| usual.to_owned()));
        let scope_label = text("scope_label", "cluster-name")?;
        if labels.contains_key(&scope_label) {
            return Err(section.at("labels", &format!("{scope_label} holds the cluster's name: leave it out")));
        }
        let endpoints = section.flag("use_endpoints")?.unwrap_or(false);
        let fixed = Fixed {
            namespace: text("namespace", "default")?,
            labels,
            scope_label,
            keeper: if endpoints { Keeper::Endpoints } else { Keeper::ConfigMaps },
            access: access(&section)?,
        };
        let soft = Soft {
            role_label: text("role_label", "role")?,
            leader: text("leader_label_value", "primary")?,
            follower: text("follower_label_value", "replica")?,
            standby_leader: text("standby_leader_label_value", "primary")?,
            tmp_role_label: section.text("tmp_role_label")?,
            bootstrap_labels: texts(&section, "bootstrap_labels")?,
            pod_ip: section.text("pod_ip")?,
            ports: ports(&section)?,
            retriable: statuses(&section)?,
        };
        Ok(Config { fixed, soft })
    }
}

fn access(section: &Section) -> Result<Access> {
    let file = |key: &str| -> Result<Option<PathBuf>> {
        let path = section.text(key)?.map(PathBuf::from);
        match path.as_ref().map(std::fs::File::open) {
            Some(Err(error)) => Err(section.at(key, &format!("{}: {error}", path.unwrap_or_default().display()))),
            _ => Ok(path),
        }
    };
    let server = section.text("api_server")?;
    if server.as_ref().is_some_and(|server| server.parse::<http::Uri>().map_or(true, |uri| uri.scheme().is_none())) {
        return Err(section.at("api_server", "must be an address like https://host:6443"));
    }
    Ok(Access {
        kubeconfig: file("kubeconfig")?,
        context: section.text("context")?,
        cacert: file("cacert")?,
        server,
        bypass: section.flag("bypass_api_service")?.unwrap_or(false),
    })
}

/// A mapping of texts; numbers and flags are texts too.
fn texts(section: &Section, key: &str) -> Result<Annotations> {
    let no_texts = || section.at(key, "must be a mapping of texts, like {application: db}");
    let Some(value) = section.value(key) else { return Ok(Annotations::new()) };
    let texts = value.as_object().ok_or_else(no_texts)?.iter().map(|(name, value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        _ => Err(no_texts()),
    });
    texts.collect()
}

fn ports(section: &Section) -> Result<Value> {
    let Some(value) = section.value("ports") else { return Ok(json!([{ "port": PORT, "protocol": "TCP" }])) };
    let no_ports = || section.at("ports", "must be a list like [{name: postgresql, port: 5432}]");
    let mut ports = Vec::new();
    for entry in value.as_array().ok_or_else(no_ports)? {
        let number = match entry.get("port") {
            None => u64::from(PORT),
            Some(Value::String(text)) => text.trim().parse().map_err(|_| no_ports())?,
            Some(number) => number.as_u64().ok_or_else(no_ports)?,
        };
        let number = u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(no_ports)?;
        // The server adds what is left out: so that what it tells can be compared.
        let mut port = json!({ "port": number, "protocol": "TCP" });
        for key in ["name", "protocol"] {
            match entry.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => port[key] = json!(text),
                Some(_) => return Err(no_ports()),
            }
        }
        ports.push(port);
    }
    if ports.is_empty() { Err(no_ports()) } else { Ok(Value::Array(ports)) }
}

fn statuses(section: &Section) -> Result<Vec<u16>> {
    let key = "retriable_http_codes";
    let no_statuses = || section.at(key, "must be a list of HTTP statuses from 400 to 599");
    let texts: Vec<String> = match section.value(key) {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries.iter().map(|entry| entry.to_string()).collect(),
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(Value::String(text)) => text.trim_matches(['[', ']']).split(',').map(str::to_owned).collect(),
        Some(_) => return Err(no_statuses()),
    };
    let status = |text: String| text.trim().trim_matches('"').parse().ok().filter(|code| (400..600).contains(code));
    texts.into_iter().map(|text| status(text).ok_or_else(no_statuses)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<Config, String> {
        Config::read(json).map_err(|error| error.message)
    }

    /// K8S-06.
    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let config = read(r#"{"labels": {"application": "db"}}"#).expect("it is right");
        assert_eq!((config.fixed.namespace.as_str(), config.fixed.scope_label.as_str()), ("default", "cluster-name"));
        assert_eq!(config.fixed.keeper, Keeper::ConfigMaps);
        let soft = config.soft;
        let all = [soft.role_label.as_str(), &soft.leader, &soft.follower, &soft.standby_leader];
        assert_eq!(all, ["role", "primary", "replica", "primary"]);
        assert_eq!(
            (soft.ports, soft.retriable.len(), soft.tmp_role_label),
            (json!([{"port": 5432, "protocol": "TCP"}]), 0, None)
        );
    }

    /// K8S-06.
    #[test]
    fn every_setting_counts() {
        let json = r#"{"labels": {"application": "db", "n": 5}, "scope_label": "c", "use_endpoints": "on",
            "namespace": "prod", "leader_label_value": "master", "follower_label_value": "slave",
            "standby_leader_label_value": "sl", "role_label": "r", "tmp_role_label": "t", "pod_ip": "10.0.0.1",
            "ports": [{"name": "pg", "port": "5433"}], "bootstrap_labels": {"b": "1"}, "context": "x",
            "bypass_api_service": true, "retriable_http_codes": "500, 401", "api_server": "https://h:1"}"#;
        let Config { fixed, soft } = read(json).expect("it is right");
        assert_eq!((fixed.keeper, fixed.access.bypass), (Keeper::Endpoints, true));
        assert_eq!(
            (fixed.labels.get("n").map(String::as_str), fixed.access.context.as_deref()),
            (Some("5"), Some("x"))
        );
        assert_eq!(soft.ports, json!([{"port": 5433, "name": "pg", "protocol": "TCP"}]));
        assert_eq!(soft.retriable, [500, 401]);
        assert_eq!(soft.bootstrap_labels.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |json: &str, expected: &str| {
            let error = read(json).expect_err(json);
            assert!(error.starts_with(expected), "{error}");
        };
        check("garbage", "kubernetes: the section is no JSON");
        check("{}", "kubernetes.labels: needed");
        check(r#"{"labels": "a=b"}"#, "kubernetes.labels: must be a mapping");
        check(r#"{"labels": {"cluster-name": "x"}}"#, "kubernetes.labels: cluster-name holds");
        let with = |more: &str| format!(r#"{{"labels": {{"a": "b"}}, {more}}}"#);
        check(&with(r#""ports": 5432"#), "kubernetes.ports: must be a list");
        check(&with(r#""ports": [{"port": 70000}]"#), "kubernetes.ports: must be a list");
        check(&with(r#""retriable_http_codes": [99]"#), "kubernetes.retriable_http_codes: must");
        check(&with(r#""cacert": "/no/such""#), "kubernetes.cacert: /no/such: No such file");
        check(&with(r#""api_server": "host""#), "kubernetes.api_server: must");
        check(&with(r#""use_endpoints": []"#), "kubernetes.use_endpoints: must be true or false");
    }
}
