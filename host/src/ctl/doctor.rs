//! `doctor`: looks at the configuration, this machine, the store and every member, and says what is wrong or soon will be.

mod expiry;
mod guards;
mod histories;
mod machine;
mod reach;
mod timings;

use super::context::{Context, Surroundings};
use super::output::line;
use super::{CtlError, Result};
use crate::dcs::Snapshot;
use crate::ports;
pub(super) use histories::strangers;
use regent_core::model::MemberView;
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use timings::ClockReading;

/// How often the store is read, to see how fast it is.
const READINGS: usize = 3;

/// Bytes that a standby may lack and still take over, where nobody says.
const LAG_MAX: u64 = 1_048_576;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Good,
    Odd,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq)]
struct Finding(Weight, String);

/// What a member's API said to `GET /patroni`.
type Said = std::result::Result<Value, String>;

/// What all members said.
#[derive(Default)]
struct Answers {
    said: BTreeMap<String, Said>,
    /// What ours say of themselves beyond that.
    nodes: BTreeMap<String, Value>,
    clocks: BTreeMap<String, ClockReading>,
}

/// Prints what was found; bad findings are an error.
pub(super) async fn doctor(surroundings: &Surroundings, context: &Context) -> Result<()> {
    let mut findings = of_configuration(&surroundings.local().warnings);
    findings.extend(machine::of_machine(surroundings.local(), context.store_name()));
    match readings(context).await {
        Ok((snapshot, times)) => {
            findings.push(timings::of_store(&times, snapshot.config.as_ref()));
            findings.extend(of_cluster(&snapshot));
            findings.extend(of_members(context, &snapshot).await);
        }
        Err(why) => findings.push(Finding(Weight::Bad, format!("the store does not answer: {why}"))),
    }
    for Finding(weight, text) in &findings {
        let word = match weight {
            Weight::Good => "ok",
            Weight::Odd => "look",
            Weight::Bad => "BAD",
        };
        line(&format!("{word:<5}{text}"));
    }
    let bad = findings.iter().filter(|finding| finding.0 == Weight::Bad).count();
    if bad == 0 { Ok(()) } else { Err(CtlError::new(format!("{bad} of {} findings are bad", findings.len()))) }
}

/// The cluster, and how long each reading of it took.
async fn readings(context: &Context) -> Result<(Snapshot, Vec<Duration>)> {
    let store = context.store().await?;
    let mut snapshot = context.load(&store).await?;
    let mut times = Vec::new();
    for _ in 0..READINGS {
        let begun = ports::since_boot();
        snapshot = context.load(&store).await?;
        times.push(ports::since_boot().saturating_sub(begun));
    }
    Ok((snapshot, times))
}

async fn of_members(context: &Context, snapshot: &Snapshot) -> Vec<Finding> {
    let answers = ask(context, snapshot).await;
    let strangers = strangers(context, snapshot).await;
    let mut findings = Vec::new();
    for member in &snapshot.view.members {
        let mut of_one = of_member(member, snapshot, &answers.said);
        of_one.extend(reach::of_address(member).await);
        of_one.extend(strangers.get(&member.name).map(|why| Finding(Weight::Bad, format!("{}: {why}", member.name))));
        of_one
            .extend(answers.nodes.get(&member.name).into_iter().flat_map(|node| guards::of_guards(&member.name, node)));
        if of_one.len() > 1 {
            of_one.retain(|finding| finding.0 != Weight::Good);
        }
        findings.append(&mut of_one);
    }
    findings.extend(of_versions(&answers.said));
    findings.extend(timings::of_clocks(&answers.clocks));
    findings
}

async fn ask(context: &Context, snapshot: &Snapshot) -> Answers {
    let mut answers = Answers::default();
    for member in &snapshot.view.members {
        let Some(url) = &member.api_url else { continue };
        let asked = ports::wall_now();
        let said = context.call(Method::GET, url, "patroni", None).await;
        let heard = ports::wall_now();
        if let Some(shown) = said.as_ref().ok().and_then(|said| said.date) {
            answers.clocks.insert(member.name.clone(), ClockReading { asked, shown, heard });
        }
        let document = said.and_then(|said| {
            serde_json::from_str(&said.body).map_err(|_| format!("status code={}, and no document", said.status))
        });
        answers.said.insert(member.name.clone(), document);
        if let Ok(said) = context.call(Method::GET, url, "dashboard/node", None).await
            && said.status == 200
            && let Ok(node) = serde_json::from_str(&said.body)
        {
            answers.nodes.insert(member.name.clone(), node);
        }
    }
    answers
}

fn of_configuration(warnings: &[String]) -> Vec<Finding> {
    if warnings.is_empty() {
        return vec![Finding(Weight::Good, "the configuration is understood".to_owned())];
    }
    warnings.iter().map(|warning| Finding(Weight::Odd, format!("configuration: {warning}"))).collect()
}

fn of_cluster(snapshot: &Snapshot) -> Vec<Finding> {
    let view = &snapshot.view;
    let config = |name: &str| snapshot.config.as_ref().and_then(|config| config.get(name));
    let mut findings = Vec::new();
    let mut told = |weight, text: String| findings.push(Finding(weight, text));
    match view.initialize.as_deref() {
        Some(id) if !id.is_empty() => told(Weight::Good, format!("the cluster is initialized ({id})")),
        Some(_) => told(Weight::Odd, "somebody is just initializing the cluster".to_owned()),
        None => told(Weight::Bad, "the cluster is not initialized".to_owned()),
    }
    match (view.leader_name(), view.leader_member()) {
        (Some(leader), Some(_)) => told(Weight::Good, format!("{leader} leads")),
        (Some(leader), None) => told(Weight::Bad, format!("{leader} holds the lock and is no member")),
        (None, _) => told(Weight::Bad, "nobody leads".to_owned()),
    }
    let able = view.members.iter().filter(|member| {
        let leads = view.leader_name() == Some(member.name.as_str());
        !leads && !member.tags.nofailover() && member.is_running()
    });
    match able.count() {
        0 => told(Weight::Odd, "no other member could take over".to_owned()),
        count => told(Weight::Good, format!("{count} could take over")),
    }
    if config("pause").and_then(Value::as_bool) == Some(true) {
        told(Weight::Odd, "maintenance mode is on: nothing happens by itself".to_owned());
    }
    let synchronous = config("synchronous_mode").is_some_and(|mode| mode != false && mode != "off" && !mode.is_null());
    if synchronous && view.sync.standbys.is_empty() {
        told(Weight::Odd, "synchronous mode is on, and no standby is synchronous".to_owned());
    }
    if let Some(at) = snapshot.failover_raw.get("scheduled_at").and_then(Value::as_str) {
        told(Weight::Odd, format!("a switchover is scheduled at {at}"));
    }
    findings
}

fn of_member(member: &MemberView, snapshot: &Snapshot, said: &BTreeMap<String, Said>) -> Vec<Finding> {
    let name = &member.name;
    let finding = |weight, text: String| Finding(weight, format!("{name}: {text}"));
    let document = match said.get(name) {
        Some(Ok(document)) => document,
        Some(Err(why)) => return vec![finding(Weight::Bad, format!("its API does not answer: {why}"))],
        None => return vec![finding(Weight::Odd, "it has published no API".to_owned())],
    };
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut findings = Vec::new();
    if text("state") != "running" {
        findings.push(finding(Weight::Bad, format!("its server is {:?}", text("state"))));
    }
    let leads = snapshot.view.leader_name() == Some(name.as_str());
    let of_leader = snapshot.view.leader_member().and_then(|leader| leader.timeline);
    if !leads && text("state") == "running" {
        let config = snapshot.config.as_ref();
        let most = config.and_then(|config| config.get("maximum_lag_on_failover")).and_then(Value::as_u64);
        let lag = member.receive_lsn.or(member.xlog_location).zip(snapshot.view.status.optime);
        let lag = lag.map_or(0, |(here, there)| here.behind(there));
        if text("replication_state") != "streaming" {
            findings.push(finding(Weight::Odd, "it does not stream".to_owned()));
        }
        if lag > most.unwrap_or(LAG_MAX) {
            findings.push(finding(Weight::Odd, format!("it lacks {lag} bytes, too many to take over")));
        }
        if member.timeline.is_some() && of_leader.is_some() && member.timeline != of_leader {
            findings.push(finding(Weight::Bad, "it is on another timeline than the leader".to_owned()));
        }
    }
    if document.get("pending_restart").and_then(Value::as_bool) == Some(true) {
        findings.push(finding(Weight::Odd, "settings wait for a restart of its server".to_owned()));
    }
    if findings.is_empty() {
        findings.push(finding(Weight::Good, "runs".to_owned()));
    }
    findings
}

/// Members of different versions are for the time of an upgrade only.
fn of_versions(said: &BTreeMap<String, Said>) -> Vec<Finding> {
    let versions = |pointer: &str| -> BTreeSet<String> {
        let documents = said.values().filter_map(|said| said.as_ref().ok());
        documents
            .filter_map(|document| document.pointer(pointer))
            .map(|value| value.to_string().replace('"', ""))
            .collect()
    };
    let differ = |what: &str, versions: BTreeSet<String>| {
        let list = versions.iter().cloned().collect::<Vec<_>>().join(", ");
        (versions.len() > 1).then(|| Finding(Weight::Odd, format!("members differ in {what}: {list}")))
    };
    let api = differ("version", versions("/patroni/version"));
    api.into_iter().chain(differ("PostgreSQL's version", versions("/server_version"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::read_keys;
    use serde_json::json;

    fn words(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|Finding(weight, text)| format!("{weight:?} {text}")).collect()
    }

    #[test]
    fn a_good_cluster_is_good() {
        let snapshot = read_keys(&json!({
            "initialize": "7", "leader": "a", "status": {"optime": 100},
            "members/a": {"state": "running", "role": "primary", "timeline": 2, "api_url": "x"},
            "members/b": {"state": "running", "role": "replica", "timeline": 2, "receive_lsn": 100, "api_url": "x"},
        }));
        assert_eq!(
            words(&of_cluster(&snapshot)),
            ["Good the cluster is initialized (7)", "Good a leads", "Good 1 could take over"]
        );
        let runs = json!({"state": "running", "replication_state": "streaming"});
        let said = BTreeMap::from([("a".to_owned(), Ok(json!({"state": "running"}))), ("b".to_owned(), Ok(runs))]);
        for member in &snapshot.view.members {
            assert_eq!(words(&of_member(member, &snapshot, &said)), [format!("Good {}: runs", member.name)]);
        }
        assert!(of_versions(&said).is_empty());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let snapshot = read_keys(&json!({
            "leader": "gone", "config": {"pause": true, "synchronous_mode": "on"}, "status": {"optime": 9_000_000},
            "failover": {"scheduled_at": "2030-01-01T00:00:00+00:00"},
            "members/a": {"state": "running", "timeline": 1, "xlog_location": 1, "tags": {"nofailover": true}, "api_url": "x"},
            "members/b": {"state": "starting"},
        }));
        assert_eq!(
            words(&of_cluster(&snapshot)),
            [
                "Bad the cluster is not initialized",
                "Bad gone holds the lock and is no member",
                "Odd no other member could take over",
                "Odd maintenance mode is on: nothing happens by itself",
                "Odd synchronous mode is on, and no standby is synchronous",
                "Odd a switchover is scheduled at 2030-01-01T00:00:00+00:00",
            ]
        );
        let of = |name: &str, said: Option<Said>| {
            let said: BTreeMap<_, _> = said.into_iter().map(|said| (name.to_owned(), said)).collect();
            words(&of_member(snapshot.view.member(name).unwrap(), &snapshot, &said))
        };
        let lags = json!({"state": "running", "pending_restart": true});
        assert_eq!(
            of("a", Some(Ok(lags))),
            [
                "Odd a: it does not stream",
                "Odd a: it lacks 8999999 bytes, too many to take over",
                "Odd a: settings wait for a restart of its server",
            ]
        );
        assert_eq!(of("a", Some(Err("refused".to_owned()))), ["Bad a: its API does not answer: refused"]);
        assert_eq!(of("a", Some(Ok(json!({"state": "stopped"})))), ["Bad a: its server is \"stopped\""]);
        assert_eq!(of("b", None), ["Odd b: it has published no API"]);
    }

    #[test]
    fn differing_versions_are_odd() {
        let said = |version: &str, server: u64| Ok(json!({"patroni": {"version": version}, "server_version": server}));
        let said = BTreeMap::from([("a".to_owned(), said("4.1.5", 150_000)), ("b".to_owned(), said("4.1.4", 150_000))]);
        assert_eq!(words(&of_versions(&said)), ["Odd members differ in version: 4.1.4, 4.1.5"]);
    }
}
