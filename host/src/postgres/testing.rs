//! Settings for unit tests.

use super::{Binaries, Server};
use regent_core::model::{Accounts, RoleOverrides, ServerSettings, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A server of a demo cluster on port 5432 whose files are nowhere.
pub fn settings() -> ServerSettings {
    ServerSettings {
        name: "node1".into(),
        scope: "demo".into(),
        data_dir: "/data".into(),
        config_dir: "/data".into(),
        config_base_name: "postgresql".into(),
        custom_conf: None,
        unlisted: BTreeSet::new(),
        bin_dir: None,
        bin_name: BTreeMap::new(),
        listen_addresses: "127.0.0.1".into(),
        port: 5432,
        connect_address: "127.0.0.1:5432".into(),
        proxy_address: None,
        database: "postgres".into(),
        pgpass: "/pgpass".into(),
        krbsrvname: None,
        accounts: Accounts::default(),
        use_unix_socket: false,
        use_unix_socket_repl: false,
        parameters: BTreeMap::new(),
        primary: RoleOverrides::default(),
        replica: RoleOverrides::default(),
        standby_leader: RoleOverrides::default(),
        pg_hba: None,
        pg_ident: None,
        recovery_conf: BTreeMap::new(),
        callbacks: BTreeMap::new(),
        create_replica_methods: vec!["basebackup".into()],
        methods: BTreeMap::new(),
        basebackup: Vec::new(),
        rewind_options: Vec::new(),
        start_timeout: Duration::from_secs(60),
        pre_promote: None,
        before_stop: None,
        use_slots: true,
    }
}

/// Another member to follow.
pub fn source() -> Source {
    Source { name: "node2".into(), host: "10.0.0.2".into(), port: "5433".into(), slot: Some("node1".into()) }
}

impl Server {
    /// A server that exists on paper only.
    pub fn for_tests(change: impl FnOnce(&mut ServerSettings)) -> Server {
        let mut settings = settings();
        change(&mut settings);
        Server { settings: Arc::new(settings), binaries: Binaries::for_tests(150_018) }
    }
}

#[test]
fn futures_stay_small() {
    // Each is part of the future of whoever awaits it; a large one overflows a thread's stack some day.
    let server = Server::for_tests(|_| {});
    let wanted = super::Wanted::primary();
    let limit = Duration::from_secs(1);
    let connection = || super::Connection::new(&server, super::Purpose::Work);
    let (mut sql, mut other) = (connection(), connection());
    let source = source();
    let sizes = [
        ("start", size_of_val(&server.start(&wanted, limit))),
        ("pg_rewind", size_of_val(&server.pg_rewind(&source, regent_core::model::Timeline(1), limit))),
        ("replicate_from", size_of_val(&server.replicate_from(&source, limit))),
        ("single_user_recovery", size_of_val(&server.single_user_recovery(limit))),
        ("follow", size_of_val(&server.follow(&mut sql, &wanted))),
        ("monitor", size_of_val(&super::monitor(&mut other, 150_000, false))),
    ];
    assert!(sizes.iter().all(|(_, size)| *size < 16 * 1024), "{sizes:?}");
}
