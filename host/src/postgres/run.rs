//! Runs programs: each in a process group of its own, under a deadline, with a cleaned environment. Knows nothing of
//! what they do.

use super::error::PgError;
use super::process;
use regent_core::model::Postmaster;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::sync::watch;

/// How long a program that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// For programs that may take as long as they take, and are ended by dropping the future: clones, rewinds, scripts.
pub const NO_LIMIT: Duration = Duration::from_secs(u32::MAX as u64);

/// How much of a program's output is kept; it is for the log, and the end of it tells most.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// How long is waited for what a program wrote before its end: it is in the pipe already, unless others hold that open.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// The longest line of a program's output that is logged whole, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// How many cancelled programs have not ended yet. Whoever is about to change the data directory waits for zero: a
/// cancelled clone may still be writing into it while it handles its signal.
static ENDING: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// How much of what cancelled work left is still to be cleared away.
static CLEARING: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// Tells every process that works on a data directory for us: whose work it is, and on which directory.
pub(super) const WORK_VARIABLE: &str = "REGENT_WORK";

/// The value of [`WORK_VARIABLE`] for work of this daemon on `data_dir`.
fn work_value(daemon: Postmaster, data_dir: &Path) -> OsString {
    let mut value = OsString::from(format!("{}:{}:", daemon.pid, daemon.start_ticks));
    value.push(data_dir);
    value
}

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
}

/// PostgreSQL's programs refuse to run in a folder that is gone, as ours may be: then there is nothing to be relative to,
/// and any other folder serves (OPS-09).
pub(super) fn leave_removed_folder() {
    if std::env::current_dir().is_err() && std::env::set_current_dir("/").is_ok() {
        tracing::warn!("the folder that the daemon was started in is gone: it works in / now");
    }
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// The end of its standard output.
    pub stdout: String,
    /// The end of its standard error.
    pub stderr: String,
}

impl Program {
    /// The program at `path`, found along PATH when it has no slash.
    pub fn new(path: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), arguments: Vec::new(), environment: Vec::new(), folder: None }
    }

    /// The command line `words`; the first is the program.
    pub fn from_words(words: Vec<String>) -> Program {
        let mut words = words.into_iter();
        let program = Program::new(words.next().unwrap_or_default());
        program.args(words)
    }

    /// With one more argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Program {
        self.arguments.push(argument.into());
        self
    }

    /// With more arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Program {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Program {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Running in this folder.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Program {
        self.folder = Some(folder.into());
        self
    }

    /// Changing what lies in `data_dir`: whoever does so for a daemon that died is ended before anybody else begins
    /// (see `end_strays`), with everything that it started.
    pub(crate) fn works_on(self, data_dir: &Path) -> Program {
        let Some(daemon) = process::identify(std::process::id().cast_signed()) else {
            return self;
        };
        let value = work_value(daemon, data_dir);
        self.env(WORK_VARIABLE, value)
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The command line, for the log. Secrets never are in arguments.
    pub fn command_line(&self) -> String {
        let mut line = self.path.to_string_lossy().into_owned();
        for argument in &self.arguments {
            line.push(' ');
            line.push_str(&argument.to_string_lossy());
        }
        line
    }

    fn command(&self) -> tokio::process::Command {
        leave_removed_folder();
        let mut command = tokio::process::Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(child_environment()).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).process_group(0);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs it for at most `limit` and returns its output, whatever its exit status. Dropping the future, or the end of
    /// the limit, ends the whole process group: TERM first, KILL ten seconds later.
    pub async fn output(&self, limit: Duration) -> Result<Output, PgError> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(command, &self.path)?;
        let (stdout, stderr) =
            (group.child().and_then(|c| c.stdout.take()), group.child().and_then(|c| c.stderr.take()));
        let all = async {
            let (stdout, stderr, status) = tokio::join!(tail(stdout), tail(stderr), group.wait());
            Ok(Output { status: status?, stdout, stderr })
        };
        super::error::within(limit, self.name(), Box::pin(all)).await
    }

    /// Like [`Program::output`], but a failure of the program is an error.
    pub async fn succeed(&self, limit: Duration) -> Result<Output, PgError> {
        let output = self.output(limit).await?;
        if output.status.success() { Ok(output) } else { Err(output.failure(&self.name())) }
    }

    /// Runs it for as long as it takes; every line that it writes goes to the log, under `name`. Cancelled like
    /// [`Program::output`].
    pub async fn logged(&self, name: &str) -> Result<ExitStatus, PgError> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(command, &self.path)?;
        let streams = group.child().map(|child| (child.stdout.take(), child.stderr.take()));
        let (stdout, stderr) = streams.unwrap_or_default();
        // What it left running keeps writing: tasks of their own listen to the end.
        let stdout = tokio::spawn(to_the_log(stdout, name.to_owned()));
        let stderr = tokio::spawn(to_the_log(stderr, name.to_owned()));
        let status = group.wait().await?;
        let _ = tokio::time::timeout(LAST_WORDS_LIMIT, async { tokio::join!(stdout, stderr) }).await;
        Ok(status)
    }

    /// Runs it with our own standard output and error, for as long as it takes. Cancelled like [`Program::output`].
    pub async fn inherit(&self) -> Result<ExitStatus, PgError> {
        Group::spawn(self.command(), &self.path)?.wait().await
    }

    /// Starts it with pipes to its standard input and from its standard output; its standard error is ours. Dropping the
    /// group ends it.
    pub(crate) fn converse(&self) -> Result<Conversation, PgError> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut group = Group::spawn(command, &self.path)?;
        let pipes = group.child().map(|child| (child.stdin.take(), child.stdout.take()));
        match pipes {
            Some((Some(input), Some(output))) => Ok(Conversation { group, input, output }),
            _ => Err(PgError::NotRunning),
        }
    }

    /// Starts it with our own standard output and error; dropping the group ends it.
    pub(crate) fn start(&self) -> Result<Group, PgError> {
        Group::spawn(self.command(), &self.path)
    }
}

impl Output {
    /// The failure as an error, with the end of the output.
    pub fn failure(&self, program: &str) -> PgError {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        PgError::Failed { program: program.to_owned(), status: describe(self.status), output: text.trim().to_owned() }
    }
}

/// `exited with code=N` or `was killed by signal N`.
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code={code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What children see of our environment: no credentials of ours, and no socket on which they would speak for us
/// (OPS-13, OPS-14, OPS-28).
pub fn child_environment() -> Vec<(OsString, OsString)> {
    let hidden = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"PATRONI_") || name.starts_with(b"KUBERNETES_") || name == b"NOTIFY_SOCKET"
    };
    crate::ports::environment().into_iter().filter(|(name, _)| !hidden(name)).collect()
}

/// Waits until every cancelled program has ended, and what it left is cleared away.
pub async fn settled() {
    none_left(&ENDING).await;
    none_left(&CLEARING).await;
}

async fn none_left(count: &watch::Sender<usize>) {
    // The sender is static, so the channel cannot close.
    let _ = count.subscribe().wait_for(|left| *left == 0).await;
}

/// Does this work once every cancelled program has ended.
pub(super) fn once_ended(work: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let count = CountDown::begin(&CLEARING);
    runtime.spawn(async move {
        let _count = count;
        none_left(&ENDING).await;
        work.await;
    });
}

/// A running child that is spoken to.
pub(crate) struct Conversation {
    pub(crate) group: Group,
    pub(crate) input: tokio::process::ChildStdin,
    pub(crate) output: tokio::process::ChildStdout,
}

/// A running child and the process group that it leads. Dropped before it ended, the group is told to end, and killed
/// when it does not.
pub(crate) struct Group {
    child: Option<Child>,
    pid: Option<Pid>,
}

impl Group {
    fn spawn(mut command: tokio::process::Command, path: &std::path::Path) -> Result<Group, PgError> {
        let child = command.spawn().map_err(PgError::io_at("run", path))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Group { child: Some(child), pid })
    }

    fn child(&mut self) -> Option<&mut Child> {
        self.child.as_mut()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus, PgError> {
        let Some(child) = self.child.as_mut() else {
            return Err(PgError::NotRunning);
        };
        let status = child.wait().await.map_err(PgError::io("could not wait for a program"))?;
        self.child = None;
        Ok(status)
    }

    /// Kills it with its group at once and waits for its end.
    pub(crate) async fn kill(mut self) {
        signal_group(self.pid, Signal::KILL);
        let _ = self.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = self.pid;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            signal_group(pid, Signal::KILL);
            return;
        };
        signal_group(pid, Signal::TERM);
        let count = CountDown::begin(&ENDING);
        runtime.spawn(async move {
            // Counted down also when the runtime drops this task.
            let _count = count;
            if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                signal_group(pid, Signal::KILL);
                let _ = child.wait().await;
            }
            // The leader's children may have outlived it.
            signal_group(pid, Signal::KILL);
        });
    }
}

struct CountDown(&'static watch::Sender<usize>);

impl CountDown {
    fn begin(count: &'static watch::Sender<usize>) -> CountDown {
        count.send_modify(|left| *left += 1);
        CountDown(count)
    }
}

impl Drop for CountDown {
    fn drop(&mut self) {
        self.0.send_modify(|left| *left = left.saturating_sub(1));
    }
}

fn signal_group(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // Whoever is gone already needs no signal.
        let _ = kill_process_group(pid, signal);
    }
}

/// Logs a stream line by line, to its end. Long lines come in pieces.
async fn to_the_log(stream: Option<impl AsyncRead + Unpin>, name: String) {
    let Some(stream) = stream else {
        return;
    };
    let mut stream = tokio::io::BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut piece = (&mut stream).take(LINE_BYTES_MAX as u64);
        match piece.read_until(b'\n', &mut line).await {
            Ok(1..) => tracing::info!("{name}: {}", String::from_utf8_lossy(&line).trim_end()),
            _ => return,
        }
    }
}

/// Reads all of a stream and keeps the end of it.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut kept = Vec::new();
    // On the heap: these bytes would be part of every future that runs a program.
    let mut chunk = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * OUTPUT_BYTES_MAX {
            kept.drain(..kept.len() - OUTPUT_BYTES_MAX);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn output_and_status_come_back() {
        let output = shell("echo out; echo err >&2; exit 3").output(Duration::from_secs(10)).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(output.failure("sh").to_string(), "sh failed (exited with code=3): err");
    }

    #[tokio::test]
    async fn a_deadline_ends_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid_file.display());
        let error = shell(&script).output(Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, PgError::TimedOut { .. }), "{error}");
        settled().await;
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        // Signalled: it goes away, or stays as a zombie until init takes note of it.
        let gone = async {
            loop {
                let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if state.is_empty() || state.contains(") Z ") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn children_do_not_see_our_credentials() {
        // OPS-13. The variables cannot be set here (other threads read them), so only the filter's shape is checked.
        assert!(child_environment().iter().all(|(name, _)| !name.to_string_lossy().starts_with("PATRONI_")));
    }
}
