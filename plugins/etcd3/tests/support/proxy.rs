//! A proxy in front of a server that passes everything on, or swallows it, on demand. What it does not accept is
//! refused by dropping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub struct Proxy {
    pub port: u16,
    hole: Arc<AtomicBool>,
    /// Bytes that clients sent into the hole.
    swallowed: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Proxy {
    pub async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("it is bound").port();
        let (hole, swallowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = (Arc::clone(&hole), Arc::clone(&swallowed));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                client.set_nodelay(true).expect("it can be set");
                server.set_nodelay(true).expect("it can be set");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let none = Arc::new(AtomicU64::new(0));
                tokio::spawn(carry(from_client, to_server, Arc::clone(&shared.0), Arc::clone(&shared.1)));
                tokio::spawn(carry(from_server, to_client, Arc::clone(&shared.0), none));
            }
        });
        Proxy { port: own, hole, swallowed, task: task.abort_handle() }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Swallows everything from now on, in both directions; connections stay open.
    pub fn swallow(&self, swallow: bool) {
        self.hole.store(swallow, Ordering::SeqCst);
    }

    /// Bytes that clients sent and no server got.
    pub fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, hole: Arc<AtomicBool>, swallowed: Arc<AtomicU64>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if hole.load(Ordering::SeqCst) {
            swallowed.fetch_add(u64::try_from(count).expect("it fits"), Ordering::SeqCst);
        } else if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
