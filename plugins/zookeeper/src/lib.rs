//! The DCS backend for ZooKeeper: the servers are those that the section `zookeeper:` lists. All else is in
//! `regent-zookeeper`.

use regent_plugin_sdk::Result;
use regent_zookeeper::server::{self, Server};
use regent_zookeeper::{Ensemble, Section, ZooKeeper};
use std::time::Duration;

/// The servers are listed.
pub struct Listed(Vec<Server>);

impl Ensemble for Listed {
    const NAME: &'static str = "zookeeper";
    type Place = Vec<Server>;

    fn read(section: &Section) -> Result<(Vec<Server>, String)> {
        let hosts = section.list("hosts", "servers")?.ok_or_else(|| section.at("hosts", "is missing"))?;
        server::parse(&hosts).map_err(|why| section.at("hosts", &why))
    }

    fn new(place: Vec<Server>) -> Result<Listed> {
        Ok(Listed(place))
    }

    async fn servers(&self, _patience: Duration) -> std::result::Result<Vec<Server>, String> {
        Ok(self.0.clone())
    }
}

/// A member's object.
pub type Backend = ZooKeeper<Listed>;

regent_plugin_sdk::export_backend!(Backend, "zookeeper");

#[cfg(test)]
mod tests {
    use super::*;

    /// ZK-01.
    #[test]
    fn the_servers_are_listed() {
        let read = |json: &str| {
            let section = Section::read("zookeeper", json).expect("it is a mapping");
            Listed::read(&section).map_err(|error| error.message)
        };
        let server = |host: &str, port: u16| Server { host: host.to_owned(), port };
        let check = |json: &str, servers: Vec<Server>, chroot: &str| {
            assert_eq!(read(json), Ok((servers, chroot.to_owned())), "{json}");
        };
        check(r#"{"hosts": ["b:1", "a"]}"#, vec![server("a", 2181), server("b", 1)], "");
        check(r#"{"hosts": "a:1, b:2/pg"}"#, vec![server("a", 1), server("b", 2)], "pg");
        assert_eq!(read("{}"), Err("zookeeper.hosts: is missing".to_owned()));
        assert_eq!(read(r#"{"hosts": []}"#), Err("zookeeper.hosts: names no server".to_owned()));
    }
}
