//! The outer wall: what the whole process can reach while a component runs, should the component ever get out of its
//! sandbox. The kernel's Landlock refuses files and ports that were not granted; limits bound memory, files and time.

use super::message::Order;
use super::network;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the kernels of these years know; an older one holds what it can.
const KNOWN: ABI = ABI::V6;

/// How many linear memories a component may have: one of its own, one of the adapter of each module in it.
pub(super) const MEMORIES_MAX: usize = 8;

/// What the runtime sets aside of the address space for each memory: 4 GiB, and guards around it.
const MEMORY_RESERVED_BYTES: u64 = 5 << 30;

/// What the process needs besides the component's memories: compiled code, stacks, buffers.
const OWN_BYTES: u64 = 1 << 30;

/// How many files and sockets the process may hold at once. A restore holds a few.
const FILES_MAX: u64 = 1024;

/// Where names are looked up.
const NAME_SERVICE: [&str; 8] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/usr/lib",
    "/lib",
];

/// The port of name servers.
const NAME_SERVER_PORT: u16 = 53;

/// What is granted by an order, as the kernel is told.
pub(super) struct Wall {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    ports: Vec<u16>,
}

impl Wall {
    pub(super) fn around(order: &Order) -> Wall {
        let granted = |writable: bool| {
            let directories = order.directories.iter().filter(move |directory| directory.writable == writable);
            directories.map(|directory| directory.path.clone())
        };
        // What the runtime looks up of its own process.
        let own = [order.component.clone(), PathBuf::from("/proc/self")];
        let mut wall = Wall {
            read: own.into_iter().chain(order.certificates.clone()).chain(granted(false)).collect(),
            write: order.cache.clone().into_iter().chain(granted(true)).collect(),
            ports: network::ports(&order.hosts).into_iter().collect(),
        };
        if network::any_name(&order.hosts) {
            wall.read.extend(NAME_SERVICE.map(PathBuf::from));
            wall.ports.push(NAME_SERVER_PORT);
        }
        wall
    }

    /// The narrower one inside of it, for when compiling is over: what is kept of it runs as it is the next time, so that
    /// a component must not reach it.
    pub(super) fn without_cache(mut self, order: &Order) -> Wall {
        self.write.retain(|path| Some(path) != order.cache.as_ref());
        self
    }

    /// Raises it around this thread and those that it will start. Says how much of it stands.
    pub(super) fn raise(&self) -> Result<RulesetStatus, RulesetError> {
        // Nothing is executed from here on, not even what may be read.
        let execute: BitFlags<AccessFs> = AccessFs::Execute.into();
        let reading = AccessFs::from_read(KNOWN) & !execute;
        let all = AccessFs::from_all(KNOWN) & !execute;
        let ports = self.ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?
            .add_rules(path_beneath_rules(existing(&self.read), reading))?
            .add_rules(path_beneath_rules(existing(&self.write), all))?
            .add_rules(ports)?
            .restrict_self()?;
        Ok(status.ruleset)
    }
}

fn existing(paths: &[PathBuf]) -> impl Iterator<Item = &Path> {
    paths.iter().map(PathBuf::as_path).filter(|path| path.exists())
}

/// Bounds what the process takes from now on. It can start no programs (the wall), so that their number needs no bound.
pub(super) fn bound(memory_bytes_max: u64, limit: Option<Duration>) {
    let memories = u64::try_from(MEMORIES_MAX).unwrap_or(u64::MAX);
    lower(Resource::As, memories * MEMORY_RESERVED_BYTES + memory_bytes_max + OWN_BYTES);
    // What is only set aside does not count here: this one is about memory that is there.
    lower(Resource::Data, memory_bytes_max.saturating_add(OWN_BYTES));
    lower(Resource::Nofile, FILES_MAX);
    // On all cores, and for its compiling: an end for what no clock of ours interrupts.
    if let Some(limit) = limit {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        lower(Resource::Cpu, limit.as_secs().saturating_add(180).saturating_mul(cores));
    }
}

/// Never raises a limit.
fn lower(resource: Resource, wanted: u64) {
    let hard = getrlimit(resource).maximum;
    let limit = Some(hard.map_or(wanted, |hard| hard.min(wanted)));
    let _ = setrlimit(resource, Rlimit { current: limit, maximum: limit });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::{fs, thread};

    /// A wall holds for the thread that raised it, so that each test has one of its own.
    fn behind<T: Send + 'static>(wall: Wall, deed: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let thread = thread::spawn(move || {
            let status = wall.raise().unwrap();
            (status != RulesetStatus::NotEnforced).then(deed)
        });
        let done = thread.join().unwrap();
        if done.is_none() {
            eprintln!("SKIPPED: this kernel has no Landlock");
        }
        done
    }

    #[test]
    fn only_what_is_granted_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["read", "write", "other"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), name).unwrap();
        }
        let wall = Wall { read: vec![path("read")], write: vec![path("write"), path("missing")], ports: vec![] };
        let at = folder.path().to_owned();
        behind(wall, move || {
            let refused = |result: std::io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
            };
            assert_eq!(fs::read_to_string(at.join("read/file")).unwrap(), "read");
            refused(fs::write(at.join("read/file"), "x"));
            refused(fs::write(at.join("read/new"), "x"));
            fs::write(at.join("write/new"), "x").unwrap();
            fs::rename(at.join("write/new"), at.join("write/file")).unwrap();
            refused(fs::read_to_string(at.join("other/file")).map(drop));
            refused(fs::read_to_string("/etc/passwd").map(drop));
            refused(fs::rename(at.join("write/file"), at.join("other/file")));
            refused(std::process::Command::new("/bin/true").status().map(drop));
        });
    }

    #[test]
    fn only_granted_ports_are_reached() {
        let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let [granted, other] = [0, 1].map(|at| listeners[at].local_addr().unwrap());
        behind(Wall { read: vec![], write: vec![], ports: vec![granted.port()] }, move || {
            assert!(TcpStream::connect(granted).is_ok());
            // Kernels before 6.7 have a wall for files alone.
            if let Err(error) = TcpStream::connect(other) {
                assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            }
        });
    }
}
