//! A cluster whose configuration is odd in every way at once: names, folders, accounts, an API with a password, secrets
//! from files and from the environment. All of it counts, all of it can be changed at run time, and no secret gets out.
#![allow(clippy::print_stderr, reason = "a test that could not run in full says so")]

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use regent_harness::{Answer, Cluster, Exit, Node, NodeLayout, http, peer, wait};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SOON: Duration = Duration::from_secs(60);

/// Every password, wherever it was put.
const SECRETS: [&str; 9] = [
    "hush-superuser",
    "hush-superuser-new",
    "hush-replication",
    "hush-replication-new",
    "hush-rewind",
    "hush-restapi",
    "hush-store",
    "hush-key",
    "hush-application",
];

fn odd(node: &NodeLayout, config: &mut Value) {
    config["restapi"]["authentication"] = json!({"username": "admin", "password": "hush-restapi"});
    config["restapi"]["keyfile_password"] = json!("hush-key");
    config["etcd3"]["username"] = json!("root");
    config["etcd3"]["password"] = json!("hush-store");
    config["bootstrap"]["users"] = json!({
        "postgres": {"password": "super-secret", "options": ["superuser"]},
        "app": {"password": "hush-application"},
    });
    let postgresql = &mut config["postgresql"];
    postgresql["config_dir"] = json!(node.folder.join("etc/cluster"));
    postgresql["config_base_name"] = json!("pipelinedb");
    postgresql["database"] = json!("template1");
    postgresql["proxy_address"] = json!("10.1.2.3:6432");
    postgresql["authentication"]["superuser"] = json!({"username": "boss", "password": "hush-superuser"});
    postgresql["authentication"]["replication"]["password"] = json!("hush-replication");
    // Its password comes from the environment.
    postgresql["authentication"]["rewind"] = json!({"username": "rewind_user"});
    let parameters = &mut postgresql["parameters"];
    parameters["TimeZone"] = json!("Etc/GMT+5");
    parameters["app.flavour"] = json!("sweet");
    parameters["unix_socket_directories"] = json!(node.folder.join("run/sockets"));
}

/// The daemon begins in a folder that is removed under it.
fn start_where_nothing_is(node: &Node) -> Result<()> {
    let (program, gone) = (node.layout.bin.join("regent"), node.layout.folder.join("gone"));
    let real = node.layout.bin.join("regent-itself");
    if !real.exists() {
        std::fs::rename(&program, &real)?;
        let (gone, real) = (gone.display(), real.display());
        std::fs::write(
            &program,
            format!("#!/bin/sh\nmkdir {gone} && cd {gone} && rmdir {gone} && exec {real} \"$@\"\n"),
        )?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    }
    node.start()
}

async fn admin(node: &Node, path: &str) -> Result<Answer> {
    node.rest("GET", path, None).await
}

/// Runs a program as this node's account, with these words on its standard input.
async fn typed(
    node: &Node,
    program: &str,
    arguments: &[&str],
    input: &str,
    variables: &[(&str, &str)],
) -> Result<Output> {
    let mut command = node.command(program);
    command.args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let mut stdin = child.stdin.take().context("it has a standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output());
    output.await.with_context(|| arguments.join(" "))?.map_err(Into::into)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn until_value(node: &Node, sql: &str, expected: &str) -> Result<()> {
    wait::until(&format!("{expected:?} of {sql}"), SOON, async || match node.sql_value(sql).await {
        Ok(value) if value == expected => Ok(()),
        other => Err(format!("{other:?}\n{}", node.log_tail(5))),
    })
    .await
}

/// CFG-02, CFG-10, CFG-12, CFG-17, CFG-18, CFG-25, CFG-31, CFG-36, CFG-39, CFG-43, CFG-44, LOG-05, OPS-03, OPS-04,
/// OPS-06, OPS-09, OPS-10, OPS-11, OPS-13, OPS-14, OPS-15, OPS-27, CTL-02, CTL-03, CTL-04, CTL-06, CTL-09, CTL-21: see the
/// functions that it is made of.
#[tokio::test]
async fn an_odd_configuration_counts_in_every_way() -> Result<()> {
    let builder = Cluster::builder("odd").nodes(2).dcs(regent_harness::Dcs::Etcd3).local_yaml(odd);
    let builder = builder
        .env("LC_ALL", "C.UTF-8")
        .env("LD_LIBRARY_PATH", "/nonexistent/of-the-test")
        .env("PATRONI_REWIND_PASSWORD", "hush-rewind");
    let cluster = builder.prepare().await?;
    cluster.nodes.iter().try_for_each(start_where_nothing_is)?;
    let leader = cluster.wait_healthy(Duration::from_secs(120)).await?;
    let replica = cluster.others(&leader.name).next().context("there are two")?;
    check_server(leader).await?;
    check_processes(leader)?;
    check_ctl(&cluster, leader).await?;
    check_generated(&cluster, leader).await?;
    check_reload(leader, replica).await?;
    check_pending_restart(&cluster, leader).await?;
    check_new_passwords(&cluster, leader, replica).await?;
    check_secrets(&cluster).await?;
    refuse_a_namesake(leader).await?;
    stop_quietly(leader, replica).await?;
    remove_and_begin_again(&cluster, leader).await?;
    cluster.finish().await
}

/// CFG-10, CFG-12, CFG-18, CFG-25, CFG-36, CFG-39: what the server and the member's key say.
async fn check_server(leader: &Node) -> Result<()> {
    let conf = leader.layout.folder.join("etc/cluster/pipelinedb.conf");
    ensure!(leader.sql_value("SHOW config_file").await? == conf.display().to_string());
    ensure!(
        conf.with_file_name("pipelinedb.base.conf").exists()
            && !leader.layout.data_dir.join("pipelinedb.conf").exists()
    );
    ensure!(leader.sql_value("SHOW timezone").await? == "Etc/GMT+5");
    ensure!(leader.sql_value("SHOW app.flavour").await? == "sweet");
    ensure!(leader.layout.folder.join("run/sockets").is_dir(), "a folder for sockets is made");
    let sessions =
        "SELECT DISTINCT usename || ' ' || datname FROM pg_stat_activity WHERE application_name LIKE 'Patroni%'";
    ensure!(leader.sql_value(sessions).await? == "boss template1");
    Ok(())
}

/// OPS-03, OPS-04, OPS-14, OPS-15, OPS-13: what the postmaster has from us.
fn check_processes(leader: &Node) -> Result<()> {
    let postmaster = leader.postmaster_pid().context("there is a server")?;
    let environment = std::fs::read(format!("/proc/{postmaster}/environ"))?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    for variable in ["LC_ALL=C.UTF-8", "LD_LIBRARY_PATH=/nonexistent/of-the-test"] {
        ensure!(environment.split('\0').any(|known| known == variable), "{variable} is not in {environment}");
    }
    ensure!(!environment.contains("PATRONI_"), "{environment}");
    let open = |number: u8| std::fs::read_link(format!("/proc/{postmaster}/fd/{number}"));
    ensure!(open(0)?.exists(), "its standard input stays open");
    let log = std::fs::canonicalize(&leader.layout.log_path)?;
    ensure!(open(1)? == log && open(2)? == log, "it writes where we write");
    ensure!(leader.log().contains("database system is ready to accept connections"), "what it writes is seen");
    Ok(())
}

/// CTL-02, CTL-04, CTL-06, CTL-21: the operator's commands with a login of the database's, without a file, and where
/// the API asks for a password.
async fn check_ctl(cluster: &Cluster, leader: &Node) -> Result<()> {
    leader.sql("CREATE DATABASE app_data TEMPLATE template0").await?;
    let config = leader.layout.config_path.display().to_string();
    let question = ["-c", &config, "query", "odd", "-U", "app", "--password", "-d", "app_data", "-c"];
    let question = [&question[..], &["SELECT current_user || ' of ' || current_database() AS who"]].concat();
    let output = typed(leader, "regentctl", &question, "hush-application\n", &[]).await?;
    ensure!(said(&output).contains("app of app_data"), "{}", said(&output));
    let output = typed(leader, "regentctl", &question, "wrong\n", &[]).await?;
    ensure!(said(&output).contains("ERROR, SQLSTATE: "), "{}", said(&output));

    let etcd = cluster.etcd().context("it is on etcd")?.address();
    let plugins = cluster.root().join("plugins").display().to_string();
    let variables = [("PATRONI_SCOPE", "odd"), ("PATRONI_ETCD3_HOST", &*etcd), ("PATRONI_PLUGINS_DIR", &*plugins)];
    let output = typed(leader, "regentctl", &["list", "-f", "tsv"], "", &variables).await?;
    ensure!(cluster.nodes.iter().all(|node| said(&output).contains(&node.name)), "{}", said(&output));

    let stranger = leader.rest("POST", "/reload", None).await?;
    ensure!(stranger.status == 401, "{stranger:?}");
    let output = cluster.regentctl(&["reload", "odd", "--force"]).await?;
    for node in &cluster.nodes {
        let name = &node.name;
        let line = format!("Reload request received for member {name} and will be processed within 2 seconds");
        ensure!(said(&output).contains(&line), "{}", said(&output));
    }
    Ok(())
}

/// OPS-25: what is generated from the running server, and as a sample, is taken by the peer's check and by ours.
async fn check_generated(cluster: &Cluster, leader: &Node) -> Result<()> {
    let etcd = cluster.etcd().context("it is on etcd")?.address();
    let dsn = format!("host=127.0.0.1 port={} user=boss dbname=postgres", leader.layout.pg_port);
    let password = [("PGPASSWORD", "hush-superuser")];
    let running = typed(leader, "regent-itself", &["--generate-config", "--dsn", &dsn], "", &password).await?;
    let search = format!("{}:{}", leader.sql_folder()?.display(), std::env::var("PATH").unwrap_or_default());
    let sample = typed(leader, "regent-itself", &["generate"], "", &[("PATH", &*search)]).await?;
    for (output, has) in [(running, "max_connections: '50'"), (sample, "password: '#FIXME'")] {
        ensure!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains(has), "{has} is missing in {text}");
        let text = text.replace("127.0.0.1:2379", &etcd).replace("data_dir: '#FIXME'", "data_dir: /nonexistent/data");
        let path = leader.layout.folder.join("generated.yml");
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        let path = path.display().to_string();
        let ours = typed(leader, "regent-itself", &["--validate-config", "-i", &path], "", &[]).await?;
        ensure!(ours.status.success(), "{}", said(&ours));
        check_by_the_peer(leader, &path)?;
    }
    let path = leader.layout.folder.join("generated.yml");
    std::fs::remove_file(path).map_err(Into::into)
}

fn check_by_the_peer(node: &Node, path: &str) -> Result<()> {
    let place = match peer::installed() {
        Ok(place) => place,
        Err(why) => {
            eprintln!("not checked by the peer: {why}");
            return Ok(());
        }
    };
    let bin = node.sql_folder()?;
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = std::process::Command::new(place.join("bin/patroni"));
    let output = command.args(["--validate-config", "-i", path]).env("PATH", search).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}

trait ProgramsOf {
    fn sql_folder(&self) -> Result<std::path::PathBuf>;
}

impl ProgramsOf for Node {
    /// Where the server's programs are, by what runs.
    fn sql_folder(&self) -> Result<std::path::PathBuf> {
        let postmaster = self.postmaster_pid().context("there is a server")?;
        let program = std::fs::read_link(format!("/proc/{postmaster}/exe"))?;
        Ok(program.parent().map(Path::to_owned).unwrap_or_default())
    }
}

/// CFG-02, CFG-44, LOG-05, OPS-09: SIGHUP, to a daemon whose folder is gone; what only recovery reads needs no restart.
async fn check_reload(leader: &Node, replica: &Node) -> Result<()> {
    leader.edit_config(|yaml| yaml["postgresql"]["parameters"]["work_mem"] = json!("7MB"))?;
    leader.signal(Signal::SIGHUP)?;
    until_value(leader, "SHOW work_mem", "7MB").await?;
    leader.wait_log("Changed work_mem from its default to '7MB'", SOON).await?;
    let postmaster = replica.postmaster_pid();
    replica.edit_config(|yaml| yaml["postgresql"]["recovery_conf"] = json!({"restore_command": "/bin/false"}))?;
    replica.signal(Signal::SIGHUP)?;
    until_value(replica, "SHOW restore_command", "/bin/false").await?;
    ensure!(replica.postmaster_pid() == postmaster, "it was not restarted");
    Ok(())
}

/// CFG-43: what waits for a restart, with the value that counts and the one that will.
async fn check_pending_restart(cluster: &Cluster, leader: &Node) -> Result<()> {
    let set = ["edit-config", "--force", "-q", "-p", "max_connections=60"];
    let output = cluster.regentctl(&set).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let expected = json!({"max_connections": {"old_value": "50", "new_value": "60"}});
    wait::until("the reason of a pending restart", SOON, async || {
        let status = admin(leader, "/patroni").await.and_then(|answer| answer.json());
        match status {
            Ok(status) if status["pending_restart_reason"] == expected && status["pending_restart"] == true => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(leader.log().contains("Changed max_connections from '50' to '60' (restart might be required)"));
    Ok(())
}

/// CFG-17: the passwords are changed in the database and in the files; then every session is made anew.
async fn check_new_passwords(cluster: &Cluster, leader: &Node, replica: &Node) -> Result<()> {
    let change = "ALTER ROLE boss PASSWORD 'hush-superuser-new'; ALTER ROLE replicator PASSWORD 'hush-replication-new'";
    leader.sql(change).await?;
    for node in &cluster.nodes {
        node.edit_config(|yaml| {
            let accounts = &mut yaml["postgresql"]["authentication"];
            accounts["superuser"]["password"] = json!("hush-superuser-new");
            accounts["replication"]["password"] = json!("hush-replication-new");
        })?;
        node.signal(Signal::SIGHUP)?;
    }
    let pgpass = replica.layout.folder.join("pgpass");
    cluster
        .wait_for("the new password in the replica's file", SOON, |_| {
            std::fs::read_to_string(&pgpass).is_ok_and(|text| text.contains("hush-replication-new"))
        })
        .await?;
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename IN ('boss', 'replicator')";
    for node in [replica, leader] {
        node.sql(ended).await?;
    }
    let sessions = "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE usename = 'boss'";
    until_value(leader, sessions, "true").await?;
    until_value(replica, sessions, "true").await?;
    cluster.wait_healthy(SOON).await.map(drop)
}

/// Everything that somebody could read: logs, arguments, environments, the store, the API's answers.
async fn check_secrets(cluster: &Cluster) -> Result<()> {
    let mut texts = vec![("the store".to_owned(), stored(cluster).await?)];
    for node in &cluster.nodes {
        texts.push((format!("the log of {}", node.name), node.log()));
        for (pid, command) in node.processes() {
            texts.push((format!("the arguments of {pid}"), command));
            // Our own environment is where the operator put a password; nobody else's has it.
            if Some(pid) != node.daemon_pid() {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                texts.push((format!("the environment of {pid}"), String::from_utf8_lossy(&environment).into_owned()));
            }
        }
        let pages =
            ["/", "/patroni", "/cluster", "/config", "/history", "/metrics", "/journal", "/reload", "/failsafe"];
        for path in pages.into_iter().chain(["/dashboard/node", "/dashboard/state", "/openapi.json"]) {
            texts.push((format!("{path} of {}", node.name), admin(node, path).await?.body));
        }
        let good = std::fs::read_to_string(&node.layout.config_path)?;
        let path = node.layout.config_path.display().to_string();
        for broken in [good.replace("password: ", "password: ["), good.replace("password: ", "password: {a: 1, b: }")] {
            node.write_config(&broken)?;
            for arguments in [["validate", &path], ["--validate-config", &path], ["run", &path]] {
                let output = typed(node, "regent-itself", &arguments, "", &[]).await?;
                ensure!(!output.status.success(), "{arguments:?} {}", said(&output));
                texts.push((format!("{arguments:?}"), said(&output)));
            }
        }
        node.write_config(&good)?;
        let output = typed(node, "regent-itself", &["validate", "-i", "-p", &path], "", &[]).await?;
        texts.push(("the configuration as it is shown".to_owned(), said(&output)));
    }
    let key = "postgresql.authentication.superuser.password";
    for words in [&["show-config"][..], &["doctor"], &["why"], &["history", "--explain"], &["config", "explain", key]] {
        texts.push((words.join(" "), said(&cluster.regentctl(words).await?)));
    }
    for (place, text) in &texts {
        for secret in SECRETS {
            ensure!(!text.contains(secret), "{secret} is in {place}: {text}");
        }
    }
    Ok(())
}

/// Keys and values of the whole store.
async fn stored(cluster: &Cluster) -> Result<String> {
    let etcd = cluster.etcd().context("it is on etcd")?;
    let all = json!({"key": "AA==", "range_end": "AA=="});
    let answer =
        http::request(etcd.port(), "POST", "/v3/kv/range", Some(&all), Duration::from_secs(10)).await?.json()?;
    let mut text = String::new();
    for entry in answer["kvs"].as_array().into_iter().flatten() {
        for part in ["key", "value"] {
            let bytes = STANDARD.decode(entry[part].as_str().unwrap_or_default())?;
            text.push_str(&String::from_utf8_lossy(&bytes));
            text.push('\n');
        }
    }
    ensure!(text.contains("postgres://10.1.2.3:6432/template1"), "the proxy's address is published: {text}");
    Ok(text)
}

/// OPS-27: somebody else with the name of a member that lives.
async fn refuse_a_namesake(leader: &Node) -> Result<()> {
    let text = std::fs::read_to_string(&leader.layout.config_path)?;
    let (data, rest) = (leader.layout.data_dir.display().to_string(), leader.layout.rest_port.to_string());
    let text = text.replace(&data, &format!("{data}-of-another")).replace(&format!("127.0.0.1:{rest}"), "127.0.0.1:1");
    let path = leader.layout.folder.join("namesake.yml");
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    let output = typed(leader, "regent-itself", &[&path.display().to_string()], "", &[]).await?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    let line = format!("CRITICAL: Can't start; there is already a node named '{}' running", leader.name);
    ensure!(said(&output).contains(&line), "{}", said(&output));
    ensure!(!Path::new(&format!("{data}-of-another")).exists());
    Ok(())
}

/// OPS-06, OPS-10, OPS-11: a stop with clients of the API that are in the middle of a request is one fast shutdown, and
/// nothing is said of errors.
async fn stop_quietly(leader: &Node, replica: &Node) -> Result<()> {
    let mut silent = Vec::new();
    for node in [replica, leader] {
        for request in ["", "GET /pri", "POST /restart HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"] {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", node.layout.rest_port))?;
            std::io::Write::write_all(&mut stream, request.as_bytes())?;
            silent.push(stream);
        }
        let before = node.log().len();
        ensure!(node.sigterm_and_wait(SOON).await? == Exit::Code(0));
        ensure!(node.postmaster_pid().is_none(), "its server is stopped");
        let log = node.log().split_off(before);
        ensure!(log.matches("received fast shutdown request").count() == 1, "{log}");
        for word in ["ERROR", "CRITICAL", "panicked", "received immediate shutdown"] {
            ensure!(!log.contains(word), "{word} in {log}");
        }
    }
    drop(silent);
    Ok(())
}

/// CTL-03, CTL-09, CFG-31: all keys are removed; others are made without a daemon; a daemon that begins while the store
/// is silent tries again every five seconds.
async fn remove_and_begin_again(cluster: &Cluster, node: &Node) -> Result<()> {
    let config = node.layout.config_path.display().to_string();
    let output = typed(node, "regentctl", &["-c", &config, "remove", "odd"], "odd\nYes I am aware\n", &[]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let etcd = cluster.etcd().context("it is on etcd")?;
    let count = json!({"key": "AA==", "range_end": "AA==", "count_only": true});
    let left = http::request(etcd.port(), "POST", "/v3/kv/range", Some(&count), Duration::from_secs(10)).await?;
    ensure!(left.json()?.get("count").is_none_or(|count| count == "0"), "{left:?}");

    let output = typed(node, "regentctl", &["-c", &config, "scaffold", "demo", "-s", "123"], "", &[]).await?;
    ensure!(said(&output) == "Cluster demo has been created successfully\n", "{}", said(&output));
    let found =
        http::request(etcd.port(), "POST", "/v3/kv/range", Some(&count), Duration::from_secs(10)).await?.json()?;
    ensure!(found["count"] == "3", "{found}");
    let output = typed(node, "regentctl", &["-c", &config, "scaffold", "demo"], "", &[]).await?;
    ensure!(said(&output) == "Error: This cluster is already initialized\n", "{}", said(&output));
    let output = typed(node, "regentctl", &["-c", &config, "list", "demo", "-f", "tsv"], "", &[]).await?;
    ensure!(said(&output).contains("\tLeader\trunning\t"), "{}", said(&output));

    let outage = cluster.take_store_away()?;
    let before = node.log().len();
    node.start()?;
    let refusals = || -> Vec<String> {
        let log = node.log().split_off(before);
        log.lines().filter(|line| line.contains("the store can not be read yet")).map(str::to_owned).collect()
    };
    cluster.wait_for("two attempts", SOON, |_| refusals().len() >= 2).await?;
    let seconds: Vec<f64> = refusals().iter().filter_map(|line| second_of(line)).collect();
    let apart = (seconds[1] - seconds[0]).rem_euclid(60.0);
    ensure!(apart >= 4.9, "{apart} s are between two attempts: {seconds:?}");
    outage.end();
    Ok(())
}

/// The seconds within the minute of a line of the log, `YYYY-MM-DD HH:MM:SS,mmm ...`.
fn second_of(line: &str) -> Option<f64> {
    line.get(17..23)?.replace(',', ".").parse().ok()
}
