//! The accounts: `postgresql.authentication`, in its present and in its old places.

use super::value::{at, text, text_at};
use regent_core::model::{Account, Accounts, Secret};
use serde_json::Value;

/// Further settings of an account that libpq knows.
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

/// All accounts. Before `authentication` there was one section an account, and `pg_rewind` for the superuser (CFG-04).
pub(super) fn accounts(document: &Value) -> Accounts {
    let section = |new: &str, old: &str| {
        let new = at(document, &format!("postgresql.authentication.{new}"));
        new.or_else(|| at(document, &format!("postgresql.{old}"))).map(account)
    };
    Accounts {
        superuser: section("superuser", "superuser").or_else(|| section("", "pg_rewind")).unwrap_or_default(),
        replication: section("replication", "replication").unwrap_or_default(),
        rewind: at(document, "postgresql.authentication.rewind").map(account),
    }
}

fn account(section: &Value) -> Account {
    let options = OPTIONS.iter().filter_map(|name| Some(((*name).to_owned(), text(section.get(*name)?)?)));
    Account {
        username: text_at(section, "username").or_else(|| text_at(section, "user")),
        password: text_at(section, "password").map(Secret),
        options: options.collect(),
        sslpassword: text_at(section, "sslpassword").map(Secret),
    }
}
