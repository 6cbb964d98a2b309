//! What every command works with: the configuration, the store, and a client for the members' API.

use super::usage::Given;
use super::{CtlError, Result, store_url};
use crate::config::{CtlSettings, DcsSettings, DynamicConfig, Effective, LocalConfig, Source, Verify, member_client};
use crate::dcs::{self, Answer, Snapshot, Store, StoreOptions};
use crate::ports;
use regent_core::model::{Settings, WallTime};
use reqwest::Method;
use std::path::PathBuf;
use std::time::Duration;

/// How long the store may take.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a member may take for what acts: a switchover may wait for a clean shutdown.
const ACTION_PATIENCE: Duration = Duration::from_secs(120);

/// How long a member may take to answer a question.
const QUESTION_PATIENCE: Duration = Duration::from_secs(5);

/// What is configured, whatever the cluster.
#[derive(Clone)]
pub(super) struct Surroundings {
    settings: Settings,
    dcs: DcsSettings,
    ctl: CtlSettings,
    group: Option<u32>,
    client: reqwest::Client,
    local: std::sync::Arc<LocalConfig>,
}

/// A command's cluster and all that is configured.
pub(super) struct Context {
    /// The cluster's name.
    pub scope: String,
    /// The group, where it is one of a distributed database.
    pub group: Option<u32>,
    /// It is a distributed database.
    pub grouped: bool,
    surroundings: Surroundings,
}

/// What a member's API said.
pub(super) struct Said {
    pub status: u16,
    pub body: String,
    /// What the member's clock showed, in whole seconds, where it said so.
    pub date: Option<WallTime>,
}

impl Surroundings {
    /// Reads the configuration that the program's own options name.
    pub fn open(given: &Given) -> Result<Surroundings> {
        let variables = ports::environment();
        let variable = |wanted: &str| {
            let (_, value) = variables.iter().find(|(name, _)| name == wanted)?;
            value.to_str().filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let default = ports::home_directory().join(".config/patroni/patronictl.yaml");
        let file = given.text("config-file").or_else(|| variable("PATRONICTL_CONFIG_FILE")).map(PathBuf::from);
        if let Some(file) = file.as_ref().filter(|file| **file != default && std::fs::metadata(file).is_err()) {
            return Err(CtlError::new(format!(
                "Provided config file {} not existing or no read rights. Check the -c/--config-file parameter",
                file.display()
            )));
        }
        // Nobody has to have the default file, nor any.
        let file = Some(file.unwrap_or(default)).filter(|file| file.exists());
        let source = Source::new(file, ports::patroni_variables());
        let mut local = LocalConfig::load_if_any(&source).map_err(|error| CtlError::new(error.to_string()))?;
        let configured = local.document.get("dcs_api").and_then(serde_json::Value::as_str).map(str::to_owned);
        let url = given.text("dcs-url").or_else(|| variable("DCS_URL"));
        if let Some(url) = url.or(configured) {
            store_url::put(&mut local.document, &url)?;
        }
        Surroundings::from_local(&local, given.is("insecure"))
    }

    /// What the configuration says.
    pub fn from_local(local: &LocalConfig, insecure: bool) -> Result<Surroundings> {
        let effective = Effective::build(local, &DynamicConfig::default(), 0);
        let mut ctl = effective.ctl;
        ctl.insecure |= insecure;
        let client = member_client(&ctl, Verify::from_outside(&ctl));
        let client = client.map_err(|error| CtlError::new(error.to_string()))?;
        let group = effective.citus.map(|citus| citus.group);
        Ok(Surroundings {
            settings: effective.settings,
            dcs: effective.dcs,
            ctl,
            group,
            client,
            local: std::sync::Arc::new(local.clone()),
        })
    }

    /// The configured group of a distributed database.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// The local configuration as it was read.
    pub fn local(&self) -> &LocalConfig {
        &self.local
    }

    /// The configured cluster's name; empty where there is none.
    pub fn scope(&self) -> &str {
        &self.settings.scope
    }

    /// A cluster by name, or the configured one.
    pub fn cluster(&self, name: Option<&str>, group: Option<u32>) -> Result<Context> {
        let scope = name.unwrap_or(&self.settings.scope).to_owned();
        if scope.is_empty() {
            return Err(CtlError::new("No cluster is named, neither here nor by scope in the configuration"));
        }
        let grouped = group.is_some() || self.group.is_some();
        Ok(Context { scope, group, grouped, surroundings: self.clone() })
    }
}

impl Context {
    /// The store of this cluster.
    pub async fn store(&self) -> Result<Store> {
        let Surroundings { settings, dcs, .. } = &self.surroundings;
        if dcs.name.is_empty() {
            return Err(CtlError::new(crate::config::no_store()));
        }
        let scope = self.group.map_or_else(|| self.scope.clone(), |group| format!("{}/{group}", self.scope));
        let member = if settings.name.is_empty() { &self.scope } else { &settings.name };
        let options = StoreOptions {
            name: dcs.name.clone(),
            section: dcs.section.clone(),
            folder: dcs.folder.clone(),
            path: dcs.path.clone(),
            sha256: dcs.sha256.clone(),
            namespace: dcs.namespace.clone(),
            scope,
            member: member.clone(),
            ttl: settings.ttl,
            loop_wait: settings.loop_wait,
            retry_timeout: settings.retry_timeout,
        };
        dcs::open(&options).await.map_err(|error| CtlError::new(error.to_string()))
    }

    /// A reading of the cluster.
    pub async fn load(&self, store: &Store) -> Result<Snapshot> {
        done(store.load(STORE_PATIENCE).await)
    }

    /// Opens the store and reads the cluster.
    pub async fn read(&self) -> Result<(Store, Snapshot)> {
        let store = self.store().await?;
        let snapshot = self.load(&store).await?;
        Ok((store, snapshot))
    }

    /// The local configuration as it was read.
    pub fn local(&self) -> &LocalConfig {
        &self.surroundings.local
    }

    /// The configured store's name.
    pub fn store_name(&self) -> &str {
        &self.surroundings.dcs.name
    }

    /// How long a write to the store may take.
    pub fn patience(&self) -> Duration {
        STORE_PATIENCE
    }

    /// Sends a request to a member, `api_url` being what it published.
    pub async fn call(
        &self,
        method: Method,
        api_url: &str,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> std::result::Result<Said, String> {
        let base = api_url.split("/patroni").next().unwrap_or(api_url);
        let patience = if method == Method::GET { QUESTION_PATIENCE } else { ACTION_PATIENCE };
        let Surroundings { client, ctl, .. } = &self.surroundings;
        let mut request = client.request(method, format!("{base}/{path}")).timeout(patience);
        if let Some((name, password)) = &ctl.authentication {
            request = request.basic_auth(name, Some(&password.0));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| whole(&error))?;
        let status = answer.status().as_u16();
        let date = answer.headers().get("date").and_then(|date| at(date.to_str().ok()?));
        let body = answer.text().await.map_err(|error| whole(&error))?;
        Ok(Said { status, body, date })
    }
}

/// A `Date` header.
fn at(date: &str) -> Option<WallTime> {
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(WallTime(date.timestamp().as_microsecond()))
}

/// An error with what lies behind it: by itself it only says that sending failed.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text = format!("{text}: {error}");
        behind = error.source();
    }
    text
}

/// What a call to the store gave, or the error that ends the command.
pub(super) fn done<T>(answer: Answer<T>) -> Result<T> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) | Answer::Unreachable(why) | Answer::Unknown(why) => Err(CtlError::new(why)),
    }
}

#[cfg(test)]
mod tests;
