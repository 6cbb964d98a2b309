//! Custom bootstrap, TLS and sockets against a real PostgreSQL.

use crate::scenario::{LIMIT, Node, World};
use crate::unprivileged::as_postgres;
use regent::methods::{bootstrap_custom, post_bootstrap};
use regent::postgres::{self, PgError, Server, StatusWatch, StopMode, Wanted};
use regent_core::model::{BootstrapSettings, ControlState, MethodSettings, PostmasterStatus};
use std::process::Command;

#[test]
fn a_custom_method_restores_to_a_point_and_opens() {
    as_postgres("a_custom_method_restores_to_a_point_and_opens", async {
        let world = World::new();
        let (a, b) = (world.node("a").await, world.node("b").await);
        let primary = a.make_primary().await;
        postgres::stop(primary, StopMode::Fast, LIMIT).await.unwrap();
        // A cold copy, as a restore would give; it must first recover to a target and then open.
        let copy = format!("cp -a {} $2", a.server.settings.data_dir.display());
        let method = MethodSettings {
            name: "copy".into(),
            command: Some(format!("/bin/sh -c '{}' sh", copy.replace("$2", "\"${2#--datadir=}\""))),
            ..MethodSettings::default()
        };
        let recovery =
            [("recovery_target_action", "promote"), ("restore_command", "false"), ("recovery_target_timeline", "1")];
        let bootstrap = BootstrapSettings {
            method: Some(method.clone()),
            recovery_conf: Some(recovery.map(|(name, value)| (name.into(), value.into())).into()),
            ..BootstrapSettings::default()
        };
        bootstrap_custom(&b.server, &method, &bootstrap, &|_| {}).await.unwrap();
        let (postmaster, written) = b.server.launch(&Wanted::custom_bootstrap(&bootstrap)).await.unwrap();
        // BOOT-05, BOOT-03
        assert_eq!(
            (written.parameters["archive_mode"].as_str(), written.parameters["hot_standby"].as_str()),
            ("off", "off")
        );
        assert!(b.server.settings.data_dir.join("recovery.signal").exists() || written.recovery);
        let mut watch = StatusWatch::open(&b.server.settings.data_dir).unwrap();
        let open = watch.until(postmaster, &[PostmasterStatus::Ready]);
        tokio::time::timeout(LIMIT, open).await.unwrap().unwrap();
        assert_eq!(postgres::peek_state(&b.server.settings.data_dir), Some(ControlState::InProduction));
        post_bootstrap(&b.server, &bootstrap).await.unwrap();
        // Nobody gets in without a password any more.
        let written = b.server.configure(&Wanted::primary()).await.unwrap();
        assert!(written.hba && written.conf);
        b.server.reload(&mut b.sql()).await.unwrap();
        let stranger = b.changed(|settings| settings.accounts.superuser.password = None);
        let mut sql = Node { server: stranger }.sql();
        assert!(matches!(sql.rows("one", "SELECT 1", LIMIT).await, Err(PgError::Connect { .. })));
        world.stop().await;
    });
}

#[test]
fn connections_use_tls_and_sockets_as_asked() {
    as_postgres("connections_use_tls_and_sockets_as_asked", async {
        let world = World::new();
        let node = world.node("a").await;
        let (certificate, key) = (world.path("server.crt"), world.path("server.key"));
        if !self_signed(&certificate, &key) {
            eprintln!("SKIPPED: openssl is not installed");
            return;
        }
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let server = node.changed(|settings| {
            let files = [("ssl", "on".into()), ("ssl_cert_file", path(&certificate)), ("ssl_key_file", path(&key))];
            settings.parameters.extend(files.map(|(name, value)| (name.to_owned(), value)));
            settings.pg_hba = Some(vec![
                "hostssl all all 127.0.0.1/32 scram-sha-256".into(),
                "hostssl replication all 127.0.0.1/32 scram-sha-256".into(),
                "local all all scram-sha-256".into(),
                "local replication all scram-sha-256".into(),
            ]);
        });
        let node = Node { server };
        node.make_primary().await;
        let with = |mode: &str, root: Option<&std::path::Path>, socket: bool| {
            node.changed(|settings| {
                for account in [&mut settings.accounts.superuser, &mut settings.accounts.replication] {
                    account.options.insert("sslmode".into(), mode.into());
                    account.options.extend(root.map(|root| ("sslrootcert".to_owned(), path(root))));
                }
                (settings.use_unix_socket, settings.use_unix_socket_repl) = (socket, socket);
            })
        };
        assert_eq!(encrypted(with("prefer", None, false)).await, Some(true));
        assert_eq!(encrypted(with("require", None, false)).await, Some(true));
        assert_eq!(encrypted(with("disable", None, false)).await, None);
        // One certificate that is its own CA.
        assert_eq!(encrypted(with("verify-ca", Some(&certificate), false)).await, Some(true));
        let other = world.path("other.crt");
        assert!(self_signed(&other, &world.path("other.key")));
        assert_eq!(encrypted(with("verify-ca", Some(&other), false)).await, None);
        assert_eq!(encrypted(with("verify-ca", Some(&other), true)).await, Some(false));
        world.stop().await;
    });
}

/// Whether both kinds of connection are made, and the one for SQL is encrypted; `None` where neither is made.
async fn encrypted(server: Server) -> Option<bool> {
    let node = Node { server };
    let question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let rows = node.sql().rows("tls", question, LIMIT).await;
    let replication = node.server.replicate_locally(LIMIT).await;
    assert_eq!(rows.is_ok(), replication.is_ok(), "{rows:?} {:?}", replication.err());
    replication.ok()?.identify(LIMIT).await.unwrap();
    rows.ok().map(|rows| rows[0].get(0) == Some("t"))
}

fn self_signed(certificate: &std::path::Path, key: &std::path::Path) -> bool {
    Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "basicConstraints=critical,CA:TRUE"])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output()
        .is_ok_and(|output| output.status.success())
}
