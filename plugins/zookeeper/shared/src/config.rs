//! What the sections `zookeeper:` and `exhibitor:` have in common, read strictly: every complaint names the key and the
//! reason.

use crate::message::Acl;
use regent_dcs_common::{Files, Section, Tls};
use regent_plugin_sdk::Result;
use serde_json::Value;
use std::time::Duration;

/// Everybody may do everything, unless the section says otherwise.
const ALL: i32 = 31;

/// The scheme of a principal that names none.
const SCHEME: &str = "x509";

/// What stays as long as an object lives.
#[derive(Clone, PartialEq)]
pub(crate) struct Common {
    /// Connections are encrypted so.
    pub tls: Option<Encryption>,
    /// Who may do what with the nodes that we create.
    pub acls: Vec<Acl>,
    /// Who we are: schemes and credentials.
    pub credentials: Vec<(String, String)>,
}

/// How to encrypt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Encryption {
    /// Certificates, read from their files.
    pub files: Tls,
    /// The server's certificate is looked at.
    pub verify: bool,
}

/// Credentials are hidden.
impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let schemes: Vec<_> = self.credentials.iter().map(|(scheme, _)| scheme).collect();
        write!(f, "Common({:?}, {:?}, credentials: {schemes:?})", self.tls, self.acls)
    }
}

impl Common {
    /// Reads the common part of the section.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key.
    pub fn read(section: &Section) -> Result<Common> {
        let encrypted = section.flag("use_ssl")?.unwrap_or(false);
        let files =
            Files { ca: section.text("cacert")?, certificate: section.text("cert")?, key: section.text("key")? };
        let (password, verify) = (section.text("key_password")?, section.flag("verify")?.unwrap_or(true));
        let tls = if encrypted {
            let files = Tls::read_with(&files, password.as_deref()).map_err(|(key, why)| section.at(key, &why))?;
            Some(Encryption { files, verify })
        } else {
            None
        };
        Ok(Common { tls, acls: acls(section)?, credentials: credentials(section)? })
    }
}

/// The times of connections, which follow the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Time between heartbeats.
    pub loop_wait: Duration,
}

impl Pace {
    /// A connection on which nothing came for so long, though something was asked, is dead (ZK-03).
    pub fn silence(self) -> Duration {
        self.loop_wait.saturating_sub(Duration::from_secs(2)).max(Duration::from_secs(2))
    }

    /// A connection must be there after that (ZK-03).
    pub fn connect(self) -> Duration {
        (self.loop_wait / 2).max(Duration::from_secs(1))
    }
}

/// `set_acls`: principals with what they may do.
fn acls(section: &Section) -> Result<Vec<Acl>> {
    const KEY: &str = "set_acls";
    let entries = section.mapping(KEY)?;
    let mut acls = Vec::new();
    for (principal, permissions) in &entries {
        let (scheme, id) = principal.split_once(':').unwrap_or((SCHEME, principal));
        let no_list = || section.at(KEY, &format!("{principal:?} must have a list of permissions"));
        let names: Vec<String> = match permissions {
            Value::String(text) => text.split(',').map(str::to_owned).collect(),
            Value::Array(names) => {
                let names: Option<_> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
                names.ok_or_else(no_list)?
            }
            _ => return Err(no_list()),
        };
        let mut bits = 0;
        for name in &names {
            bits |= permission(name.trim())
                .ok_or_else(|| section.at(KEY, "permissions are CREATE, READ, WRITE, DELETE, ADMIN and ALL"))?;
        }
        acls.push(Acl { permissions: bits, scheme: scheme.to_owned(), id: id.to_owned() });
    }
    if acls.is_empty() {
        acls.push(Acl { permissions: ALL, scheme: "world".to_owned(), id: "anyone".to_owned() });
    }
    Ok(acls)
}

fn permission(name: &str) -> Option<i32> {
    Some(match name.to_ascii_uppercase().as_str() {
        "READ" => 1,
        "WRITE" => 2,
        "CREATE" => 4,
        "DELETE" => 8,
        "ADMIN" => 16,
        "ALL" => ALL,
        _ => return None,
    })
}

/// `auth_data`: schemes with their credentials.
fn credentials(section: &Section) -> Result<Vec<(String, String)>> {
    const KEY: &str = "auth_data";
    let text = |(scheme, credential): (String, Value)| match credential {
        Value::String(credential) => Ok((scheme, credential)),
        _ => Err(section.at(KEY, &format!("the credential of {scheme:?} must be a text"))),
    };
    section.mapping(KEY)?.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<Common, String> {
        let section = Section::read("zookeeper", json).map_err(|error| error.message)?;
        Common::read(&section).map_err(|error| error.message)
    }

    #[test]
    fn permissions_are_read() {
        let check = |json: &str, expected: &[(i32, &str, &str)]| {
            let found = read(json).expect(json).acls;
            let found: Vec<_> =
                found.iter().map(|acl| (acl.permissions, acl.scheme.as_str(), acl.id.as_str())).collect();
            assert_eq!(found, expected, "{json}");
        };
        check("{}", &[(31, "world", "anyone")]);
        check(r#"{"set_acls": {}}"#, &[(31, "world", "anyone")]);
        check(r#"{"set_acls": {"CN=a": ["create", "READ"]}}"#, &[(5, "x509", "CN=a")]);
        check(r#"{"set_acls": {"digest:me:hash": ["ALL"]}}"#, &[(31, "digest", "me:hash")]);
        check(r#"{"set_acls": {"a": "WRITE, DELETE", "sasl:b": ["ADMIN"]}}"#, &[(10, "x509", "a"), (16, "sasl", "b")]);
    }

    #[test]
    fn credentials_are_read_and_hidden() {
        let common = read(r#"{"auth_data": {"digest": "me:hush"}}"#).expect("it is right");
        assert_eq!(common.credentials, [("digest".to_owned(), "me:hush".to_owned())]);
        let shown = format!("{common:?}");
        assert!(shown.contains("digest") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |json: &str, expected: &str| assert_eq!(read(json).expect_err(json), expected, "{json}");
        check(
            r#"{"set_acls": {"a": ["FLY"]}}"#,
            "zookeeper.set_acls: permissions are CREATE, READ, WRITE, DELETE, ADMIN and ALL",
        );
        check(r#"{"set_acls": {"a": 5}}"#, r#"zookeeper.set_acls: "a" must have a list of permissions"#);
        check(r#"{"set_acls": 5}"#, "zookeeper.set_acls: must be a mapping");
        check(r#"{"auth_data": {"digest": 5}}"#, r#"zookeeper.auth_data: the credential of "digest" must be a text"#);
        check(
            r#"{"use_ssl": true, "cacert": "/no/such"}"#,
            "zookeeper.cacert: /no/such: No such file or directory (os error 2)",
        );
        assert_eq!(read(r#"{"use_ssl": false, "cacert": "/no/such"}"#).expect("it is not needed").tls, None);
    }

    /// ZK-03.
    #[test]
    fn times_come_from_the_loop() {
        let check = |loop_wait: u64, silence: u64, connect: u64| {
            let pace = Pace { loop_wait: Duration::from_millis(loop_wait) };
            let expected = (Duration::from_millis(silence), Duration::from_millis(connect));
            assert_eq!((pace.silence(), pace.connect()), expected, "{loop_wait}");
        };
        check(10_000, 8_000, 5_000);
        check(1_000, 2_000, 1_000);
        check(3_000, 2_000, 1_500);
        check(30_000, 28_000, 15_000);
    }
}
