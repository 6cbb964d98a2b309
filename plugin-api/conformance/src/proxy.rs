//! The proxy between the plugin and its server: passes, refuses, swallows everything, or swallows the replies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PASS: u8 = 0;
const REFUSE: u8 = 1;
const SWALLOW: u8 = 2;
const HOLD_REPLIES: u8 = 3;

pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    mode: AtomicU8,
    /// Bytes that went nowhere.
    swallowed: AtomicU64,
    over: AtomicBool,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Proxy {
    pub(crate) fn before(upstream: &str) -> std::io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mode: AtomicU8::new(PASS),
            swallowed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let inner = Arc::clone(&shared);
        std::thread::Builder::new().name("proxy".to_owned()).spawn(move || inner.accept(&listener))?;
        Ok(Proxy { address, shared })
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Passes everything; connections that missed something are closed.
    pub(crate) fn pass(&self) {
        if self.shared.mode.swap(PASS, Ordering::SeqCst) != PASS {
            self.shared.cut();
        }
    }

    /// Closes all connections and every new one.
    pub(crate) fn refuse(&self) {
        self.shared.mode.store(REFUSE, Ordering::SeqCst);
        self.shared.cut();
    }

    /// Swallows everything, in both directions; connections stay open.
    pub(crate) fn swallow(&self) {
        self.shared.mode.store(SWALLOW, Ordering::SeqCst);
    }

    /// Requests reach the server, replies are swallowed.
    pub(crate) fn hold_replies(&self) {
        self.shared.mode.store(HOLD_REPLIES, Ordering::SeqCst);
    }

    /// Bytes that were swallowed so far.
    pub(crate) fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.cut();
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(&self.address).is_ok();
    }
}

impl Shared {
    fn cut(&self) {
        for (client, server) in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _gone = (client.shutdown(Shutdown::Both).is_err(), server.shutdown(Shutdown::Both).is_err());
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            if self.mode.load(Ordering::SeqCst) == REFUSE {
                continue;
            }
            // A connection that can not be made is closed: the plugin sees a server that refuses.
            let _refused = self.connect(client).is_err();
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(&self.upstream)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let pair = (client.try_clone()?, server.try_clone()?);
        let (to_client, to_server) = (client.try_clone()?, server.try_clone()?);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
        let (one, two) = (Arc::clone(self), Arc::clone(self));
        let builder = || std::thread::Builder::new().name("proxy".to_owned());
        builder().spawn(move || one.carry(client, to_server, &[SWALLOW]))?;
        builder().spawn(move || two.carry(server, to_client, &[SWALLOW, HOLD_REPLIES]))?;
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, swallowing: &[u8]) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if swallowing.contains(&self.mode.load(Ordering::SeqCst)) {
                self.swallowed.fetch_add(count as u64, Ordering::SeqCst);
            } else if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _gone = (to.shutdown(Shutdown::Both).is_err(), from.shutdown(Shutdown::Both).is_err());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(client, server)| client.peer_addr().is_ok() && server.peer_addr().is_ok());
    }
}
