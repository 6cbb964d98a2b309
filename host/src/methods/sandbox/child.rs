//! The process that runs one component: it reads its order, compiles, runs, says how it went and ends. A component that
//! breaks out of its sandbox, or breaks the compiler, breaks this process; the daemon is another one.

use super::guest::{self, Guest};
use super::message::{Level, Order, Report};
use super::output::Reporter;
use super::wall::{self, Wall};
use super::{EXECUTE, cache};
use landlock::RulesetStatus;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// The largest component that is read. The largest ones in use carry an interpreter, and take 20 MB.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// How long compiling may take. Such an interpreter takes ten seconds.
pub(super) const COMPILE_LIMIT: Duration = Duration::from_secs(120);

/// How much address space compiling may take: such an interpreter takes 300 MB.
const COMPILE_BYTES_MAX: u64 = 4 << 30;

/// How often a running component can be interrupted.
const TICK: Duration = Duration::from_millis(10);

/// Why a component was not run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub String);

/// Runs a component if that is what these arguments ask for, and returns the exit code.
pub fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let mut arguments = arguments.into_iter().skip(1);
    if !EXECUTE.iter().all(|word| arguments.next().is_some_and(|argument| argument == *word)) {
        return None;
    }
    Some(match run() {
        Ok(()) => 0,
        Err(_) => 1,
    })
}

fn run() -> std::io::Result<()> {
    close_down();
    let mut line = String::new();
    std::io::stdin().lock().take(4 << 20).read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let reporter = Reporter::new(Box::new(std::io::stdout()));
    // Before there is a second thread: a wall stands around the one that raises it.
    close_in(&order, &reporter);
    end_with_the_daemon();
    // A component that was interrupted leaves threads behind that nobody waits for.
    let report = obey(&order, &reporter);
    reporter.send(&report);
    Ok(())
}

/// Gives up what running a component does not need.
fn close_down() {
    let _ = nix::sys::prctl::set_no_new_privs();
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Raises the wall, where this kernel has one.
fn close_in(order: &Order, reporter: &Reporter) {
    let missing = match Wall::around(order).raise() {
        Ok(RulesetStatus::FullyEnforced) => return,
        Ok(RulesetStatus::PartiallyEnforced) => "this kernel's Landlock is an old one".to_owned(),
        Ok(RulesetStatus::NotEnforced) => "this kernel has no Landlock".to_owned(),
        Err(error) => format!("Landlock failed: {error}"),
    };
    reporter.log(Level::Debug, &format!("{missing}: the component is held by its sandbox alone"));
}

/// The daemon keeps our input open for as long as it wants us.
fn end_with_the_daemon() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
}

fn obey(order: &Order, reporter: &Reporter) -> Report {
    let began = crate::ports::now();
    let limit = order.limit.map(Duration::from_millis);
    let engine = match engine() {
        Ok(engine) => engine,
        Err(error) => return Report::TryNext(format!("this machine cannot run components: {error:#}")),
    };
    let component = match prepare(&engine, order, reporter) {
        Ok(component) => component,
        Err(Refused(why)) => return Report::TryNext(why),
    };
    // How much of a wall this kernel has is known already.
    let _ = Wall::around(order).without_cache(order).raise();
    wall::bound(order.memory_bytes_max, limit);
    let ticking = engine.clone();
    let (_stop, stopped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
            ticking.increment_epoch();
        }
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Report::TryNext(format!("no runtime: {error}")),
    };
    let report = runtime.block_on(async {
        let guest = match Guest::new(&engine, &component, order, reporter) {
            Ok(guest) => guest,
            Err(Refused(why)) => return Report::TryNext(why),
        };
        let Some(limit) = limit else {
            return guest.run(order).await;
        };
        let left = limit.saturating_sub(crate::ports::now().since(began));
        let late = |_| Report::TryNext(guest::too_late(limit));
        tokio::time::timeout(left, guest.run(order)).await.unwrap_or_else(late)
    });
    runtime.shutdown_background();
    report
}

pub(super) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true).max_wasm_stack(1 << 20).async_stack_size(2 << 20);
    Engine::new(&config)
}

/// The component, compiled now or before.
fn prepare(engine: &Engine, order: &Order, reporter: &Reporter) -> Result<Component, Refused> {
    let bytes = read(&order.component)?;
    let digest = digest(&bytes);
    if let Some(wanted) = order.sha256.as_ref().filter(|wanted| **wanted != digest) {
        return Err(Refused(format!(
            "{} has the digest {digest}, and `sha256` of the method asks for {wanted}",
            order.component.display()
        )));
    }
    refuse_module(&bytes, &order.component)?;
    let name = cache::file_name(engine, &digest);
    let kept = order.cache.as_ref().and_then(|folder| cache::load(engine, folder, &name));
    if let Some(component) = kept {
        return Ok(component);
    }
    let component =
        compile(engine, bytes, order.limit.map_or(COMPILE_LIMIT, Duration::from_millis).min(COMPILE_LIMIT))?;
    if let Some(folder) = &order.cache
        && let Err(Refused(why)) = cache::store(&component, folder, &name)
    {
        reporter.log(Level::Debug, &why);
    }
    Ok(component)
}

/// A module is the other kind of WebAssembly, without an interface.
pub(super) fn refuse_module(bytes: &[u8], path: &Path) -> Result<(), Refused> {
    if bytes.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Ok(());
    }
    Err(Refused(format!("{} is a module, not a component: build it for wasm32-wasip2", path.display())))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Refused> {
    let failed = |error: std::io::Error| Refused(format!("cannot read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(Refused(format!("{} is larger than {COMPONENT_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compiles, within bounds of time and memory; a compiler that fails at them takes this process with it.
pub(super) fn compile(engine: &Engine, bytes: Vec<u8>, limit: Duration) -> Result<Component, Refused> {
    let before = getrlimit(Resource::As);
    let _ = setrlimit(Resource::As, Rlimit { current: Some(COMPILE_BYTES_MAX), maximum: before.maximum });
    let (tell, told) = mpsc::channel();
    let engine = engine.clone();
    std::thread::spawn(move || {
        let _ = tell.send(Component::from_binary(&engine, &bytes));
    });
    let compiled = told.recv_timeout(limit);
    let _ = setrlimit(Resource::As, before);
    match compiled {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(Refused(format!("the component cannot be compiled: {error:#}"))),
        Err(_) => Err(Refused(format!(
            "compiling takes longer than {} seconds: `timeout` of the method says how long it may take, 120 seconds at most",
            limit.as_secs()
        ))),
    }
}
