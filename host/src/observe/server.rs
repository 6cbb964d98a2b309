//! Watches the local server: its process (pidfd), its pid file and control file (inotify), and its answers (one
//! monitoring statement a second). What it sees goes to the loop as events.

use super::timeline::LogTimeline;
use crate::ports;
use crate::postgres::{self, Connection, FileEvent, Purpose, Server, StatusWatch};
use regent_core::model::{
    ControlData, DataDirectory, Moment, Monitoring, Observed, Postmaster, PostmasterStatus, ServerView,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Between two monitoring statements: health checks never answer from a state older than this.
const MONITORING_INTERVAL: Duration = Duration::from_secs(1);

/// A standby that may still read its own log is asked sooner again, then after twice as long, up to the interval.
const FIRST_DOUBT: Duration = Duration::from_millis(50);

/// Something was seen at the local server.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a few are on their way at a time")]
pub enum ServerEvent {
    /// It was started by us.
    Found(Postmaster),
    /// Its pid file says something else.
    Status(Postmaster, PostmasterStatus),
    /// It ended.
    Ended(Postmaster, Moment),
    /// It answered, or did not.
    Monitored(Postmaster, Observed<Monitoring>),
    /// The control file was read.
    Control(Observed<ControlData>),
    /// The data directory was looked at.
    Directory {
        /// What it holds.
        directory: DataDirectory,
        /// A start would go into recovery.
        recovery_signal: bool,
    },
}

/// The watch over the local server.
#[derive(Debug)]
pub struct ServerWatch {
    server: watch::Sender<Server>,
    initial: ServerView,
    target: watch::Sender<Option<(Postmaster, PostmasterStatus)>>,
    monitor_now: Arc<Notify>,
    sender: Option<mpsc::Sender<ServerEvent>>,
    watched: Option<(Postmaster, tokio::task::AbortHandle)>,
}

impl ServerWatch {
    /// Looks at the server once, so that the loop begins with what is there.
    pub async fn open(server: &Server) -> ServerWatch {
        let data_dir = &server.settings.data_dir;
        let initial = ServerView {
            data_directory: postgres::data_directory(data_dir),
            postmaster: None,
            status: None,
            monitoring: Observed::Unseen("not asked yet".to_owned()),
            control: read_control(server).await,
            ended_at: None,
            recovery_signal: postgres::has_recovery_signal(data_dir),
            version: server.binaries.version(),
        };
        let mut watch = ServerWatch {
            server: watch::Sender::new(server.clone()),
            initial,
            target: watch::Sender::new(None),
            monitor_now: Arc::new(Notify::new()),
            sender: None,
            watched: None,
        };
        let mut view = watch.initial.clone();
        watch.look(&mut view);
        watch.initial = view;
        watch
    }

    /// Takes a changed configuration of the server.
    pub fn reconfigure(&self, server: &Server) {
        self.server.send_replace(server.clone());
    }

    /// What was there when the watch was opened.
    pub fn initial(&self) -> ServerView {
        self.initial.clone()
    }

    /// Begins to send events.
    pub fn start(&mut self, sender: mpsc::Sender<ServerEvent>) {
        self.sender = Some(sender.clone());
        let monitor = Monitor {
            server: self.server.subscribe(),
            target: self.target.subscribe(),
            now: Arc::clone(&self.monitor_now),
            sender,
        };
        tokio::spawn(monitor.run());
        if let Some(postmaster) = self.initial.postmaster {
            self.attach(postmaster);
        }
    }

    /// Asks the server as soon as possible, beside the usual interval.
    pub fn monitor_now(&self) {
        self.monitor_now.notify_one();
    }

    /// Watches this postmaster from now on.
    pub fn attach(&mut self, postmaster: Postmaster) {
        let Some(sender) = self.sender.clone() else {
            return;
        };
        if let Some((watched, abort)) = self.watched.take() {
            if watched == postmaster {
                self.watched = Some((watched, abort));
                return;
            }
            abort.abort();
        }
        let follower =
            Follower { server: self.server.borrow().clone(), target: self.target.clone(), sender, postmaster };
        let abort = tokio::spawn(follower.run()).abort_handle();
        self.watched = Some((postmaster, abort));
    }

    /// Takes in at once what can be seen without waiting: the data directory, and whether a postmaster runs on it.
    pub fn look(&mut self, view: &mut ServerView) {
        let data_dir = self.server.borrow().settings.data_dir.clone();
        view.data_directory = postgres::data_directory(&data_dir);
        view.recovery_signal = postgres::has_recovery_signal(&data_dir);
        // A server that was started an instant ago has not written its pid file yet.
        let found = postgres::find_running(&data_dir).or(view.postmaster.filter(|known| postgres::is_alive(*known)));
        if view.postmaster.is_some() && found.is_none() {
            view.ended_at = Some(ports::now());
            view.monitoring = Observed::Unseen("the server ended".to_owned());
        }
        if view.postmaster != found {
            view.monitoring = Observed::Unseen("not asked yet".to_owned());
        }
        view.postmaster = found;
        view.status = found.and_then(|postmaster| postgres::postmaster_status(&data_dir, postmaster));
        match found {
            Some(postmaster) => self.attach(postmaster),
            None => self.read_control_soon(),
        }
        if let (Some(postmaster), Some(status)) = (view.postmaster, view.status) {
            self.target.send_replace(Some((postmaster, status)));
        }
    }

    /// Reads the control file and sends what it says as an event.
    pub fn read_control_soon(&self) {
        let Some(sender) = self.sender.clone() else {
            return;
        };
        let server = self.server.borrow().clone();
        tokio::spawn(async move {
            let control = read_control(&server).await;
            send(&sender, ServerEvent::Control(control)).await;
        });
    }
}

async fn read_control(server: &Server) -> Observed<ControlData> {
    let at = ports::now();
    match postgres::control_data(&server.binaries, &server.settings.data_dir).await {
        Ok(value) => Observed::Seen { value, at },
        Err(error) => Observed::Unseen(error.to_string()),
    }
}

async fn send(sender: &mpsc::Sender<ServerEvent>, event: ServerEvent) {
    if sender.send(event).await.is_err() {
        tracing::debug!("the server was seen to change after the loop had ended");
    }
}

/// Follows one postmaster to its end.
struct Follower {
    server: Server,
    target: watch::Sender<Option<(Postmaster, PostmasterStatus)>>,
    sender: mpsc::Sender<ServerEvent>,
    postmaster: Postmaster,
}

impl Follower {
    async fn run(self) {
        tokio::select! {
            biased;
            ended = postgres::ended(self.postmaster) => {
                if let Err(error) = ended {
                    tracing::error!("the end of the server can not be watched: {error}");
                }
            }
            () = self.follow_files() => {}
        }
        self.ended().await;
    }

    /// Returns only with the data directory gone; the server's end is watched beside.
    async fn follow_files(&self) {
        let opened = StatusWatch::open(&self.server.settings.data_dir).and_then(|mut watch| {
            watch.watch_control()?;
            Ok(watch)
        });
        let mut watch = match opened {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!("the server's files can not be watched: {error}");
                return std::future::pending().await;
            }
        };
        loop {
            match watch.next().await {
                Ok(FileEvent::Status { pid, .. }) if pid == self.postmaster.pid => self.status().await,
                Ok(FileEvent::ControlWritten) => {
                    self.status().await;
                    let control = read_control(&self.server).await;
                    send(&self.sender, ServerEvent::Control(control)).await;
                }
                Ok(FileEvent::DirectoryGone) | Err(_) => {
                    self.directory().await;
                    return std::future::pending().await;
                }
                Ok(_) => {}
            }
        }
    }

    async fn directory(&self) {
        let data_dir = &self.server.settings.data_dir;
        let directory = postgres::data_directory(data_dir);
        let recovery_signal = postgres::has_recovery_signal(data_dir);
        send(&self.sender, ServerEvent::Directory { directory, recovery_signal }).await;
    }

    async fn status(&self) {
        let data_dir = &self.server.settings.data_dir;
        let Some(status) = postgres::postmaster_status(data_dir, self.postmaster) else {
            return;
        };
        self.target.send_replace(Some((self.postmaster, status)));
        self.directory().await;
        send(&self.sender, ServerEvent::Status(self.postmaster, status)).await;
    }

    async fn ended(self) {
        self.target.send_if_modified(|target| {
            let ours = target.is_some_and(|(postmaster, _)| postmaster == self.postmaster);
            if ours {
                *target = None;
            }
            ours
        });
        // A server has ended when none of its processes can answer a client any more.
        match postgres::end_orphans(&self.server.settings.data_dir).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!("the postmaster left {count} processes behind, which were ended"),
            Err(error) => tracing::error!("what the postmaster left behind could not be ended: {error}"),
        }
        send(&self.sender, ServerEvent::Ended(self.postmaster, ports::now())).await;
        self.directory().await;
        let control = read_control(&self.server).await;
        send(&self.sender, ServerEvent::Control(control)).await;
    }
}

/// Asks a server that takes connections, once an interval and whenever something says so.
struct Monitor {
    server: watch::Receiver<Server>,
    target: watch::Receiver<Option<(Postmaster, PostmasterStatus)>>,
    now: Arc<Notify>,
    sender: mpsc::Sender<ServerEvent>,
}

impl Monitor {
    async fn run(mut self) {
        let mut server = self.server.borrow_and_update().clone();
        let mut connection = Connection::new(&server, Purpose::Heartbeat);
        // Whose log was read to its end, and in which session that was seen.
        let mut read: Option<(Postmaster, u64)> = None;
        let mut doubt = FIRST_DOUBT;
        let mut log = LogTimeline::default();
        loop {
            if self.server.has_changed().unwrap_or(false) {
                server = self.server.borrow_and_update().clone();
                connection = Connection::new(&server, Purpose::Heartbeat);
            }
            let target = *self.target.borrow_and_update();
            let up = target.filter(|(_, status)| matches!(status, PostmasterStatus::Ready | PostmasterStatus::Standby));
            let Some((postmaster, _)) = up else {
                connection.close();
                if self.target.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let at = ports::now();
            let session = connection.sessions();
            let known = read == Some((postmaster, session));
            let mut pause = MONITORING_INTERVAL;
            let answer = match postgres::monitor(&mut connection, server.binaries.version(), known).await {
                Ok(mut value) => {
                    value.log_was_read &= !known || connection.sessions() == session;
                    read = value.log_was_read.then(|| (postmaster, connection.sessions()));
                    log.complete(&server, postmaster, &mut value).await;
                    // An election may wait for the end of its log.
                    (pause, doubt) = match read {
                        Some(_) => (MONITORING_INTERVAL, FIRST_DOUBT),
                        None => (doubt, MONITORING_INTERVAL.min(doubt * 2)),
                    };
                    Observed::Seen { value, at }
                }
                Err(error) => Observed::Unseen(error.to_string()),
            };
            if self.sender.send(ServerEvent::Monitored(postmaster, answer)).await.is_err() {
                return;
            }
            tokio::select! {
                changed = self.target.changed() => if changed.is_err() { return },
                () = self.now.notified() => {}
                () = interval(pause) => {}
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the interval of the monitoring statement")]
async fn interval(pause: Duration) {
    tokio::time::sleep(pause).await; // pace: at most one statement a second, but in doubt
}
