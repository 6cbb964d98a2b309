//! Connection strings and password files for libpq: for walreceivers, for the server's client programs and for scripts.
//! Pure text.

use regent_core::model::{Account, Secret, ServerSettings, Source};
use std::collections::BTreeSet;

/// One libpq connection string: names and values, in the order that they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    pairs: Vec<(&'static str, String)>,
}

/// The names in the order of the peer's strings, which scripts and tests compare.
const ORDER: [&str; 19] = [
    "dbname",
    "user",
    "passfile",
    "password",
    "host",
    "port",
    "sslmode",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "application_name",
    "krbsrvname",
    "gssencmode",
    "channel_binding",
    "target_session_attrs",
];

/// The first version that knows a name; the others are older than everything supported.
fn known_since(name: &str) -> u32 {
    match name {
        "passfile" | "target_session_attrs" => 100_000,
        "gssencmode" => 120_000,
        "channel_binding" | "sslpassword" => 130_000,
        "sslcrldir" => 140_000,
        "sslnegotiation" => 170_000,
        _ => 0,
    }
}

impl Dsn {
    /// How `account` reaches `source`, without any password. `version` is the version of the libpq that will read it.
    pub fn to_source(settings: &ServerSettings, version: u32, account: &Account, source: &Source) -> Dsn {
        let mut dsn = Dsn::for_account(settings, version, account);
        dsn.set("host", &source.host);
        dsn.set("port", &source.port);
        dsn.ordered()
    }

    fn for_account(settings: &ServerSettings, version: u32, account: &Account) -> Dsn {
        let mut dsn = Dsn { pairs: Vec::new() };
        dsn.set("dbname", &settings.database);
        dsn.set("user", account.username.as_deref().unwrap_or_default());
        for name in ORDER.into_iter().chain(["sslnegotiation"]) {
            if let Some(value) = account.options.get(name).filter(|_| version >= known_since(name)) {
                dsn.set(name, value);
            }
        }
        dsn.set("krbsrvname", settings.krbsrvname.as_deref().unwrap_or_default());
        dsn
    }

    /// For programs that copy for hours: whose other end is silent for most of a minute, it is given up. Without it, what
    /// waits for a machine that is gone waits as long as the kernel does, for hours.
    pub fn noticing_silence(self, version: u32) -> Dsn {
        let dsn = self.with("keepalives_idle", "10").with("keepalives_interval", "10").with("keepalives_count", "3");
        // Milliseconds: for what was sent and nobody confirms, of which keepalives know nothing.
        if version >= 120_000 { dsn.with("tcp_user_timeout", "40000") } else { dsn }
    }

    /// How `account` reaches the local server.
    pub fn to_local(settings: &ServerSettings, version: u32, account: &Account, host: &str, port: u16) -> Dsn {
        let mut dsn = Dsn::for_account(settings, version, account);
        dsn.set("host", host);
        dsn.set("port", &port.to_string());
        dsn.ordered()
    }

    /// The same with `name` set to `value`; an empty value leaves it out.
    pub fn with(mut self, name: &'static str, value: &str) -> Dsn {
        self.set(name, value);
        self.ordered()
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.pairs.retain(|(present, _)| *present != name);
        if !value.is_empty() {
            self.pairs.push((name, value.to_owned()));
        }
    }

    fn ordered(mut self) -> Dsn {
        let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
        self.pairs.sort_by_key(|(name, _)| rank(name));
        self
    }
}

impl std::fmt::Display for Dsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (name, value)) in self.pairs.iter().enumerate() {
            write!(f, "{}{name}=", if at == 0 { "" } else { " " })?;
            for c in value.chars() {
                if matches!(c, '\\' | '\'') || c.is_whitespace() {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// The value of primary_conninfo that makes the local server stream from `source`. It goes into a file that only the
/// server reads, so it may hold the secrets that a password file cannot.
pub fn primary_conninfo(settings: &ServerSettings, version: u32, source: &Source) -> String {
    let account = &settings.accounts.replication;
    let mut dsn = Dsn::to_source(settings, version, account, source).with("application_name", &settings.name);
    if let Some(Secret(password)) = &account.password {
        dsn = if version >= known_since("passfile") {
            dsn.with("passfile", &settings.pgpass.to_string_lossy())
        } else {
            dsn.with("password", password)
        };
    }
    if let Some(Secret(password)) = account.sslpassword.as_ref().filter(|_| version >= known_since("sslpassword")) {
        dsn = dsn.with("sslpassword", password);
    }
    if source.host.contains(',') && version >= known_since("target_session_attrs") {
        dsn = dsn.with("target_session_attrs", "read-write");
    }
    dsn.to_string()
}

/// The lines of a password file for `account` at each of `hosts` (separated by commas, as `ports` is); `None` where the
/// account has no password.
pub fn password_file(account: &Account, hosts: &str, ports: &str) -> Option<String> {
    let Secret(password) = account.password.as_ref()?;
    let escape = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let or_any = |text: &str| {
        if text.is_empty() { "*".to_owned() } else { escape(text) }
    };
    let user = or_any(account.username.as_deref().unwrap_or_default());
    let ports: Vec<&str> = ports.split(',').collect();
    let mut places = BTreeSet::new();
    let mut lines = String::new();
    for (at, host) in hosts.split(',').enumerate() {
        let port = ports.get(at).or(ports.last()).copied().unwrap_or_default();
        // libpq looks for a default socket under the name localhost.
        let names = if host.starts_with('/') { vec![host, "localhost"] } else { vec![host] };
        for name in names {
            if places.insert((name, port)) {
                lines += &format!("{}:{}:*:{user}:{}\n", or_any(name), or_any(port), escape(password));
            }
        }
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::testing::{settings, source};

    #[test]
    fn primary_conninfo_has_the_peers_order_and_no_password() {
        // CFG-29, CFG-38
        let mut settings = settings();
        settings.name = "node 1".into();
        let account = &mut settings.accounts.replication;
        account.username = Some("repl\\'".into());
        account.password = Some(Secret("secret".into()));
        for (name, value) in [("sslmode", "verify-ca"), ("channel_binding", "prefer"), ("gssencmode", "disable")] {
            account.options.insert(name.into(), value.into());
        }
        assert_eq!(
            primary_conninfo(&settings, 150_000, &source()),
            "dbname=postgres user=repl\\\\\\' passfile=/pgpass host=10.0.0.2 port=5433 sslmode=verify-ca \
             application_name=node\\ 1 gssencmode=disable channel_binding=prefer"
        );
        assert_eq!(
            primary_conninfo(&settings, 90_600, &source()),
            "dbname=postgres user=repl\\\\\\' password=secret host=10.0.0.2 port=5433 sslmode=verify-ca \
             application_name=node\\ 1"
        );
        let several = Source { host: "a,b".into(), port: "1,2".into(), ..source() };
        assert!(primary_conninfo(&settings, 120_000, &several).ends_with(" target_session_attrs=read-write"));
    }

    #[test]
    fn a_silent_source_is_noticed() {
        let settings = settings();
        let dsn = |version| {
            let account = &settings.accounts.replication;
            Dsn::to_source(&settings, version, account, &source()).noticing_silence(version).to_string()
        };
        let keepalives = "keepalives_idle=10 keepalives_interval=10 keepalives_count=3";
        assert!(dsn(110_000).ends_with(keepalives), "{}", dsn(110_000));
        assert!(dsn(150_000).ends_with(&format!("{keepalives} tcp_user_timeout=40000")), "{}", dsn(150_000));
    }

    #[test]
    fn password_files_escape_and_cover_sockets() {
        let account =
            Account { username: Some("u:1".into()), password: Some(Secret("p\\:w".into())), ..Account::default() };
        let check = |hosts, ports, expected: &str| {
            assert_eq!(password_file(&account, hosts, ports).as_deref(), Some(expected));
        };
        check("h", "5432", "h:5432:*:u\\:1:p\\\\\\:w\n");
        check("::1", "", "\\:\\:1:*:*:u\\:1:p\\\\\\:w\n");
        check("/run,b", "1,2", "/run:1:*:u\\:1:p\\\\\\:w\nlocalhost:1:*:u\\:1:p\\\\\\:w\nb:2:*:u\\:1:p\\\\\\:w\n");
        assert_eq!(password_file(&Account::default(), "h", "1"), None);
    }
}
