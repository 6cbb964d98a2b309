//! The local server's room against a real PostgreSQL: start, stop, clone, follow, promote, diverge, rewind.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says what it skips")]

mod bootstrap;
mod scenario;
mod unprivileged;

use regent::methods::{bootstrap_initdb, create_replica, post_bootstrap};
use regent::postgres::{
    self, Binaries, Connection, Ended, FileEvent, FollowTarget, Followed, PgError, Purpose, Recovery, StatusWatch,
    StopMode, Wanted,
};
use regent_core::model::{
    BootstrapSettings, CommandOption, CommitPoint, ControlState, DataDirectory, PostmasterStatus, SlotSpec,
    StandbyNames, Timeline,
};
use scenario::{LIMIT, Node, World, poll};
use unprivileged::as_postgres;

/// BOOT-11, BOOT-17, and all that follows a clone.
#[test]
fn a_cluster_is_made_cloned_failed_over_and_rejoined() {
    as_postgres("a_cluster_is_made_cloned_failed_over_and_rejoined", async {
        let world = World::new();
        let a = world.node("a").await;
        // The form is ours to say: it is left out, and the rest is not.
        let b = world.node("b").await.changed(|settings| {
            let options = [("label", "the clone"), ("max-rate", "1024M"), ("format", "t")];
            settings.basebackup =
                options.map(|(name, value)| CommandOption { name: name.into(), value: Some(value.into()) }).into();
        });
        let b = Node { server: b };
        let primary = a.make_primary().await;
        check_monitoring_of_a_primary(&a).await;
        check_control_data_amid_other_lines(&world, &a).await;

        let mut a_sql = a.sql();
        a_sql.create_slot(&SlotSpec::physical("b")).await.unwrap();
        a_sql.create_slot(&SlotSpec::physical("b")).await.unwrap();
        let standby = b.clone_of(&a).await;
        let label = std::fs::read_to_string(b.server.settings.data_dir.join("backup_label.old")).unwrap();
        assert!(label.contains("LABEL: the clone"), "{label}");
        a_sql
            .execute("a table", "CREATE TABLE public.t (n int); INSERT INTO public.t VALUES (1)", LIMIT)
            .await
            .unwrap();
        b.until_row(1).await;
        check_streaming(&a, &b).await;
        check_synchronous(&a).await;

        // Let go of the sender, as before a race; then promoted, noticed by event.
        let mut b_sql = b.sql();
        assert!(b.server.stop_receiving(&mut b_sql, LIMIT).await.unwrap());
        let alone = postgres::monitor(&mut b_sql, b.server.binaries.version(), false).await.unwrap();
        assert_eq!((alone.streaming_from, alone.replication_state.as_deref()), (None, Some("in archive recovery")));
        let mut watch = StatusWatch::open(&b.server.settings.data_dir).unwrap();
        let says = |status| FileEvent::Status { pid: standby.pid, status };
        assert_eq!(watch.next().await.unwrap(), says(PostmasterStatus::Standby));
        b.server.promote(standby, LIMIT).await.unwrap();
        assert_eq!(watch.next().await.unwrap(), says(PostmasterStatus::Ready));
        b.server.checkpoint(LIMIT).await.unwrap();
        b_sql.execute("a row", "INSERT INTO public.t VALUES (2)", LIMIT).await.unwrap();

        // The old primary goes on for a while and is killed: its history diverges.
        a_sql.execute("a lost row", "INSERT INTO public.t VALUES (99)", LIMIT).await.unwrap();
        assert_eq!(postgres::stop(primary, StopMode::Kill, LIMIT).await.unwrap(), Ended::Killed(9));
        check_divergence(&a, &b).await;
        rejoin(&a, &b).await;
        world.stop().await;
    });
}

async fn check_monitoring_of_a_primary(node: &Node) {
    let mut sql = node.sql();
    let seen = postgres::monitor(&mut sql, node.server.binaries.version(), false).await.unwrap();
    assert!(seen.is_primary && seen.server_version == node.server.binaries.version());
    assert_eq!(seen.timeline, Some(Timeline(1)));
    assert!(seen.position().is_some() && seen.received_lsn.is_none() && seen.replication.is_empty());
    let identity = node.server.replicate_locally(LIMIT).await.unwrap().identify(LIMIT).await.unwrap();
    let control = postgres::control_data(&node.server.binaries, &node.server.settings.data_dir).await.unwrap();
    assert_eq!((identity.system_id, identity.timeline), (control.system_id, Timeline(1)));
    assert_eq!(control.state, ControlState::InProduction);
    assert_eq!(postgres::data_directory(&node.server.settings.data_dir), DataDirectory::Initialized);
}

/// Programs of distributions warn on the same stream.
async fn check_control_data_amid_other_lines(world: &World, node: &Node) {
    let server = &node.server;
    let (script, folder) = (world.path("talkative"), server.settings.bin_dir.as_ref().unwrap());
    let real = folder.join("pg_controldata");
    std::fs::write(&script, format!("#!/bin/sh\necho a warning\necho\nexec {} \"$@\"\n", real.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let talkative = node.changed(|settings| {
        settings.bin_name.insert("pg_controldata".into(), script.display().to_string());
    });
    let binaries = Binaries::find(&talkative.settings).await.unwrap();
    let said = postgres::control_data(&binaries, &server.settings.data_dir).await.unwrap();
    assert_eq!(said, postgres::control_data(&server.binaries, &server.settings.data_dir).await.unwrap());
}

async fn check_streaming(a: &Node, b: &Node) {
    let version = a.server.binaries.version();
    let on_a = postgres::monitor(&mut a.sql(), version, false).await.unwrap();
    assert_eq!((on_a.replication[0].application_name.as_str(), on_a.replication[0].state.as_str()), ("b", "streaming"));
    assert!(on_a.slots.iter().any(|slot| slot.name == "b" && slot.physical && slot.active));
    let mut b_sql = b.sql();
    let on_b = postgres::monitor(&mut b_sql, version, false).await.unwrap();
    assert_eq!((on_b.replication_state.as_deref(), on_b.timeline), (Some("streaming"), Some(Timeline(1))));
    assert_eq!(on_b.streaming_from, Some(("127.0.0.1".to_owned(), a.server.settings.port)));
    // An active slot stays; the same target is no change; another one is a reload away.
    assert!(!a.sql().drop_slot("b").await.unwrap());
    let same = Wanted::replica(FollowTarget::Source(a.as_source(Some("b"))));
    assert_eq!(b.server.follow(&mut b_sql, &same).await.unwrap(), Followed::Unchanged);
    assert!(a.server.is_primary(&a.as_source(None), LIMIT).await.unwrap());
    assert!(!a.server.is_primary(&b.as_source(None), LIMIT).await.unwrap());
}

/// SYNC-08, SYNC-13: PostgreSQL means by the names that are written what the rules read of it.
async fn check_synchronous(a: &Node) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (wanted, state) in [
        (StandbyNames::all_of(names(&["b"])), "sync"),
        (StandbyNames::any_of(1, names(&["b", "c-1"])), "quorum"),
        (StandbyNames::nobody_yet(), "async"),
        (StandbyNames::default(), "async"),
    ] {
        let text = wanted.to_string();
        let primary = Wanted { synchronous_standby_names: Some(text.clone()), ..Wanted::primary() };
        assert!(a.server.configure(&primary).await.unwrap().changed());
        a.server.reload(&mut a.sql()).await.unwrap();
        a.until(&text, |seen| {
            StandbyNames::parse(&seen.synchronous_standby_names) == Some(wanted.clone())
                && seen.synchronous_commit == CommitPoint::Flushed
                && seen.replication.iter().any(|row| row.application_name == "b" && row.sync_state == state)
        })
        .await;
    }
}

async fn check_divergence(a: &Node, b: &Node) {
    let mut remote = a.server.replicate_from(&b.as_source(None), LIMIT).await.unwrap();
    let identity = remote.identify(LIMIT).await.unwrap();
    assert_eq!(identity.timeline, Timeline(2));
    let history = remote.history(Timeline(2), LIMIT).await.unwrap();
    assert_eq!((history.len(), history[0].timeline), (1, Timeline(1)));
    assert_eq!(b.server.local_history(Timeline(2)).await.unwrap(), Some(history));
    assert_eq!(b.server.local_history(Timeline(7)).await.unwrap(), None);
}

async fn rejoin(a: &Node, b: &Node) {
    let settings = &a.server.settings;
    assert_eq!(postgres::find_running(&settings.data_dir), None);
    a.server.single_user_recovery(LIMIT).await.unwrap();
    let control = postgres::control_data(&a.server.binaries, &settings.data_dir).await.unwrap();
    assert_eq!(control.state, ControlState::ShutDown);
    assert!(control.can_rewind && a.server.has_pg_rewind().await);
    a.server.pg_rewind(&b.as_source(None), Timeline(2), LIMIT).await.unwrap();
    let wanted = Wanted::replica(FollowTarget::Source(b.as_source(None)));
    let started = a.server.start(&wanted, LIMIT).await.unwrap();
    assert_eq!(started.status, PostmasterStatus::Standby);
    a.until_row(2).await;
    let rows = a.sql().rows("the lost row", "SELECT 1 FROM public.t WHERE n = 99", LIMIT).await.unwrap();
    assert!(rows.is_empty());
    // Until the walreceiver streams, its timeline is not told.
    a.until("the new timeline", |seen| seen.timeline == Some(Timeline(2))).await;
}

#[test]
fn a_stop_and_a_crash_are_events() {
    as_postgres("a_stop_and_a_crash_are_events", async {
        let world = World::new();
        let a = world.node("a").await;
        let postmaster = a.make_primary().await;
        let data_dir = &a.server.settings.data_dir;
        assert_eq!(postgres::find_running(data_dir), Some(postmaster));
        // It leads a session of its own: nothing that ends us ends it.
        let pid = nix::unistd::Pid::from_raw(postmaster.pid);
        assert_eq!(nix::unistd::getsid(Some(pid)), Ok(pid));
        assert!(matches!(a.server.start(&Wanted::primary(), LIMIT).await, Err(PgError::Running(_))));

        // Fast: the control file says it before the process ends.
        let mut sql = a.sql();
        assert!(sql.rows("one", "SELECT 1", LIMIT).await.is_ok());
        let (down, gone, ended) = tokio::join!(
            a.server.wait_until_shut_down(postmaster, LIMIT),
            postgres::clients_gone(postmaster, "demo", LIMIT),
            postgres::stop(postmaster, StopMode::Fast, LIMIT)
        );
        assert_eq!((gone.ok(), ended.unwrap()), (Some(()), Ended::Exited(0)));
        let down = down.unwrap();
        assert!(down.last_record <= down.checkpoint);
        let again = postgres::shutdown_checkpoint(&a.server.binaries, data_dir).await.unwrap();
        assert_eq!(again, Some(down));
        let end = postgres::end_of_record(&a.server.binaries, data_dir, 1, down.checkpoint).await.unwrap();
        assert!(end.is_some_and(|end| end > down.checkpoint), "{end:?}");

        // A crash: the exit is an event, and the pid file that stays behind fools nobody.
        let started = a.server.start(&Wanted::primary(), LIMIT).await.unwrap();
        let mut watch = StatusWatch::open(data_dir).unwrap();
        let first = watch.next().await.unwrap();
        assert_eq!(first, FileEvent::Status { pid: started.postmaster.pid, status: PostmasterStatus::Ready });
        assert_eq!(postgres::stop(started.postmaster, StopMode::Kill, LIMIT).await.unwrap(), Ended::Killed(9));
        assert_eq!(postgres::find_running(data_dir), None);
        assert_eq!(postgres::peek_state(data_dir), Some(ControlState::InProduction));
        let started = a.server.start(&Wanted::primary(), LIMIT).await.unwrap();
        assert_eq!(started.status, PostmasterStatus::Ready);

        // A child that does not notice the crash has the old shared memory, and could still answer its client.
        let mut busy = a.sql();
        let rows = busy.rows("its pid", "SELECT pg_catalog.pg_backend_pid()", LIMIT).await.unwrap();
        let backend: i32 = rows[0].try_get(0).unwrap().unwrap().parse().unwrap();
        let backend = nix::unistd::Pid::from_raw(backend);
        nix::sys::signal::kill(backend, nix::sys::signal::Signal::SIGSTOP).unwrap();
        let postmaster = nix::unistd::Pid::from_raw(started.postmaster.pid);
        nix::sys::signal::kill(postmaster, nix::sys::signal::Signal::SIGKILL).unwrap();
        assert_eq!(postgres::ended(started.postmaster).await.unwrap(), Ended::Killed(9));
        let started = a.server.start(&Wanted::primary(), LIMIT).await.unwrap();
        assert_eq!(started.status, PostmasterStatus::Ready);
        assert_eq!(postgres::end_orphans(data_dir).await.unwrap(), 0, "a server that runs has no orphans");

        // Configuration that the server refuses: the start fails with its exit, at once.
        postgres::stop(started.postmaster, StopMode::Immediate, LIMIT).await.unwrap();
        std::fs::write(data_dir.join("postgresql.auto.conf"), "nonsense\n").unwrap();
        assert!(matches!(a.server.start(&Wanted::primary(), LIMIT).await, Err(PgError::EndedAtStart(_))));
        a.server.remove_data_directory().await.unwrap();
        assert_eq!(postgres::data_directory(data_dir), DataDirectory::Empty);
    });
}

#[test]
fn a_changed_parameter_waits_for_its_restart() {
    as_postgres("a_changed_parameter_waits_for_its_restart", async {
        let world = World::new();
        let a = world.node("a").await;
        a.make_primary().await;
        let mut sql = a.sql();
        let changed = a.changed(|settings| {
            settings.parameters.insert("shared_buffers".into(), "32MB".into());
            settings.parameters.insert("work_mem".into(), "8MB".into());
        });
        let written = changed.configure(&Wanted::primary()).await.unwrap();
        assert!(written.conf && !written.hba && written.changed());
        assert!(!changed.configure(&Wanted::primary()).await.unwrap().changed());
        changed.reload(&mut sql).await.unwrap();
        let values = changed.parameters(&mut sql, &["work_mem", "shared_buffers"]).await.unwrap();
        assert_eq!((values["work_mem"].as_str(), values["shared_buffers"].as_str()), ("8MB", "16MB"));
        let pending = changed.pending_restart(&mut sql).await.unwrap();
        assert_eq!(pending.len(), 1, "{pending:?}");
        assert_eq!((pending[0].old.as_str(), pending[0].new.as_str()), ("16MB", "32MB"));

        // A statement that takes too long ends, and the connection is fit for the next one.
        let slow = sql.rows("a nap", "SELECT pg_sleep(600)", std::time::Duration::from_millis(100)).await;
        assert!(matches!(slow, Err(PgError::TimedOut { .. })));
        assert!(sql.rows("one", "SELECT 1", LIMIT).await.is_ok());
        world.stop().await;
    });
}

/// SYNC-13: what a standby says of its position is less than its pg_wal holds until it has replayed that.
#[test]
fn a_standby_tells_when_it_has_read_its_own_log() {
    as_postgres("a_standby_tells_when_it_has_read_its_own_log", async {
        let world = World::new();
        let (a, b) = (world.node("a").await, world.node("b").await);
        a.make_primary().await;
        let mut a_sql = a.sql();
        a_sql.create_slot(&SlotSpec::physical("b")).await.unwrap();
        let standby = b.clone_of(&a).await;
        b.until("the stream", |seen| seen.log_was_read && seen.received_lsn.is_some()).await;
        b.sql().execute("a pause", "SELECT pg_catalog.pg_wal_replay_pause()", LIMIT).await.unwrap();
        a_sql.execute("a table", "CREATE TABLE public.t AS SELECT 1 AS n", LIMIT).await.unwrap();
        let version = a.server.binaries.version();
        let written = postgres::monitor(&mut a_sql, version, false).await.unwrap().current_lsn;
        b.until("all that was written", |seen| seen.received_lsn >= written).await;
        postgres::stop(standby, StopMode::Fast, LIMIT).await.unwrap();

        let alone = Wanted::replica(FollowTarget::None);
        let overrides = [("recovery_min_apply_delay".to_owned(), "1h".to_owned())].into();
        let recovery = Recovery::Standby { follow: FollowTarget::None, overrides };
        b.server.start(&Wanted { recovery, ..alone.clone() }, LIMIT).await.unwrap();
        b.until("what comes before the commit", |seen| seen.replayed_lsn.is_some() && !seen.log_was_read).await;
        let unread = postgres::monitor(&mut b.sql(), version, false).await.unwrap();
        assert!(!unread.log_was_read && unread.position() < written, "{unread:?}");
        b.server.follow(&mut b.sql(), &alone).await.unwrap();
        b.until("the end of the log", |seen| seen.log_was_read).await;
        let read = postgres::monitor(&mut b.sql(), version, false).await.unwrap();
        assert!(read.received_lsn.is_none() && read.position() >= written, "{read:?}");

        // A session that the server ended is opened anew without a word, and counted.
        let mut watched = b.sql();
        let pid = watched.rows("its number", "SELECT pg_catalog.pg_backend_pid()", LIMIT).await.unwrap();
        let end = format!("SELECT pg_catalog.pg_terminate_backend({})", pid[0].get(0).unwrap());
        b.sql().execute("its end", &end, LIMIT).await.unwrap();
        assert_eq!(watched.sessions(), 1);
        let anew = async || postgres::monitor(&mut watched, version, false).await.is_ok() && watched.sessions() == 2;
        poll("a session of its own", anew).await;
        world.stop().await;
    });
}

/// HA-31: one statement tells a primary's health check, its heartbeat and its members' standing all that they need.
#[test]
fn monitoring_is_one_statement() {
    as_postgres("monitoring_is_one_statement", async {
        let world = World::new();
        let a = world.node("a").await;
        a.make_primary().await;
        let version = a.server.binaries.version();
        let mut watched = a.sql();
        postgres::monitor(&mut watched, version, false).await.unwrap();
        // Every statement outside of a transaction is given the next number of its session.
        let own = "SELECT split_part(virtualtransaction, '/', 2) FROM pg_locks \
                   WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'";
        let mut numbers: Vec<u64> = Vec::new();
        for asked in [false, false, true] {
            if asked {
                postgres::monitor(&mut watched, version, false).await.unwrap();
            }
            let rows = watched.rows("the number", own, LIMIT).await.unwrap();
            numbers.push(rows[0].get(0).unwrap().parse().unwrap());
        }
        assert_eq!((numbers[1] - numbers[0], numbers[2] - numbers[1]), (1, 2), "{numbers:?}");
        world.stop().await;
    });
}

/// BOOT-02: the script gets a connection string and a password file; when it fails, so does the bootstrap.
#[test]
fn bootstrap_makes_the_accounts_and_runs_the_script() {
    as_postgres("bootstrap_makes_the_accounts_and_runs_the_script", async {
        let world = World::new();
        let a = world.node("a").await;
        let out = world.path("script");
        let script = format!("/bin/sh -c 'echo \"$0\" > {0}; cat \"$PGPASSFILE\" >> {0}'", out.display());
        let bootstrap = BootstrapSettings { post_bootstrap: Some(script), ..BootstrapSettings::default() };
        bootstrap_initdb(&a.server, &bootstrap).await.unwrap();
        a.server.start(&Wanted::primary(), LIMIT).await.unwrap();
        post_bootstrap(&a.server, &bootstrap).await.unwrap();
        // Twice does no harm: a restored cluster has the accounts already.
        post_bootstrap(&a.server, &bootstrap).await.unwrap();
        let port = a.server.settings.port;
        let seen = std::fs::read_to_string(out).unwrap();
        let expected =
            format!("dbname=postgres user=admin host=localhost port={port}\nlocalhost:{port}:*:admin:super secret\n");
        assert_eq!(seen, expected);
        let roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'";
        let rows = Connection::new(&a.server, Purpose::Work).rows("roles", roles, LIMIT).await.unwrap();
        assert_eq!(rows[0].get(0), Some("admin replicator rewinder"));
        // REW-07: what pg_rewind asks a source for, and nothing more.
        let granted = "SELECT string_agg(proname || '(' || pg_get_function_identity_arguments(oid) || ')', ' ' ORDER BY 1) \
             FROM (SELECT oid, proname FROM pg_proc WHERE NOT has_function_privilege('public', oid, 'EXECUTE') \
             AND has_function_privilege('rewinder', oid, 'EXECUTE')) AS granted";
        let rows = Connection::new(&a.server, Purpose::Work).rows("grants", granted, LIMIT).await.unwrap();
        let granted = rows[0].get(0).unwrap_or_default().to_owned();
        let names = ["pg_ls_dir(", "pg_stat_file(", "pg_read_binary_file("];
        assert!(names.iter().all(|name| granted.contains(name)) && granted.matches('(').count() == 4, "{granted}");
        let failing = BootstrapSettings { post_bootstrap: Some("/bin/false".into()), ..BootstrapSettings::default() };
        assert!(post_bootstrap(&a.server, &failing).await.is_err());
        world.stop().await;
    });
}

#[test]
fn replica_methods_are_tried_in_order() {
    as_postgres("replica_methods_are_tried_in_order", async {
        let world = World::new();
        let (a, b) = (world.node("a").await, world.node("b").await);
        a.make_primary().await;
        let server = b.changed(|settings| {
            let mut failing = regent_core::model::MethodSettings { name: "broken".into(), ..Default::default() };
            failing.command = Some("/bin/sh -c 'exit 7'".into());
            settings.methods.insert("broken".into(), failing);
        });
        let order = ["broken".to_owned(), "unknown".to_owned(), "basebackup".to_owned()];
        let source = a.as_source(None);
        let made = create_replica(&server, Some(&source), &order, &|_| {}).await.unwrap();
        assert_eq!(made, "basebackup");
        let error = create_replica(&server, Some(&source), &order[..1], &|_| {}).await.unwrap_err();
        assert!(error.to_string().contains("exited with code=7"), "{error}");
        assert_eq!(postgres::data_directory(&server.settings.data_dir), DataDirectory::Empty);
        world.stop().await;
    });
}
