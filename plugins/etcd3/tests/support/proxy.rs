//! A proxy in front of a server that passes everything on, or swallows it, on demand. What it does not accept is
//! refused by dropping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub struct Proxy {
    pub port: u16,
    hole: Arc<AtomicBool>,
    /// Messages from clients until the hole opens by itself.
    passing: Arc<AtomicU64>,
    /// Set to send what was held: the first messages since, on each connection.
    late: watch::Sender<bool>,
    /// Bytes that clients sent into the hole.
    swallowed: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Proxy {
    pub async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("it is bound").port();
        let (hole, swallowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let late = watch::Sender::new(false);
        let passing = Arc::new(AtomicU64::new(u64::MAX));
        let shared = (Arc::clone(&hole), Arc::clone(&swallowed), late.clone(), Arc::clone(&passing));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                client.set_nodelay(true).expect("it can be set");
                server.set_nodelay(true).expect("it can be set");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let none = Arc::new(AtomicU64::new(0));
                let late = Some((shared.2.subscribe(), Arc::clone(&shared.3)));
                tokio::spawn(carry(from_client, to_server, Arc::clone(&shared.0), Arc::clone(&shared.1), late));
                tokio::spawn(carry(from_server, to_client, Arc::clone(&shared.0), none, None));
            }
        });
        Proxy { port: own, hole, passing, late, swallowed, task: task.abort_handle() }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same, after so many messages from clients.
    pub fn swallow_after(&self, messages: u64) {
        self.passing.store(messages, Ordering::SeqCst);
    }

    /// Swallows everything from now on, in both directions; connections stay open.
    pub fn swallow(&self, swallow: bool) {
        self.hole.store(swallow, Ordering::SeqCst);
    }

    /// Sends the first messages that were swallowed on each connection, though its client has given up long ago.
    pub fn deliver_late(&self) {
        self.late.send_replace(true);
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

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    hole: Arc<AtomicBool>,
    swallowed: Arc<AtomicU64>,
    client: Option<(watch::Receiver<bool>, Arc<AtomicU64>)>,
) {
    let mut buffer = vec![0; 1 << 16];
    let mut held: Vec<u8> = Vec::new();
    let mut begun = None;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some((_, passing)) = &client {
            let left = passing.load(Ordering::SeqCst);
            if left == 0 {
                hole.store(true, Ordering::SeqCst);
            } else if left < u64::MAX {
                passing.store(left - 1, Ordering::SeqCst);
            }
        }
        if hole.load(Ordering::SeqCst) {
            swallowed.fetch_add(u64::try_from(count).expect("it fits"), Ordering::SeqCst);
            // What comes later takes the request back.
            let first = *begun.get_or_insert_with(Instant::now);
            if first.elapsed() < Duration::from_millis(500) {
                held.extend_from_slice(&buffer[..count]);
            }
        } else if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    if let Some((mut late, _)) = client.filter(|_| !held.is_empty()) {
        late.wait_for(|late| *late).await.expect("the test goes on");
        // The server's answer goes nowhere; the connection stays until the test ends.
        to.write_all(&held).await.expect("the server is there");
        std::future::pending::<()>().await;
    }
}
