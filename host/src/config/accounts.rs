//! `postgresql.authentication`: the accounts that the daemon logs in with (CFG-25, CFG-26, CFG-38).

use super::reading::{at, some_text_at, text_at};
use regent_core::model::{Account, Accounts, Secret};
use serde_json::Value;

/// Settings of an account that libpq knows and that are no secret. Any other key is left out.
const OPTIONS: [&str; 9] = [
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "gssencmode",
    "channel_binding",
    "sslnegotiation",
];

/// All accounts. What is not configured is left to libpq.
pub(super) fn build(local: &Value) -> Accounts {
    let section = |name: &str| at(local, &format!("postgresql.authentication.{name}")).map(account);
    Accounts {
        superuser: section("superuser").unwrap_or_default(),
        replication: section("replication").unwrap_or_default(),
        rewind: section("rewind"),
    }
}

fn account(section: &Value) -> Account {
    let options = OPTIONS.iter().filter_map(|name| Some(((*name).to_owned(), some_text_at(section, name)?)));
    Account {
        username: some_text_at(section, "username"),
        password: text_at(section, "password").map(Secret),
        options: options.collect(),
        sslpassword: text_at(section, "sslpassword").map(Secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_is_not_configured_is_left_to_the_system() {
        // CFG-27: the section of pg_rewind from before serves as the superuser's; without either, nobody is named, and
        // the account is that of whoever runs the daemon.
        let accounts = |mut document: Value| {
            crate::config::legacy::modernise_local(&mut document);
            build(&document)
        };
        let from_before = accounts(json!({"postgresql": {"pg_rewind": {"username": "rw", "password": "x"}}}));
        assert_eq!((from_before.superuser.username.as_deref(), from_before.rewind), (Some("rw"), None));
        let without = accounts(json!({"postgresql": {"authentication": {"rewind": {"username": "rw"}}}}));
        assert_eq!((without.superuser, without.replication), (Account::default(), Account::default()));
        assert_eq!(without.rewind.and_then(|rewind| rewind.username).as_deref(), Some("rw"));
        assert_eq!(accounts(json!({})).superuser, Account::default());
    }

    #[test]
    fn only_known_settings_are_taken() {
        let accounts = build(&json!({"postgresql": {"authentication": {
            "superuser": {"username": "su", "password": 12, "sslmode": "require", "host": "evil"},
            "replication": {},
        }}}));
        assert_eq!(accounts.superuser.username.as_deref(), Some("su"));
        assert_eq!(accounts.superuser.password, Some(Secret("12".to_owned())));
        let options: Vec<_> = accounts.superuser.options.keys().collect();
        assert_eq!(options, ["sslmode"]);
        assert_eq!(accounts.replication, Account::default());
        assert_eq!(accounts.rewind, None);
        assert!(!format!("{accounts:?}").contains("12"));
    }
}
