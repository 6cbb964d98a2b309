//! What the tests of the API share: a published state, a loop that answers as it is told, a client that reads bytes.

use crate::agent::handle::{Handle, Published, Request, Snapshot};
use crate::agent::journal::Journal;
use crate::api::{ApiServer, Options};
use crate::ports;
use regent_core::model::*;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// Longer than anything here takes on the busiest machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn settings() -> Settings {
    Settings {
        name: "postgresql0".to_owned(),
        scope: "batman".to_owned(),
        ttl: Duration::from_secs(20),
        loop_wait: Duration::from_secs(3),
        retry_timeout: Duration::from_secs(5),
        maximum_lag_on_failover: 1_048_576,
        maximum_lag_on_syncnode: None,
        max_timelines_history: None,
        check_timeline: false,
        primary_start_timeout: Duration::from_secs(300),
        primary_stop_timeout: None,
        primary_race_backoff: Duration::ZERO,
        synchronous_mode: SynchronousMode::Off,
        synchronous_mode_strict: false,
        synchronous_node_count: 1,
        failsafe_mode: false,
        paused: false,
        use_slots: true,
        use_pg_rewind: true,
        remove_data_directory_on_rewind_failure: false,
        remove_data_directory_on_diverged_timelines: false,
        member_slots_ttl: Duration::from_secs(1800),
        slots: Default::default(),
        ignore_slots: Vec::new(),
        standby_cluster: None,
        guard: FenceMode::Off,
        watchdog: FenceMode::Off,
        may_bootstrap: true,
        custom_bootstrap: false,
        clones_without_source: false,
        tags: Tags::default(),
    }
}

fn monitoring(is_primary: bool) -> Monitoring {
    let lsn = Some(Lsn(50_331_744));
    let row = ReplicationRow {
        usename: "replicator".to_owned(),
        application_name: "postgresql1".to_owned(),
        client_addr: Some("127.0.0.1".to_owned()),
        state: "streaming".to_owned(),
        sync_state: "async".to_owned(),
        sync_priority: 0,
        sent_lsn: lsn,
        write_lsn: lsn,
        flush_lsn: lsn,
        replay_lsn: lsn,
    };
    Monitoring {
        is_primary,
        server_version: 150_018,
        postmaster_start: WallTime(1_795_204_630_970_518),
        timeline: Some(Timeline(1)),
        current_lsn: lsn.filter(|_| is_primary),
        received_lsn: lsn.filter(|_| !is_primary),
        replayed_lsn: lsn.filter(|_| !is_primary),
        replayed_at: None,
        latest_end_lsn: lsn.filter(|_| !is_primary),
        replay_paused: false,
        log_was_read: true,
        replication_state: (!is_primary).then(|| "streaming".to_owned()),
        streaming_from: None,
        replication: if is_primary { vec![row] } else { Vec::new() },
        slots: Vec::new(),
        synchronous_standby_names: String::new(),
        synchronous_commit: Default::default(),
    }
}

fn member(name: &str, number: u16) -> (MemberView, Value) {
    let leads = number == 0;
    let lsn = Some(Lsn(50_331_744));
    let state = (!leads).then(|| "streaming".to_owned());
    let view = MemberView {
        name: name.to_owned(),
        conn_url: Some(format!("postgres://127.0.0.1:{}/postgres", 15430 + number)),
        api_url: Some(format!("http://127.0.0.1:{}/patroni", 18000 + number)),
        state: Some(PgState::Running),
        role: Some(if leads { Role::Primary } else { Role::Replica }),
        xlog_location: lsn,
        receive_lsn: lsn.filter(|_| !leads),
        replay_lsn: lsn.filter(|_| !leads),
        replication_state: state,
        timeline: Some(Timeline(1)),
        ..MemberView::default()
    };
    (view, json!({"state": "running", "timeline": 1, "tags": {"clonefrom": true, "custom": 1.5}}))
}

/// A reading of a cluster of two, led by `postgresql0`.
pub fn snapshot() -> Snapshot {
    let ((leader, leader_raw), (replica, replica_raw)) = (member("postgresql0", 0), member("postgresql1", 1));
    Snapshot {
        view: ClusterView {
            initialize: Some("7710345176211496303".to_owned()),
            leader: Some(LeaderView {
                name: "postgresql0".to_owned(),
                version: Version("1".to_owned()),
                session: String::new(),
            }),
            members: vec![leader, replica],
            config: Some(Version("7".to_owned())),
            status: StatusView { optime: Some(Lsn(50_331_744)), ..StatusView::default() },
            ..ClusterView::default()
        },
        config: Some(json!({"ttl": 20, "loop_wait": 3, "postgresql": {"use_pg_rewind": true}})),
        members_raw: [("postgresql0".to_owned(), leader_raw), ("postgresql1".to_owned(), replica_raw)].into(),
        failover_raw: json!({}),
        sync_raw: json!({}),
        history_raw: json!([]),
        ..Snapshot::default()
    }
}

/// The leader of that cluster.
pub fn leader() -> Published {
    let now = ports::now();
    Published {
        generation: 0,
        settings: Arc::new(settings()),
        state: PgState::Running,
        role: Role::Primary,
        monitoring: Some(Arc::new(monitoring(true))),
        monitoring_at: now,
        position_final: false,
        timeline: Some(1),
        system_id: Some("7710345176211496303".to_owned()),
        tags: Tags {
            raw: vec![("clonefrom".to_owned(), Scalar::Bool(true)), ("custom".to_owned(), Scalar::Real(1.5))],
        },
        pending_restart: Default::default(),
        scheduled_restart: None,
        cluster: Some(Arc::new(snapshot())),
        cluster_at: now,
        dcs_last_seen: 1_795_204_685,
        lease_deadline: Some(now + Duration::from_secs(3600)),
        failsafe_active: false,
        watchdog_failed: false,
        heartbeat_at: now,
        task: None,
        progress: None,
        guard: Default::default(),
        watchdog: Default::default(),
    }
}

/// The replica of that cluster.
pub fn replica() -> Published {
    let mut settings = settings();
    settings.name = "postgresql1".to_owned();
    Published {
        settings: Arc::new(settings),
        role: Role::Replica,
        monitoring: Some(Arc::new(monitoring(false))),
        lease_deadline: None,
        ..leader()
    }
}

/// A client as members have it to ask each other.
pub fn client() -> reqwest::Client {
    crate::config::member_client(&crate::config::CtlSettings::default(), crate::config::Verify::Nothing).unwrap()
}

/// A served API and the other end of its handle.
pub struct Served {
    pub server: ApiServer,
    pub publish: watch::Sender<Arc<Published>>,
    requests: Option<mpsc::Receiver<Request>>,
}

pub fn local(options: Options) -> Options {
    Options { listen: "127.0.0.1:0".to_owned(), ..options }
}

impl Served {
    pub async fn start(published: Published, options: Options) -> Served {
        let (publish, published) = watch::channel(Arc::new(published));
        let (sender, requests) = mpsc::channel(8);
        let journal = Arc::new(Journal::new(None));
        let (metrics, client) = (Default::default(), client());
        let handle = Handle { published, requests: sender, journal, metrics, client };
        let server = ApiServer::start(local(options), handle).await.unwrap();
        Served { server, publish, requests: Some(requests) }
    }

    /// Lets `answer` play the loop.
    pub fn on_request(&mut self, mut answer: impl FnMut(Request, &watch::Sender<Arc<Published>>) + Send + 'static) {
        let mut requests = self.requests.take().unwrap();
        let publish = self.publish.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                answer(request, &publish);
            }
        });
    }

    /// Sends a request without further headers, and reads everything that comes back.
    pub async fn ask(&self, method: &str, target: &str, body: Option<&str>) -> Answer {
        let length = body.map(|body| format!("Content-Length: {}\r\n", body.len())).unwrap_or_default();
        let body = body.unwrap_or_default();
        Answer::read(&self.send(&format!("{method} {target} HTTP/1.0\r\n{length}\r\n{body}")).await)
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, None).await
    }

    /// Sends bytes, and reads everything that comes back.
    pub async fn send(&self, bytes: &str) -> String {
        exchange(TcpStream::connect(self.address()).await.unwrap(), bytes.as_bytes()).await
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(bytes).await?;
        stream.read_to_end(&mut answer).await
    };
    let _reset = tokio::time::timeout(PATIENCE, talk).await.expect("the server answers in time").is_err();
    String::from_utf8(answer).unwrap()
}

/// An answer, taken apart.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn read(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let status = status.split_once(' ').map_or(status, |(_, status)| status).to_owned();
        Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn code(&self) -> u16 {
        self.status.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Code and body.
    pub fn said(&self) -> (u16, &str) {
        (self.code(), &self.body)
    }
}
