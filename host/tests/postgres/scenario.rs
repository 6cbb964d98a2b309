//! Servers for the tests: on free ports, in one temporary folder, stopped whatever happens.

use regent::methods::{bootstrap_initdb, create_replica, post_bootstrap};
use regent::postgres::{self, Binaries, Connection, FollowTarget, Purpose, Server, StopMode, Wanted};
use regent_core::model::{
    Account, Accounts, BootstrapSettings, CommandOption, Monitoring, Postmaster, PostmasterStatus, RoleOverrides,
    Secret, ServerSettings, Source,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// More than anything here takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// All servers of a test.
pub struct World {
    folder: tempfile::TempDir,
    directories: Mutex<Vec<PathBuf>>,
}

/// One server.
pub struct Node {
    pub server: Server,
}

impl World {
    pub fn new() -> World {
        World { folder: tempfile::tempdir().unwrap(), directories: Mutex::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server with nothing in its data directory yet.
    pub async fn node(&self, name: &str) -> Node {
        let settings = settings(name, self.path(name), free_port());
        self.directories.lock().unwrap().push(settings.data_dir.clone());
        let binaries = Binaries::find(&settings).await.unwrap();
        Node { server: Server { settings: Arc::new(settings), binaries } }
    }

    pub async fn stop(self) {
        let directories = self.directories.lock().unwrap().clone();
        for postmaster in directories.iter().filter_map(|directory| postgres::find_running(directory)) {
            postgres::stop(postmaster, StopMode::Immediate, LIMIT).await.unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for postmaster in
            self.directories.lock().unwrap().iter().filter_map(|directory| postgres::find_running(directory))
        {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(postmaster.pid), nix::sys::signal::Signal::SIGQUIT);
        }
    }
}

impl Node {
    pub fn sql(&self) -> Connection {
        Connection::new(&self.server, Purpose::Heartbeat)
    }

    /// The same server with other settings.
    pub fn changed(&self, change: impl FnOnce(&mut ServerSettings)) -> Server {
        let mut settings = self.server.settings.as_ref().clone();
        change(&mut settings);
        Server { settings: Arc::new(settings), ..self.server.clone() }
    }

    pub fn as_source(&self, slot: Option<&str>) -> Source {
        let settings = &self.server.settings;
        Source {
            name: settings.name.clone(),
            host: "127.0.0.1".into(),
            port: settings.port.to_string(),
            slot: slot.map(str::to_owned),
        }
    }

    pub async fn make_primary(&self) -> Postmaster {
        let bootstrap = BootstrapSettings {
            initdb: vec![
                CommandOption { name: "data-checksums".into(), value: None },
                CommandOption { name: "auth".into(), value: Some("scram-sha-256".into()) },
            ],
            ..BootstrapSettings::default()
        };
        bootstrap_initdb(&self.server, &bootstrap).await.unwrap();
        let started = self.server.start(&Wanted::primary(), LIMIT).await.unwrap();
        assert_eq!(started.status, PostmasterStatus::Ready);
        post_bootstrap(&self.server, &bootstrap).await.unwrap();
        started.postmaster
    }

    pub async fn clone_of(&self, other: &Node) -> Postmaster {
        let source = other.as_source(Some("b"));
        create_replica(&self.server, Some(&source), &[], &|_| {}).await.unwrap();
        let wanted = Wanted::replica(FollowTarget::Source(source));
        let started = self.server.start(&wanted, LIMIT).await.unwrap();
        assert_eq!(started.status, PostmasterStatus::Standby);
        started.postmaster
    }

    pub async fn until_row(&self, n: u32) {
        let mut sql = self.sql();
        let question = format!("SELECT 1 FROM public.t WHERE n = {n}");
        poll("the row", async || sql.rows("the row", &question, LIMIT).await.is_ok_and(|rows| !rows.is_empty())).await;
    }

    pub async fn until(&self, what: &str, seen: impl Fn(&Monitoring) -> bool) {
        let mut sql = self.sql();
        let version = self.server.binaries.version();
        poll(what, async || postgres::monitor(&mut sql, version, false).await.is_ok_and(|answer| seen(&answer))).await;
    }
}

pub async fn poll(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let polled = async {
        while !done().await {
            pace.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, polled).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn account(name: &str, password: &str) -> Account {
    Account { username: Some(name.into()), password: Some(Secret(password.into())), ..Account::default() }
}

fn settings(name: &str, folder: PathBuf, port: u16) -> ServerSettings {
    let parameters = [
        ("unix_socket_directories", folder.to_str().unwrap()),
        ("shared_buffers", "16MB"),
        ("logging_collector", "off"),
    ];
    ServerSettings {
        name: name.into(),
        scope: "demo".into(),
        data_dir: folder.join("data"),
        config_dir: folder.join("data"),
        config_base_name: "postgresql".into(),
        custom_conf: None,
        unlisted: BTreeSet::new(),
        bin_dir: Some("/usr/lib/postgresql/15/bin".into()),
        bin_name: BTreeMap::new(),
        listen_addresses: "127.0.0.1".into(),
        port,
        connect_address: format!("127.0.0.1:{port}"),
        proxy_address: None,
        database: "postgres".into(),
        pgpass: folder.join("pgpass"),
        krbsrvname: None,
        accounts: Accounts {
            superuser: account("admin", "super secret"),
            replication: account("replicator", "it's: \\ streaming"),
            rewind: Some(account("rewinder", "rewinding")),
        },
        use_unix_socket: false,
        use_unix_socket_repl: false,
        parameters: parameters.map(|(name, value)| (name.into(), value.into())).into(),
        primary: RoleOverrides::default(),
        replica: RoleOverrides::default(),
        standby_leader: RoleOverrides::default(),
        pg_hba: Some(vec![
            "host all all 127.0.0.1/32 scram-sha-256".into(),
            "host replication all 127.0.0.1/32 scram-sha-256".into(),
        ]),
        pg_ident: None,
        recovery_conf: BTreeMap::new(),
        callbacks: BTreeMap::new(),
        create_replica_methods: Vec::new(),
        methods: BTreeMap::new(),
        basebackup: Vec::new(),
        rewind_options: Vec::new(),
        start_timeout: LIMIT,
        pre_promote: None,
        before_stop: None,
        use_slots: true,
    }
}
