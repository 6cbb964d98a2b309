//! The lease guard: a small process that the daemon starts and that outlives it. It is told whom to kill when; if
//! nothing is said in time (the daemon was killed, stopped, starved or hangs), it does so.
//!
//! It has no runtime, no plugin, and allocates nothing once it waits. A restarted daemon talks to the same address and
//! takes the living guard over. The moment to kill at is the daemon's to work out: it lies before the lease's end.

use super::kill::{Killed, ask_to_stop, kill};
use super::message::{BYTES, Order, Report};
use super::socket::{Socket, address};
use crate::ports;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::UnixAddr;
use regent_core::model::{Moment, Postmaster};
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// The first argument that makes the daemon's binary a guard.
const SUBCOMMAND: &str = "guard";

/// A guard that watches nobody and hears nothing ends after this long.
const IDLE: Duration = Duration::from_secs(600);

/// How often the daemon asks whether the guard lives.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// A guard that was silent for longer is taken for dead.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a new guard may take to answer.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// How long before the kill the server is asked to stop fast. A server that is only killed has acknowledged commits that
/// its standbys have yet to be sent; one that is asked ends its sessions first and sends them everything. That takes
/// some tens of milliseconds, and the kill does not wait for it.
const WARNING: Duration = Duration::from_millis(300);

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The system refused something.
    #[error("the lease guard: {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// It was started and does not answer.
    #[error("the lease guard was started and does not answer")]
    Silent,
}

fn system(what: &'static str) -> impl FnOnce(nix::Error) -> FenceError {
    move |errno| FenceError::System { what, source: errno.into() }
}

/// Which member's guard.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// The cluster.
    pub scope: String,
    /// The member.
    pub name: String,
    /// Its data directory.
    pub data_dir: PathBuf,
}

/// The daemon's hand on its guard.
pub struct Guard {
    socket: Arc<AsyncFd<Raw>>,
    address: UnixAddr,
    heard_at: Arc<AtomicU64>,
    task: tokio::task::AbortHandle,
}

struct Raw(std::sync::Mutex<Socket>, std::os::fd::RawFd);

impl std::os::fd::AsRawFd for Raw {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.1
    }
}

impl Raw {
    fn lock(&self) -> std::sync::MutexGuard<'_, Socket> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Guard {
    /// Takes over the guard of this member, or starts one.
    ///
    /// # Errors
    /// When there is none and none can be started.
    pub async fn start(options: &GuardOptions) -> Result<Guard, FenceError> {
        use std::os::fd::AsRawFd;
        let address = address(&options.scope, &options.name, &options.data_dir).map_err(system("its address"))?;
        let socket = Socket::open(None).map_err(system("a socket to it"))?;
        let descriptor = socket.descriptor().as_raw_fd();
        let raw = Raw(std::sync::Mutex::new(socket), descriptor);
        #[expect(deprecated, reason = "the successor is unsafe; the owner of the descriptor moves in")]
        let socket = AsyncFd::with_interest(raw, tokio::io::Interest::READABLE)
            .map_err(|source| FenceError::System { what: "a socket to it", source })?;
        let socket = Arc::new(socket);
        let heard_at = Arc::new(AtomicU64::new(0));
        let keeper =
            Keeper { socket: Arc::clone(&socket), address, options: options.clone(), heard_at: Arc::clone(&heard_at) };
        keeper.ensure().await?;
        let task = tokio::spawn(keeper.run()).abort_handle();
        Ok(Guard { socket, address, heard_at, task })
    }

    /// It answered lately.
    pub fn is_alive(&self) -> bool {
        let heard = Moment(self.heard_at.load(Ordering::Relaxed));
        ports::now().since(heard) < SILENCE
    }

    /// Lets it kill this server at that moment, unless it hears something else before.
    ///
    /// # Errors
    /// When it can not be told.
    pub fn arm(&self, postmaster: Postmaster, at: Moment) -> Result<(), FenceError> {
        self.send(Order::Arm(postmaster, at))
    }

    /// Lets it kill nobody.
    ///
    /// # Errors
    /// When it can not be told.
    pub fn disarm(&self) -> Result<(), FenceError> {
        self.send(Order::Disarm)
    }

    /// Ends it.
    pub fn quit(&self) {
        self.task.abort();
        if let Err(error) = self.send(Order::Quit) {
            tracing::debug!("{error}");
        }
    }

    fn send(&self, order: Order) -> Result<(), FenceError> {
        self.socket.get_ref().lock().send(&order.encode(), &self.address).map_err(system("an order to it"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a guard alive: asks it now and then, and starts another when it is silent.
struct Keeper {
    socket: Arc<AsyncFd<Raw>>,
    address: UnixAddr,
    options: GuardOptions,
    heard_at: Arc<AtomicU64>,
}

impl Keeper {
    async fn run(self) {
        let mut interval = tokio::time::interval(PING_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {
                    self.ping();
                    let heard = Moment(self.heard_at.load(Ordering::Relaxed));
                    if ports::now().since(heard) >= SILENCE {
                        tracing::warn!("the lease guard is silent; another is started");
                        if let Err(error) = self.ensure().await {
                            tracing::error!("{error}");
                        }
                    }
                }
                heard = self.hear() => if heard.is_err() { return },
            }
        }
    }

    fn ping(&self) {
        // Nobody there is noticed by the silence.
        let _nobody = self.socket.get_ref().lock().send(&Order::Ping.encode(), &self.address).is_err();
    }

    /// Waits for one answer.
    async fn hear(&self) -> std::io::Result<()> {
        let mut ready = self.socket.readable().await?;
        let mut buffer = [0; 2 * BYTES];
        let received = self.socket.get_ref().lock().receive(&mut buffer);
        match received {
            Ok(Some((length, _))) if Report::decode(&buffer[..length]).is_some() => {
                self.heard_at.store(ports::now().0, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(nix::Error::EAGAIN) => ready.clear_ready(),
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Makes sure that a guard answers.
    async fn ensure(&self) -> Result<(), FenceError> {
        let asked_at = ports::now();
        self.ping();
        if self.answered(asked_at, Duration::from_millis(200)).await {
            tracing::info!("a living lease guard is taken over");
            return Ok(());
        }
        self.spawn()?;
        let patience = tokio::time::timeout(START_PATIENCE, async {
            while !self.answered(asked_at, Duration::from_millis(20)).await {
                self.ping();
            }
        });
        patience.await.map_err(|_| FenceError::Silent)
    }

    async fn answered(&self, since: Moment, patience: Duration) -> bool {
        let heard = || self.heard_at.load(Ordering::Relaxed) >= since.0.max(1);
        let waiting = async {
            while !heard() {
                if self.hear().await.is_err() {
                    return;
                }
            }
        };
        let _late = tokio::time::timeout(patience, waiting).await.is_err();
        heard()
    }

    fn spawn(&self) -> Result<(), FenceError> {
        let failed = |source| FenceError::System { what: "its start", source };
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = std::process::Command::new(program);
        command.arg(SUBCOMMAND).arg(&self.options.scope).arg(&self.options.name).arg(&self.options.data_dir);
        // Passwords may be in our environment, and it has no use for any of it.
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
        let mut child = command.spawn().map_err(failed)?;
        // It is reaped when it ends, in a thread that only waits: the guard is meant to outlive everything here.
        let reaper = std::thread::Builder::new().name("guard-reaper".to_owned()).stack_size(64 * 1024);
        let waits = move || drop(child.wait());
        reaper.spawn(waits).map(drop).map_err(failed)
    }
}

/// Runs the guard, if that is what the arguments ask for: gives the exit code then. To be called before anything else.
pub fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match arguments.as_slice() {
        [_, command, scope, name, data_dir] if command == SUBCOMMAND => {
            Some(run(&scope.to_string_lossy(), &name.to_string_lossy(), Path::new(data_dir)))
        }
        _ => None,
    }
}

fn run(scope: &str, name: &str, data_dir: &Path) -> u8 {
    // A session of its own: signals to the daemon's terminal or group do not reach it.
    let _leader = rustix::process::setsid().is_err();
    let socket = address(scope, name, data_dir).and_then(|address| Socket::open(Some(&address)));
    let mut socket = match socket {
        Ok(socket) => socket,
        // Another guard is there: it is the one.
        Err(nix::Error::EADDRINUSE) => return 0,
        Err(_) => return 1,
    };
    toughen();
    watch(&mut socket, name);
    0
}

/// Memory that is not paged out, and first in line for the processor: as far as this user may.
fn toughen() {
    use rustix::mm::{MlockAllFlags, mlockall};
    let _refused = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_err();
    let _refused = rustix::process::nice(-20).is_err();
    let _refused = std::fs::write("/proc/self/oom_score_adj", "-1000").is_err();
}

/// Whom to kill when.
#[derive(Clone, Copy)]
struct Armed {
    postmaster: Postmaster,
    at: Moment,
    /// It was asked to stop.
    asked: bool,
}

impl Armed {
    /// When something is to be done.
    fn next(&self) -> Moment {
        if self.asked { self.at } else { self.at - WARNING }
    }
}

/// Waits for orders, and for the moment that the last one named.
fn watch(socket: &mut Socket, name: &str) {
    let mut armed: Option<Armed> = None;
    let mut kills = 0;
    let mut heard_at = ports::now();
    loop {
        let now = ports::now();
        if let Some(order) = armed.as_mut().filter(|order| now >= order.next()) {
            let Armed { postmaster, at, .. } = *order;
            if now < at {
                order.asked = true;
                ask_to_stop(postmaster);
            } else {
                armed = None;
                kills += 1;
                let killed = kill(postmaster);
                tell(name, postmaster, killed, now.since(at));
            }
            continue;
        }
        if armed.is_none() && now.since(heard_at) > IDLE {
            return;
        }
        wait(socket, armed.map_or(heard_at + IDLE, |order| order.next()).since(now));
        let mut buffer = [0; 2 * BYTES];
        while let Ok(received) = socket.receive(&mut buffer) {
            let Some((length, from)) = received else {
                continue;
            };
            let Some(order) = Order::decode(&buffer[..length]) else {
                continue;
            };
            heard_at = ports::now();
            match order {
                Order::Arm(postmaster, at) => armed = Some(Armed { postmaster, at, asked: false }),
                Order::Disarm => armed = None,
                Order::Quit => return,
                Order::Ping => {}
            }
            let armed = armed.map(|order| (order.postmaster, order.at));
            let report = Report { guard: rustix::process::getpid().as_raw_nonzero().get(), armed, kills };
            if let Some(from) = from {
                // A daemon that is gone needs no answer.
                let _gone = socket.send(&report.encode(), &from).is_err();
            }
        }
    }
}

fn wait(socket: &Socket, time: Duration) {
    // Rounded up: waking a moment early would only turn the loop once more.
    let millis = i32::try_from(time.as_millis().saturating_add(1)).unwrap_or(i32::MAX).min(60_000);
    let mut sources = [PollFd::new(socket.descriptor().as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    // An interrupted wait is a short wait.
    let _interrupted = poll(&mut sources, timeout).is_err();
}

/// One line on standard error, after the deed.
fn tell(name: &str, postmaster: Postmaster, killed: Killed, late: Duration) {
    let mut log = std::io::stderr().lock();
    let pid = postmaster.pid;
    let late = late.as_millis();
    let _closed = match killed {
        Killed::Server(children) => writeln!(
            log,
            "lease guard of {name}: the lease was not renewed in time; the server {pid} and {children} of its processes \
             were killed ({late} ms after the moment)"
        ),
        Killed::Gone => writeln!(log, "lease guard of {name}: the lease was not renewed; the server {pid} was gone"),
    }
    .is_err();
}
