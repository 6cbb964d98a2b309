//! What the nodes say of themselves, read from their REST API.

use super::folder::{Folder, Node};
use serde_json::{Value, json};
use std::time::Duration;

/// A frozen node must not hold the table up.
const PATIENCE: Duration = Duration::from_millis(250);

/// A node as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub name: String,
    pub role: String,
    pub state: String,
    pub timeline: String,
    pub lag: String,
    pub doing: String,
    pub is_primary: bool,
}

/// All nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    pub rows: Vec<Row>,
}

/// A client for the nodes' API.
pub(super) fn client() -> Result<reqwest::Client, String> {
    // The first provider that is installed serves the whole process.
    let _installed = rustls::crypto::ring::default_provider().install_default().is_err();
    reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())
}

async fn get(client: &reqwest::Client, node: &Node, path: &str) -> Option<(u16, Value)> {
    let url = format!("http://127.0.0.1:{}/{path}", node.rest_port);
    let answer = client.get(url).timeout(PATIENCE).send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or_default()))
}

impl Cluster {
    /// Asks every node.
    pub async fn read(client: &reqwest::Client, nodes: &[Node]) -> Cluster {
        let mut rows = Vec::new();
        let mut newest = 0;
        for node in nodes {
            let (row, position) = read_node(client, node).await;
            newest = newest.max(position.filter(|_| row.is_primary).unwrap_or(0));
            rows.push((row, position));
        }
        for (row, position) in &mut rows {
            if let (false, Some(position)) = (row.is_primary, position) {
                row.lag = newest.saturating_sub(*position).to_string();
            }
        }
        Cluster { rows: rows.into_iter().map(|(row, _)| row).collect() }
    }

    /// One primary, and everybody else streams.
    pub fn is_healthy(&self) -> bool {
        let primaries = self.rows.iter().filter(|row| row.is_primary).count();
        primaries == 1 && self.rows.iter().all(|row| row.is_primary || row.state == "streaming")
    }

    /// Who leads.
    pub fn leader(&self) -> Option<String> {
        self.rows.iter().find(|row| row.is_primary).map(|row| row.name.clone())
    }
}

async fn read_node(client: &reqwest::Client, node: &Node) -> (Row, Option<u64>) {
    let mut row = Row { name: node.name.clone(), ..Row::default() };
    let Some((status, document)) = get(client, node, "primary").await else {
        row.doing = "does not answer".to_owned();
        return (row, None);
    };
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    row.is_primary = status == 200;
    row.role = text("role");
    let replication = text("replication_state");
    row.state = if replication.is_empty() { text("state") } else { replication };
    row.timeline =
        document.get("timeline").and_then(Value::as_u64).map(|number| number.to_string()).unwrap_or_default();
    if let Some((_, journal)) = get(client, node, "journal?last=1").await {
        let entry = journal.get(0).cloned().unwrap_or_default();
        let reason = entry.get("reason").and_then(Value::as_str).unwrap_or_default();
        let rule = entry.get("rule").and_then(Value::as_u64).unwrap_or(0);
        row.doing = format!("rule {rule}: {reason}");
    }
    let wal = document.get("xlog");
    let field = |name: &str| wal.and_then(|wal| wal.get(name)).and_then(Value::as_u64);
    (row, field("location").or_else(|| field("replayed_location")))
}

/// Asks the leader to hand over; gives what was said, with the command for it.
pub(super) async fn switch(client: &reqwest::Client, folder: &Folder, leader: &str) -> String {
    let Some(node) = folder.nodes.iter().find(|node| node.name == leader) else { return String::new() };
    let url = format!("http://127.0.0.1:{}/switchover", node.rest_port);
    let body = json!({"leader": leader}).to_string();
    let asked = client.post(&url).body(body.clone()).timeout(Duration::from_secs(30)).send().await;
    let said = match asked {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    format!("curl -d '{body}' {url}   {said}")
}
