//! A server of backups over HTTP: it wants a password, knows ranges, and breaks off now and then.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much of an archive is sent before the first connection for it breaks off.
const BREAK_AFTER: usize = 100_000;

/// It serves until the test ends.
#[derive(Debug)]
pub struct BackupServer {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    broken: AtomicUsize,
    resumed: AtomicUsize,
}

impl BackupServer {
    /// Serves the archives of a folder below `/base`, and writes their checksums beside them.
    pub fn start(folder: &Path, authorization: &'static str) -> Result<BackupServer> {
        let sums = Command::new("sh").args(["-c", "sha256sum *.tar* >SHA256SUMS"]).current_dir(folder).status()?;
        anyhow::ensure!(sums.success(), "no checksums");
        let listener = TcpListener::bind("127.0.0.1:0").context("no port")?;
        let (address, counts) = (listener.local_addr()?, Arc::new(Counts::default()));
        let (folder, shared) = (folder.to_owned(), counts.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &folder, authorization, &shared);
            }
        });
        Ok(BackupServer { address, counts })
    }

    /// How many answers broke off.
    pub fn broke_off(&self) -> usize {
        self.counts.broken.load(Ordering::Relaxed)
    }

    /// How many answers began amid a file.
    pub fn resumed(&self) -> usize {
        self.counts.resumed.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, folder: &Path, authorization: &str, counts: &Counts) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let (mut from, mut allowed) = (0, false);
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "range" => from = value.trim().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0),
            "authorization" => allowed = value.trim() == authorization,
            _ => {}
        }
    }
    let name = path.strip_prefix("/base/").unwrap_or_default();
    let found = if name.contains('/') { None } else { std::fs::read(folder.join(name)).ok() };
    let (Some(bytes), true) = (found, allowed) else {
        let status = if allowed { "404 Not Found" } else { "401 Unauthorized" };
        return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let total = bytes.len();
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let range = if from > 0 { format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1) } else { String::new() };
    let length = total - from;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"{total}\"\r\n{range}Connection: close\r\n\r\n"
    )?;
    counts.resumed.fetch_add(usize::from(from > 0), Ordering::Relaxed);
    let end = if from == 0 && total > BREAK_AFTER { BREAK_AFTER } else { total };
    counts.broken.fetch_add(usize::from(end < total), Ordering::Relaxed);
    stream.write_all(&bytes[from..end])
}
