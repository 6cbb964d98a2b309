//! The part of the section `exhibitor:` that is about Exhibitor, read strictly.

use regent_dcs_common::endpoint;
use regent_plugin_sdk::Result;
use regent_zookeeper::{Section, Server};
use std::time::Duration;

/// Exhibitor's usual port.
const PORT: u16 = 8181;

/// How often it is asked, unless the section says otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(300);

/// Whom to ask, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Each an Exhibitor.
    pub hosts: Vec<Server>,
    /// The port of those that run beside servers that we learn of.
    pub port: u16,
    /// Between two rounds.
    pub poll_interval: Duration,
}

impl Place {
    /// Reads the section.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key.
    pub fn read(section: &Section) -> Result<Place> {
        let port = match section.text("port")? {
            Some(port) => endpoint::number(&port).map_err(|why| section.at("port", &why))?,
            None => PORT,
        };
        let hosts = section.list("hosts", "hosts")?.unwrap_or_default();
        let host = |text: &String| {
            let (endpoint, _) = endpoint::parse(text, false, port).map_err(|why| section.at("hosts", &why))?;
            Ok(Server { host: endpoint.host, port: endpoint.port })
        };
        let hosts = hosts.iter().map(host).collect::<Result<Vec<_>>>()?;
        if hosts.is_empty() {
            return Err(section.at("hosts", "names no Exhibitor"));
        }
        let poll_interval = match section.text("poll_interval")? {
            Some(text) => text.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs),
            None => Some(POLL_INTERVAL),
        };
        let poll_interval =
            poll_interval.ok_or_else(|| section.at("poll_interval", "must be a whole number of seconds"))?;
        Ok(Place { hosts, port, poll_interval })
    }

    /// Whom to ask, in this order; each turn begins with another.
    pub fn candidates(&self, beside: &[Server], turn: usize) -> Vec<Server> {
        let mut candidates = self.hosts.clone();
        candidates.rotate_left(turn % self.hosts.len().max(1));
        for server in beside {
            let exhibitor = Server { host: server.host.clone(), port: self.port };
            if !candidates.contains(&exhibitor) {
                candidates.push(exhibitor);
            }
        }
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<Place, String> {
        let section = Section::read("exhibitor", json).expect("it is a mapping");
        Place::read(&section).map_err(|error| error.message)
    }

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.to_owned(), port }
    }

    /// ZK-02.
    #[test]
    fn the_section_is_read() {
        let place = read(r#"{"hosts": ["a", "b:1"], "port": "8080", "poll_interval": 60}"#).expect("it is right");
        assert_eq!(place.hosts, [server("a", 8080), server("b", 1)]);
        assert_eq!((place.port, place.poll_interval), (8080, Duration::from_secs(60)));
        let place = read(r#"{"hosts": "a,b"}"#).expect("it is right");
        assert_eq!((place.hosts.len(), place.port, place.poll_interval), (2, 8181, Duration::from_secs(300)));
        let check = |json: &str, expected: &str| assert_eq!(read(json).expect_err(json), expected, "{json}");
        check("{}", "exhibitor.hosts: names no Exhibitor");
        check(r#"{"hosts": ["a"], "port": 0}"#, r#"exhibitor.port: "0" is no port from 1 to 65535"#);
        for wrong in ["0", "-1", "\"soon\""] {
            let json = format!(r#"{{"hosts": ["a"], "poll_interval": {wrong}}}"#);
            check(&json, "exhibitor.poll_interval: must be a whole number of seconds");
        }
    }

    #[test]
    fn everybody_is_asked_in_turn() {
        let place = read(r#"{"hosts": ["a", "b"], "port": 1}"#).expect("it is right");
        let beside = [server("b", 2181), server("c", 2181)];
        assert_eq!(place.candidates(&beside, 0), [server("a", 1), server("b", 1), server("c", 1)]);
        assert_eq!(place.candidates(&beside, 3), [server("b", 1), server("a", 1), server("c", 1)]);
    }
}
