//! The nodes' processes: started as ordinary daemons, killed, frozen, and ended without a trace.

use super::folder::{Folder, Node};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The running daemons; dropped, every process under the folder is killed.
pub(super) struct Nodes {
    root: PathBuf,
    daemons: Vec<(String, Child)>,
    frozen: BTreeSet<String>,
}

impl Nodes {
    /// None yet; whatever runs in the folder ends with this.
    pub fn new(folder: &Folder) -> Nodes {
        Nodes { root: folder.root().to_owned(), daemons: Vec::new(), frozen: BTreeSet::new() }
    }

    /// Starts every daemon.
    pub fn start_all(&mut self, folder: &Folder) -> Result<(), String> {
        for node in &folder.nodes {
            self.daemons.push((node.name.clone(), start(folder, node)?));
        }
        Ok(())
    }

    /// Starts a daemon again.
    pub fn start_one(&mut self, folder: &Folder, name: &str) -> Result<(), String> {
        let node = folder.nodes.iter().find(|node| node.name == name).ok_or("there is no such node")?;
        let daemon = start(folder, node)?;
        self.daemons.retain(|(other, _)| other != name);
        self.daemons.push((name.to_owned(), daemon));
        Ok(())
    }

    /// Daemons that ended.
    pub fn dead(&mut self) -> Vec<String> {
        let ended = |daemon: &mut Child| matches!(daemon.try_wait(), Ok(Some(_)));
        self.daemons.iter_mut().filter_map(|(name, daemon)| ended(daemon).then(|| name.clone())).collect()
    }

    /// Kills everything of a node at once; gives the process ids in words.
    pub fn kill(&mut self, folder: &Folder, name: &str) -> Result<String, String> {
        let node = folder.nodes.iter().find(|node| node.name == name).ok_or("there is no such node")?;
        let pids = processes(&node.folder);
        self.frozen.remove(name);
        pids.iter().for_each(|pid| send(*pid, Signal::KILL));
        self.reap();
        Ok(pids.iter().map(i32::to_string).collect::<Vec<_>>().join(" "))
    }

    /// Stops a daemon's clock, or lets it go on.
    pub fn freeze_or_thaw(&mut self, name: &str) -> Result<String, String> {
        if !self.frozen.is_empty() {
            return self.thaw_all();
        }
        let daemon = self.daemons.iter().find(|(other, _)| other == name).ok_or("there is no such daemon")?;
        let pid = daemon.1.id().cast_signed();
        send(pid, Signal::STOP);
        self.frozen.insert(name.to_owned());
        Ok(format!("kill -STOP {pid}   (the daemon of {name} hangs; press f again to let it go on)"))
    }

    /// Lets frozen daemons go on.
    pub fn thaw_all(&mut self) -> Result<String, String> {
        let names = std::mem::take(&mut self.frozen);
        for (_, daemon) in self.daemons.iter().filter(|(name, _)| names.contains(name)) {
            send(daemon.id().cast_signed(), Signal::CONT);
        }
        let names: Vec<_> = names.into_iter().collect();
        Ok(if names.is_empty() { "nobody leads".to_owned() } else { format!("{} goes on", names.join(", ")) })
    }

    /// Takes in children that ended, also those of killed daemons: a zombie looks like a running server to the next.
    pub fn reap(&mut self) {
        use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
        for (_, daemon) in &mut self.daemons {
            // A daemon that lives on is waited for another time.
            let _lives = daemon.try_wait().is_err();
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                return;
            }
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for _ in 0..50 {
            let pids = processes(&self.root);
            if pids.is_empty() {
                break;
            }
            pids.iter().for_each(|pid| send(*pid, Signal::KILL));
            pause();
            self.reap();
        }
    }
}

/// Killed processes take a moment to be gone.
#[allow(clippy::disallowed_methods, reason = "paces looking for what is still alive")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20)); // pace: the end of processes that are not our children
}

fn start(folder: &Folder, node: &Node) -> Result<Child, String> {
    let wrong = |error: std::io::Error| format!("{} can not be started: {error}", node.name);
    let log = File::options().create(true).append(true).open(node.log()).map_err(wrong)?;
    let errors = log.try_clone().map_err(wrong)?;
    let mut command = Command::new(folder.program());
    command.arg(node.config()).current_dir(&node.folder).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.process_group(0);
    if let Some((uid, gid)) = folder.user {
        command.uid(uid.as_raw()).gid(gid.as_raw()).env("HOME", &node.folder);
    }
    command.spawn().map_err(wrong)
}

fn send(pid: i32, signal: Signal) {
    // A process that ended meanwhile needs no signal.
    let _gone = Pid::from_raw(pid).is_none_or(|pid| kill_process(pid, signal).is_err());
}

/// Processes that belong to a folder: it is in their arguments, or they work in it.
fn processes(folder: &Path) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own && belongs(*pid, folder)).collect()
}

fn belongs(pid: i32, folder: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let name = folder.as_os_str().as_encoded_bytes();
    let works_here = std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let named = line.windows(name.len() + 1).any(|part| part.starts_with(name) && matches!(part[name.len()], b'/' | 0));
    let zombie = std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "));
    (works_here || named) && !zombie
}
