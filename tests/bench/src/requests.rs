//! What a health check costs the daemon.

use crate::table::Table;
use anyhow::{Context, Result, bail};
use regent_harness::Cluster;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Enough for the clock of processor time, which ticks a hundred times a second.
const KEPT: u32 = 40_000;
const FRESH: u32 = 10_000;

/// `GET /primary` on one connection, and with a new connection each.
pub async fn measure(cluster: &Cluster, table: &mut Table) -> Result<()> {
    let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
    let port = leader.layout.rest_port;
    let before = leader.usage()?.cpu;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    for _ in 0..KEPT {
        ask(&mut stream, "keep-alive").await?;
    }
    let kept = leader.usage()?.cpu - before;
    table.add_value("GET /primary, kept connection: processor time", micros(kept, KEPT), "us", Some(30.0));
    let before = leader.usage()?.cpu;
    for _ in 0..FRESH {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        ask(&mut stream, "close").await?;
    }
    let fresh = leader.usage()?.cpu - before;
    table.add_value("GET /primary, new connection: processor time", micros(fresh, FRESH), "us", None);
    Ok(())
}

fn micros(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

async fn ask(stream: &mut TcpStream, connection: &str) -> Result<()> {
    let request = format!("GET /primary HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(2048);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            bail!("the daemon closed the connection");
        }
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if !head.contains(" 200 ") {
            bail!("{head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.context("the answer has no length")?.parse()?;
        if body.len() >= length {
            return Ok(());
        }
    }
}
