//! A member in a process of its own: the kit's command started once more, which does as it is told line by line.

use crate::context::{Context, Stop, open_options, within};
use crate::object::{BUDGET, Object};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regent_plugin_api::host::{DcsError, Lease, Plugin};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long an answer may take, with the start of the process.
const PATIENCE: Duration = Duration::from_secs(60);

/// The argument that makes the command a member; its first line of input says which.
pub const HOLD: &str = "--hold";

/// What the member is.
#[derive(Serialize, Deserialize)]
struct Role {
    plugin: PathBuf,
    config: String,
    scope: String,
    name: String,
    ttl: Duration,
}

/// The member as the kit sees it.
pub(crate) struct Holder {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::Fail(format!("the process of another member: {error}"))
}

impl Holder {
    pub(crate) fn start(context: &Context, name: &str, ttl: Duration) -> Result<Holder, Stop> {
        let Some(command) = &context.command else {
            return Err(Stop::Skip("needs the kit's command for a process of its own".to_owned()));
        };
        context.prepare(&context.scope, name)?;
        let role = Role {
            plugin: context.library.clone(),
            config: context.config.clone(),
            scope: context.scope.clone(),
            name: name.to_owned(),
            ttl,
        };
        let mut process = Command::new(command);
        process.arg(HOLD).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = process.spawn().map_err(failed)?;
        let (Some(orders), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("no pipes"));
        };
        let (line, answers) = channel();
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .take_while(|text| line.send(text.clone()).is_ok())
                .count()
        });
        let mut holder = Holder { child, orders, answers };
        let role = serde_json::to_string(&role).map_err(failed)?;
        let opened = holder.ask(&role)?;
        if opened == "open" { Ok(holder) } else { Err(failed(opened)) }
    }

    /// Gives an order and waits for what came of it.
    pub(crate) fn ask(&mut self, order: &str) -> Result<String, Stop> {
        writeln!(self.orders, "{order}").map_err(failed)?;
        self.answers.recv_timeout(PATIENCE).map_err(|_| failed("no answer in time"))
    }

    /// Stops the process; it is stopped when this comes back.
    pub(crate) fn freeze(&self) -> Result<(), Stop> {
        self.signal(Signal::SIGSTOP)?;
        let status = format!("/proc/{}/stat", self.child.id());
        let stopped = within(PATIENCE, || {
            let text = std::fs::read_to_string(&status).map_err(failed)?;
            Ok(text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
        })?;
        if stopped { Ok(()) } else { Err(failed("it can not be stopped")) }
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<(), Stop> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Stop> {
        let number = i32::try_from(self.child.id()).map_err(failed)?;
        kill(Pid::from_raw(number), signal).map_err(failed)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _gone = (self.child.kill().is_err(), self.child.wait().is_err());
    }
}

/// Does as it is told on `orders` until they end; each gets one line on `answers`.
///
/// # Errors
/// When a line can not be read or written.
pub fn hold(orders: impl BufRead, mut answers: impl Write) -> std::io::Result<()> {
    let mut lines = orders.lines();
    let Some(role) = lines.next().transpose()? else { return Ok(()) };
    let member = match open(&role) {
        Ok(member) => member,
        Err(why) => return writeln!(answers, "{}", why.replace('\n', " ")),
    };
    writeln!(answers, "open")?;
    answers.flush()?;
    let mut lease = None;
    for order in lines {
        let answer = match (order?.as_str(), &lease) {
            ("acquire", _) => member.acquire(),
            ("renew", Some(held)) => member.renew(held),
            _ => Ok(None),
        };
        writeln!(answers, "{}", told(&answer))?;
        answers.flush()?;
        if let Ok(Some(new)) = answer {
            lease = Some(new);
        }
    }
    member.close().map_err(|error| std::io::Error::other(error.message))
}

fn told(answer: &Result<Option<Lease>, DcsError>) -> String {
    match answer {
        Ok(Some(_)) => "lease".to_owned(),
        Ok(None) => "none".to_owned(),
        Err(error) => format!("{:?}: {}", error.kind, error.message.replace('\n', " ")),
    }
}

fn open(role: &str) -> Result<Object, String> {
    let role: Role = serde_json::from_str(role).map_err(|error| error.to_string())?;
    let plugin = Plugin::load(&role.plugin, None).map_err(|error| error.to_string())?;
    let options = open_options(&role.config, &role.scope, &role.name, role.ttl);
    let inner = plugin.open_bare(&options).map_err(|error| error.message)?;
    let member = Object::new(inner, &role.name);
    // Connections are made before the kit counts time.
    drop(member.load_in(BUDGET));
    Ok(member)
}
