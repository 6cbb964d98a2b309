//! The proxy between the plugin and its server: passes, refuses, takes its time, swallows everything or the replies
//! only, or leaves connections behind whose other end is gone.

use crate::context::pause;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Refuse,
    Swallow,
    HoldReplies,
    Delay(Duration),
    /// Connections of before are dead, new ones pass.
    HalfOpen,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Server,
    Client,
}

pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    mode: Mutex<Mode>,
    /// Bytes of requests that went nowhere.
    swallowed: AtomicU64,
    over: AtomicBool,
    open: Mutex<Vec<Pair>>,
}

/// A connection and its continuation.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    dead: Arc<AtomicBool>,
}

impl Pair {
    fn cut(&self) {
        let _gone = (self.client.shutdown(Shutdown::Both).is_err(), self.server.shutdown(Shutdown::Both).is_err());
    }
}

impl Proxy {
    pub(crate) fn before(upstream: &str) -> std::io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mode: Mutex::new(Mode::Pass),
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
        if self.shared.set(Mode::Pass) != Mode::Pass {
            self.shared.cut();
        }
    }

    /// Closes all connections and every new one.
    pub(crate) fn refuse(&self) {
        self.shared.set(Mode::Refuse);
        self.shared.cut();
    }

    /// Swallows everything, in both directions; connections stay open.
    pub(crate) fn swallow(&self) {
        self.shared.set(Mode::Swallow);
    }

    /// Requests reach the server, replies are swallowed.
    pub(crate) fn hold_replies(&self) {
        self.shared.set(Mode::HoldReplies);
    }

    /// Everything arrives, later.
    pub(crate) fn delay(&self, by: Duration) {
        self.shared.set(Mode::Delay(by));
    }

    /// The server's ends of all connections are gone without a word; new connections pass.
    pub(crate) fn half_open(&self) {
        let open = self.shared.open();
        *self.shared.mode() = Mode::HalfOpen;
        for pair in open.iter() {
            pair.dead.store(true, Ordering::SeqCst);
            let _gone = pair.server.shutdown(Shutdown::Both).is_err();
        }
    }

    /// Bytes of requests that were swallowed so far.
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
    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode) -> Mode {
        std::mem::replace(&mut *self.mode(), mode)
    }

    fn open(&self) -> MutexGuard<'_, Vec<Pair>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        self.open().drain(..).for_each(|pair| pair.cut());
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            if *self.mode() == Mode::Refuse {
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
        let dead = Arc::new(AtomicBool::new(false));
        let (to_client, to_server) = (client.try_clone()?, server.try_clone()?);
        let pair = Pair { client: client.try_clone()?, server: server.try_clone()?, dead: Arc::clone(&dead) };
        self.open().push(pair);
        let (one, two, also_dead) = (Arc::clone(self), Arc::clone(self), Arc::clone(&dead));
        let builder = || std::thread::Builder::new().name("proxy".to_owned());
        builder().spawn(move || one.carry(client, to_server, Towards::Server, &dead))?;
        builder().spawn(move || two.carry(server, to_client, Towards::Client, &also_dead))?;
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, towards: Towards, dead: &AtomicBool) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mode = *self.mode();
            let swallowed = dead.load(Ordering::SeqCst)
                || mode == Mode::Swallow
                || (mode == Mode::HoldReplies && towards == Towards::Client);
            if swallowed {
                let requests = if towards == Towards::Server { count as u64 } else { 0 };
                self.swallowed.fetch_add(requests, Ordering::SeqCst);
                continue;
            }
            if let Mode::Delay(by) = mode {
                pause(by);
            }
            if to.write_all(&buffer[..count]).is_err() && !dead.load(Ordering::SeqCst) {
                break;
            }
        }
        if dead.load(Ordering::SeqCst) && towards == Towards::Client {
            // Nobody tells the client.
            return;
        }
        let _gone = (to.shutdown(Shutdown::Both).is_err(), from.shutdown(Shutdown::Both).is_err());
        self.open().retain(|pair| pair.client.peer_addr().is_ok() && pair.server.peer_addr().is_ok());
    }
}
