//! Bringing a diverged data directory back: pg_rewind, and the crash recovery that it needs before.

use super::Server;
use super::binaries::Tool;
use super::connection::ask_remote;
use super::conninfo::{self, Dsn};
use super::control::control_data;
use super::error::{PgError, blocking};
use super::files::{self, FollowTarget, Wanted};
use super::mark;
use super::orphans::end_strays;
use super::process;
use super::run::{self, Output, Program};
use regent_core::model::{Account, CommandOption, ControlState, Source, Timeline};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::SimpleQueryRow;

/// Options of pg_rewind that are ours to give.
const OWN_OPTIONS: [&str; 9] = [
    "target-pgdata",
    "source-pgdata",
    "source-server",
    "write-recovery-conf",
    "restore-target-wal",
    "config-file",
    "no-ensure-shutdown",
    "dry-run",
    "version",
];

/// `pg_rewind --help` takes milliseconds.
const HELP_LIMIT: Duration = Duration::from_secs(10);

impl Server {
    /// Is there a pg_rewind that runs?
    pub async fn has_pg_rewind(&self) -> bool {
        let Ok(program) = self.binaries.program(Tool::PgRewind) else {
            return false;
        };
        program.arg("--help").succeed(HELP_LIMIT).await.is_ok()
    }

    /// Makes the stopped data directory a copy of what `source`, which is on `timeline`, has since they parted, for at
    /// most `limit`. From before pg_rewind writes until it has come to its end the directory is marked as half rewound;
    /// so it stays when pg_rewind fails, or is given up by dropping the future, after it began to write. Of such a
    /// directory only the same rewind again makes a whole one.
    pub async fn pg_rewind(&self, source: &Source, timeline: Timeline, limit: Duration) -> Result<(), PgError> {
        self.refuse_if_running().await?;
        end_strays(&self.settings.data_dir).await?;
        let again = self.judge_mark(source, timeline)?;
        // What the log holds of a half rewound directory was archived before the first attempt, or is the source's.
        if !again {
            self.archive_waiting_segments().await?;
        }
        let restore_command = self.prepare_restore_command(source).await?;
        self.shut_down_cleanly(again, limit).await?;
        let mut unfinished = self.begin_rewind(source, timeline, again).await?;
        let result = self.rewind_marked(source, restore_command, limit).await;
        let result = match result {
            Ok(()) if again => self.was_rewound().await,
            other => other,
        };
        unfinished.end(result.is_ok()).await?;
        result
    }

    /// Is this a rewind that was cut off? Then nothing but the same may be begun: see `half_rewound` in the core.
    fn judge_mark(&self, source: &Source, timeline: Timeline) -> Result<bool, PgError> {
        match mark::read(&self.settings.data_dir) {
            None => Ok(false),
            Some(mark) if mark.source == source.name && mark.timeline == timeline && mark.same_boot => Ok(true),
            Some(mark) => Err(PgError::HalfRewound(mark.source)),
        }
    }

    /// Nothing but what is whole may be started, or recovered.
    pub(crate) fn refuse_half_rewound(&self) -> Result<(), PgError> {
        mark::read(&self.settings.data_dir).map_or(Ok(()), |mark| Err(PgError::HalfRewound(mark.source)))
    }

    /// pg_rewind needs a data directory that was shut down. It would see to that itself, in the same way: but from the
    /// mark on nothing else shall write.
    async fn shut_down_cleanly(&self, again: bool, limit: Duration) -> Result<(), PgError> {
        let state = control_data(&self.binaries, &self.settings.data_dir).await?.state;
        if matches!(state, ControlState::ShutDown | ControlState::ShutDownInRecovery) {
            return Ok(());
        }
        // Its last deed is to write the control file: what was cut off after that is no beginning for it.
        if again {
            return Err(PgError::NotAllowed(format!("pg_rewind was cut off at its end ({state:?}) and can not go on")));
        }
        self.single_user_recovery(limit).await
    }

    async fn begin_rewind(&self, source: &Source, timeline: Timeline, again: bool) -> Result<Unfinished, PgError> {
        let data_dir = self.settings.data_dir.clone();
        let folder = data_dir.clone();
        let before = blocking(move || if again { Ok(None) } else { mark::fingerprint(&folder).map(Some) }).await?;
        // Not on a thread of its own: that would set the mark also for a rewind that was given up meanwhile.
        mark::set(&data_dir, &source.name, timeline)?;
        Ok(Unfinished { data_dir, before, over: false })
    }

    /// pg_rewind ends well also where it finds nothing to do: then the mixture stays what it is.
    async fn was_rewound(&self) -> Result<(), PgError> {
        match control_data(&self.binaries, &self.settings.data_dir).await?.state {
            ControlState::InArchiveRecovery => Ok(()),
            state => Err(PgError::NotAllowed(format!("pg_rewind found nothing to do ({state:?})"))),
        }
    }

    async fn rewind_marked(
        &self,
        source: &Source,
        restore_command: Option<String>,
        limit: Duration,
    ) -> Result<(), PgError> {
        let account = self.rewind_account();
        let passfile = self.rewind_password_file();
        let text = conninfo::password_file(account, &source.host, &source.port);
        let has_password = text.is_some();
        self.write_password_file(passfile.clone(), text).await?;
        let program = self.rewind_program(source, account, restore_command.is_some())?;
        let program = if has_password { program.env("PGPASSFILE", &passfile) } else { program };
        let result = super::error::within(limit, "pg_rewind", self.run_rewind(&program, restore_command)).await;
        if let Err(error) = std::fs::remove_file(&passfile)
            && has_password
        {
            tracing::warn!("could not remove {}: {error}", passfile.display());
        }
        result?;
        self.drop_copied_slots().await
    }

    async fn run_rewind(&self, program: &Program, restore_command: Option<String>) -> Result<(), PgError> {
        let mut fetched = BTreeSet::new();
        loop {
            tracing::info!("running {}", program.command_line());
            let output = program.output(run::NO_LIMIT).await?;
            tracing::info!("pg_rewind {}", run::describe(output.status));
            tracing::info!(" stdout={}", output.stdout.trim_end());
            tracing::info!(" stderr={}", output.stderr.trim_end());
            if output.status.success() {
                return Ok(());
            }
            let failure = output.failure("pg_rewind");
            let (Some(command), Some(segment)) = (&restore_command, missing_segment(&output)) else {
                return Err(failure);
            };
            if !fetched.insert(segment.clone()) || !self.restore_segment(command, &segment).await? {
                return Err(failure);
            }
        }
    }

    pub(super) fn rewind_account(&self) -> &Account {
        let accounts = &self.settings.accounts;
        accounts.rewind.as_ref().filter(|_| self.binaries.version() >= 110_000).unwrap_or(&accounts.superuser)
    }

    fn rewind_password_file(&self) -> PathBuf {
        let mut path = self.settings.pgpass.clone().into_os_string();
        path.push(".rewind");
        path.into()
    }

    /// pg_rewind asks the server's program for restore_command, so that it must be in the configuration, which a former
    /// primary's does not have. The signal files go away again: pg_rewind may have to start a single-user server.
    async fn prepare_restore_command(&self, source: &Source) -> Result<Option<String>, PgError> {
        self.configure(&Wanted::replica(FollowTarget::Source(source.clone()))).await?;
        let data_dir = self.settings.data_dir.clone();
        blocking(move || files::forget_recovery(&data_dir)).await?;
        let settings = &self.settings;
        let command = settings.recovery_conf.get("restore_command").or(settings.parameters.get("restore_command"));
        Ok(command.filter(|command| !command.trim().is_empty()).cloned())
    }

    fn rewind_program(&self, source: &Source, account: &Account, can_restore: bool) -> Result<Program, PgError> {
        let version = self.binaries.version();
        let dsn = Dsn::to_source(&self.settings, version, account, source);
        let dsn = if version >= 100_000 { dsn.with("target_session_attrs", "read-write") } else { dsn };
        let dsn = dsn.noticing_silence(version);
        let mut program = self.binaries.program(Tool::PgRewind)?.env("PGOPTIONS", "-c statement_timeout=0");
        if version >= 130_000 {
            program = program.arg("--no-ensure-shutdown");
        }
        let elsewhere = self.settings.config_dir != self.settings.data_dir;
        // Only from 15 on does it find a configuration file outside of the data directory.
        if can_restore && (version >= 150_000 || version >= 130_000 && !elsewhere) {
            program = program.arg("--restore-target-wal");
            if elsewhere {
                program = program.arg(format!("--config-file={}", files::main_file(&self.settings).display()));
            }
        }
        program = program.arg("-D").arg(&self.settings.data_dir).arg("--source-server").arg(dsn.to_string());
        let options = option_arguments(&self.settings.rewind_options, &OWN_OPTIONS, "pg_rewind");
        Ok(program.args(options).works_on(&self.settings.data_dir))
    }

    /// Until 10, pg_rewind copied the source's slots.
    async fn drop_copied_slots(&self) -> Result<(), PgError> {
        if self.binaries.version() >= 110_000 {
            return Ok(());
        }
        let folder = self.settings.data_dir.join("pg_replslot");
        blocking(move || {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                std::fs::remove_dir_all(&path).map_err(PgError::io_at("remove", &path))?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn refuse_if_running(&self) -> Result<(), PgError> {
        run::settled().await;
        process::find_running(&self.settings.data_dir).map_or(Ok(()), |running| Err(PgError::Running(running.pid)))
    }

    /// Recovers a data directory that was not shut down, without letting anybody connect, for at most `limit`: its
    /// control file says "shut down" afterwards. Standard input is empty, so that it ends by itself (HA-10).
    pub async fn single_user_recovery(&self, limit: Duration) -> Result<(), PgError> {
        self.refuse_if_running().await?;
        self.refuse_half_rewound()?;
        end_strays(&self.settings.data_dir).await?;
        self.archive_waiting_segments().await?;
        self.clear_archive_status().await?;
        let data_dir = self.settings.data_dir.clone();
        let options = blocking(move || {
            files::forget_recovery(&data_dir)?;
            Ok(std::fs::read_to_string(data_dir.join("postmaster.opts")).unwrap_or_default())
        })
        .await?;
        let mut program = self.binaries.program(Tool::Postgres)?.arg("--single").arg("-D").arg(&self.settings.data_dir);
        let mut options = start_options(&options);
        options.extend([("archive_mode".into(), "on".into()), ("archive_command".into(), "false".into())]);
        for (name, value) in options {
            program = program.arg("-c").arg(format!("{name}={value}"));
        }
        let output = program.arg("template1").works_on(&self.settings.data_dir).succeed(limit).await?;
        tracing::info!("crash recovery is done: {}", output.stderr.trim_end());
        Ok(())
    }

    /// Does `source` take writes? Asked as superuser, for at most `limit`.
    pub async fn is_primary(&self, source: &Source, limit: Duration) -> Result<bool, PgError> {
        let rows = self
            .ask_source(source, &self.settings.accounts.superuser, "SELECT pg_catalog.pg_is_in_recovery()", limit)
            .await?;
        match rows.first().and_then(|row| row.try_get(0).ok().flatten()) {
            Some("f") => Ok(true),
            Some("t") => Ok(false),
            _ => Err(PgError::Unreadable("pg_is_in_recovery gave no answer".into())),
        }
    }

    /// Writes a checkpoint at `source`, for at most `limit`: a new primary's control file names its timeline only after
    /// one, and pg_rewind goes by that.
    pub async fn checkpoint_at(&self, source: &Source, limit: Duration) -> Result<(), PgError> {
        self.ask_source(source, &self.settings.accounts.superuser, "CHECKPOINT", limit).await.map(|_| ())
    }

    /// Asks the server of another member something; of several hosts, the first that answers.
    pub(super) async fn ask_source(
        &self,
        source: &Source,
        account: &Account,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<SimpleQueryRow>, PgError> {
        let ports: Vec<&str> = source.port.split(',').collect();
        let mut last = PgError::NotRunning;
        for (at, host) in source.host.split(',').enumerate() {
            let port = ports.get(at).or(ports.last()).and_then(|port| port.trim().parse().ok()).unwrap_or(5432);
            match ask_remote(host, port, account, &self.settings.database, sql, limit).await {
                Ok(rows) => return Ok(rows),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A rewind under way. Given up, or failed, it leaves its mark, unless nothing was written.
struct Unfinished {
    data_dir: PathBuf,
    /// The fingerprint before it began; `None`: something was written before that.
    before: Option<u64>,
    over: bool,
}

impl Unfinished {
    async fn end(&mut self, rewound: bool) -> Result<(), PgError> {
        self.over = true;
        let (data_dir, before) = (self.data_dir.clone(), self.before);
        blocking(move || if rewound { mark::clear(&data_dir) } else { keep_or_clear(&data_dir, before) }).await
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (data_dir, before) = (self.data_dir.clone(), self.before);
        run::once_ended(async move {
            if let Err(error) = blocking(move || keep_or_clear(&data_dir, before)).await {
                tracing::warn!("the mark of the cancelled rewind stays: {error}");
            }
        });
    }
}

/// A rewind that failed before it wrote anything has done no harm.
fn keep_or_clear(data_dir: &Path, before: Option<u64>) -> Result<(), PgError> {
    if before.is_some_and(|before| mark::fingerprint(data_dir).is_ok_and(|now| now == before)) {
        return mark::clear(data_dir);
    }
    tracing::warn!("pg_rewind had begun to write: the data directory is half rewound, and no server is started on it");
    Ok(())
}

/// Options as arguments, without those that are not the user's to give.
pub(crate) fn option_arguments(options: &[CommandOption], own: &[&str], program: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    for option in options {
        if own.contains(&option.name.as_str()) {
            tracing::error!("{} option for {program} is not allowed: leaving it out", option.name);
            continue;
        }
        arguments.push(match &option.value {
            Some(value) => format!("--{}={value}", option.name),
            None => format!("--{}", option.name),
        });
    }
    arguments
}

/// The segment that pg_rewind did not find: `could not open file ".../pg_wal/0000000100000000000000A1"`.
fn missing_segment(output: &Output) -> Option<String> {
    let line = output.stderr.lines().find(|line| line.contains("could not open file \""))?;
    let (_, rest) = line.split_once("could not open file \"")?;
    let (path, _) = rest.split_once('"')?;
    let (folder, name) = path.rsplit_once('/')?;
    let is_segment = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_segment && (folder.ends_with("pg_wal") || folder.ends_with("pg_xlog"))).then(|| name.to_owned())
}

/// The parameters of the last start: postmaster.opts holds `"--name=value"` words after the program.
fn start_options(text: &str) -> Vec<(String, String)> {
    text.split('"')
        .filter_map(|word| word.strip_prefix("--")?.split_once('='))
        .map(|(name, value)| (name.replace('-', "_"), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// REW-09
    #[test]
    fn a_missing_segment_is_found_in_the_output() {
        let check = |stderr: &str, expected: Option<&str>| {
            let status = std::process::ExitStatus::from_raw(256);
            let output = Output { status, stdout: String::new(), stderr: stderr.into() };
            assert_eq!(missing_segment(&output).as_deref(), expected);
        };
        let segment = "0000000100000000000000A1";
        check(&format!("x\nerror: could not open file \"/d/pg_wal/{segment}\": No such file\n"), Some(segment));
        check("could not open file \"/d/pg_wal/xx\": No such file", None);
        check(&format!("could not open file \"/d/base/{segment}\": No such file"), None);
    }

    #[test]
    fn options_of_the_last_start_are_read() {
        let text = "/usr/bin/postgres \"-D\" \"/data\" \"--config-file=/data/postgresql.conf\" \"--port=5432\"\n";
        let expected = [("config_file", "/data/postgresql.conf"), ("port", "5432")];
        assert_eq!(start_options(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// REW-10
    #[test]
    fn blocked_options_are_left_out() {
        let option =
            |name: &str, value: Option<&str>| CommandOption { name: name.into(), value: value.map(str::to_owned) };
        let options = [option("debug", None), option("source-server", Some("x")), option("sync-method", Some("fsync"))];
        assert_eq!(option_arguments(&options, &OWN_OPTIONS, "pg_rewind"), ["--debug", "--sync-method=fsync"]);
    }
}
