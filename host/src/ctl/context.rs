//! What every command works with: the configuration, the store, and a client for the members' API.

use super::{CtlError, Result};
use crate::config::{CtlSettings, DcsSettings, DynamicConfig, Effective, LocalConfig, Source, Verify, member_client};
use crate::dcs::{self, Answer, Snapshot, Store, StoreOptions};
use crate::ports;
use regent_core::model::Settings;
use reqwest::Method;
use std::path::PathBuf;
use std::time::Duration;

/// How long the store may take.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a member may take for what acts: a switchover may wait for a clean shutdown.
const ACTION_PATIENCE: Duration = Duration::from_secs(120);

/// How long a member may take to answer a question.
const QUESTION_PATIENCE: Duration = Duration::from_secs(5);

/// A command's surroundings.
pub(super) struct Context {
    /// The cluster's name.
    pub scope: String,
    settings: Settings,
    dcs: DcsSettings,
    ctl: CtlSettings,
    client: reqwest::Client,
}

/// What a member's API said.
pub(super) struct Said {
    pub status: u16,
    pub body: String,
}

impl Context {
    /// Reads the configuration; `cluster` is named in place of the configured one.
    pub fn open(file: Option<PathBuf>, insecure: bool, cluster: Option<&str>) -> Result<Context> {
        if let Some(file) = file.as_ref().filter(|file| !file.exists()) {
            return Err(CtlError::new(format!(
                "Provided config file {} not existing or no read rights. Check the -c/--config-file parameter",
                file.display()
            )));
        }
        let default = std::env::home_dir().map(|home| home.join(".config/patroni/patronictl.yaml"));
        let source = Source::new(file.or(default), ports::patroni_variables());
        let local = LocalConfig::load(&source).map_err(|error| CtlError::new(error.to_string()))?;
        let effective = Effective::build(&local, &DynamicConfig::default(), 0);
        let mut ctl = effective.ctl;
        ctl.insecure |= insecure;
        let scope = cluster.map_or_else(|| effective.settings.scope.clone(), str::to_owned);
        if scope.is_empty() {
            return Err(CtlError::new("Missing argument 'CLUSTER_NAME'."));
        }
        let client = member_client(&ctl, Verify::from_outside(&ctl));
        let client = client.map_err(|error| CtlError::new(error.to_string()))?;
        Ok(Context { scope, settings: effective.settings, dcs: effective.dcs, ctl, client })
    }

    /// The store of this cluster.
    pub async fn store(&self) -> Result<Store> {
        if self.dcs.name.is_empty() {
            return Err(CtlError::new("Can not find suitable configuration of distributed configuration store"));
        }
        let member = if self.settings.name.is_empty() { &self.scope } else { &self.settings.name };
        let options = StoreOptions {
            name: self.dcs.name.clone(),
            section: self.dcs.section.clone(),
            folder: self.dcs.folder.clone(),
            path: self.dcs.path.clone(),
            sha256: self.dcs.sha256.clone(),
            namespace: self.dcs.namespace.clone(),
            scope: self.scope.clone(),
            member: member.clone(),
            ttl: self.settings.ttl,
            loop_wait: self.settings.loop_wait,
            retry_timeout: self.settings.retry_timeout,
        };
        dcs::open(&options).await.map_err(|error| CtlError::new(error.to_string()))
    }

    /// A reading of the cluster.
    pub async fn load(&self, store: &Store) -> Result<Snapshot> {
        done(store.load(STORE_PATIENCE).await)
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
        let mut request = self.client.request(method, format!("{base}/{path}")).timeout(patience);
        if let Some((name, password)) = &self.ctl.authentication {
            request = request.basic_auth(name, Some(&password.0));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        Ok(Said { status, body })
    }
}

/// What a call to the store gave, or the error that ends the command.
pub(super) fn done<T>(answer: Answer<T>) -> Result<T> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) | Answer::Unreachable(why) | Answer::Unknown(why) => Err(CtlError::new(why)),
    }
}
