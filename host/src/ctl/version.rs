//! `version`: ours, and those of members.

use super::Result;
use super::context::Context;
use super::output::line;
use crate::dcs::PEER_VERSION;
use reqwest::Method;
use serde_json::Value;

/// Ours. Under the peer's name it is the version whose commands and documents we speak.
pub(super) fn own(program: &str) -> String {
    let version = if program == "patronictl" { PEER_VERSION } else { env!("CARGO_PKG_VERSION") };
    format!("{program} version {version}")
}

/// Prints our version, and those of the members, or of the named ones.
pub(super) async fn version(program: &str, context: Option<&Context>, names: &[String]) -> Result<()> {
    line(&own(program));
    let Some(context) = context else { return Ok(()) };
    line("");
    let (_, snapshot) = context.read().await?;
    for member in &snapshot.view.members {
        let Some(url) = member.api_url.as_deref().filter(|_| names.is_empty() || names.contains(&member.name)) else {
            continue;
        };
        let said = context.call(Method::GET, url, "patroni", None).await;
        let said = said.and_then(|said| versions(&said.body));
        let name = &member.name;
        match said {
            Ok(versions) => line(&format!("{name}: {versions}")),
            Err(why) => line(&format!("{name}: failed to get version: {why}")),
        }
    }
    Ok(())
}

fn versions(body: &str) -> std::result::Result<String, String> {
    let document: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let patroni = document.pointer("/patroni/version").and_then(Value::as_str);
    let mut text = format!("Patroni {}", patroni.ok_or("it does not say its version")?);
    // A server that does not run has none.
    if let Some(number) = document.get("server_version").and_then(Value::as_u64) {
        text = format!("{text} PostgreSQL {}", server(number));
    }
    Ok(text)
}

/// `15.18` for 150018, `9.6.3` for 90603.
fn server(number: u64) -> String {
    let (major, rest) = (number / 10_000, number % 10_000);
    if major < 10 { format!("{major}.{}.{}", rest / 100, rest % 100) } else { format!("{major}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTL-11.
    #[test]
    fn versions_are_told_as_people_write_them() {
        let check = |body: &str, expected: &str| assert_eq!(versions(body).unwrap_or_default(), expected, "{body}");
        let body = r#"{"server_version": 150018, "patroni": {"version": "4.1.4"}}"#;
        check(body, "Patroni 4.1.4 PostgreSQL 15.18");
        check(r#"{"server_version": 90603, "patroni": {"version": "4.0"}}"#, "Patroni 4.0 PostgreSQL 9.6.3");
        check(r#"{"patroni": {"version": "4.0"}}"#, "Patroni 4.0");
        check("ok", "");
        check("{}", "");
    }
}
