//! Finds servers: by SRV records, and by what members of the store say of each other.

use super::config::{PORT, Srv};
use crate::endpoint::{self, Endpoint};
use crate::{Dns, Tls};
use hickory_resolver::TokioResolver;
use regent_plugin_sdk::log;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Services in the order in which they are looked for. Those of servers lead to peers, which are asked for clients'
/// addresses.
const SERVICES: [&str; 6] = ["etcd-client-ssl", "etcd-client", "etcd-ssl", "etcd", "etcd-server-ssl", "etcd-server"];

/// What a peer may say at most about its members.
const MEMBERS_MAX: u64 = 1 << 20;

/// The name of a service's records.
fn record_name(service: &str, srv: &Srv) -> String {
    let suffix = srv.suffix.as_ref().map(|suffix| format!("-{suffix}")).unwrap_or_default();
    format!("_{service}{suffix}._tcp.{}", srv.domain.trim_end_matches('.'))
}

/// How peers are reached.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// Names of servers.
    pub dns: &'a Dns,
    /// Whom we trust, who we are.
    pub tls: &'a Tls,
    /// How long a peer may take to be connected to.
    pub patience: Duration,
}

/// The servers of the first service that has records; none when no service has, or no resolver answers.
pub async fn by_srv(srv: &Srv, way: Way<'_>) -> Vec<Endpoint> {
    match TokioResolver::builder_tokio() {
        Ok(builder) => look_up(&builder.build(), srv, way).await,
        Err(error) => {
            log::warn(&format!("srv: the resolver's configuration can not be read: {error}"));
            Vec::new()
        }
    }
}

async fn look_up(resolver: &TokioResolver, srv: &Srv, way: Way<'_>) -> Vec<Endpoint> {
    // All at once, looked at in their order: most of them do not exist, and a resolver may take its time to say so.
    let lookups = SERVICES.map(|service| {
        let (resolver, name) = (resolver.clone(), record_name(service, srv));
        (service, tokio::spawn(async move { resolver.srv_lookup(format!("{name}.")).await }))
    });
    for (service, lookup) in lookups {
        let tls = service.ends_with("-ssl");
        let found = match lookup.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                log::debug(&format!("{}: {error}", record_name(service, srv)));
                continue;
            }
            Err(_) => continue,
        };
        let endpoints = found.iter().map(|record| Endpoint {
            tls,
            host: record.target().to_utf8().trim_end_matches('.').to_owned(),
            port: record.port(),
        });
        let endpoints: Vec<_> = endpoints.filter(|endpoint| !endpoint.host.is_empty()).collect();
        let endpoints = if service.starts_with("etcd-server") { of_peers(&endpoints, way).await } else { endpoints };
        if !endpoints.is_empty() {
            return endpoints;
        }
    }
    log::warn(&format!("srv: no records of etcd are found for {}", srv.domain));
    Vec::new()
}

/// Clients' addresses of members, as URLs. What can not be read is left out.
pub fn of_urls<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for url in urls {
        if let Ok((endpoint, _)) = endpoint::parse(url, false, PORT)
            && !endpoints.contains(&endpoint)
        {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

async fn of_peers(peers: &[Endpoint], way: Way<'_>) -> Vec<Endpoint> {
    for peer in peers {
        match members(peer, way).await {
            Ok(members) if !members.is_empty() => return members,
            Ok(_) => log::debug(&format!("{peer} names no member")),
            Err(error) => log::debug(&format!("{peer} does not say who its members are: {error}")),
        }
    }
    Vec::new()
}

async fn members(peer: &Endpoint, way: Way<'_>) -> io::Result<Vec<Endpoint>> {
    let stream = way.dns.connect(&peer.host, peer.port, way.patience).await?;
    let answer = if peer.tls {
        let config = way.tls.https(true).map_err(io::Error::other)?;
        let name = rustls::pki_types::ServerName::try_from(peer.host.clone()).map_err(io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        get_members(connector.connect(name, stream).await?, &peer.host).await?
    } else {
        get_members(stream, &peer.host).await?
    };
    read_members(&answer).map_err(io::Error::other)
}

async fn get_members(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str) -> io::Result<Vec<u8>> {
    let request = format!("GET /members HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.take(MEMBERS_MAX).read_to_end(&mut answer).await {
        // Some servers hang up without closing the encryption first.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

fn read_members(answer: &[u8]) -> Result<Vec<Endpoint>, String> {
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("the answer is no HTTP")?;
    let status = String::from_utf8_lossy(&answer[..split]);
    let code = status.split_whitespace().nth(1).unwrap_or_default();
    if code != "200" {
        return Err(format!("the answer is {code:?}"));
    }
    let members: Vec<serde_json::Value> =
        serde_json::from_slice(&answer[split + 4..]).map_err(|error| error.to_string())?;
    let urls = members.iter().filter_map(|member| member.get("clientURLs")?.as_array()).flatten();
    Ok(of_urls(urls.filter_map(serde_json::Value::as_str)))
}

#[cfg(test)]
mod tests;
