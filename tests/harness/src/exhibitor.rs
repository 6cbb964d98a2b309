//! A stand-in for Exhibitor, of which there is no package: one page over HTTP, the list of a ZooKeeper's servers. The
//! ZooKeeper behind it is real.

use anyhow::Result;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers until it is dropped.
pub struct Exhibitor {
    port: u16,
    asked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Exhibitor {
    /// Tells of one server on loopback.
    ///
    /// # Errors
    /// When it gets no port.
    pub async fn before(zookeeper_port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, asked) = (listener.local_addr()?.port(), Arc::<AtomicU64>::default());
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if answer(stream, zookeeper_port).await.is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Ok(Self { port, asked, task })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often it was asked for the list.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Exhibitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, port: u16) -> Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part).await?;
        anyhow::ensure!(count > 0 && head.len() < 1 << 16, "no request");
        head.extend_from_slice(&part[..count]);
    }
    anyhow::ensure!(head.starts_with(b"GET /exhibitor/v1/cluster/list "), "another request");
    let body = json!({ "servers": ["127.0.0.1"], "port": port }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes()).await?;
    Ok(())
}
