//! A connection string: `host=... port=...`, or a URL.

use super::super::{CtlError, Result};
use std::collections::BTreeMap;
use tokio_postgres::config::Host;

/// What a connection string says; what it does not say is left to libpq's variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dsn(BTreeMap<String, String>);

impl Dsn {
    /// Reads it. Its text is not repeated in errors: there may be a password in it.
    pub fn read(text: &str) -> Result<Dsn> {
        let text = text.trim();
        let read = if text.contains("://") { url(text) } else { pairs(text) };
        read.map(Dsn).ok_or_else(|| CtlError::new("the connection string is neither \"name=value ...\" nor a URL"))
    }

    /// A setting.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Settings that an account has besides name and password.
    pub fn options(&self) -> impl Iterator<Item = (String, String)> {
        let is_option = |name: &str| name.starts_with("ssl") || matches!(name, "gssencmode" | "channel_binding");
        self.0.iter().filter(move |(name, _)| is_option(name)).map(|(name, value)| (name.clone(), value.clone()))
    }
}

fn url(text: &str) -> Option<BTreeMap<String, String>> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let config: tokio_postgres::Config = address.parse().ok()?;
    let mut found = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            found.insert(name.to_owned(), value);
        }
    };
    put(
        "host",
        config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.to_string_lossy().into_owned(),
        }),
    );
    put("port", config.get_ports().first().map(u16::to_string));
    put("user", config.get_user().map(str::to_owned));
    put("password", config.get_password().map(|password| String::from_utf8_lossy(password).into_owned()));
    put("dbname", config.get_dbname().map(str::to_owned));
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        put(name, Some(value.to_owned()));
    }
    Some(found)
}

/// Values may stand in single quotes; a backslash takes the meaning of what follows it away.
fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return Some(found);
        }
        let mut name = String::new();
        loop {
            match letters.next()? {
                '=' => break,
                letter => name.push(letter),
            }
        }
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let quoted = letters.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match letters.next() {
                None if quoted => return None,
                None => break,
                Some('\\') => value.push(letters.next()?),
                Some('\'') if quoted => break,
                Some(letter) if letter.is_whitespace() && !quoted => break,
                Some(letter) => value.push(letter),
            }
        }
        found.insert(name.trim().to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_read_in_both_forms() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = Dsn::read(text).unwrap();
            let found: Vec<_> = found.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check(" host=h  port = 5 password='a \\'b\\\\' ", &[("host", "h"), ("password", "a 'b\\"), ("port", "5")]);
        check(
            "postgresql://u:p%40@h:5/d?sslmode=require&sslrootcert=/x",
            &[
                ("dbname", "d"),
                ("host", "h"),
                ("password", "p@"),
                ("port", "5"),
                ("sslmode", "require"),
                ("sslrootcert", "/x"),
                ("user", "u"),
            ],
        );
        for wrong in ["host", "host='h", "x://["] {
            assert!(Dsn::read(wrong).is_err(), "{wrong}");
        }
        let options: Vec<_> = Dsn::read("user=a sslmode=disable").unwrap().options().collect();
        assert_eq!(options, [("sslmode".to_owned(), "disable".to_owned())]);
    }
}
