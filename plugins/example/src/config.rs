//! The section `redis:` of the configuration.

use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use serde_json::Value;

/// What the section may hold.
pub const SETTINGS: &[&str] = &["host", "port", "username", "password", "database"];

/// What it says. Never logged: there is a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
}

impl Config {
    pub fn read(config_json: &str) -> Result<Config> {
        let invalid = |why: &str| DcsError::new(ErrorKind::Invalid, format!("redis{why}"));
        let section: Value = serde_json::from_str(config_json).map_err(|_| invalid(": the section is no JSON"))?;
        let section = section.as_object().ok_or_else(|| invalid(": the section must be a mapping"))?;
        let text = |key: &str| match section.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(invalid(&format!(".{key}: must be a text"))),
        };
        let host = text("host")?.unwrap_or_else(|| "127.0.0.1".to_owned());
        // `host:port` is a host too.
        let (host, from_host) = match host.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host.to_owned(), Some(port.to_owned())),
            _ => (host, None),
        };
        let port = from_host.or(text("port")?).map_or(Ok(6379), |port| port.parse());
        let database = text("database")?.map_or(Ok(0), |number| number.parse());
        Ok(Config {
            host,
            port: port.ok().filter(|port| *port > 0).ok_or_else(|| invalid(".port: must be 1 to 65535"))?,
            username: text("username")?,
            password: text("password")?,
            database: database.map_err(|_| invalid(".database: must be a number"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_named_in_many_ways() {
        let check = |json: &str, expected: &str| {
            let read = Config::read(json).map(|config| format!("{}:{}/{}", config.host, config.port, config.database));
            assert_eq!(read.unwrap_or_else(|error| error.message), expected, "{json}");
        };
        check("{}", "127.0.0.1:6379/0");
        check(r#"{"host": "a:1", "port": 2, "database": "3"}"#, "a:1/3");
        check(r#"{"host": "::1", "port": "2", "ttl": 30}"#, "::1:2/0");
        check(r#"{"port": 0}"#, "redis.port: must be 1 to 65535");
        check(r#"{"host": []}"#, "redis.host: must be a text");
        check("[]", "redis: the section must be a mapping");
        check("garbage", "redis: the section is no JSON");
    }
}
