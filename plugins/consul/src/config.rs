//! The section `consul:` of the configuration, read strictly: every complaint names the key and the reason.

use crate::duration;
use regent_dcs_common::endpoint::{self, Endpoint};
use regent_dcs_common::{Files, Section, Tls};
use regent_plugin_sdk::Result;

/// The port of an agent's HTTP API.
const PORT: u16 = 8500;

/// What the section may hold.
pub(crate) const SETTINGS: &[&str] = &[
    "host",
    "url",
    "port",
    "scheme",
    "token",
    "verify",
    "cacert",
    "cert",
    "key",
    "dc",
    "consistency",
    "checks",
    "register_service",
    "service_tags",
    "service_check_interval",
    "service_check_tls_server_name",
];

/// What the section says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// What stays as long as an object lives.
    pub fixed: Fixed,
    /// What may change meanwhile.
    pub soft: Soft,
}

/// Where the agent is, and what sessions depend on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fixed {
    /// The agent.
    pub agent: Endpoint,
    /// Its certificate is looked at.
    pub verify: bool,
    /// Certificates, read from their files.
    pub tls: Tls,
    /// Health checks that end a session.
    pub checks: Vec<String>,
}

/// What each request takes anew.
#[derive(Clone, PartialEq)]
pub(crate) struct Soft {
    /// Who we are to the agent.
    pub token: Option<String>,
    /// The datacenter, if it is another than the agent's.
    pub dc: Option<String>,
    /// How readings are answered.
    pub consistency: Consistency,
    /// The server's entry in the catalogue of services.
    pub service: Option<Service>,
}

/// The token is hidden.
impl std::fmt::Debug for Soft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.is_some();
        write!(f, "Soft(token: {token}, dc: {:?}, {:?}, {:?})", self.dc, self.consistency, self.service)
    }
}

/// How readings are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// By the leader, on its lease.
    Default,
    /// By the leader, after it asked the others.
    Consistent,
    /// By any server.
    Stale,
}

/// What the catalogue is told beside the member's own value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Between two checks, as Go writes it.
    pub interval: String,
    /// The name that the check expects in the API's certificate.
    pub tls_server_name: Option<String>,
}

impl Config {
    /// Reads the section.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key.
    pub fn read(config_json: &str) -> Result<Config> {
        let section = Section::read("consul", config_json)?;
        let files =
            Files { ca: section.text("cacert")?, certificate: section.text("cert")?, key: section.text("key")? };
        let tls = Tls::read(&files).map_err(|(key, why)| section.at(key, &why))?;
        let fixed = Fixed {
            agent: agent(&section)?,
            // With an authority of one's own there is something to look at.
            verify: files.ca.is_some() || section.flag("verify")?.unwrap_or(true),
            tls,
            checks: section.list("checks", "names")?.unwrap_or_default(),
        };
        let soft = Soft {
            token: section.text("token")?,
            dc: section.text("dc")?,
            consistency: consistency(&section)?,
            service: service(&section)?,
        };
        Ok(Config { fixed, soft })
    }
}

/// The agent of `url`, else of `host`, `port` and `scheme`.
fn agent(section: &Section) -> Result<Endpoint> {
    let tls = match section.text("scheme")? {
        Some(scheme) => endpoint::is_tls(&scheme).map_err(|why| section.at("scheme", &why))?,
        None => false,
    };
    let port = match section.text("port")? {
        Some(port) => endpoint::number(&port).map_err(|why| section.at("port", &why))?,
        None => PORT,
    };
    let (key, text) = match section.text("url")? {
        Some(url) => ("url", url),
        None => ("host", section.text("host")?.unwrap_or_else(|| "127.0.0.1".to_owned())),
    };
    let (agent, _) = endpoint::parse(&text, tls, port).map_err(|why| section.at(key, &why))?;
    Ok(agent)
}

fn consistency(section: &Section) -> Result<Consistency> {
    Ok(match section.text("consistency")?.as_deref() {
        None | Some("default") => Consistency::Default,
        Some("consistent") => Consistency::Consistent,
        Some("stale") => Consistency::Stale,
        Some(_) => return Err(section.at("consistency", "must be default, consistent or stale")),
    })
}

fn service(section: &Section) -> Result<Option<Service>> {
    let mut tags = section.list("service_tags", "tags")?.unwrap_or_default();
    tags.sort();
    let interval = match section.text("service_check_interval")? {
        None => "5s".to_owned(),
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("{number}s"),
        Some(text) if duration::read(&text).is_some() => text,
        Some(_) => return Err(section.at("service_check_interval", "must be a duration like 5s")),
    };
    let tls_server_name = section.text("service_check_tls_server_name")?;
    let wanted = section.flag("register_service")?.unwrap_or(false);
    Ok(wanted.then_some(Service { tags, interval, tls_server_name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<Config, String> {
        Config::read(json).map_err(|error| error.message)
    }

    /// CONS-04.
    #[test]
    fn the_agent_is_named_in_many_ways() {
        let check = |json: &str, expected: &str| {
            assert_eq!(read(json).expect(json).fixed.agent.to_string(), expected, "{json}");
        };
        check("{}", "http://127.0.0.1:8500");
        check(r#"{"host": "c"}"#, "http://c:8500");
        check(r#"{"host": "c:1"}"#, "http://c:1");
        check(r#"{"host": "c", "port": "2", "scheme": "https"}"#, "https://c:2");
        check(r#"{"url": "https://c:3/", "host": "other", "scheme": "http"}"#, "https://c:3");
        check(r#"{"url": "http://c"}"#, "http://c:8500");
        check(r#"{"host": "[::1]:4"}"#, "http://[::1]:4");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |json: &str, expected: &str| assert_eq!(read(json).expect_err(json), expected, "{json}");
        check("garbage", "consul: the section is no JSON");
        check(r#"{"port": 0}"#, r#"consul.port: "0" is no port from 1 to 65535"#);
        check(r#"{"scheme": "ftp"}"#, r#"consul.scheme: the protocol must be http or https, not "ftp""#);
        check(r#"{"consistency": "fast"}"#, "consul.consistency: must be default, consistent or stale");
        check(r#"{"checks": 5}"#, "consul.checks: must be a list of names, or such a list with commas");
        check(r#"{"service_check_interval": "soon"}"#, "consul.service_check_interval: must be a duration like 5s");
        check(r#"{"cacert": "/no/such"}"#, "consul.cacert: /no/such: No such file or directory (os error 2)");
    }

    /// CONS-05, CONS-06, CONS-08.
    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let config = read("{}").expect("nothing is needed");
        assert!(config.fixed.checks.is_empty() && config.fixed.verify);
        assert_eq!((config.soft.consistency, config.soft.service), (Consistency::Default, None));
        let json = r#"{"checks": "serfHealth", "verify": "off", "token": "hush", "dc": "east", "consistency": "stale",
                       "register_service": true, "service_tags": ["b", "a"], "service_check_interval": 7}"#;
        let config = read(json).expect("it is right");
        assert_eq!((config.fixed.checks, config.fixed.verify), (vec!["serfHealth".to_owned()], false));
        assert_eq!(config.soft.service.as_ref().map(|it| it.interval.as_str()), Some("7s"));
        assert_eq!(config.soft.service.as_ref().map(|it| it.tags.join("")), Some("ab".to_owned()));
        let shown = format!("{:?}", config.soft);
        assert!(!shown.contains("hush") && shown.contains("east"), "{shown}");
    }
}
