//! pg_basebackup, with a fast checkpoint unless the operator says otherwise.

use super::{Outcome, Request};
use crate::postgres::{Dsn, NO_LIMIT, PgError, Server, Tool, option_arguments};
use regent_core::model::{CommandOption, Source};
use std::time::Duration;

/// Options that are ours to give, or that would make something else than a data directory.
const OWN_OPTIONS: [&str; 11] = [
    "pgdata",
    "format",
    "wal-method",
    "xlog-method",
    "gzip",
    "version",
    "dbname",
    "host",
    "port",
    "username",
    "password",
];

/// How often it is tried.
const ATTEMPTS: u32 = 2;

/// How long is waited between two attempts: what made the first fail (a server that is just becoming primary, say) needs
/// a moment to pass, and nothing tells when.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(request: &Request) -> Result<Outcome, PgError> {
    let Some(source) = &request.source else {
        return Ok(Outcome::TryNext("basebackup needs a server to copy from".into()));
    };
    let server = &request.server;
    let passfile = server.prepare_source_password(source).await?;
    let mut program = server.binaries.program(Tool::PgBasebackup)?.args(arguments(server, source));
    program = program.works_on(&server.settings.data_dir);
    if let Some(passfile) = passfile {
        program = program.env("PGPASSFILE", passfile);
    }
    let mut attempt = 1;
    loop {
        tracing::info!("running {}", program.command_line());
        let output = program.output(NO_LIMIT).await?;
        if output.status.success() {
            return Ok(Outcome::Done);
        }
        let failure = output.failure("pg_basebackup").to_string();
        if attempt == ATTEMPTS {
            return Ok(Outcome::TryNext(failure));
        }
        tracing::warn!("{failure}. Trying again in {} seconds", PAUSE.as_secs());
        attempt += 1;
        pause().await;
        server.remove_data_directory().await?;
    }
}

#[allow(clippy::disallowed_methods)]
async fn pause() {
    // pace: a retry; what made the first attempt fail passes by itself, and no event tells when.
    tokio::time::sleep(PAUSE).await;
}

fn arguments(server: &Server, source: &Source) -> Vec<String> {
    let settings = &server.settings;
    let version = server.binaries.version();
    let dsn = Dsn::to_source(settings, version, &settings.accounts.replication, source).noticing_silence(version);
    let mut arguments = vec![
        format!("--pgdata={}", settings.data_dir.display()),
        "-X".to_owned(),
        "stream".to_owned(),
        format!("--dbname={dsn}"),
    ];
    // A spread checkpoint takes up to minutes on a busy server, and the clone only begins after it.
    if !settings.basebackup.iter().any(|option| matches!(option.name.as_str(), "checkpoint" | "c")) {
        arguments.push("--checkpoint=fast".to_owned());
    }
    let allowed: Vec<CommandOption> = settings
        .basebackup
        .iter()
        .filter(|option| compression_allowed(option, server.binaries.version()))
        .cloned()
        .collect();
    arguments.extend(option_arguments(&allowed, &OWN_OPTIONS, "basebackup"));
    arguments
}

/// Only the server can compress here: what arrives must be a data directory.
fn compression_allowed(option: &CommandOption, version: u32) -> bool {
    let by_server = || version >= 150_000 && option.value.as_ref().is_some_and(|value| value.starts_with("server"));
    let allowed = option.name != "compress" || by_server();
    if !allowed {
        tracing::error!("this value of the compress option for basebackup is not allowed: leaving it out");
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[(&str, Option<&str>)], expected: &str) {
        let server = crate::postgres::Server::for_tests(|settings| {
            settings.accounts.replication.username = Some("rep".into());
            settings.basebackup = options
                .iter()
                .map(|(name, value)| CommandOption { name: (*name).into(), value: value.map(str::to_owned) })
                .collect();
        });
        let source = Source { name: "b".into(), host: "h".into(), port: "5433".into(), slot: None };
        let begin = "--pgdata=/data -X stream --dbname=dbname=postgres user=rep host=h port=5433 ";
        let found = arguments(&server, &source).join(" ");
        let (dsn, options) = found.split_once(" tcp_user_timeout=40000 ").unwrap();
        assert!(dsn.starts_with(begin) && dsn.contains(" keepalives_idle=10 "), "{dsn}");
        assert_eq!(options, expected);
    }

    #[test]
    fn a_fast_checkpoint_is_the_default_and_some_options_are_refused() {
        // BOOT-11
        check(&[], "--checkpoint=fast");
        check(&[("checkpoint", Some("spread")), ("verbose", None)], "--checkpoint=spread --verbose");
        check(&[("max-rate", Some("100M")), ("format", Some("t"))], "--checkpoint=fast --max-rate=100M");
        check(&[("compress", Some("server-gzip"))], "--checkpoint=fast --compress=server-gzip");
        check(&[("compress", Some("9"))], "--checkpoint=fast");
    }
}
