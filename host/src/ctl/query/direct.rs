//! One question to the server that a connection string names. What it says of a login counts as it does for libpq.

use super::connection::Connection;
use super::libpq::Login;
use regent_core::model::Secret;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The first value of the answer, as text.
///
/// # Errors
/// Why there is none, in words.
pub async fn ask_server(connstring: &str, sql: &str) -> Result<String, String> {
    let mut pairs = pairs(connstring)?;
    let mut take = |name: &str| pairs.remove(name).filter(|value| !value.is_empty());
    let host = take("host").unwrap_or_else(|| "localhost".to_owned());
    let port = take("port").unwrap_or_else(|| "5432".to_owned());
    let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    let mut login = Login::new(take("user"), None, take("dbname"));
    if let Some(password) = take("password") {
        login.account.password = Some(Secret(password));
    }
    login.account.options.extend(pairs.into_iter().filter(|(name, _)| name.starts_with("ssl")));
    let asked = async {
        let mut connection = Connection::open(&host, port, &login).await?;
        connection.ask(sql).await
    };
    let answer = tokio::time::timeout(ANSWER_LIMIT, asked).await;
    let sheet = answer.map_err(|_| "the server takes too long".to_owned())?.map_err(|why| why.code_or_text())?;
    match sheet.rows.first().and_then(|row| row.first()) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err("the server answers nothing".to_owned()),
    }
}

/// `key=value` pairs; a value may be in single quotes, a backslash hides what follows it.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((key, value)) = rest.split_once('=') {
        let value = value.trim_start();
        let quoted = value.starts_with('\'');
        let mut taken = String::new();
        let mut letters = value.char_indices().skip(usize::from(quoted));
        rest = loop {
            match letters.next() {
                Some((_, '\\')) => taken.extend(letters.next().map(|(_, letter)| letter)),
                Some((at, '\'')) if quoted => break &value[at + 1..],
                Some((at, letter)) if !quoted && letter.is_whitespace() => break &value[at..],
                Some((_, letter)) => taken.push(letter),
                None if quoted => return Err("a value of the connection string has no end".to_owned()),
                None => break "",
            }
        }
        .trim_start();
        pairs.insert(key.trim().to_owned(), taken);
    }
    if rest.is_empty() { Ok(pairs) } else { Err(format!("{rest:?} of the connection string has no value")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_fall_into_pairs() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(pairs(text), Ok(expected), "{text}");
        };
        check("", &[]);
        check("dbname=postgres host=h ", &[("dbname", "postgres"), ("host", "h")]);
        check(r"user = 'a b\'c' x=y\ z", &[("user", "a b'c"), ("x", "y z")]);
        assert!(pairs("user='a").is_err() && pairs("user").is_err());
    }
}
