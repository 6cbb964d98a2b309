//! Backends by others, built outside of the workspace: one that was begun from the skeleton is looked at and proved; the
//! example keeps a cluster.
#![allow(clippy::print_stderr, reason = "a test that could not run says so")]

use anyhow::{Context, Result, ensure};
use regent_dcs_mutants::Server;
use regent_harness::{Binaries, Cluster, Node, Prober, wait};
use serde_json::json;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The repository.
fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the repository")?;
    Ok(root.to_owned())
}

fn regent(arguments: &[&str]) -> Result<Output> {
    let regent = Binaries::locate()?.regent;
    Ok(Command::new(regent).args(arguments).output()?)
}

/// Cargo in a folder of its own, with the dependencies that the workspace has built already.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<String> {
    let programs = Binaries::locate()?.regent;
    let target = programs.parent().and_then(Path::parent).context("programs lie in a target folder")?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).env("CARGO_TARGET_DIR", target);
    // Like the workspace's own, or everything would be built again.
    let profile = ["profile.dev.debug='line-tables-only'", "profile.dev.package.'*'.debug=false"];
    command.args(profile.iter().flat_map(|setting| ["--config", setting])).args(arguments);
    forget_ourselves(&mut command);
    let output = command.output().context("cannot run cargo")?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{text}");
    Ok(text)
}

/// The versions of the workspace, so that nothing else is fetched or built.
fn lock(folder: &Path) -> Result<()> {
    std::fs::copy(root()?.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

#[test]
fn a_skeleton_compiles_and_passes_the_kit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("mine");
    let (sdk, at) = (root()?.display().to_string(), place.display().to_string());
    let written = regent(&["plugin", "new", "skeleton", "--sdk", &sdk, "--folder", &at])?;
    ensure!(written.status.success(), "{written:?}");
    lock(&place)?;
    let said = cargo(&place, &["test", "--offline", "--test", "conformance", "--", "--nocapture"])?;
    for check in ["cas", "mutual-exclusion", "ttl-expiry", "watch", "close", "leaks"] {
        ensure!(said.contains(&format!("Ok {check} ")), "{check} in {said}");
    }
    let programs = Binaries::locate()?.regent;
    let library = programs.with_file_name("deps").join("libregent_dcs_skeleton.so");
    let told = regent(&["plugin", "check", &library.display().to_string()])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    for line in [
        "backend   skeleton 0.1.0",
        "API       1.0, this daemon speaks 1.0",
        "settings  cluster",
        "verdict   it would be loaded",
    ] {
        ensure!(text.contains(line), "{line:?} in {text}");
    }
    Ok(())
}

/// The lock ends soon.
fn short() -> serde_json::Value {
    json!({ "allow_short_ttl": true, "ttl": 8, "loop_wait": 1, "retry_timeout": 2 })
}

/// A Redis that keeps what it has confirmed.
struct Redis {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Redis {
    async fn start() -> Result<Option<Redis>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]).arg("--dir").arg(folder.path());
        let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!("SKIPPED: there is no Redis on this machine: tests/setup.sh --peers installs it");
            return Ok(None);
        };
        let redis = Redis { child, port, _folder: folder };
        wait::until("redis", Duration::from_secs(60), async || {
            TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        })
        .await?;
        Ok(Some(redis))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}

/// Whether `make test` has built the example, on the packages for authors as they would be published, beside our own.
fn has_the_example() -> Result<bool> {
    let found = Binaries::locate()?.regent.with_file_name("libregent_dcs_redis.so").is_file();
    if !found {
        eprintln!("SKIPPED: the backend for Redis is not built: make -C plugins/example build does it");
    }
    Ok(found)
}

/// The packages for authors, as they would be published.
fn make_the_packages() -> Result<()> {
    let programs = Binaries::locate()?.regent;
    let target = programs.parent().and_then(Path::parent).context("programs lie in a target folder")?;
    let mut command = Command::new("make");
    command.arg("-C").arg(root()?.join("plugins/example")).arg("sdk").env("CARGO_TARGET_DIR", target);
    forget_ourselves(&mut command);
    let output = command.output().context("cannot run make")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What Cargo tells the test about itself would make build scripts run again.
fn forget_ourselves(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "NEXTEST"].iter().any(|own| text.starts_with(own)) {
            command.env_remove(&name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_on_a_backend_by_somebody_else_replaces_its_leader() -> Result<()> {
    if !has_the_example()? {
        return Ok(());
    }
    let Some(redis) = Redis::start().await? else { return Ok(()) };
    let port = redis.port;
    let cluster = Cluster::builder("foreign").nodes(2).dynamic(short()).local_yaml(move |_, yaml| {
        yaml.as_object_mut().and_then(|sections| sections.remove("local"));
        yaml["redis"] = json!({ "host": "127.0.0.1", "port": port });
        yaml["plugins"]["dcs"] = json!({ "redis": {} });
    });
    let cluster = cluster.start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    leader.kill_node()?;
    let next = cluster.wait_leader_other_than(&leader.name, Duration::from_secs(35)).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    ensure!(report.first_ack_of(&next.name, Duration::ZERO).is_some(), "the new leader took no write");
    cluster.finish().await
}

/// A backend that panics in every call for a while, and one that overruns every deadline, each in the leader: its daemon
/// lives through it.
async fn lives_through(cluster: &Cluster, mood: &str, said: &str) -> Result<()> {
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let (daemon, file) = (leader.daemon_pid(), leader.layout.folder.join("mood"));
    std::fs::write(&file, mood)?;
    leader.wait_log(said, Duration::from_secs(60)).await?;
    std::fs::remove_file(&file)?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    ensure!(daemon.is_some() && leader.daemon_pid() == daemon, "{mood}: the daemon is another");
    Ok(())
}

/// A backend that misbehaves in the leader and recovers, then one that reads nothing but garbage, one that hangs in every
/// call, and one that ends its daemon: the server has stopped before another leads, and nothing is acknowledged by two.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_backend_fails_is_replaced_safely() -> Result<()> {
    let store = Server::start()?;
    let address = store.address().to_owned();
    let cluster = Cluster::builder("spoiled").nodes(2).dynamic(short());
    let cluster = cluster.local_yaml(move |layout, yaml| {
        yaml.as_object_mut().and_then(|sections| sections.remove("local"));
        yaml["mutants"] = json!({ "server": address, "mood": layout.folder.join("mood") });
        yaml["plugins"]["dcs"] = json!({ "mutants": {} });
    });
    let cluster = cluster.start().await?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    lives_through(&cluster, "panic", "is in no mood").await?;
    lives_through(&cluster, "overrun", "a call did not come back in time").await?;
    let mut leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    for mood in ["garbage", "hang", "crash"] {
        std::fs::write(leader.layout.folder.join("mood"), mood)?;
        let next = cluster.wait_leader_other_than(&leader.name, Duration::from_secs(60)).await?;
        ensure!(leader.postmaster_pid().is_none() || leader.health("/primary").await != Some(200), "{mood}");
        come_back(leader)?;
        cluster.wait_healthy(Duration::from_secs(90)).await?;
        ensure!(next.is_running(), "the new leader's daemon");
        leader = next;
    }
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    ensure!(report.first_ack_of(&leader.name, Duration::ZERO).is_some(), "the new leader took no write");
    cluster.finish().await
}

/// The node begins anew with a backend that works.
fn come_back(node: &Node) -> Result<()> {
    std::fs::remove_file(node.layout.folder.join("mood"))?;
    if node.is_running() {
        node.kill_daemon()?;
    }
    node.start()
}

/// The minor of the API that the kept packages are of, and their version.
const FIRST: (&str, &str) = ("1.0", "0.1.0");

/// What the next minor adds, as it must: at the end.
const ADDITIONS: [(&str, &str, &str); 4] = [
    ("regent-plugin-api/src/abi.rs", "API_MINOR: u32 = 0;", "API_MINOR: u32 = 1;"),
    (
        "regent-plugin-api/src/abi.rs",
        "pub open: extern \"C\" fn(OpenArgs) -> Res<BackendBox>,\n",
        "pub open: extern \"C\" fn(OpenArgs) -> Res<BackendBox>,\n    pub describe: extern \"C\" fn() -> RStr<'static>,\n",
    ),
    (
        "regent-plugin-api/src/abi.rs",
        "fn close(&self, call: Call) -> Res<()>;\n",
        "fn close(&self, call: Call) -> Res<()>;\n    fn hello(&self) -> u64 {\n        7\n    }\n",
    ),
    (
        "regent-plugin-sdk/src/lib.rs",
        "open: regent_open,",
        "open: regent_open,\n                    describe: regent_name,",
    ),
];

/// A backend that was built for the first minor, and one for the next, are loaded by this daemon and keep the contract.
#[test]
fn backends_for_an_older_and_a_newer_minor_are_loaded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    make_the_packages()?;
    let programs = Binaries::locate()?.regent;
    let kept = programs.parent().and_then(Path::parent).context("a target folder")?.join("sdk");
    let older = folder.path().join("older");
    unpack(&older, &kept)?;
    is_loaded(folder.path(), "older_minor", &older, "API       1.0, ")?;
    let newer = folder.path().join("newer");
    copy(&kept, &newer)?;
    for (file, before, after) in ADDITIONS {
        let (package, rest) = file.split_once('/').context("a file in a package")?;
        let path = newer.join(format!("{package}-{}", env!("CARGO_PKG_VERSION"))).join(rest);
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.matches(before).count() == 1, "{before:?} in {}", path.display());
        std::fs::write(&path, text.replace(before, after))?;
    }
    is_loaded(folder.path(), "newer_minor", &newer, "API       1.1, ")
}

fn is_loaded(folder: &Path, name: &str, sdk: &Path, api: &str) -> Result<()> {
    let place = folder.join(name);
    let (sdk, at) = (sdk.display().to_string(), place.display().to_string());
    let written = regent(&["plugin", "new", name, "--sdk", &sdk, "--folder", &at])?;
    ensure!(written.status.success(), "{written:?}");
    lock(&place)?;
    cargo(&place, &["build", "--offline"])?;
    let programs = Binaries::locate()?.regent;
    let library = programs.with_file_name(format!("libregent_dcs_{name}.so"));
    let told = regent(&["plugin", "check", &library.display().to_string()])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    ensure!(text.contains(api) && text.contains("verdict   it would be loaded"), "{text}");
    let mut kit = Command::new(programs.with_file_name("regent-dcs-conformance"));
    kit.arg("--plugin").arg(&library).args(["--config", "{\"cluster\": \"x\"}"]);
    for check in ["check-config", "cas", "values", "mutual-exclusion", "snapshot-consistency", "watch", "close"] {
        kit.args(["--only", check]);
    }
    let proved = kit.output()?;
    ensure!(proved.status.success(), "{}", String::from_utf8_lossy(&proved.stdout));
    // Clusters are given all plugins that lie here.
    std::fs::remove_file(library)?;
    Ok(())
}

/// The packages of the first minor, and the kit of today.
fn unpack(into: &Path, kept: &Path) -> Result<()> {
    let today = env!("CARGO_PKG_VERSION");
    std::fs::create_dir(into)?;
    for package in ["regent-plugin-api", "regent-plugin-sdk"] {
        let archive = root()?.join(format!("plugin-api/tests/minors/{}/{package}-{}.crate", FIRST.0, FIRST.1));
        let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(into).status()?;
        ensure!(unpacked.success(), "{}", archive.display());
        let place = into.join(format!("{package}-{today}"));
        std::fs::rename(into.join(format!("{package}-{}", FIRST.1)), &place)?;
        let manifest = place.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        std::fs::write(&manifest, text.replace(&format!("\"{}\"", FIRST.1), &format!("\"{today}\"")))?;
    }
    let kit = format!("regent-dcs-conformance-{today}");
    copy(&kept.join(&kit), &into.join(&kit))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(copied.success(), "cannot copy {}", from.display());
    Ok(())
}
