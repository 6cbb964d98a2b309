//! The peer's own words: what its API and its command line said in a cluster of two, against what ours say in one that is
//! set up alike. Files of cases: `### ` and the request, then the answer.

mod mask;

use anyhow::{Context, Result, ensure};
use mask::masked;
use regent_harness::{Cluster, Node, wait};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(60);

const REST: &str = include_str!("rest.txt");

const CLI: &str = include_str!("cli.txt");

/// What a node of ours is called there, and where it listens.
const THERE: [(&str, u16, u16); 2] = [("postgresql0", 18000, 15430), ("postgresql1", 18001, 15431)];

/// API-01, API-02, CTL-01: all that the peer said to a client, ours says too.
#[tokio::test]
async fn the_peers_answers_are_ours() -> Result<()> {
    let hba = ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"];
    let cluster = Cluster::builder("batman")
        .nodes(2)
        .dynamic(json!({"loop_wait": 3, "retry_timeout": 5, "postgresql": {"parameters": null, "pg_hba": hba}}))
        .local_yaml(|_, yaml| yaml["tags"] = json!({"clonefrom": true, "custom": 1.5}))
        .prepare()
        .await?;
    // The first is to lead, as it did there.
    cluster.nodes[0].start()?;
    cluster.wait_leader(SOON).await?;
    cluster.nodes[1].start()?;
    cluster.wait_healthy(SOON).await?;
    let tool = cluster.nodes[0].layout.bin.join("patronictl");
    std::os::unix::fs::symlink(cluster.nodes[0].layout.bin.join("regentctl"), &tool)?;
    check(&cluster, REST, rest).await?;
    check(&cluster, CLI, command_line).await?;
    cluster.finish().await
}

/// Each case, in its order. What needs a moment to be so gets one.
async fn check(cluster: &Cluster, cases: &str, ask: impl AsyncFn(&Cluster, &str) -> Result<String>) -> Result<()> {
    let mut wrong = Vec::new();
    for case in cases.split("\n### ").map(|case| case.trim_start_matches("### ")) {
        let (request, expected) = case.split_once('\n').context("a case has an answer")?;
        let expected = masked(expected.trim_end());
        let mut told = String::new();
        let look = request.contains("list") || request.starts_with("curl") && !request.contains("-X");
        let same = wait::until(request, SOON, async || {
            let answer = ask(cluster, request).await.map_err(|error| error.to_string())?;
            told = masked(translated(cluster, &answer).trim_end());
            // What acts is not asked for twice.
            if told == expected || !look { Ok(()) } else { Err("another answer".to_owned()) }
        });
        same.await.ok();
        if told != expected {
            wrong.push(format!("### {request}\nexpected:\n{expected}\ntold:\n{told}\n"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// With the names, ports and versions of there.
fn translated(cluster: &Cluster, text: &str) -> String {
    let text = cluster.nodes.iter().zip(THERE).fold(text.to_owned(), |text, (node, (name, rest, server))| {
        let (our_rest, our_server) = (node.layout.rest_port.to_string(), node.layout.pg_port.to_string());
        let text = text.replace(&node.name, name);
        text.replace(&our_rest, &rest.to_string()).replace(&our_server, &server.to_string())
    });
    text.replace("4.1.5", "4.1.4")
}

/// A request as curl sends it, with its words, and the answer as `curl -i` shows it: the headers that the peer has.
async fn rest(cluster: &Cluster, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let after = |word: &str| words.iter().position(|known| *known == word).and_then(|at| words.get(at + 1)).copied();
    let url = words.iter().find(|word| word.starts_with("http://")).context("a URL")?;
    let (address, path) = url["http://".len()..].split_once('/').context("a path")?;
    let node = THERE.iter().position(|(_, rest, _)| address.ends_with(&rest.to_string())).context("a node")?;
    let method = after("-X").unwrap_or(if words.contains(&"-I") { "HEAD" } else { "GET" });
    let body = line.split_once(" -d ").map(|(_, body)| body);
    let answer = exchange(&cluster.nodes[node], method, path, body).await?;
    let (head, text) = answer.split_once("\r\n\r\n").context("a head")?;
    let status = head.lines().next().unwrap_or_default();
    let kept = ["content-type:"];
    let headers = head.lines().skip(1).filter(|header| kept.iter().any(|name| header.to_lowercase().starts_with(name)));
    Ok([status].into_iter().chain(headers).collect::<Vec<_>>().join("\n") + "\n\n" + text)
}

async fn exchange(node: &Node, method: &str, path: &str, body: Option<&str>) -> Result<String> {
    let length = body.map(|body| format!("Content-Length: {}\r\n", body.len())).unwrap_or_default();
    let text = format!("{method} /{path} HTTP/1.0\r\nHost: localhost\r\n{length}\r\n{}", body.unwrap_or_default());
    let mut stream = TcpStream::connect(("127.0.0.1", node.layout.rest_port)).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

/// The tool under its other name, without a terminal.
async fn command_line(cluster: &Cluster, line: &str) -> Result<String> {
    let node = &cluster.nodes[0];
    let ours = |word| THERE.iter().position(|(name, ..)| *name == word).map(|at| cluster.nodes[at].name.as_str());
    let words: Vec<&str> = line.split(' ').skip(1).map(|word| ours(word).unwrap_or(word)).collect();
    let mut command: Command = node.command("patronictl");
    if !words.contains(&"-c") {
        command.arg("-c").arg(&node.layout.config_path);
    }
    command.args(words.iter().map(|word| word.trim_matches('\'')));
    let mut command = tokio::process::Command::from(command);
    let output = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await??;
    let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().map_or(Value::Null, Value::from);
    Ok(format!("{told}{wrong}\n[rc={code}]").replace("\n\n[rc", "\n[rc"))
}
