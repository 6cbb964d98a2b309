//! Making the data directory, and the server on it: the first one of a cluster, or a replica's.

use super::deeds::{Deeds, STOP_LIMIT};
use crate::methods::{self, MethodError, Progress};
use crate::ports;
use crate::postgres::{self, FollowTarget, PgError, StatusWatch, Wanted};
use regent_core::model::{BootstrapSettings, MethodSettings, Moment, Postmaster, PostmasterStatus, Role, Source};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the log says how far a method is: a restore may take a day, and somebody waits for it.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

impl Deeds {
    /// The first server of a cluster.
    pub(super) async fn bootstrap(&self) -> Result<(), MethodError> {
        let bootstrap = &self.effective.bootstrap;
        if let Some(method) = &bootstrap.method {
            return self.bootstrap_custom(method, bootstrap).await;
        }
        methods::bootstrap_initdb(self.server(), bootstrap).await?;
        self.launch_and_wait(&self.wanted_primary(), Role::Primary).await?;
        methods::post_bootstrap(self.server(), bootstrap).await
    }

    /// BOOT-03: what the method left recovers, is set up while nobody else gets in, and then is as configured.
    async fn bootstrap_custom(
        &self,
        method: &MethodSettings,
        bootstrap: &BootstrapSettings,
    ) -> Result<(), MethodError> {
        let server = self.server();
        let log = ProgressLog::of(self);
        methods::bootstrap_custom(server, method, bootstrap, &|progress| log.hear(&progress)).await?;
        let access = server.access_to_keep().await?;
        let synchronous_standby_names = self.names().map(str::to_owned);
        let wanted = Wanted { synchronous_standby_names, ..Wanted::custom_bootstrap(bootstrap) };
        let postmaster = self.launch_and_wait(&wanted, Role::Primary).await?;
        self.end_of_recovery(postmaster).await?;
        methods::post_bootstrap(server, bootstrap).await?;
        Ok(self.open_to_all(postmaster, access).await?)
    }

    /// The server may answer while it still recovers; only a primary can be set up.
    async fn end_of_recovery(&self, postmaster: Postmaster) -> Result<(), PgError> {
        let data_dir = &self.server().settings.data_dir;
        if postgres::postmaster_status(data_dir, postmaster) != Some(PostmasterStatus::Ready) {
            tracing::info!(
                "waiting for end of recovery after bootstrap; one that pauses at its target is ended by \
                 `recovery_target_action: promote`, or by hand"
            );
        }
        let mut watch = StatusWatch::open(data_dir)?;
        watch.until(postmaster, &[PostmasterStatus::Ready]).await.map(drop)
    }

    /// Takes back what was forced for the bootstrap: archiving (BOOT-05) needs a restart, who gets in does not.
    async fn open_to_all(&self, postmaster: Postmaster, access: Option<String>) -> Result<(), PgError> {
        let server = self.server();
        let mut connection = self.connection();
        let wanted = self.wanted_primary();
        server.configure(&wanted).await?;
        if let Some(access) = access {
            server.put_access_back(access).await?;
        }
        server.reload(&mut connection).await?;
        let waiting = server.pending_restart(&mut connection).await?;
        if waiting.is_empty() {
            self.set_pending(waiting);
            return server.save_configuration().await;
        }
        let names: Vec<&str> = waiting.iter().map(|one| one.name.as_str()).collect();
        tracing::info!("the server restarts after the bootstrap, for {} to change", names.join(", "));
        drop(connection);
        postgres::stop(postmaster, postgres::StopMode::Fast, STOP_LIMIT).await?;
        self.launch_and_wait(&wanted, Role::Primary).await.map(drop)
    }

    /// A replica, and the server on it.
    pub(super) async fn clone_from(&self, source: Option<Source>, only_basebackup: bool) -> Result<(), MethodError> {
        // Whoever copies the remote side is the first of a standby cluster.
        let site = self.effective.settings.standby_cluster.as_ref();
        let first = site.filter(|_| source.as_ref().is_none_or(Source::is_remote));
        let configured =
            first.map_or(&self.effective.server.create_replica_methods, |site| &site.create_replica_methods);
        let basebackup = ["basebackup".to_owned()];
        let order = if only_basebackup || configured.is_empty() { &basebackup } else { configured.as_slice() };
        let log = ProgressLog::of(self);
        let progress = |progress: Progress| log.hear(&progress);
        let method = methods::create_replica(self.server(), source.as_ref(), order, &progress).await?;
        tracing::info!("the replica was made by {method}");
        let target = source.map_or(FollowTarget::None, |source| FollowTarget::Source(self.with_slot(source)));
        self.launch_and_wait(&self.wanted_replica(target), Role::Replica).await?;
        Ok(())
    }

    /// A clone takes no slot, for there is none yet; the standby that comes of it does.
    fn with_slot(&self, source: Source) -> Source {
        if source.is_remote() {
            return source;
        }
        let slot =
            self.effective.settings.use_slots.then(|| regent_core::decide::slot_name(&self.server().settings.name));
        Source { slot, ..source }
    }
}

/// Shows how far a method is, and says so in the log now and then.
struct ProgressLog<'a> {
    said: Mutex<Option<Moment>>,
    shown: &'a Mutex<Option<Progress>>,
}

impl ProgressLog<'_> {
    fn of(deeds: &Deeds) -> ProgressLog<'_> {
        ProgressLog { said: Mutex::new(None), shown: &deeds.progress }
    }

    fn hear(&self, progress: &Progress) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        let now = ports::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now.since(said) >= PROGRESS_INTERVAL) {
            *said = Some(now);
            tracing::info!("{}", sentence(progress));
        }
    }
}

/// What ended, or was given up, is at nothing any more.
impl Drop for ProgressLog<'_> {
    fn drop(&mut self) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn sentence(progress: &Progress) -> String {
    let mut text = format!("{}: {} bytes", progress.method, progress.bytes);
    if let Some(total) = progress.bytes_total {
        text.push_str(&format!(" of {total}"));
    }
    if let Some(percent) = progress.percent() {
        text.push_str(&format!(" ({percent} %)"));
    }
    if let Some(files) = progress.files {
        text.push_str(&format!(" in {files} files"));
    }
    if !progress.message.is_empty() {
        text.push_str(&format!(" ({})", progress.message));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_sentence() {
        let check = |bytes_total, files, message: &str, expected: &str| {
            let progress = Progress { method: "m".into(), bytes: 7, bytes_total, files, message: message.into() };
            assert_eq!(sentence(&progress), expected);
        };
        check(None, None, "", "m: 7 bytes");
        check(Some(9), Some(2), "base.tar", "m: 7 bytes of 9 (77 %) in 2 files (base.tar)");
    }
}
