//! Who logs in, from the options, from libpq's variables and from its password file.

use crate::ports;
use regent_core::model::{Account, Secret};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// libpq's settings by the variables that hold them.
const OPTIONS: [(&str, &str); 6] = [
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
];

/// What we are called in `pg_stat_activity` where nobody says otherwise.
const APPLICATION: &str = "Patroni ctl";

/// Who logs in, and where.
pub(in crate::ctl) struct Login {
    pub account: Account,
    pub database: String,
    pub application: String,
    pub options: Option<String>,
    password_file: Option<PathBuf>,
}

impl Login {
    /// What is not given comes from the environment; the user is whoever runs us, the database is called like the user.
    pub fn new(user: Option<String>, password: Option<String>, database: Option<String>) -> Login {
        let texts = ports::environment().into_iter();
        let texts = texts.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables: BTreeMap<String, String> = texts.filter(|(_, value)| !value.is_empty()).collect();
        Login::from_variables(user, password, database, &variables)
    }

    fn from_variables(
        user: Option<String>,
        password: Option<String>,
        database: Option<String>,
        variables: &BTreeMap<String, String>,
    ) -> Login {
        let variable = |name: &str| variables.get(name).cloned();
        let user = user.or_else(|| variable("PGUSER")).or_else(system_user).unwrap_or_default();
        let options = OPTIONS.iter().filter_map(|(name, option)| Some(((*option).to_owned(), variable(name)?)));
        let home = ports::home_directory();
        Login {
            database: database.or_else(|| variable("PGDATABASE")).unwrap_or_else(|| user.clone()),
            application: variable("PGAPPNAME").unwrap_or_else(|| APPLICATION.to_owned()),
            options: variable("PGOPTIONS"),
            password_file: Some(variable("PGPASSFILE").map_or_else(|| home.join(".pgpass"), PathBuf::from)),
            account: Account {
                username: Some(user),
                password: password.or_else(|| variable("PGPASSWORD")).map(Secret),
                options: with_usual_files(options.collect(), &home.join(".postgresql")),
                sslpassword: None,
            },
        }
    }

    /// The password for a server.
    pub fn password(&self, host: &str, port: u16) -> Option<String> {
        if let Some(Secret(password)) = &self.account.password {
            return Some(password.clone());
        }
        let path = self.password_file.as_ref()?;
        // What others can read is no secret: libpq does not believe it either.
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!("{} is not used, because others may read it", path.display());
            return None;
        }
        let user = self.account.username.as_deref().unwrap_or_default();
        let text = std::fs::read_to_string(path).ok()?;
        let host = if host.starts_with('/') { "localhost" } else { host };
        text.lines().find_map(|line| password_in(line, &[host, &port.to_string(), &self.database, user]))
    }
}

/// The files that libpq uses where no others are named and these exist.
fn with_usual_files(mut options: BTreeMap<String, String>, folder: &Path) -> BTreeMap<String, String> {
    let usual = [("sslrootcert", "root.crt"), ("sslcert", "postgresql.crt"), ("sslkey", "postgresql.key")];
    for (option, file) in usual {
        let path = folder.join(file);
        if !options.contains_key(option) && path.is_file() {
            options.insert(option.to_owned(), path.to_string_lossy().into_owned());
        }
    }
    options
}

fn system_user() -> Option<String> {
    Some(nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??.name)
}

/// `host:port:database:user:password`, where `*` fits everything and a backslash takes a colon's meaning away.
fn password_in(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, fields.len()) {
            ('\\', _) => fields.last_mut()?.extend(letters.next()),
            (':', ..=4) => fields.push(String::new()),
            _ => fields.last_mut()?.push(letter),
        }
    }
    let [patterns @ .., password] = fields.as_slice() else { return None };
    let fits =
        patterns.len() == 4 && patterns.iter().zip(wanted).all(|(pattern, text)| pattern == "*" || pattern == text);
    (fits && !line.starts_with('#')).then(|| password.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_files_are_read_as_libpq_does() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(password_in(line, &["h", "5432", "d:b", "u"]).as_deref(), expected, "{line}");
        };
        check("*:*:*:*:secret", Some("secret"));
        check("h:5432:d\\:b:u:a\\:b\\\\:c", Some("a:b\\:c"));
        check("h:5433:*:u:x", None);
        check("# *:*:*:*:x", None);
        check("*:*:*:x", None);
        check("", None);
    }

    #[test]
    fn options_win_over_variables() {
        let variables = [("PGUSER", "v"), ("PGDATABASE", "d"), ("PGSSLMODE", "disable"), ("PGPASSWORD", "s")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let login = Login::from_variables(None, None, None, &variables);
        assert_eq!((login.account.username.as_deref(), login.database.as_str()), (Some("v"), "d"));
        assert_eq!(login.account.options["sslmode"], "disable");
        assert_eq!(login.password("h", 1).as_deref(), Some("s"));
        assert_eq!(login.application, "Patroni ctl");
        let login = Login::from_variables(Some("u".into()), Some("p".into()), None, &BTreeMap::new());
        assert_eq!((login.account.username.as_deref(), login.database.as_str()), (Some("u"), "u"));
        assert_eq!(login.password("h", 1).as_deref(), Some("p"));
    }
}
