//! The demo's folder: programs where an unprivileged user can reach them, and one ordinary configuration a node.

use nix::unistd::{Gid, Uid, User, chown};
use serde_json::json;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A node's place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub name: String,
    pub rest_port: u16,
    pub pg_port: u16,
    pub folder: PathBuf,
}

impl Node {
    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("regent.yml")
    }

    /// Its daemon's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("regent.log")
    }
}

/// The folder; dropped, it is gone.
pub(super) struct Folder {
    root: TempDir,
    /// Who runs the nodes, where we may not.
    pub user: Option<(Uid, Gid)>,
    pub nodes: Vec<Node>,
    /// PostgreSQL's version.
    pub version: String,
    /// The port of the demo's own etcd, where that is the store.
    pub etcd_port: Option<u16>,
}

impl Folder {
    /// Finds what is needed and writes everything.
    pub fn make(count: usize, dcs: &str) -> Result<Folder, String> {
        let programs = postgresql()?;
        let version = version(&programs)?;
        let user = unprivileged()?;
        let wrong = |error: std::io::Error| format!("the demo's folder: {error}");
        let root = tempfile::Builder::new().prefix("regent-demo-").tempdir_in("/tmp").map_err(wrong)?;
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).map_err(wrong)?;
        let etcd_port = if dcs == "etcd3" { Some(free_port()?) } else { None };
        let mut folder = Folder { root, user, nodes: Vec::new(), version, etcd_port };
        folder.place_programs(dcs)?;
        for name in ["store", "s"] {
            folder.own_folder(&folder.root().join(name))?;
        }
        for index in 1..=count.max(1) {
            let node = Node {
                name: format!("node{index}"),
                rest_port: free_port()?,
                pg_port: free_port()?,
                folder: folder.root().join(format!("node{index}")),
            };
            folder.own_folder(&node.folder)?;
            let text =
                serde_yaml::to_string(&folder.configuration(&node, &programs)).map_err(|error| error.to_string())?;
            folder.own_file(&node.config(), &text)?;
            folder.nodes.push(node);
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The daemon's program.
    pub fn program(&self) -> PathBuf {
        self.root().join("bin/regent")
    }

    /// The string that always reaches the primary.
    pub fn connection_string(&self) -> String {
        let ports: Vec<_> = self.nodes.iter().map(|node| node.pg_port.to_string()).collect();
        let hosts = vec!["127.0.0.1"; self.nodes.len()].join(",");
        format!("host={hosts} port={} user=postgres dbname=postgres target_session_attrs=read-write", ports.join(","))
    }

    /// The end of a node's log.
    pub fn log_tail(&self, name: &str) -> String {
        let node = self.nodes.iter().find(|node| node.name == name);
        let text = node.and_then(|node| std::fs::read_to_string(node.log()).ok()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn configuration(&self, node: &Node, programs: &Path) -> serde_json::Value {
        let login = |name: &str| json!({"username": name, "password": format!("demo-{:016x}", fastrand::u64(..))});
        let rest = format!("127.0.0.1:{}", node.rest_port);
        let postgresql = format!("127.0.0.1:{}", node.pg_port);
        let (store, section) = match self.etcd_port {
            Some(port) => ("etcd3", json!({"hosts": [format!("127.0.0.1:{port}")]})),
            None => ("local", json!({"path": self.root().join("store/demo.db")})),
        };
        json!({
            "scope": "demo", "name": node.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "plugins": {"dir": self.root().join("bin")},
            store: section,
            "bootstrap": {
                "dcs": {"ttl": 20, "loop_wait": 2, "retry_timeout": 3, "postgresql": {"use_pg_rewind": true}},
                "initdb": [{"encoding": "UTF8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": postgresql, "connect_address": postgresql,
                "data_dir": node.folder.join("data"), "bin_dir": programs, "pgpass": node.folder.join("pgpass"),
                "authentication": {"superuser": login("postgres"), "replication": {"username": "replicator",
                    "password": "demo-of-one-machine"}, "rewind": {"username": "rewinder", "password": "demo-of-one-machine"}},
                "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust"],
                "parameters": {"unix_socket_directories": self.root().join("s"), "shared_buffers": "32MB",
                    "dynamic_shared_memory_type": "mmap"},
            },
        })
    }

    /// Our own program and the store's plugin, copied: the build's folder may be closed to the nodes' user.
    fn place_programs(&self, dcs: &str) -> Result<(), String> {
        let bin = self.root().join("bin");
        let wrong = |error: std::io::Error| format!("the programs can not be placed: {error}");
        std::fs::create_dir(&bin).map_err(wrong)?;
        let program = std::env::current_exe().map_err(wrong)?;
        let beside = program.parent().unwrap_or(Path::new("."));
        let plugin = format!("libregent_dcs_{dcs}.so");
        let places = [beside.join(&plugin), beside.join("../lib/regent/plugins").join(&plugin)];
        let found = places.iter().find(|path| path.exists());
        let found = found.ok_or_else(|| format!("{plugin} is missing beside {}", program.display()))?;
        std::fs::copy(&program, self.program()).map_err(wrong)?;
        std::fs::copy(found, bin.join(&plugin)).map_err(wrong)?;
        for name in ["regent", plugin.as_str()] {
            std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).map_err(wrong)?;
        }
        Ok(())
    }

    fn own_folder(&self, path: &Path) -> Result<(), String> {
        std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.own(path)
    }

    fn own_file(&self, path: &Path, text: &str) -> Result<(), String> {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(|error| format!("{}: {error}", path.display()))?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> Result<(), String> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Who runs the nodes when we are root: PostgreSQL does not, and neither does Regent.
fn unprivileged() -> Result<Option<(Uid, Gid)>, String> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.ok_or("started as root, and there is neither a user postgres nor nobody to change to")?;
    Ok(Some((user.uid, user.gid)))
}

pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// The folder of the newest PostgreSQL: Debian's place, else the PATH.
fn postgresql() -> Result<PathBuf, String> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.pop().map(|(_, bin)| bin).or_else(on_path).ok_or_else(|| {
        "PostgreSQL is missing: no initdb under /usr/lib/postgresql or in PATH (tests/setup.sh installs it on Debian)"
            .to_owned()
    })
}

fn version(programs: &Path) -> Result<String, String> {
    let output = std::process::Command::new(programs.join("postgres")).arg("--version").output();
    let output = output.map_err(|error| format!("{}: {error}", programs.join("postgres").display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 13 { Err(format!("PostgreSQL {version} is too old, 13 is needed")) } else { Ok(version) }
}
