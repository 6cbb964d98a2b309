//! Where one server listens, read from the many ways in which people write it.

use std::fmt;

/// One server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Encrypted.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// Their password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ...)", self.username)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Reads `host`, `host:port`, `[v6]:port`, a bare IPv6 address, or a URL with or without credentials. What is left out
/// comes from `tls` and `port`.
///
/// # Errors
/// One phrase without the text itself, which may hold a password.
pub fn parse(text: &str, tls: bool, port: u16) -> Result<(Endpoint, Option<Credentials>), String> {
    let text = text.trim();
    let (tls, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (is_tls(scheme)?, rest),
        None => (tls, text),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(credentials(user)), address),
        None => (None, authority),
    };
    let (host, port) = host_and_port(address, port)?;
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("holds a blank in the host".to_owned());
    }
    Ok((Endpoint { tls, host: host.to_owned(), port }, credentials))
}

/// Whether a protocol is encrypted.
///
/// # Errors
/// When it is neither `http` nor `https`.
pub fn is_tls(scheme: &str) -> Result<bool, String> {
    match scheme.trim().to_ascii_lowercase().as_str() {
        "http" => Ok(false),
        "https" => Ok(true),
        other => Err(format!("the protocol must be http or https, not {other:?}")),
    }
}

fn host_and_port(address: &str, default: u16) -> Result<(&str, u16), String> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("lacks the closing bracket")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, number(port)?)),
            None if after.is_empty() => Ok((host, default)),
            None => Err("has something other than a port after the bracket".to_owned()),
        };
    }
    match address.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((address, default)),
        Some((host, port)) => Ok((host, number(port)?)),
        None => Ok((address, default)),
    }
}

/// A port from 1 to 65535.
///
/// # Errors
/// When it is none.
pub fn number(text: &str) -> Result<u16, String> {
    let port = text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("{text:?} is no port from 1 to 65535"))
}

fn credentials(user: &str) -> Credentials {
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    Credentials { username: percent_decoded(username), password: percent_decoded(password) }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let decoded = code
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_however_they_are_written() {
        let check = |text: &str, expected: &str| {
            let read = parse(text, false, 2379).map(|(endpoint, _)| endpoint.to_string());
            assert_eq!(read.unwrap_or_else(|why| why), expected, "{text}");
        };
        check("etcd", "http://etcd:2379");
        check(" etcd:1234 ", "http://etcd:1234");
        check("https://etcd", "https://etcd:2379");
        check("HTTP://etcd:80/v3/", "http://etcd:80");
        check("[::1]:99", "http://[::1]:99");
        check("::1", "http://[::1]:2379");
        check("[::1]", "http://[::1]:2379");
        check("http://user:pa%40ss@etcd:80", "http://etcd:80");
        check("ftp://etcd", r#"the protocol must be http or https, not "ftp""#);
        check("etcd:0", r#""0" is no port from 1 to 65535"#);
        check("etcd:70000", r#""70000" is no port from 1 to 65535"#);
        check("", "names no host");
        check("[::1", "lacks the closing bracket");
        check("et cd", "holds a blank in the host");
    }

    #[test]
    fn credentials_are_taken_from_a_url() {
        let (_, found) = parse("http://us%3Aer:p%40ss%zz@etcd", false, 2379).unwrap();
        let found = found.unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("us:er", "p@ss%zz"));
        assert!(!format!("{found:?}").contains("p@ss"));
    }
}
