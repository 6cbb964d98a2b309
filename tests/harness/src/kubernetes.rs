//! A real Kubernetes API server on loopback. The pods of a cluster are objects that nobody runs: each node is one.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::metrics;

#[path = "../../../plugins/kubernetes/tests/support/server.rs"]
#[allow(dead_code, unreachable_pub, reason = "its other half is for the backend's own tests")]
mod server;

use server::{ADMIN, ApiServer};

/// The server with its store, and a namespace for the cluster. Dropping it ends both.
pub struct Kubernetes {
    server: Arc<ApiServer>,
    namespace: String,
    kubeconfig: String,
}

impl Kubernetes {
    /// The programs are on this machine; otherwise it is said on standard error what is missing.
    pub fn is_built() -> bool {
        server::is_built()
    }

    /// Starts an empty one with a pod for each node in a namespace named as the cluster, where the manifest of the rights
    /// was applied.
    ///
    /// # Errors
    /// When there is no API server on this machine.
    pub(crate) async fn start(scope: &str, nodes: usize) -> Result<Self> {
        let namespace = scope.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let server = ApiServer::start().context("cannot start the API server: make setup-kubernetes builds it")?;
            let kubeconfig = server.kubeconfig_text(&server.service_account(&namespace));
            for node in 1..=nodes {
                server.make_pod(&namespace, &namespace, &format!("node{node}"))?;
            }
            anyhow::Ok(Self { server: Arc::new(server), namespace, kubeconfig })
        });
        made.await?
    }

    /// The nodes' section, but for their own addresses.
    pub(crate) fn section(&self) -> Value {
        json!({
            "namespace": self.namespace, "labels": { "application": "db" }, "use_endpoints": true,
            "ports": [{ "name": "postgresql", "port": 5432 }],
        })
    }

    /// The address that a node's pod would have: of the node's place, from zero.
    pub fn pod_ip(place: usize) -> String {
        format!("10.0.0.{}", place + 1)
    }

    /// With the rights of a member.
    pub(crate) fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.server.pid())?)
    }

    /// An object of the cluster's namespace, as `configmaps/demo-config`.
    ///
    /// # Errors
    /// When it is not there, or the server does not answer.
    pub async fn get(&self, object: &str) -> Result<Value> {
        self.ask("GET", "/api/v1", object).await
    }

    /// Takes from the members what they may do.
    ///
    /// # Errors
    /// When the server does not do it.
    pub async fn take_rights_away(&self) -> Result<()> {
        self.ask("DELETE", "/apis/rbac.authorization.k8s.io/v1", "rolebindings/regent").await.map(drop)
    }

    /// How many requests for objects of clusters it has answered.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> Result<f64> {
        const KINDS: [&str; 4] = ["endpoints", "configmaps", "pods", "services"];
        let server = Arc::clone(&self.server);
        let text = tokio::task::spawn_blocking(move || server.metrics(ADMIN)).await??;
        let ours = |line: &str| {
            let of = |kind: &str| line.contains(&format!("resource=\"{kind}\""));
            line.starts_with("apiserver_request_total{") && KINDS.into_iter().any(of)
        };
        Ok(text.lines().filter(|line| ours(line)).filter_map(metrics::value).sum())
    }

    async fn ask(&self, method: &'static str, group: &str, object: &str) -> Result<Value> {
        let (server, path) = (Arc::clone(&self.server), format!("{group}/namespaces/{}/{object}", self.namespace));
        let asking = tokio::task::spawn_blocking(move || (server.ask(ADMIN, method, &path, None), path));
        let (answer, path) = asking.await?;
        let (status, body) = answer?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }
}
