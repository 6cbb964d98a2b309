//! The sections `etcd:` and `etcd3:` of the configuration, read strictly: every complaint names the key and the reason.

use crate::endpoint::{self, Credentials, Endpoint};
use crate::{Files, Section, Tls};
use regent_plugin_sdk::Result;

/// The port of a server's clients.
pub const PORT: u16 = 2379;

/// What both sections may hold.
pub const SETTINGS: &[&str] = &[
    "host",
    "hosts",
    "port",
    "url",
    "proxy",
    "use_proxies",
    "srv",
    "discovery_srv",
    "srv_domain",
    "srv_suffix",
    "protocol",
    "username",
    "password",
    "cacert",
    "cert",
    "key",
];

/// What the section says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Servers that are named.
    pub named: Vec<Endpoint>,
    /// Where to look for servers, before those that are named.
    pub srv: Option<Srv>,
    /// The servers are proxies: what they say about others is not asked.
    pub use_proxies: bool,
    /// Who we are to the servers.
    pub credentials: Option<Credentials>,
    /// Certificates, read from their files.
    pub tls: Tls,
}

/// A domain with SRV records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The domain.
    pub domain: String,
    /// Follows the service's name after a dash.
    pub suffix: Option<String>,
}

impl Config {
    /// Reads the section of that store.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key. Values are told only where they can not be secret.
    pub fn read(store: &'static str, config_json: &str) -> Result<Config> {
        read(&Section::read(store, config_json)?)
    }
}

fn read(section: &Section) -> Result<Config> {
    let at = |key: &str, why: String| section.at(key, &why);
    let tls = match section.text("protocol")? {
        Some(protocol) => endpoint::is_tls(&protocol).map_err(|why| at("protocol", why))?,
        None => false,
    };
    let port = match section.text("port")? {
        Some(port) => endpoint::number(&port).map_err(|why| at("port", why))?,
        None => PORT,
    };
    let srv = srv(section)?;
    let (named, from_url) = named(section, tls, port)?;
    if named.is_empty() && srv.is_none() {
        return Err(section.invalid("one of host, hosts, url, proxy or srv must say where the servers are"));
    }
    let srv = if section.has("proxy") || section.has("url") { None } else { srv };
    let use_proxies = section.flag("use_proxies")?.unwrap_or(false) || section.text("proxy")?.is_some();
    let files = Files { ca: section.text("cacert")?, certificate: section.text("cert")?, key: section.text("key")? };
    let tls = Tls::read(&files).map_err(|(key, why)| at(key, why))?;
    Ok(Config { named, srv, use_proxies, credentials: credentials(section)?.or(from_url), tls })
}

/// The named servers: of `proxy`, else of `url`, else of `hosts`, else of `host`.
fn named(section: &Section, tls: bool, port: u16) -> Result<(Vec<Endpoint>, Option<Credentials>)> {
    for key in ["proxy", "url"] {
        if let Some(url) = section.text(key)? {
            let (endpoint, credentials) = endpoint::parse(&url, tls, port).map_err(|why| section.at(key, &why))?;
            return Ok((vec![endpoint], credentials));
        }
    }
    let mut named = Vec::new();
    let mut credentials = None;
    let (key, hosts) = match section.list("hosts", "host:port")? {
        Some(hosts) => ("hosts", hosts),
        None => ("host", section.text("host")?.into_iter().collect()),
    };
    for host in hosts {
        let (endpoint, found) = endpoint::parse(&host, tls, port).map_err(|why| section.at(key, &why))?;
        credentials = credentials.or(found);
        if !named.contains(&endpoint) {
            named.push(endpoint);
        }
    }
    Ok((named, credentials))
}

fn srv(section: &Section) -> Result<Option<Srv>> {
    for key in ["srv", "discovery_srv", "srv_domain"] {
        if let Some(domain) = section.text(key)? {
            return Ok(Some(Srv { domain, suffix: section.text("srv_suffix")? }));
        }
    }
    Ok(None)
}

fn credentials(section: &Section) -> Result<Option<Credentials>> {
    let (username, password) = (section.text("username")?, section.text("password")?);
    Ok(username.zip(password).map(|(username, password)| Credentials { username, password }))
}

#[cfg(test)]
mod tests;
