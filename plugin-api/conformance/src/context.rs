//! What a check works with: the plugin, a cluster of its own, the proxy, and the state of the process before it began.

use crate::Options;
use crate::object::Object;
use crate::prepare::Prepare;
use crate::proxy::Proxy;
use regent_plugin_api::host::{DcsError, OpenOptions, Plugin};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    Fail(String),
    Skip(String),
}

impl From<DcsError> for Stop {
    fn from(error: DcsError) -> Stop {
        Stop::Fail(format!("no verdict: {:?}: {}", error.kind, error.message))
    }
}

pub(crate) type Verdict = Result<String, Stop>;

/// Ends the check unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::context::Stop::Fail(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// A time that only differences are taken of.
#[allow(clippy::disallowed_methods, reason = "the kit stands outside of the daemon and its clocks")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for the next look.
#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
pub(crate) fn pause(duration: Duration) {
    // pace: the next look
    std::thread::sleep(duration);
}

/// Asks until the answer is yes, or the time is over.
pub(crate) fn within(limit: Duration, mut ask: impl FnMut() -> Result<bool, Stop>) -> Result<bool, Stop> {
    let start = now();
    loop {
        if ask()? {
            return Ok(true);
        }
        if now().duration_since(start) > limit {
            return Ok(false);
        }
        pause(Duration::from_millis(25));
    }
}

/// Tries what can be inconclusive on a machine that is busy: `None` asks for another try.
pub(crate) fn conclusive(mut attempt: impl FnMut() -> Result<Option<String>, Stop>) -> Verdict {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        if let Some(detail) = attempt()? {
            return Ok(detail);
        }
    }
    Err(Stop::Fail(format!("the machine is too busy to tell: {TRIES} tries came too late")))
}

/// What belongs to the whole process, and no plugin may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Baseline {
    folder: Option<PathBuf>,
    status: BTreeMap<String, String>,
    environment: BTreeMap<OsString, OsString>,
}

impl Baseline {
    pub(crate) fn take() -> Baseline {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let wanted = ["Umask", "SigIgn", "SigCgt", "SigBlk", "NoNewPrivs", "Uid", "Gid"];
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let status = lines.filter(|(name, _)| wanted.contains(name)).map(|(name, value)| (name.into(), visible(value)));
        Baseline {
            folder: std::env::current_dir().ok(),
            status: status.collect(),
            environment: std::env::vars_os().collect(),
        }
    }

    /// What is another than before.
    pub(crate) fn difference(&self, after: &Baseline) -> Vec<String> {
        let mut found = Vec::new();
        if self.folder != after.folder {
            found.push("the working folder".to_owned());
        }
        if self.environment != after.environment {
            found.push("the environment".to_owned());
        }
        found.extend(
            self.status
                .iter()
                .filter(|(name, value)| after.status.get(*name) != Some(value))
                .map(|(name, value)| format!("{name} was {value}, is {:?}", after.status.get(name))),
        );
        found
    }

    /// How much of the process could be seen.
    pub(crate) fn facts(&self) -> usize {
        self.status.len()
    }
}

/// How every member is opened.
pub(crate) fn open_options(config: &str, scope: &str, name: &str, ttl: Duration) -> OpenOptions {
    OpenOptions {
        namespace: "/conformance/".to_owned(),
        scope: scope.to_owned(),
        member: name.to_owned(),
        ttl,
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: config.replace("{scope}", scope),
    }
}

/// The C library keeps the signals 32 and 33 for itself, and catches them from the first thread on: no plugin's doing.
fn visible(value: &str) -> String {
    match u64::from_str_radix(value.trim(), 16) {
        Ok(signals) if value.trim().len() == 16 => format!("{:016x}", signals & !(0b11 << 31)),
        _ => value.trim().to_owned(),
    }
}

pub(crate) struct Context {
    pub plugin: Plugin,
    pub library: PathBuf,
    pub command: Option<PathBuf>,
    pub ttl: Duration,
    pub baseline: Baseline,
    pub config: String,
    pub scope: String,
    proxy: Option<Proxy>,
    prepare: Option<Prepare>,
    _folder: tempfile::TempDir,
}

impl Context {
    pub(crate) fn new(plugin: Plugin, options: &Options, baseline: Baseline) -> std::io::Result<Context> {
        let folder = tempfile::tempdir()?;
        let proxy = options.upstream.as_deref().map(Proxy::before).transpose()?;
        let address = proxy.as_ref().map(Proxy::address).unwrap_or_default();
        let config = options.config.replace("{proxy}", &address);
        let config = config.replace("{dir}", &folder.path().display().to_string());
        let capabilities = plugin.capabilities();
        let ttl = options.ttl.clamp(capabilities.min_ttl, capabilities.max_ttl.max(capabilities.min_ttl));
        let (library, command, scope) = (options.plugin.clone(), options.command.clone(), String::new());
        let prepare = options.prepare.clone();
        Ok(Context { plugin, library, command, ttl, baseline, config, scope, proxy, prepare, _folder: folder })
    }

    /// A new cluster for the next check, and a server that answers.
    pub(crate) fn enter(&mut self, check: &str) {
        if let Some(proxy) = &self.proxy {
            proxy.pass();
        }
        let unique = crate::object::number();
        self.scope = format!("kit-{check}-{}-{unique}", std::process::id());
    }

    pub(crate) fn proxy(&self) -> Result<&Proxy, Stop> {
        self.proxy.as_ref().ok_or_else(|| Stop::Skip("needs --upstream and {proxy} in the configuration".to_owned()))
    }

    /// A ttl that outlives the check.
    pub(crate) fn lasting(&self) -> Duration {
        self.plugin.capabilities().max_ttl.min(Duration::from_secs(60))
    }

    /// Makes what a member needs before it is opened.
    pub(crate) fn prepare(&self, scope: &str, name: &str) -> Result<(), Stop> {
        let prepared = self.prepare.as_ref().map_or(Ok(()), |prepare| prepare.once(scope, name));
        prepared.map_err(|error| Stop::Fail(format!("{name} of {scope} can not be prepared: {error}")))
    }

    pub(crate) fn open(&self, scope: &str, name: &str, ttl: Duration) -> Result<Object, Stop> {
        self.prepare(scope, name)?;
        let options = open_options(&self.config, scope, name, ttl);
        Ok(Object::new(self.plugin.open_bare(&options)?, name))
    }

    /// A member whose lock outlives the check.
    pub(crate) fn member(&self, name: &str) -> Result<Object, Stop> {
        self.open(&self.scope, name, self.lasting())
    }

    /// A member whose lock ends within the check.
    pub(crate) fn brief(&self, name: &str) -> Result<Object, Stop> {
        self.open(&self.scope, name, self.ttl)
    }
}
