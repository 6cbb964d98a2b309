//! What a cluster says about itself at one moment, read from every node's REST API.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::http;

/// How long a node may take to answer; a frozen one must not hold up the others.
const DEADLINE: Duration = Duration::from_millis(1500);

/// One node's own words.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    /// `GET /patroni`, if it answered.
    pub status: Option<Value>,
    /// `GET /cluster`, if it answered.
    pub cluster: Option<Value>,
    /// Whether `GET /primary` said 200.
    pub is_primary: bool,
}

/// All nodes together.
#[derive(Clone, Debug, Default)]
pub struct ClusterState {
    /// By name.
    pub nodes: BTreeMap<String, NodeState>,
}

impl ClusterState {
    /// Asks every node at once.
    pub async fn read(nodes: impl IntoIterator<Item = (String, u16)>) -> Self {
        let mut tasks = JoinSet::new();
        for (name, port) in nodes {
            tasks.spawn(async move { (name, read_node(port).await) });
        }
        Self { nodes: tasks.join_all().await.into_iter().collect() }
    }

    /// The nodes whose health check says that they are the primary. More than one is a fault.
    pub fn primaries(&self) -> Vec<&str> {
        let primaries = self.nodes.iter().filter(|(_, node)| node.is_primary);
        primaries.map(|(name, _)| name.as_str()).collect()
    }

    /// The cluster as the primary sees it, or as anybody does when there is none.
    pub fn cluster(&self) -> Option<&Value> {
        let primary = self.nodes.values().find(|node| node.is_primary && node.cluster.is_some());
        primary.or_else(|| self.nodes.values().find(|node| node.cluster.is_some()))?.cluster.as_ref()
    }

    /// The entries of `GET /cluster`.
    pub fn members(&self) -> &[Value] {
        self.cluster().and_then(|cluster| cluster["members"].as_array()).map_or(&[], Vec::as_slice)
    }

    /// One member of `GET /cluster`.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members().iter().find(|member| member["name"] == name)
    }

    /// The member that `GET /cluster` calls the leader.
    pub fn leader(&self) -> Option<&str> {
        let leads = |member: &&Value| matches!(member["role"].as_str(), Some("leader" | "standby_leader"));
        self.members().iter().find(leads)?["name"].as_str()
    }

    /// A member's state: `running`, `streaming`, `stopped`...
    pub fn member_state(&self, name: &str) -> Option<&str> {
        self.member(name)?["state"].as_str()
    }

    /// A member's timeline.
    pub fn timeline(&self, name: &str) -> Option<u64> {
        self.member(name)?["timeline"].as_u64()
    }

    /// How many members stream.
    pub fn streaming(&self) -> usize {
        self.members().iter().filter(|member| member["state"] == "streaming").count()
    }

    /// A field of a node's own status.
    pub fn status<'a>(&'a self, name: &str, field: &str) -> Option<&'a Value> {
        self.nodes.get(name)?.status.as_ref()?.get(field)
    }
}

async fn read_node(port: u16) -> NodeState {
    let get = |path: &'static str| http::request(port, "GET", path, None, DEADLINE);
    let (status, cluster, primary) = tokio::join!(get("/patroni"), get("/cluster"), get("/primary"));
    let json = |answer: anyhow::Result<http::Answer>| answer.ok().and_then(|answer| answer.json().ok());
    NodeState {
        status: json(status),
        cluster: json(cluster),
        is_primary: primary.is_ok_and(|answer| answer.status == 200),
    }
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, node) in &self.nodes {
            let text = |value: Option<&Value>, field: &str| {
                value.and_then(|value| value[field].as_str()).unwrap_or("?").to_owned()
            };
            write!(
                f,
                "\n  {name}: {} {}{}; in the cluster: {} {}",
                text(node.status.as_ref(), "role"),
                text(node.status.as_ref(), "state"),
                if node.is_primary { ", /primary 200" } else { "" },
                text(self.member(name), "role"),
                text(self.member(name), "state"),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cluster_is_read_from_its_primary() {
        let view = |leader: &str| {
            Some(json!({"members": [
                {"name": leader, "role": "leader", "state": "running", "timeline": 2},
                {"name": "x", "role": "replica", "state": "streaming"}
            ]}))
        };
        let mut state = ClusterState::default();
        let old = NodeState { cluster: view("node1"), ..NodeState::default() };
        state.nodes.insert("node1".to_owned(), old);
        assert_eq!(state.leader(), Some("node1"));
        let new = NodeState { cluster: view("node2"), is_primary: true, status: Some(json!({"role": "primary"})) };
        state.nodes.insert("node2".to_owned(), new);
        assert_eq!(state.leader(), Some("node2"));
        assert_eq!(state.primaries(), ["node2"]);
        assert_eq!(state.timeline("node2"), Some(2));
        assert_eq!((state.streaming(), state.member_state("x")), (1, Some("streaming")));
        assert_eq!(state.status("node2", "role"), Some(&json!("primary")));
        assert!(state.to_string().contains("node2: primary ?, /primary 200; in the cluster: leader running"));
    }
}
