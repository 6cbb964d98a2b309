//! What of a document may be shown: everything but passwords, tokens and keys.

use serde_json::{Map, Value};

/// Shown instead of a secret.
const HIDDEN: &str = "***";

/// Words in a key's name that tell of a secret below it.
const SECRET_WORDS: [&str; 4] = ["password", "token", "secret", "auth_data"];

/// Names that contain such a word and are no secret, or end with one that is none.
const OPEN_NAMES: [&str; 2] = ["server_tokens", "password_encryption"];

/// The key, or the last key of a path, names a secret.
pub(super) fn is_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    !OPEN_NAMES.contains(&name.as_str()) && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// The document with every secret hidden.
pub(super) fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| {
                let hidden = is_secret(key) && !value.is_null();
                let shown = if hidden { Value::from(HIDDEN) } else { redacted(value) };
                (key.clone(), shown)
            };
            Value::Object(map.iter().map(pair).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(redacted).collect()),
        Value::String(text) => Value::String(without_login(text)),
        other => other.clone(),
    }
}

/// `http://user:password@host` without the login, `password=...` in a connection string without the password.
pub(super) fn without_login(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some((scheme, rest)) = text.split_once("://")
        && let Some((login, rest)) = rest.split_once('@')
        && !login.contains('/')
    {
        shown = format!("{scheme}://{HIDDEN}@{rest}");
    }
    if let Some(found) = shown.find("password=") {
        shown.truncate(found + "password=".len());
        shown.push_str(HIDDEN);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let document = json!({
            "restapi": {"authentication": {"username": "u", "password": "p1"}, "keyfile_password": "p2", "server_tokens": "minimal"},
            "etcd": {"url": "http://u:p3@h:1/x", "hosts": ["a:1"]},
            "zookeeper": {"auth_data": {"digest": "p4"}},
            "consul": {"token": "p5"},
            "note": "host=a password=p6 x=1",
        });
        let shown = redacted(&document).to_string();
        for secret in ["p1", "p2", "p3", "p4", "p5", "p6"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for open in ["\"u\"", "minimal", "@h:1/x", "a:1", "host=a"] {
            assert!(shown.contains(open), "{open} in {shown}");
        }
        assert!(is_secret("postgresql.authentication.superuser.sslpassword"));
        assert!(!is_secret("postgresql.parameters.password_encryption"));
    }
}
