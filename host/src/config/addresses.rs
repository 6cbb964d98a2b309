//! Addresses as people write them: `host:port`, several hosts, IPv6 with or without brackets.

use std::fmt;
use std::net::Ipv6Addr;

/// Hosts that another machine can not reach this one by.
pub(super) const LOCAL_NAMES: [&str; 5] = ["127.0.0.1", "0.0.0.0", "*", "::1", "localhost"];

/// Listening on one of these, a server is reached by `localhost`.
const REACHED_LOCALLY: [&str; 6] = ["*", "0.0.0.0", "::", "127.0.0.1", "localhost", ""];

/// A host, or several separated by commas, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// Takes an address apart. What follows the last colon is the port, unless the colon is part of an IPv6 address.
    pub fn read(text: &str, default_port: u16) -> HostPort {
        let text = text.trim();
        if let Some((hosts, port)) = text.rsplit_once(':')
            && let Ok(port) = port.trim().parse()
            && hosts.split(',').all(is_host)
        {
            return HostPort { host: bare(hosts), port };
        }
        let six = text.parse::<Ipv6Addr>().is_ok();
        let hosts = if six { text } else { text.trim_end_matches(':') };
        HostPort { host: bare(hosts), port: default_port }
    }

    /// The address that local connections and, where nothing else is said, others use.
    pub fn reached_at(&self) -> HostPort {
        let hosts = || self.host.split(',');
        let host = if hosts().any(|host| REACHED_LOCALLY.contains(&host)) {
            "localhost"
        } else {
            hosts().next().unwrap_or("localhost")
        };
        HostPort { host: host.to_owned(), port: self.port }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, host) in self.host.split(',').enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if host.contains(':') {
                write!(f, "{comma}[{host}]")?;
            } else {
                write!(f, "{comma}{host}")?;
            }
        }
        write!(f, ":{}", self.port)
    }
}

/// A name, an IPv4 address, or a whole IPv6 address.
fn is_host(host: &str) -> bool {
    let host = host.trim();
    let bracketed = host.starts_with('[') && host.ends_with(']');
    bracketed || !host.contains(':') || host.parse::<Ipv6Addr>().is_ok()
}

fn bare(hosts: &str) -> String {
    let host = |host: &str| host.trim().trim_start_matches('[').trim_end_matches(']').to_owned();
    hosts.split(',').map(host).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_taken_apart() {
        // CFG-37
        let check = |text: &str, host: &str, port: u16, shown: &str| {
            let address = HostPort::read(text, 5432);
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(address.to_string(), shown);
        };
        check("127.0.0.1:5433", "127.0.0.1", 5433, "127.0.0.1:5433");
        check("*", "*", 5432, "*:5432");
        check("*:5433", "*", 5433, "*:5433");
        check("a, b:5433", "a,b", 5433, "a,b:5433");
        check("[::1]:5433", "::1", 5433, "[::1]:5433");
        check("[::1]", "::1", 5432, "[::1]:5432");
        check("::1", "::1", 5432, "[::1]:5432");
        check("::1:5433", "::1", 5433, "[::1]:5433");
        check("::", "::", 5432, "[::]:5432");
        check("fe80::1", "fe80::1", 5432, "[fe80::1]:5432");
        check("2001:db8:0:0:0:0:0:1", "2001:db8:0:0:0:0:0:1", 5432, "[2001:db8:0:0:0:0:0:1]:5432");
        check("127.0.0.1,[::1]:5433", "127.0.0.1,::1", 5433, "127.0.0.1,[::1]:5433");
        check("host:", "host", 5432, "host:5432");
    }

    #[test]
    fn the_usable_address_is_found() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(HostPort::read(listen, 5432).reached_at().to_string(), expected, "{listen}");
        };
        check("*:5433", "localhost:5433");
        check("10.0.0.1,127.0.0.1:5433", "localhost:5433");
        check("10.0.0.1,10.0.0.2:5433", "10.0.0.1:5433");
        check("[fd00::1]:5433", "[fd00::1]:5433");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_the_same(host in "[a-z][a-z0-9.-]{0,12}", six in any::<[u16; 8]>(), port in 1_u16..) {
            let six = Ipv6Addr::from(six).to_string();
            for host in [host.clone(), six.clone(), format!("{host},{six}")] {
                let address = HostPort { host, port };
                prop_assert_eq!(HostPort::read(&address.to_string(), 1), address);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f:\\[\\],.* ]{0,40}") {
            let _shown = HostPort::read(&text, 5432).reached_at().to_string();
        }
    }
}
