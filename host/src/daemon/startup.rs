//! The start of the daemon: everything is read, found and opened in order; what is wrong ends it with a clear word.

use super::Started;
use crate::act::Deeds;
use crate::agent::Parts;
use crate::agent::configuration::Configuration;
use crate::agent::journal::Journal;
use crate::api;
use crate::config::{
    DynamicConfig, Effective, LocalConfig, LogForm, LogSettings, Source, Verify, member_client, no_store,
};
use crate::dcs::{self, Answer, Store, StoreOptions};
use crate::fence::{Guard, GuardOptions, Watchdog, device};
use crate::observe::server::ServerWatch;
use crate::postgres::{Binaries, Server, check_password_file, end_strays, find_running};
use crate::telemetry::logging;
use anyhow::{Context, Result, bail};
use regent_core::model::FenceMode;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two attempts to read the store at the start (CFG-31).
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// How long a namesake may take to answer.
const NAMESAKE_PATIENCE: Duration = Duration::from_secs(3);

/// Reads, finds and opens everything.
pub(super) async fn begin(source: Source) -> Result<Started> {
    let local = LocalConfig::load(&source).map_err(anyhow::Error::from)?;
    let missing = local.missing();
    if !missing.is_empty() {
        bail!("the configuration is not complete: {}", missing.join("; "));
    }
    let first = Effective::build(&local, &DynamicConfig::default(), 0);
    let binaries = Binaries::find(&first.server).await.context("PostgreSQL's programs are not usable")?;
    check_password_file(&first.server)?;
    let version = binaries.version();
    let saved = DynamicConfig::load(&first.server.data_dir);
    let saved = saved.or_else(|| local.bootstrap_dynamic());
    let effective = Effective::build(&local, &saved.clone().unwrap_or_default(), version);
    let mut configuration = Configuration { source, local, dynamic: saved, effective: Arc::new(effective), version };
    for warning in &configuration.effective.warnings {
        tracing::warn!("{warning}");
    }
    if configuration.effective.dcs.name.is_empty() {
        bail!(no_store());
    }
    let store = dcs::open(&store_options(&configuration.effective)).await?;
    let ctl = &configuration.effective.ctl;
    let client = member_client(ctl, Verify::among_members(ctl))?;
    first_reading(&store, &mut configuration, &client).await?;
    let effective = Arc::clone(&configuration.effective);
    let server = Server { settings: Arc::new(effective.server.clone()), binaries };
    if let Err(error) = end_strays(&server.settings.data_dir).await {
        tracing::error!("{error}");
    }
    let watch = ServerWatch::open(&server).await;
    let guard = guard(&effective).await?;
    let watchdog = Watchdog::start(device::Host).context("the watchdog has no thread")?;
    let parts = Parts {
        deeds: Deeds::new(server, Arc::clone(&effective)),
        configuration,
        store,
        watch,
        guard,
        watchdog,
        journal: Arc::new(Journal::new(effective.log.dir.as_ref().map(|dir| dir.join("regent.journal.jsonl")))),
        metrics: Arc::default(),
        client,
        applied: watch::Sender::new(Arc::clone(&effective)),
    };
    Ok(Started { parts, effective })
}

fn store_options(effective: &Effective) -> StoreOptions {
    let (settings, dcs) = (&effective.settings, &effective.dcs);
    StoreOptions {
        name: dcs.name.clone(),
        section: dcs.section.clone(),
        folder: dcs.folder.clone(),
        path: dcs.path.clone(),
        sha256: dcs.sha256.clone(),
        namespace: dcs.namespace.clone(),
        scope: settings.scope.clone(),
        member: settings.name.clone(),
        ttl: settings.ttl,
        loop_wait: settings.loop_wait,
        retry_timeout: settings.retry_timeout,
    }
}

/// The lease guard. Where it is required, its absence is for the rules to deal with.
async fn guard(effective: &Effective) -> Result<Option<Guard>> {
    if effective.settings.guard == FenceMode::Off {
        return Ok(None);
    }
    let options = GuardOptions {
        scope: effective.settings.scope.clone(),
        name: effective.settings.name.clone(),
        data_dir: effective.server.data_dir.clone(),
    };
    match Guard::start(&options).await {
        Ok(guard) => Ok(Some(guard)),
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!("{error:#}: a server whose daemon dies is not stopped at the lock's end");
            Ok(None)
        }
    }
}

/// Reads the store for the first time: for the configuration, and to see that nobody else runs under our name. A
/// server that is found running is not left without a loop while the store is away.
async fn first_reading(store: &Store, configuration: &mut Configuration, client: &reqwest::Client) -> Result<()> {
    loop {
        let effective = Arc::clone(&configuration.effective);
        match store.load(effective.settings.retry_timeout).await {
            Answer::Done(snapshot) => {
                let namesake = snapshot.view.member(&effective.settings.name);
                if let Some(url) = namesake.and_then(|member| member.api_url.clone()) {
                    refuse_namesake(client, &effective.settings.name, &url).await?;
                }
                if let Some(document) = &snapshot.config {
                    configuration.take_dynamic(document, &snapshot.config_long);
                }
                return Ok(());
            }
            Answer::Refused(why) | Answer::Unreachable(why) | Answer::Unknown(why) => {
                tracing::warn!("the store can not be read yet: {why}");
                if find_running(&effective.server.data_dir).is_some() {
                    return Ok(());
                }
                pause().await;
            }
        }
    }
}

async fn refuse_namesake(client: &reqwest::Client, name: &str, api_url: &str) -> Result<()> {
    let url = api_url.trim_end_matches("/patroni").to_owned() + "/liveness";
    if client.get(url).timeout(NAMESAKE_PATIENCE).send().await.is_ok() {
        bail!("Can't start; there is already a node named '{name}' running");
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "paces the attempts to reach the store")]
async fn pause() {
    tokio::time::sleep(STORE_PAUSE).await; // pace: the store is away and nothing tells when it is back
}

/// The API's options by the configuration.
pub(super) fn api_options(effective: &Effective) -> api::Options {
    let restapi = &effective.restapi;
    api::Options {
        listen: restapi.listen.clone(),
        authentication: restapi.authentication.clone(),
        certfile: restapi.certfile.clone(),
        keyfile: restapi.keyfile.clone(),
        keyfile_password: restapi.keyfile_password.clone(),
        ciphers: restapi.ciphers.clone(),
        request_queue_size: restapi.request_queue_size,
        cafile: restapi.cafile.clone(),
        verify_client: restapi.verify_client.clone(),
        allowlist: restapi.allowlist.clone(),
        allowlist_include_members: restapi.allowlist_include_members,
        extra_headers: restapi.extra_headers.clone(),
        server_tokens: restapi.server_tokens.clone(),
    }
}

/// The log's options by the configuration (LOG-01 to LOG-09).
pub(super) fn log_options(log: &LogSettings) -> logging::Options {
    logging::Options {
        look: match &log.form {
            LogForm::Plain(text) => logging::Look::Plain(text.clone()),
            LogForm::Json(fields) => logging::Look::Json(fields.clone(), log.static_fields.clone()),
        },
        dateformat: log.dateformat.clone(),
        level: log.level.clone(),
        loggers: log.loggers.clone(),
        queue: log.max_queue_size,
        file: log.dir.as_ref().map(|dir| logging::FileOptions {
            dir: dir.clone(),
            mode: log.mode,
            size: log.file_size,
            kept: log.file_num,
        }),
    }
}

/// Why the log's file can not be used.
pub(super) fn log_file_error(options: &logging::Options, error: &std::io::Error) -> String {
    let dir = options.file.as_ref().map(|file| file.dir.display().to_string()).unwrap_or_default();
    format!("log.dir: the log file in {dir:?} can not be opened: {error}")
}

/// Ends the daemon before it has a log.
#[allow(clippy::print_stderr, reason = "there is no log yet")]
pub(super) fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
