//! Whom a component may reach: the hosts that were granted, by name or by address, each with its port. Names other than
//! those cannot be asked for either: a question to a name server can carry a secret out.

use super::child::Refused;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi::sockets::SocketAddrUse;

/// The hosts of a method. Clones share what has been resolved.
#[derive(Clone, Default)]
pub(super) struct Network {
    addresses: Arc<Mutex<BTreeSet<SocketAddr>>>,
    names: BTreeMap<String, BTreeSet<u16>>,
}

impl Network {
    pub(super) fn of(hosts: &[String]) -> Result<Network, Refused> {
        let mut network = Network::default();
        for host in hosts {
            let found = host.to_socket_addrs().map_err(|error| {
                Refused(format!("{host}, which `hosts` grants, has no address (host:port is wanted): {error}"))
            })?;
            network.addresses.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            if let Some((name, port)) = split(host) {
                network.names.entry(name).or_default().insert(port);
            }
        }
        Ok(network)
    }

    /// A socket is bound to nothing before it connects; a component listens to nobody.
    pub(super) fn may_use(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        match usage {
            SocketAddrUse::TcpConnect => {
                self.addresses.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
            }
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        }
    }

    /// May this server be spoken to, whatever its address is?
    pub(super) fn may_ask(&self, host: &str, port: u16) -> bool {
        self.names.get(&bare(host)).is_some_and(|ports| ports.contains(&port))
    }

    /// May the addresses of this name be asked for?
    pub(super) fn may_look_up(&self, name: &str) -> bool {
        self.names.contains_key(&bare(name))
    }

    /// A granted name has this address now: those of large services change from one question to the next.
    pub(super) fn resolved(&self, name: &str, address: IpAddr) {
        let ports = self.names.get(&bare(name)).into_iter().flatten();
        let found = ports.map(|port| SocketAddr::new(address, *port));
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

/// The ports of these hosts.
pub(super) fn ports(hosts: &[String]) -> BTreeSet<u16> {
    hosts.iter().filter_map(|host| split(host)).map(|(_, port)| port).collect()
}

/// Is one of these hosts given by its name?
pub(super) fn any_name(hosts: &[String]) -> bool {
    hosts.iter().any(|host| host.parse::<SocketAddr>().is_err())
}

fn split(host: &str) -> Option<(String, u16)> {
    let (name, port) = host.rsplit_once(':')?;
    Some((bare(name), port.parse().ok()?))
}

fn bare(name: &str) -> String {
    name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_hold_with_their_ports() {
        let hosts = ["127.0.0.1:80", "[::1]:443", "LocalHost:5432"].map(str::to_owned);
        let network = Network::of(&hosts).unwrap();
        let check = |address: &str, usage, expected| {
            assert_eq!(network.may_use(address.parse().unwrap(), usage), expected, "{address} {usage:?}");
        };
        check("127.0.0.1:80", SocketAddrUse::TcpConnect, true);
        check("127.0.0.1:81", SocketAddrUse::TcpConnect, false);
        check("127.0.0.2:80", SocketAddrUse::TcpConnect, false);
        check("[::1]:443", SocketAddrUse::TcpConnect, true);
        check("127.0.0.1:5432", SocketAddrUse::TcpConnect, true);
        check("127.0.0.1:80", SocketAddrUse::UdpSend, false);
        check("127.0.0.1:80", SocketAddrUse::TcpBind, false);
        check("0.0.0.0:0", SocketAddrUse::TcpBind, true);
        assert!(network.may_ask("localhost.", 5432) && !network.may_ask("localhost", 80));
        assert!(network.may_ask("[::1]", 443) && network.may_ask("127.0.0.1", 80));
        assert!(network.may_look_up("localhost") && !network.may_look_up("secret.example"));
        network.resolved("localhost", "192.0.2.1".parse().unwrap());
        network.resolved("other", "192.0.2.2".parse().unwrap());
        check("192.0.2.1:5432", SocketAddrUse::TcpConnect, true);
        check("192.0.2.2:5432", SocketAddrUse::TcpConnect, false);
        assert!(Network::of(&["nowhere".to_owned()]).is_err());
        assert_eq!(ports(&hosts), [80, 443, 5432].into());
        assert!(any_name(&hosts) && !any_name(&hosts[..2]));
    }
}
