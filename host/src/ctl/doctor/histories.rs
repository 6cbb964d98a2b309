//! Standbys that can never follow: on a timeline of the leader's number, but not on the leader's timeline. Their numbers
//! are equal, so only the histories of the timelines tell them apart, and only the servers have those.

use crate::config::LocalConfig;
use crate::ctl::context::Context;
use crate::ctl::query::connection::Connection;
use crate::ctl::query::libpq::Login;
use crate::ctl::rows::address;
use crate::dcs::Snapshot;
use regent_core::model::{MemberView, Timeline};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// By the name of each such member: what is wrong with it. Nothing is said of who can not be asked.
pub(in crate::ctl) async fn strangers(context: &Context, snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(leader) = snapshot.view.leader_member() else { return found };
    let Some(timeline) = leader.timeline.filter(|timeline| timeline.0 > 1) else { return found };
    let suspects: Vec<_> = snapshot.view.members.iter().filter(|one| is_suspect(one, leader, snapshot)).collect();
    if suspects.is_empty() {
        return found;
    }
    let Some(of_leader) = history(context.local(), leader, timeline).await else { return found };
    for one in suspects {
        let Some(own) = history(context.local(), one, timeline).await else { continue };
        if let Some(text) = differing(timeline, &own, &of_leader, &one.name) {
            found.insert(one.name.clone(), text);
        }
    }
    found
}

/// It runs on the leader's timeline, as it seems, and gets nothing.
fn is_suspect(member: &MemberView, leader: &MemberView, snapshot: &Snapshot) -> bool {
    let streams = member.replication_state.as_deref() == Some("streaming");
    let leads = snapshot.view.leader_name() == Some(member.name.as_str());
    member.is_running() && !leads && !streams && member.timeline == leader.timeline
}

/// The file of a timeline's history, as the member's server has it.
async fn history(local: &LocalConfig, member: &MemberView, timeline: Timeline) -> Option<String> {
    let (host, port) = address(member)?;
    let login = login(local);
    let sql = format!("SELECT pg_catalog.pg_read_file('pg_wal/{:08X}.history', 0, 1048576, true)", timeline.0);
    let asked = async {
        let mut connection = Connection::open(&host, port.parse().ok()?, &login).await.ok()?;
        connection.ask(&sql).await.ok()
    };
    let sheet = tokio::time::timeout(ANSWER_LIMIT, asked).await.ok().flatten()?;
    sheet.rows.first()?.first()?.as_str().map(str::to_owned)
}

/// The configured superuser, or whoever libpq would be.
fn login(local: &LocalConfig) -> Login {
    let account = local.document.pointer("/postgresql/authentication/superuser");
    let text = |name: &str| account.and_then(|account| account.get(name)).and_then(Value::as_str).map(str::to_owned);
    let mut login = Login::new(text("username"), text("password"), Some("postgres".to_owned()));
    for name in ["sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir"] {
        if let Some(value) = text(name) {
            login.account.options.insert(name.to_owned(), value);
        }
    }
    login
}

/// Where the histories part, in words; `None` where they do not.
fn differing(timeline: Timeline, own: &str, of_leader: &str, name: &str) -> Option<String> {
    let (own, of_leader) = (switches(own), switches(of_leader));
    let parted = (0..own.len().max(of_leader.len())).find(|index| own.get(*index) != of_leader.get(*index))?;
    let told = |switch: Option<&(&str, &str)>| {
        switch.map_or_else(|| "comes from elsewhere".to_owned(), |(from, at)| format!("left timeline {from} at {at}"))
    };
    let (here, there) = (told(own.get(parted)), told(of_leader.get(parted)));
    Some(format!(
        "its timeline {timeline} {here}, that of the leader {there}: it can not follow, nor be rewound; \
         `regentctl reinit` makes {name} anew from the leader"
    ))
}

/// Timelines and where they were left.
fn switches(history: &str) -> Vec<(&str, &str)> {
    let lines = history.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::read_keys;
    use serde_json::json;

    #[test]
    fn histories_that_part_are_told() {
        let check = |own: &str, of_leader: &str, expected: Option<&str>| {
            let found = differing(Timeline(3), own, of_leader, "node2");
            assert_eq!(found.as_deref().and_then(|text| text.split(':').next()), expected);
        };
        let leader = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000000\tno recovery target specified\n";
        check(leader, leader, None);
        check("1\t0/3000000\tother words\n2\t0/5000000\tbefore 2026\n", leader, None);
        let text = "its timeline 3 left timeline 2 at 0/5000060, that of the leader left timeline 2 at 0/5000000";
        check("1\t0/3000000\tx\n2\t0/5000060\tx\n", leader, Some(text));
        let text = "its timeline 3 comes from elsewhere, that of the leader left timeline 2 at 0/5000000";
        check("1\t0/3000000\tx\n", leader, Some(text));
    }

    #[test]
    fn who_streams_is_no_stranger() {
        let snapshot = read_keys(&json!({
            "leader": "a",
            "members/a": {"state": "running", "role": "primary", "timeline": 2},
            "members/b": {"state": "running", "timeline": 2, "replication_state": "streaming"},
            "members/c": {"state": "running", "timeline": 2, "replication_state": "in archive recovery"},
            "members/d": {"state": "running", "timeline": 1},
            "members/e": {"state": "stopped", "timeline": 2},
        }));
        let leader = snapshot.view.leader_member().unwrap();
        let suspects = snapshot.view.members.iter().filter(|one| is_suspect(one, leader, &snapshot));
        assert_eq!(suspects.map(|one| &*one.name).collect::<Vec<_>>(), ["c"]);
    }
}
