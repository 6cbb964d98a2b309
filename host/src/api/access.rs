//! Who may change something: by address, by certificate, by name and password, in this order (rest-api §2).

use super::page::{self, Answer};
use super::router::Peer;
use super::{Options, Shared};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use std::net::IpAddr;

/// Refuses who may not; `None` lets the request through.
pub(super) fn refuse(shared: &Shared, peer: &Peer, headers: &HeaderMap) -> Option<Answer> {
    let options = shared.options();
    if !may_by_address(shared, &options, peer.address.ip()) {
        return Some(page::text(403, "Access is denied"));
    }
    let certificate_wanted = peer.encrypted && matches!(options.verify_client.as_str(), "required" | "optional");
    if certificate_wanted && !peer.certified {
        return Some(page::text(403, "client certificate required"));
    }
    let (name, password) = options.authentication.as_ref()?;
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some(given) = given else {
        return Some(unauthorized("no auth header received"));
    };
    let key = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{}", password.0));
    let wanted = format!("Basic {key}");
    if equal(given, wanted.as_bytes()) { None } else { Some(unauthorized("not authenticated")) }
}

fn unauthorized(text: &str) -> Answer {
    let mut answer = page::text(401, text);
    let realm = HeaderValue::from_static("Basic realm=\"Patroni\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

/// Takes as long for a near miss as for a far one.
fn equal(given: &[u8], wanted: &[u8]) -> bool {
    let differing = given.iter().zip(wanted).fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == wanted.len() && differing == 0
}

fn may_by_address(shared: &Shared, options: &Options, address: IpAddr) -> bool {
    if options.allowlist.is_empty() && !options.allowlist_include_members {
        return true;
    }
    let address = address.to_canonical();
    if options.allowlist.iter().any(|entry| network_has(entry, address)) {
        return true;
    }
    let cluster = shared.handle.published.borrow().cluster.clone();
    let members = cluster.filter(|_| options.allowlist_include_members);
    members.is_some_and(|cluster| {
        cluster.view.members.iter().filter_map(|member| member.api_url.as_deref()).any(|url| {
            let host = url.split("://").nth(1).and_then(|rest| rest.split(['/']).next()).unwrap_or_default();
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|member| member.to_canonical() == address)
        })
    })
}

/// `10.0.0.0/8`, `::1` or an address; host bits of a network do not matter.
fn network_has(entry: &str, address: IpAddr) -> bool {
    let (network, length) = entry.split_once('/').unwrap_or((entry, ""));
    let Ok(network) = network.parse::<IpAddr>() else {
        return false;
    };
    let (network, bits) = match (network.to_canonical(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => (u128::from(network.to_bits() ^ address.to_bits()), 32),
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits() ^ address.to_bits(), 128),
        _ => return false,
    };
    let length: u32 = if length.is_empty() { bits } else { length.parse().unwrap_or(bits) };
    network.checked_shr(bits.saturating_sub(length)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::network_has;

    #[test]
    fn networks_hold_their_addresses() {
        let check = |entry: &str, address: &str, expected: bool| {
            assert_eq!(network_has(entry, address.parse().unwrap()), expected, "{entry} {address}");
        };
        check("10.1.2.3/8", "10.9.9.9", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("::1", "127.0.0.1", false);
        check("fd00::/8", "fd12::1", true);
        check("nonsense", "127.0.0.1", false);
    }
}
