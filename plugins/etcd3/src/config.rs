//! The section `etcd3:` of the configuration, read strictly: every complaint names the key and the reason.

use crate::endpoint::{self, Credentials, Endpoint, PORT};
use crate::tls::{self, Tls};
use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use serde_json::{Map, Value};

/// What the section says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
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
pub(crate) struct Srv {
    /// The domain.
    pub domain: String,
    /// Follows the service's name after a dash.
    pub suffix: Option<String>,
}

impl Config {
    /// Reads the section.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key. Values are told only where they can not be secret.
    pub fn read(config_json: &str) -> Result<Config> {
        let value: Value =
            serde_json::from_str(config_json).map_err(|_| invalid("the section is no JSON".to_owned()))?;
        let Value::Object(map) = value else {
            return Err(invalid("the section must be a mapping".to_owned()));
        };
        Section { map: &map }.read()
    }
}

struct Section<'a> {
    map: &'a Map<String, Value>,
}

impl Section<'_> {
    fn read(&self) -> Result<Config> {
        let tls = match self.text("protocol")? {
            Some(protocol) => endpoint::is_tls(&protocol).map_err(|why| at("protocol", &why))?,
            None => false,
        };
        let port = match self.text("port")? {
            Some(port) => endpoint::number(&port).map_err(|why| at("port", &why))?,
            None => PORT,
        };
        let srv = self.srv()?;
        let (named, from_url) = self.named(tls, port)?;
        if named.is_empty() && srv.is_none() {
            return Err(invalid("one of host, hosts, url, proxy or srv must say where the servers are".to_owned()));
        }
        let srv = if self.map.contains_key("proxy") || self.map.contains_key("url") { None } else { srv };
        let use_proxies = self.flag("use_proxies")? || self.text("proxy")?.is_some();
        let tls = Tls::read(&tls::Files {
            ca: self.text("cacert")?,
            certificate: self.text("cert")?,
            key: self.text("key")?,
        })
        .map_err(|(key, why)| at(key, &why))?;
        Ok(Config { named, srv, use_proxies, credentials: self.credentials()?.or(from_url), tls })
    }

    /// The named servers: of `proxy`, else of `url`, else of `hosts`, else of `host`.
    fn named(&self, tls: bool, port: u16) -> Result<(Vec<Endpoint>, Option<Credentials>)> {
        for key in ["proxy", "url"] {
            if let Some(url) = self.text(key)? {
                let (endpoint, credentials) = endpoint::parse(&url, tls, port).map_err(|why| at(key, &why))?;
                return Ok((vec![endpoint], credentials));
            }
        }
        let mut named = Vec::new();
        let mut credentials = None;
        for host in self.hosts()? {
            let key = if self.map.contains_key("hosts") { "hosts" } else { "host" };
            let (endpoint, found) = endpoint::parse(&host, tls, port).map_err(|why| at(key, &why))?;
            credentials = credentials.or(found);
            if !named.contains(&endpoint) {
                named.push(endpoint);
            }
        }
        Ok((named, credentials))
    }

    fn hosts(&self) -> Result<Vec<String>> {
        let split = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect()
        };
        match self.map.get("hosts") {
            None | Some(Value::Null) => Ok(self.text("host")?.into_iter().collect()),
            Some(Value::String(text)) => Ok(split(text)),
            Some(Value::Array(entries)) => {
                let text = |entry: &Value| entry.as_str().map(|host| host.trim().to_owned());
                let hosts: Option<Vec<_>> = entries.iter().map(text).collect();
                hosts.ok_or_else(|| at("hosts", "must be a list of host:port, or such a list with commas"))
            }
            Some(_) => Err(at("hosts", "must be a list of host:port, or such a list with commas")),
        }
    }

    fn srv(&self) -> Result<Option<Srv>> {
        for key in ["srv", "discovery_srv", "srv_domain"] {
            if let Some(domain) = self.text(key)? {
                return Ok(Some(Srv { domain, suffix: self.text("srv_suffix")? }));
            }
        }
        Ok(None)
    }

    fn credentials(&self) -> Result<Option<Credentials>> {
        let (username, password) = (self.text("username")?, self.text("password")?);
        Ok(username.zip(password).map(|(username, password)| Credentials { username, password }))
    }

    /// A text, or a number as text; nothing where it is empty.
    fn text(&self, key: &str) -> Result<Option<String>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            // A password may begin with a blank.
            Some(Value::String(text)) if key == "password" => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(at(key, "must be a text")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        let no_flag = || at(key, "must be true or false");
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Ok(true),
                "" | "false" | "off" | "no" | "0" => Ok(false),
                _ => Err(no_flag()),
            },
            Some(Value::Number(number)) => Ok(number.as_u64().ok_or_else(no_flag)? != 0),
            Some(_) => Err(no_flag()),
        }
    }
}

fn at(key: &str, why: &str) -> DcsError {
    DcsError::new(ErrorKind::Invalid, format!("etcd3.{key}: {why}"))
}

fn invalid(why: String) -> DcsError {
    DcsError::new(ErrorKind::Invalid, format!("etcd3: {why}"))
}

#[cfg(test)]
mod tests;
