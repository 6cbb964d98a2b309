//! Starting the server: configuration, process, and waiting for its own word that it is there.

use super::binaries::Tool;
use super::error::{PgError, blocking};
use super::files::{self, Wanted, Written};
use super::orphans::{end_orphans, end_strays};
use super::process::{self, ended};
use super::watch::StatusWatch;
use super::{Server, run, spawn};
use regent_core::model::{Postmaster, PostmasterStatus};
use std::ffi::OsString;
use std::time::Duration;

/// A server that was started.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// Its process.
    pub postmaster: Postmaster,
    /// What it says of itself: `Starting` where it still recovers when the limit was over, which is no failure.
    pub status: PostmasterStatus,
    /// What its configuration is.
    pub written: Written,
}

impl Server {
    /// Writes the configuration, starts the server and waits until it takes connections, for at most `limit`. Refuses
    /// where a server runs already. Dropping the future leaves a server that was started running.
    pub async fn start(&self, wanted: &Wanted, limit: Duration) -> Result<Started, PgError> {
        let (postmaster, written) = self.launch(wanted).await?;
        let status = self.wait_until_up(postmaster, limit).await?;
        if status != PostmasterStatus::Starting {
            self.save_configuration().await?;
        }
        Ok(Started { postmaster, status, written })
    }

    /// Writes the configuration and starts the server; does not wait for anything.
    pub async fn launch(&self, wanted: &Wanted) -> Result<(Postmaster, Written), PgError> {
        run::settled().await;
        let data_dir = &self.settings.data_dir;
        if let Some(running) = process::find_running(data_dir) {
            return Err(PgError::Running(running.pid));
        }
        self.refuse_half_rewound()?;
        end_strays(data_dir).await?;
        if end_orphans(data_dir).await? > 0 {
            tracing::info!("processes of the last server outlived their postmaster and were ended");
        }
        let written = self.configure(wanted).await?;
        self.make_socket_folders().await?;
        let program = self.binaries.path(Tool::Postgres)?;
        let arguments = self.command_line(&written);
        tracing::info!("starting PostgreSQL {}", self.binaries.version());
        let pid = spawn::spawn_session(&program, arguments, self.environment())?;
        // A child that has ended already is a zombie until it is reaped, so it can always be identified.
        let postmaster = process::identify(pid).ok_or(PgError::NotRunning)?;
        Ok((postmaster, written))
    }

    /// Waits until this server takes connections, for at most `limit`; `Starting` when it does not yet.
    pub async fn wait_until_up(&self, postmaster: Postmaster, limit: Duration) -> Result<PostmasterStatus, PgError> {
        let mut watch = StatusWatch::open(&self.settings.data_dir)?;
        let up = watch.until(postmaster, &[PostmasterStatus::Standby, PostmasterStatus::Ready]);
        match tokio::time::timeout(limit, up).await {
            Ok(status) => status,
            Err(_) if process::is_alive(postmaster) => Ok(PostmasterStatus::Starting),
            Err(_) => Err(PgError::EndedAtStart(ended(postmaster).await?.to_string())),
        }
    }

    fn command_line(&self, written: &Written) -> Vec<OsString> {
        let program = self.binaries.path(Tool::Postgres).map(OsString::from).unwrap_or_else(|_| "postgres".into());
        let mut config_file = OsString::from("--config-file=");
        config_file.push(files::main_file(&self.settings));
        let mut arguments = vec![program, "-D".into(), self.settings.data_dir.clone().into(), config_file];
        let parameters = files::command_line(&written.parameters);
        arguments.extend(parameters.into_iter().map(|(name, value)| format!("--{name}={value}").into()));
        arguments
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut environment = run::child_environment();
        if let Some((name, _)) = environment.iter_mut().find(|(name, _)| name == "PG_MALLOC_ARENA_MAX") {
            *name = "MALLOC_ARENA_MAX".into();
        }
        if let Some(stranger) = process::stranger(&self.settings.data_dir) {
            let command = process::command_of(stranger).unwrap_or_else(|| "which is gone".to_owned());
            tracing::warn!(
                "postmaster.pid names the process {stranger} ({command}): it is no server of this directory"
            );
            environment.push(("PG_GRANDPARENT_PID".into(), stranger.to_string().into()));
        }
        environment
    }

    /// Folders for sockets are often on a file system that is empty after a boot.
    async fn make_socket_folders(&self) -> Result<(), PgError> {
        let Some(folders) = self.settings.parameters.get("unix_socket_directories").cloned() else {
            return Ok(());
        };
        blocking(move || {
            for folder in folders.split(',').map(str::trim).filter(|folder| folder.starts_with('/')) {
                std::fs::create_dir_all(folder).map_err(PgError::io_at("create", folder.as_ref()))?;
            }
            Ok(())
        })
        .await
    }
}
