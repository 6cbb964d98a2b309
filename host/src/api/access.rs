//! Who may change something: by address, by certificate, by name and password, in this order (rest-api §2).

use super::Shared;
use super::in_force::InForce;
use super::page::{self, Answer};
use super::router::Peer;
use super::tls::VerifyClient;
use axum::http::{HeaderMap, HeaderValue, header};
use std::net::IpAddr;
use std::time::Duration;

/// What the dashboard's script says with everything it asks.
const FROM_DASHBOARD: &str = "x-regent-dashboard";

/// How long looking up one host name may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// The most members whose names are looked up for one request.
const LOOKUPS_MAX: usize = 64;

/// Whether members' addresses count for the allowlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// As `allowlist_include_members` says.
    AsConfigured,
    /// They do not.
    LeftOut,
}

/// Refuses who may not; `None` lets the request through.
pub(super) async fn refuse(shared: &Shared, peer: &Peer, headers: &HeaderMap, members: Members) -> Option<Answer> {
    let in_force = shared.in_force();
    if is_from_another_site(headers) {
        return Some(page::text(403, "a page of another site may not do this"));
    }
    if !may_by_address(shared, &in_force, peer.address.ip().to_canonical(), members).await {
        return Some(page::text(403, "Access is denied"));
    }
    if peer.encrypted && in_force.verify_client != VerifyClient::None && !peer.certified {
        return Some(page::text(403, "client certificate required"));
    }
    let wanted = in_force.authorization.as_ref()?;
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Some(unauthorized("no auth header received", headers));
    };
    if equal(given.as_bytes(), wanted.0.as_bytes()) { None } else { Some(unauthorized("not authenticated", headers)) }
}

/// Browsers say from where a page sends them; a page of somebody else may use neither the certificate that a browser
/// has for us nor that it is on our network. Who is no browser says nothing of it.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

fn unauthorized(text: &str, headers: &HeaderMap) -> Answer {
    let mut answer = page::text(401, text);
    // The dashboard asks for a password itself and forgets it with the page; a browser that is told of the realm would
    // ask on its own, and remember.
    if headers.contains_key(FROM_DASHBOARD) {
        return answer;
    }
    let realm = HeaderValue::from_static("Basic realm=\"Patroni\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

/// Takes as long for a near miss as for a far one.
fn equal(given: &[u8], wanted: &[u8]) -> bool {
    let differing = given.iter().zip(wanted).fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == wanted.len() && differing == 0
}

async fn may_by_address(shared: &Shared, in_force: &InForce, address: IpAddr, members: Members) -> bool {
    let include_members = in_force.options.allowlist_include_members && members == Members::AsConfigured;
    if in_force.options.allowlist.is_empty() && !include_members {
        return true;
    }
    if in_force.networks.iter().any(|network| network.has(address)) {
        return true;
    }
    include_members && is_member(shared, address).await
}

async fn is_member(shared: &Shared, address: IpAddr) -> bool {
    let Some(cluster) = shared.published().cluster.clone() else { return false };
    let urls = cluster.view.members.iter().filter_map(|member| member.api_url.as_deref());
    let hosts: Vec<&str> = urls.map(host_of).collect();
    let literal = |host: &&str| host.parse::<IpAddr>().is_ok_and(|member| member.to_canonical() == address);
    if hosts.iter().any(literal) {
        return true;
    }
    for host in hosts.into_iter().filter(|host| host.parse::<IpAddr>().is_err()).take(LOOKUPS_MAX) {
        if look_up(host).await.contains(&address) {
            return true;
        }
    }
    false
}

/// The host of `scheme://host:port/path`, without brackets.
fn host_of(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    host.trim_matches(['[', ']'])
}

async fn look_up(host: &str) -> Vec<IpAddr> {
    match tokio::time::timeout(LOOKUP_PATIENCE, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip().to_canonical()).collect(),
        Ok(Err(error)) => {
            tracing::warn!("the address of {host:?} could not be looked up: {error}");
            Vec::new()
        }
        Err(_) => {
            tracing::warn!("looking up the address of {host:?} took too long");
            Vec::new()
        }
    }
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn read(entry: &str) -> Option<Network> {
        let (address, length) = entry.split_once('/').unwrap_or((entry, ""));
        let address: IpAddr = address.trim().parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = if length.is_empty() { bits_max } else { length.trim().parse().ok()? };
        (bits <= bits_max).then_some(Network { address, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        let (differing, bits_max) = match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => (u128::from(network.to_bits() ^ address.to_bits()), 32),
            (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits() ^ address.to_bits(), 128),
            _ => return false,
        };
        differing.checked_shr(bits_max - self.bits).unwrap_or(0) == 0
    }
}

/// The networks of an allowlist; host names are looked up now.
pub(super) async fn networks(allowlist: &[String]) -> Vec<Network> {
    let mut networks = Vec::with_capacity(allowlist.len());
    for entry in allowlist {
        match Network::read(entry) {
            Some(network) => networks.push(network),
            None if entry.contains('/') => tracing::warn!("restapi.allowlist: {entry:?} is no network"),
            None => {
                let found = look_up(entry).await.into_iter();
                networks
                    .extend(found.map(|address| Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }));
            }
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let check = |entry: &str, address: &str, expected: bool| {
            let has = Network::read(entry).is_some_and(|network| network.has(address.parse().unwrap()));
            assert_eq!(has, expected, "{entry} {address}");
        };
        check("10.1.2.3/8", "10.9.9.9", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("::/0", "fd12::1", true);
        check("::1", "127.0.0.1", false);
        check("fd00::/8", "fd12::1", true);
        check("10.0.0.0/33", "10.0.0.0", false);
        check("10.0.0.0/x", "10.0.0.0", false);
        check("nonsense", "127.0.0.1", false);
    }

    #[test]
    fn hosts_are_found_in_urls() {
        let check = |url: &str, expected: &str| assert_eq!(host_of(url), expected, "{url}");
        check("http://10.0.0.1:8008/patroni", "10.0.0.1");
        check("https://[fd00::1]:8008/patroni", "fd00::1");
        check("https://[fd00::1]", "fd00::1");
        check("http://db1/patroni", "db1");
        check("", "");
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(equal(b"Basic YTpi", b"Basic YTpi"));
        assert!(!equal(b"Basic YTp", b"Basic YTpi"));
        assert!(!equal(b"Basic YTpj", b"Basic YTpi"));
        assert!(!equal(b"", b"Basic YTpi"));
    }
}
