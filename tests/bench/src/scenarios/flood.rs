//! Health checks over TLS while two thousand others hang on the API: silent, or in a handshake that they never end.
//!
//! On a node of its own, for the others' clusters speak without TLS. Patroni answers from a handful of threads, each of
//! which a silent client holds: there is nothing to compare with.

use crate::bed::HEALTHY;
use crate::metric;
use crate::results::Results;
use crate::system::{System, Timing, builder};
use anyhow::{Result, ensure};
use regent_harness::Cluster;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How many hang there.
const SILENT: usize = 2000;

/// How many checks, and how long one may take before it has failed.
const CHECKS: usize = 200;
const ANSWER: Duration = Duration::from_secs(10);

/// The first bytes of a handshake.
const BEGINNING: [u8; 5] = [0x16, 3, 1, 2, 0];

/// Plays it; `timing` is what the node runs at.
///
/// # Errors
/// When a check fails.
pub async fn run(system: System, timing: Timing, local: bool, rounds: usize, results: &mut Results) -> Result<()> {
    if system == System::Patroni {
        return Ok(());
    }
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let pem = identity.cert.pem() + &identity.signing_key.serialize_pem();
    let cluster = builder(system, timing, local)
        .nodes(1)
        .local_yaml(move |layout, config| {
            config["restapi"]["certfile"] = json!(layout.folder.join("api.pem"));
        })
        .prepare()
        .await?;
    place(&cluster, &pem)?;
    cluster.nodes.iter().try_for_each(regent_harness::Node::start)?;
    let node = cluster.primary_connection(HEALTHY).await?.0;
    let mut roots = RootCertStore::empty();
    roots.add(identity.cert.der().clone())?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let client = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    for _ in 0..rounds {
        let mut times = times(node.layout.rest_port, &client).await?;
        times.sort_by(f64::total_cmp);
        let place = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        results.add(system, timing, metric::FLOOD_P50, place(50))?;
        results.add(system, timing, metric::FLOOD_P99, place(99))?;
    }
    cluster.finish().await
}

fn place(cluster: &Cluster, pem: &str) -> Result<()> {
    cluster.nodes.iter().try_for_each(|node| {
        let file = node.layout.folder.join("api.pem");
        std::fs::write(&file, pem)?;
        // Its key is worth nothing after this run.
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        ensure!(Path::new(&file).is_file());
        Ok(())
    })
}

/// How long each check took, in milliseconds.
async fn times(port: u16, client: &TlsConnector) -> Result<Vec<f64>> {
    let mut silent = Vec::with_capacity(SILENT);
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        if number % 2 == 0 {
            stream.write_all(&BEGINNING).await?;
        }
        silent.push(stream);
    }
    let mut times = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        let begun = Instant::now();
        timeout(ANSWER, check(port, client)).await??;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

async fn check(port: u16, client: &TlsConnector) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut stream = client.connect(ServerName::try_from("localhost")?, stream).await?;
    stream.write_all(b"GET /primary HTTP/1.0\r\n\r\n").await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    ensure!(answer.ends_with(b" 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}
