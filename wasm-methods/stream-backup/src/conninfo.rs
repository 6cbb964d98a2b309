//! A connection string as libpq reads it, as far as it says whom to ask and as whom.

use std::collections::BTreeMap;

/// Whom to ask, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conninfo {
    /// The server's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The account.
    pub user: String,
    others: BTreeMap<String, String>,
}

/// What libpq takes from variables where the connection string does not say it.
const VARIABLES: [(&str, &str); 8] = [
    ("channel_binding", "PGCHANNELBINDING"),
    ("gssencmode", "PGGSSENCMODE"),
    ("sslcert", "PGSSLCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
];

impl Conninfo {
    /// `key=value` pairs; a value may be in single quotes, a backslash hides what follows it.
    pub fn parse(text: &str) -> Result<Conninfo, String> {
        let mut pairs = pairs(text)?;
        let host = pairs.remove("host").filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".into());
        if host.starts_with('/') {
            return Err(format!("{host} is a socket file, which cannot be reached from a sandbox"));
        }
        let port = pairs.remove("port").unwrap_or_else(|| "5432".into());
        let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
        let user = pairs.remove("user").ok_or("the connection string names no user")?;
        Ok(Conninfo { host, port, user, others: pairs })
    }

    /// What is said about a setting: by the method's section, by the connection string, by a variable.
    pub fn setting(
        &self,
        name: &str,
        parameter: &dyn Fn(&str) -> Option<String>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let known = VARIABLES.iter().find(|(key, _)| *key == name);
        parameter(name).or_else(|| self.others.get(name).cloned()).or_else(|| variable(known?.1))
    }

    /// The password: from the string, or from where `variable` says.
    pub fn password(&self, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let filed = || {
            let text = std::fs::read_to_string(variable("PGPASSFILE")?).ok()?;
            self.find(&text)
        };
        self.others.get("password").cloned().or_else(|| variable("PGPASSWORD")).or_else(filed)
    }

    /// `host:port:database:user:password` in a file; the first line that fits.
    fn find(&self, text: &str) -> Option<String> {
        let port = self.port.to_string();
        let wanted = [self.host.as_str(), &port, "replication", &self.user];
        text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = fields(line);
            let fits =
                fields.len() == 5 && wanted.iter().zip(&fields).all(|(wanted, field)| field == "*" || field == wanted);
            fits.then(|| fields[4].clone())
        })
    }
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(characters.next())),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').ok_or("the connection string has a word without a value")?;
        let (value, end) = value_of(value.trim_start())?;
        pairs.insert(key.trim().to_owned(), value);
        rest = end.trim_start();
    }
    Ok(pairs)
}

/// The value that a text begins with, and what follows it.
fn value_of(text: &str) -> Result<(String, &str), String> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, character)| character)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            other if other.is_whitespace() && !quoted => return Ok((value, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err("a quoted value of the connection string has no end".into()) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_libpq_reads_them() {
        let check = |text: &str, expected: Result<(&str, u16, &str, Option<&str>), &str>| match (
            Conninfo::parse(text),
            expected,
        ) {
            (Ok(found), Ok(expected)) => {
                let password = found.others.get("password").map(String::as_str);
                let found = (found.host.as_str(), found.port, found.user.as_str(), password);
                assert_eq!(found, expected, "{text}");
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        check("dbname=postgres user=rep host=h port=5433 ", Ok(("h", 5433, "rep", None)));
        check(r"user='a b\'c' password = 'x\\y'", Ok(("localhost", 5432, "a b'c", Some(r"x\y"))));
        check("user=a host=/run", Err("socket file"));
        check("user=a host=h port=x", Err("no port"));
        check("host=h", Err("no user"));
        check("user='a", Err("no end"));
        check("user", Err("without a value"));
    }

    #[test]
    fn a_setting_comes_from_the_nearest() {
        let conninfo = Conninfo::parse("user=a sslmode=require sslcert=/c").unwrap();
        let parameter = |name: &str| (name == "sslmode").then(|| "verify-full".to_owned());
        let variable = |name: &str| ["PGSSLMODE", "PGSSLROOTCERT"].contains(&name).then(|| name.to_owned());
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(conninfo.setting(name, &parameter, &variable).as_deref(), expected, "{name}");
        };
        check("sslmode", Some("verify-full"));
        check("sslcert", Some("/c"));
        check("sslrootcert", Some("PGSSLROOTCERT"));
        check("sslkey", None);
        check("sslpassword", None);
    }

    #[test]
    fn a_password_file_is_searched() {
        let conninfo = Conninfo::parse("user=rep host=h port=5433").unwrap();
        let check = |text: &str, expected: Option<&str>| assert_eq!(conninfo.find(text).as_deref(), expected, "{text}");
        check("# h:5433:*:rep:no\nother:5433:*:rep:no\nh:5433:*:rep:a\\:b:c\n", Some("a:b:c"));
        check("*:*:replication:rep:yes", Some("yes"));
        check("h:5433:postgres:rep:no", None);
        check("", None);
        assert_eq!(conninfo.password(&|name| (name == "PGPASSWORD").then(|| "x".into())).as_deref(), Some("x"));
        assert_eq!(conninfo.password(&|_| None), None);
    }
}
