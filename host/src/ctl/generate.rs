//! Writes a configuration to begin with: a sample, or what a running server already says of itself (OPS-25).

mod dsn;
mod page;
mod running;
mod sample;

use super::{CtlError, Result, output};
use crate::config::{LocalConfig, Source, merge_patch};
use crate::ports;
use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a configuration is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// Nothing: what has to be filled in is marked.
    Sample,
    /// The server that a connection string names, or libpq's variables.
    Running(Option<String>),
}

/// Writes the configuration to a file, made with its folders where they are missing, or to standard output. The
/// `PATRONI_*` variables lie over it.
pub fn generate(model: &Model, file: Option<&Path>) -> ExitCode {
    let made = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(made(model)),
        Err(error) => Err(CtlError::new(error.to_string())),
    };
    match made.and_then(|text| put(&text, file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error.0);
            ExitCode::FAILURE
        }
    }
}

async fn made(model: &Model) -> Result<String> {
    let here = Here::look();
    let mut document = match model {
        Model::Sample => sample::document(&here),
        Model::Running(dsn) => running::document(&here, dsn.as_deref()).await?,
    };
    merge_patch(&mut document, &variables()?);
    Ok(page::text(&document))
}

/// What the environment says.
fn variables() -> Result<Value> {
    let source = Source::new(None, ports::patroni_variables());
    let local = LocalConfig::load_if_any(&source).map_err(|error| CtlError::new(error.to_string()))?;
    Ok(local.document)
}

fn put(text: &str, file: Option<&Path>) -> Result<()> {
    let Some(path) = file else {
        output::line(text.trim_end());
        return Ok(());
    };
    let failed = |error: std::io::Error| CtlError::new(format!("{} can not be written: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // There may be a password in it.
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// This machine.
struct Here {
    /// Its name.
    name: String,
    /// How others reach it.
    address: String,
    /// Where PostgreSQL's programs are, as far as that can be told.
    programs: Option<PathBuf>,
}

impl Here {
    fn look() -> Here {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "node1".to_owned());
        Here { address: address(&name).unwrap_or_else(|| name.clone()), name, programs: programs() }
    }
}

/// What the machine's name means to others: an address of version 4 rather than one of version 6, and no loopback.
/// Where the name only means something to the machine itself, the address that it would send from.
fn address(name: &str) -> Option<String> {
    use std::net::{ToSocketAddrs, UdpSocket};
    let resolved = (name, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip());
    let mut usable: Vec<_> = resolved.filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect();
    usable.sort_by_key(std::net::IpAddr::is_ipv6);
    // Nothing is sent: a datagram's socket only asks for the route. The address is one of those for documentation.
    let routed = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    };
    usable.first().copied().or_else(routed).map(|ip| ip.to_string())
}

/// The folder of `postgres`: along PATH, else the newest of those that distributions use.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<f64>().ok());
    let mut versions: Vec<(f64, PathBuf)> =
        versions.map(|entry| entry.path()).filter_map(|path| Some((version(&path)?, path.join("bin")))).collect();
    versions.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let folders = ports::program_folders().into_iter().chain(versions.into_iter().map(|(_, path)| path));
    // A folder with a link to one program is not where all of them are.
    let is_whole =
        |folder: &PathBuf| ["postgres", "initdb", "pg_basebackup"].iter().all(|name| folder.join(name).is_file());
    folders.into_iter().find(is_whole)
}

/// An address and a port in one text.
fn at_port(host: &str, port: &str) -> String {
    if host.contains(':') && !host.contains(',') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests;
