//! The server's entry in Consul's catalogue of services (CONS-08), made from the member's own value. Whatever goes
//! wrong here is tried again with the next heartbeat, and is no matter of the cluster's keys.

use crate::backend::Consul;
use crate::config::{Service, Soft};
use crate::duration;
use crate::http::{Fault, Request, encoded};
use regent_dcs_common::endpoint;
use regent_plugin_sdk::{Cx, log};
use serde_json::{Value, json};
use std::time::Duration;

/// What DNS takes, and a little less.
const NAME_MAX: usize = 230;

/// Sessions' times after which an entry whose check fails is removed.
const CRITICAL: u32 = 10;

/// What the catalogue was told last.
#[derive(Default)]
pub(crate) struct Catalogue {
    told: Option<Told>,
    /// The name was complained about.
    warned: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    /// This entry, with that token.
    Registered(Value, Option<String>),
    /// That there is none.
    Gone,
}

impl Consul {
    /// Tells the catalogue what has changed, in what is left of the call.
    pub(crate) async fn register(&self, cx: &Cx, value: &[u8]) {
        let mut catalogue = self.catalogue.lock().await;
        let soft = self.agent.soft();
        let id = format!("{}/{}", self.scope, self.keys.member());
        let wanted = match (&soft.service, &catalogue.told) {
            (Some(service), _) => self.wanted(service, &soft, &id, value),
            (None, Some(Told::Registered(..))) => Some(Told::Gone),
            (None, _) => None,
        };
        let Some(wanted) = wanted.filter(|wanted| catalogue.told.as_ref() != Some(wanted)) else {
            return;
        };
        if !std::mem::replace(&mut catalogue.warned, true) && name_of(&self.scope) != self.scope {
            log::warn(&format!("the service of {} is named {} in the catalogue", self.scope, name_of(&self.scope)));
        }
        let request = match &wanted {
            Told::Registered(entry, _) => Request::put("agent/service/register").json(entry),
            Told::Gone => Request::put(format!("agent/service/deregister/{}", encoded(id.as_bytes()))),
        };
        // Until it is answered, nobody knows what the catalogue holds.
        let before = catalogue.told.take();
        let why = match self.agent.once(&request, self.agent.patience().min(cx.left())).await {
            Ok(reply) if reply.status == 200 || (reply.status == 404 && wanted == Told::Gone) => {
                catalogue.told = Some(wanted);
                return;
            }
            Ok(reply) => reply.text(),
            Err(Fault::Unsent(why) | Fault::Unsure(why)) => why,
        };
        log::warn(&format!("the catalogue of services could not be told: {why}"));
        if wanted == Told::Gone {
            // The entry may still be there.
            catalogue.told = before;
        }
    }

    fn wanted(&self, service: &Service, soft: &Soft, id: &str, value: &[u8]) -> Option<Told> {
        let member: Value = serde_json::from_slice(value).ok()?;
        let text = |key: &str| member.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("state") {
            "stopped" => Some(Told::Gone),
            "running" => {
                let critical = self.ttl() / 2 * CRITICAL;
                let entry = entry(&self.scope, id, service, critical, &member)?;
                Some(Told::Registered(entry, soft.token.clone()))
            }
            _ => None,
        }
    }
}

/// The entry of a server that runs; none where it has no role that clients look for.
fn entry(scope: &str, id: &str, service: &Service, critical: Duration, member: &Value) -> Option<Value> {
    let text = |key: &str| member.get(key).and_then(Value::as_str);
    let role = match text("role")? {
        "master" | "primary" => "primary",
        "replica" => "replica",
        "standby_leader" => "standby-leader",
        _ => return None,
    };
    let (_, address) = text("conn_url")?.split_once("://")?;
    let (server, _) = endpoint::parse(address, false, 5432).ok()?;
    let mut check = json!({
        "HTTP": format!("{}/{role}", base_of(text("api_url")?)?),
        "Interval": service.interval,
        "DeregisterCriticalServiceAfter": duration::write(critical),
    });
    if let Some(name) = &service.tls_server_name {
        check["TLSServerName"] = json!(name);
    }
    let mut tags = service.tags.clone();
    tags.push(role.to_owned());
    if role == "primary" {
        // What clients of older clusters look for.
        tags.push("master".to_owned());
    }
    Some(json!({
        "ID": id, "Name": name_of(scope), "Address": server.host, "Port": server.port, "Check": check, "Tags": tags,
        "EnableTagOverride": true,
    }))
}

/// A URL without its path.
fn base_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    Some(&url[..scheme.len() + 3 + authority.len()])
}

/// A cluster's name as a name in DNS.
fn name_of(scope: &str) -> String {
    let mut name = String::with_capacity(scope.len());
    for one in scope.to_lowercase().chars() {
        match one {
            'a'..='z' | '0'..='9' | '-' => name.push(one),
            '.' | '_' | ' ' => name.push('-'),
            other => name.push_str(&format!("u{:04}", u32::from(other))),
        }
    }
    name.truncate(NAME_MAX);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_in_dns() {
        let check = |scope: &str, expected: &str| assert_eq!(name_of(scope), expected);
        check("demo", "demo");
        check("Demo.a_b c", "demo-a-b-c");
        check("a/b", "au0047b");
        check("\u{fc}", "u0252");
        assert_eq!(name_of(&"x".repeat(300)).len(), 230);
    }

    #[test]
    fn entries_tell_where_the_server_is() {
        let service = Service { tags: vec!["a".to_owned()], interval: "5s".to_owned(), tls_server_name: None };
        let build = |service: &Service, role: &str| {
            let member = json!({"conn_url": "postgres://h:5433/postgres", "api_url": "http://h:8008/patroni",
                                "role": role, "state": "running"});
            entry("de mo", "de mo/n", service, Duration::from_secs(150), &member)
        };
        let found = build(&service, "primary").expect("it is served");
        let expected = json!({
            "ID": "de mo/n", "Name": "de-mo", "Address": "h", "Port": 5433,
            "Check": {"HTTP": "http://h:8008/primary", "Interval": "5s", "DeregisterCriticalServiceAfter": "150s"},
            "Tags": ["a", "primary", "master"], "EnableTagOverride": true,
        });
        assert_eq!(found, expected);
        let found = build(&service, "standby_leader").expect("it is served");
        assert_eq!(
            (&found["Tags"], &found["Check"]["HTTP"]),
            (&json!(["a", "standby-leader"]), &json!("http://h:8008/standby-leader"))
        );
        let named = Service { tls_server_name: Some("n".to_owned()), ..service.clone() };
        assert_eq!(build(&named, "replica").expect("it is served")["Check"]["TLSServerName"], "n");
        assert_eq!(build(&service, "demoted"), None);
    }
}
