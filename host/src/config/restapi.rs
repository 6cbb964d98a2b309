//! `restapi` and `ctl`: how the API is served and how other members' APIs are called.

mod calls;

pub use calls::{CallError, Verify, member_client};

use super::addresses::{self, HostPort};
use super::reading::{at, file_at, integer_at, list_at, pairs, some_text_at, text_at, truth_at};
use regent_core::model::Secret;
use serde_json::Value;
use std::path::PathBuf;

/// The port of the API where none is given.
const PORT: u16 = 8008;

/// How the REST API is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestApiSettings {
    /// `host:port` to listen on.
    pub listen: String,
    /// `host:port` where others reach it.
    pub connect_address: String,
    /// User name and password for what changes something.
    pub authentication: Option<(String, Secret)>,
    /// The certificate; with it, TLS is spoken.
    pub certfile: Option<PathBuf>,
    /// Its key.
    pub keyfile: Option<PathBuf>,
    /// Opens the key.
    pub keyfile_password: Option<Secret>,
    /// Authorities of client certificates, and of members' certificates.
    pub cafile: Option<PathBuf>,
    /// What may encrypt, as OpenSSL names it.
    pub ciphers: Option<String>,
    /// `none`, `optional` or `required`.
    pub verify_client: String,
    /// Who may change something.
    pub allowlist: Vec<String>,
    /// Members may, too.
    pub allowlist_include_members: bool,
    /// Headers for every full answer: those of `http_extra_headers` and, where TLS is spoken, over them those of
    /// `https_extra_headers`.
    pub extra_headers: Vec<(String, String)>,
    /// Connections that may wait to be accepted.
    pub request_queue_size: u32,
    /// How much the `Server` header tells: `original`, `minimal` or `productonly`.
    pub server_tokens: String,
    /// Requests that the peer would serve at a time.
    pub thread_pool_size: u32,
}

/// How other members' APIs are called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CtlSettings {
    /// User name and password.
    pub authentication: Option<(String, Secret)>,
    /// Certificates are not checked.
    pub insecure: bool,
    /// Authorities of the members' certificates.
    pub cacert: Option<PathBuf>,
    /// Our certificate.
    pub certfile: Option<PathBuf>,
    /// Its key.
    pub keyfile: Option<PathBuf>,
    /// Opens the key.
    pub keyfile_password: Option<Secret>,
}

/// `restapi`.
pub(super) fn restapi(local: &Value) -> RestApiSettings {
    let certfile = file_at(local, "restapi.certfile");
    let listen = some_text_at(local, "restapi.listen").map(|text| HostPort::read(&text, PORT));
    let connect = some_text_at(local, "restapi.connect_address");
    let port = listen.as_ref().map_or(PORT, |listen| listen.port);
    let listen = listen.map(|listen| listen.to_string()).unwrap_or_default();
    let word = |key: &str, words: &[&str]| {
        let said = text_at(local, key).unwrap_or_default().to_lowercase();
        if words.contains(&said.as_str()) { said } else { words[0].to_owned() }
    };
    let size = |key: &str, range: std::ops::RangeInclusive<i64>| {
        let size = integer_at(local, key).filter(|size| range.contains(size));
        size.and_then(|size| u32::try_from(size).ok()).unwrap_or(5)
    };
    RestApiSettings {
        connect_address: connect.map_or_else(|| listen.clone(), |text| HostPort::read(&text, port).to_string()),
        listen,
        authentication: login(local, "restapi"),
        extra_headers: headers(local, certfile.is_some()),
        certfile,
        keyfile: file_at(local, "restapi.keyfile"),
        keyfile_password: text_at(local, "restapi.keyfile_password").map(Secret),
        cafile: file_at(local, "restapi.cafile"),
        ciphers: some_text_at(local, "restapi.ciphers"),
        verify_client: word("restapi.verify_client", &["none", "optional", "required"]),
        allowlist: list_at(local, "restapi.allowlist"),
        allowlist_include_members: truth_at(local, "restapi.allowlist_include_members").unwrap_or(false),
        request_queue_size: size("restapi.request_queue_size", 0..=4096),
        server_tokens: word("restapi.server_tokens", &["original", "minimal", "productonly"]),
        thread_pool_size: size("restapi.thread_pool_size", 1..=i64::from(u32::MAX)),
    }
}

/// `ctl`, with the API's own login and authorities as what it falls back to.
pub(super) fn ctl(local: &Value) -> CtlSettings {
    CtlSettings {
        authentication: login(local, "ctl").or_else(|| login(local, "restapi")),
        insecure: truth_at(local, "ctl.insecure").unwrap_or(false),
        cacert: file_at(local, "ctl.cacert").or_else(|| file_at(local, "restapi.cafile")),
        certfile: file_at(local, "ctl.certfile"),
        keyfile: file_at(local, "ctl.keyfile"),
        keyfile_password: text_at(local, "ctl.keyfile_password").map(Secret),
    }
}

/// Both a name and a password, or there is no login.
fn login(local: &Value, section: &str) -> Option<(String, Secret)> {
    let username = some_text_at(local, &format!("{section}.authentication.username"))?;
    let password = some_text_at(local, &format!("{section}.authentication.password"))?;
    Some((username, Secret(password)))
}

fn headers(local: &Value, encrypted: bool) -> Vec<(String, String)> {
    let mut headers: Vec<_> = pairs(at(local, "restapi.http_extra_headers")).collect();
    for (name, value) in pairs(at(local, "restapi.https_extra_headers").filter(|_| encrypted)) {
        headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        headers.push((name, value));
    }
    headers
}

/// An address that only this machine, or every machine, calls its own: of no use to others.
pub(super) fn is_of_no_use_to_others(address: &str) -> bool {
    addresses::LOCAL_NAMES.contains(&HostPort::read(address, PORT).host.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_completed() {
        let check = |section: Value, listen: &str, connect: &str| {
            let settings = restapi(&json!({ "restapi": section }));
            assert_eq!((settings.listen.as_str(), settings.connect_address.as_str()), (listen, connect));
        };
        check(json!({"listen": "10.0.0.1"}), "10.0.0.1:8008", "10.0.0.1:8008");
        check(json!({"listen": "*:9000", "connect_address": "h1"}), "*:9000", "h1:9000");
        check(json!({"listen": "::1:9000"}), "[::1]:9000", "[::1]:9000");
        check(json!({}), "", "");
    }

    #[test]
    fn headers_for_tls_override() {
        let section = json!({"restapi": {
            "http_extra_headers": {"X-A": "1", "X-B": 2},
            "https_extra_headers": {"x-a": "3"},
            "certfile": "/c",
        }});
        let name = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(restapi(&section).extra_headers, [name("X-B", "2"), name("x-a", "3")]);
    }

    #[test]
    fn what_is_not_said_or_is_wrong_is_the_default() {
        let settings = restapi(&json!({"restapi": {
            "request_queue_size": 9000, "server_tokens": "Minimal", "authentication": {"username": "only"},
            "allowlist": "10.0.0.0/8, host1",
        }}));
        assert_eq!(settings.request_queue_size, 5);
        assert_eq!(settings.server_tokens, "minimal");
        assert_eq!(settings.verify_client, "none");
        assert_eq!(settings.authentication, None);
        assert_eq!(settings.allowlist, ["10.0.0.0/8", "host1"]);
    }

    #[test]
    fn ctl_falls_back_to_the_api() {
        let login = json!({"username": "u", "password": "p"});
        let document = json!({"restapi": {"authentication": login, "cafile": "/ca"}, "ctl": {"insecure": "on"}});
        let settings = ctl(&document);
        assert_eq!(settings.authentication, Some(("u".to_owned(), Secret("p".to_owned()))));
        assert_eq!(settings.cacert, Some(PathBuf::from("/ca")));
        assert!(settings.insecure);
    }
}
