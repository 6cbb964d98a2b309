//! Wires the rooms into one daemon: configuration, store, server, guard, API and loop, in that order.
//!
//! It holds no logic of its own beyond the order of things at the start and at the end.

pub mod init;
mod manager;
mod startup;

use crate::agent::handle::{Handle, Request};
use crate::agent::{self, Parts};
use crate::api::ApiServer;
use crate::config::{Effective, Source};
use crate::ports;
use crate::telemetry::logging;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

/// How long the end of the daemon waits for the reader of its log.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// The exit code when the log was not read to its end (LOG-07).
const LOG_UNWRITTEN: u8 = 5;

/// Runs the daemon on the configuration at `path` (a file or a folder), or on the environment alone.
///
/// One thread runs everything but the store's backend, which has threads of its own: a member of a cluster mostly
/// waits, and a second core belongs to the database.
pub fn run(path: Option<PathBuf>) -> ExitCode {
    let logging = logging::start();
    // Before there are other threads: each has a mask of its own.
    init::hear_all_signals();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return startup::refuse(&format!("the daemon's runtime can not be built: {error}"));
        }
    };
    let code = runtime.block_on(serve(Source::new(path, ports::patroni_variables()), logging));
    runtime.shutdown_background();
    match logging.finish(LOG_PATIENCE) {
        Err(logging::Unwritten) if code == 0 => ExitCode::from(LOG_UNWRITTEN),
        _ => ExitCode::from(code),
    }
}

async fn serve(source: Source, logging: logging::Control) -> u8 {
    let started = match startup::begin(source).await {
        Ok(started) => started,
        Err(error) => {
            tracing::error!(target: logging::CRITICAL, "{error:#}");
            return 1;
        }
    };
    let log_options = startup::log_options(&started.effective.log);
    if let Err(error) = logging.apply(&log_options) {
        let error = startup::log_file_error(&log_options, &error);
        tracing::error!(target: logging::CRITICAL, "{error}");
        return 1;
    }
    let applied = started.parts.applied.subscribe();
    let (agent, handle) = agent::build(started.parts);
    let api = match ApiServer::start(startup::api_options(&started.effective), handle.clone()).await {
        Ok(api) => api,
        Err(error) => {
            tracing::error!(target: logging::CRITICAL, "the REST API can not be served: {error}");
            return 1;
        }
    };
    tokio::spawn(hear_signals(handle.requests.clone()));
    tokio::spawn(follow_configuration(applied, api, logging, log_options));
    manager::ready();
    agent.run().await
}

/// SIGTERM and SIGINT end the daemon in order, once; SIGHUP reads the configuration again.
async fn hear_signals(requests: mpsc::Sender<Request>) {
    let streams = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = streams else {
        tracing::error!("signals can not be heard: only SIGKILL ends this daemon");
        return;
    };
    loop {
        let going_on = tokio::select! {
            _ = terminate.recv() => shut_down(&requests).await,
            _ = interrupt.recv() => shut_down(&requests).await,
            _ = hangup.recv() => reload(&requests).await,
        };
        if !going_on {
            return;
        }
    }
}

async fn shut_down(requests: &mpsc::Sender<Request>) -> bool {
    manager::stopping();
    requests.send(Request::Shutdown).await.is_ok()
}

async fn reload(requests: &mpsc::Sender<Request>) -> bool {
    manager::reloading();
    let (reply, done) = oneshot::channel();
    let taken = requests.send(Request::Reload(Some(reply))).await.is_ok();
    // A stop may come in between: nothing is ready then.
    if taken && done.await.is_ok() {
        manager::ready();
    }
    taken
}

/// Lets the API and the log follow each configuration that comes into force.
async fn follow_configuration(
    mut applied: watch::Receiver<Arc<Effective>>,
    mut api: ApiServer,
    logging: logging::Control,
    mut log_options: logging::Options,
) {
    while applied.changed().await.is_ok() {
        let effective = Arc::clone(&applied.borrow_and_update());
        let wanted = startup::log_options(&effective.log);
        if wanted != log_options {
            match logging.apply(&wanted) {
                Ok(()) => log_options = wanted,
                Err(error) => tracing::error!("{}", startup::log_file_error(&wanted, &error)),
            }
        }
        if let Err(error) = api.reconfigure(startup::api_options(&effective)).await {
            tracing::error!("the REST API keeps its old settings: {error}");
        }
    }
}

/// What the loop and the wiring around it need once the start went well.
pub(super) struct Started {
    parts: Parts,
    effective: Arc<Effective>,
}

/// Lets the compiler check that the door can be shared with the API's tasks.
const _: fn(Handle) = |handle| {
    fn shared<T: Send + Sync + Clone>(_: T) {}
    shared(handle);
};
