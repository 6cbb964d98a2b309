//! Where the servers are, read from the ways in which people write it.

use regent_dcs_common::endpoint;
use std::fmt;

/// The port of ZooKeeper's clients.
pub const PORT: u16 = 2181;

/// One server's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// Name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Servers as a list, each with its port or without; and the path below which all keys lie, which may follow the last.
///
/// # Errors
/// One phrase.
pub fn parse(entries: &[String]) -> Result<(Vec<Server>, String), String> {
    let joined = entries.join(",");
    let (servers, chroot) = match joined.split_once('/') {
        Some((servers, path)) => (servers, path.trim().trim_matches('/')),
        None => (joined.as_str(), ""),
    };
    if chroot.contains(',') {
        return Err("the path must follow the last server".to_owned());
    }
    let servers = servers.split(',').map(str::trim).filter(|text| !text.is_empty());
    let mut servers = servers.map(one).collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        return Err("names no server".to_owned());
    }
    servers.sort();
    servers.dedup();
    Ok((servers, chroot.to_owned()))
}

fn one(text: &str) -> Result<Server, String> {
    let (endpoint, _) = endpoint::parse(text, false, PORT)?;
    Ok(Server { host: endpoint.host, port: endpoint.port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_many_ways() {
        let check = |entries: &[&str], expected: &str| {
            let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
            let found = match parse(&entries) {
                Ok((servers, chroot)) => {
                    let servers: Vec<_> = servers.iter().map(Server::to_string).collect();
                    format!("{} /{chroot}", servers.join(" "))
                }
                Err(why) => why,
            };
            assert_eq!(found, expected, "{entries:?}");
        };
        check(&["b:1", "a", "b:1"], "a:2181 b:1 /");
        check(&["b:1,a:2"], "a:2 b:1 /");
        check(&["[::1]:5", "::1"], "[::1]:5 [::1]:2181 /");
        check(&["a:1", "b:2/pg/main/"], "a:1 b:2 /pg/main");
        check(&["a:1/pg", "b:2"], "the path must follow the last server");
        check(&["a:0"], r#""0" is no port from 1 to 65535"#);
        check(&[], "names no server");
        check(&["/pg"], "names no server");
    }
}
