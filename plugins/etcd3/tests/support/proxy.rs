//! A proxy in front of a server that passes everything on, swallows it, or delivers it late, on demand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What comes longer after the first swallowed byte takes the request back, and is never delivered.
const ONE_REQUEST: Duration = Duration::from_millis(500);

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    hole: AtomicBool,
    /// The hole opens by itself when a client sends this.
    trigger: Mutex<Option<Vec<u8>>>,
    /// Bytes that clients sent into the hole.
    swallowed: AtomicU64,
    /// Set to deliver what was swallowed.
    late: watch::Sender<bool>,
}

impl Proxy {
    pub async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            hole: AtomicBool::new(false),
            trigger: Mutex::new(None),
            swallowed: AtomicU64::new(0),
            late: watch::Sender::new(false),
        });
        let inner = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                client.set_nodelay(true).expect("it can be set");
                server.set_nodelay(true).expect("it can be set");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(from_the_client(from_client, to_server, Arc::clone(&inner)));
                tokio::spawn(from_the_server(from_server, to_client, Arc::clone(&inner)));
            }
        });
        Proxy { port: own, shared, task: task.abort_handle() }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Swallows everything from now on, in both directions; connections stay open.
    pub fn swallow(&self, swallow: bool) {
        self.shared.hole.store(swallow, Ordering::SeqCst);
    }

    /// The same, from the message on that holds these bytes.
    pub fn swallow_from(&self, bytes: &str) {
        *self.shared.trigger.lock().expect("no panic") = Some(bytes.as_bytes().to_vec());
    }

    /// Delivers the first request that was swallowed on each connection, though its client has given up long ago.
    pub fn deliver_late(&self) {
        self.shared.late.send_replace(true);
    }

    /// Bytes that clients sent and no server got.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn look_at(&self, message: &[u8]) {
        let mut trigger = self.trigger.lock().expect("no panic");
        if trigger.take_if(|bytes| message.windows(bytes.len()).any(|window| window == bytes)).is_some() {
            self.hole.store(true, Ordering::SeqCst);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn from_the_client(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: Arc<Shared>) {
    let mut buffer = vec![0; 1 << 16];
    let mut held: Vec<u8> = Vec::new();
    let mut begun = None;
    let mut late = shared.late.subscribe();
    loop {
        let count = tokio::select! {
            count = from.read(&mut buffer) => count.unwrap_or(0),
            _ = late.wait_for(|late| *late), if !held.is_empty() => 0,
        };
        if count == 0 {
            break;
        }
        let message = &buffer[..count];
        shared.look_at(message);
        if shared.hole.load(Ordering::SeqCst) {
            shared.swallowed.fetch_add(u64::try_from(count).expect("it fits"), Ordering::SeqCst);
            if begun.get_or_insert_with(Instant::now).elapsed() < ONE_REQUEST {
                held.extend_from_slice(message);
            }
        } else if to.write_all(message).await.is_err() {
            return;
        }
    }
    if !held.is_empty() {
        late.wait_for(|late| *late).await.expect("the test goes on");
        to.write_all(&held).await.expect("the server is there");
        // The answer goes nowhere; the connection stays until the test ends.
        std::future::pending::<()>().await;
    }
}

async fn from_the_server(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: Arc<Shared>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !shared.hole.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
