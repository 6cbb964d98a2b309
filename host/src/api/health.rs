//! The health verdict: one place that says whether a member is fit for what a path asks (rest-api §4).

use super::status::synchronous;
use crate::agent::handle::Published;
use regent_core::model::{Moment, PgState, Role, Scalar};

/// A path and its query, taken apart. The first value of a name wins; blank values are dropped.
#[derive(Debug, Default)]
pub(super) struct Question<'a> {
    pub path: &'a str,
    pub query: Vec<(String, String)>,
}

impl<'a> Question<'a> {
    /// Takes a request target apart.
    pub fn new(target: &'a str) -> Question<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query =
            pairs.map(|(name, value)| (decode(name), decode(value))).filter(|(_, value)| !value.is_empty()).collect();
        Question { path, query }
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Form decoding: `+` is a space, `%XX` a byte.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: Vec<u8> = rest.clone().take(2).collect();
                let value = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match value.filter(|_| hex.len() == 2) {
                    Some(value) => {
                        bytes.push(value);
                        rest.nth(1);
                    }
                    None => bytes.push(byte),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status code of a health check.
pub(super) fn verdict(published: &Published, now: Moment, question: &Question<'_>) -> u16 {
    let facts = Facts { published, now, question };
    let (fit, with_tags) = facts.path();
    if fit && (!with_tags || facts.tags_match()) { 200 } else { 503 }
}

struct Facts<'a> {
    published: &'a Published,
    now: Moment,
    question: &'a Question<'a>,
}

impl Facts<'_> {
    /// Whether the member is fit for the path, and whether tags in the query count.
    fn path(&self) -> (bool, bool) {
        let path = self.question.path;
        let has = |part: &str| path.contains(part);
        if path == "/" {
            return (self.primary(), false);
        }
        if has("standby_leader") || has("standby-leader") {
            return (self.standby_leader(), false);
        }
        if has("leader") {
            return (self.leader(), false);
        }
        if has("master") || has("primary") || has("read-write") {
            return (self.primary(), false);
        }
        if has("replica") {
            return (self.replica(), true);
        }
        if has("read-only") && !has("sync") && !has("quorum") {
            return (self.leading() || self.replica(), true);
        }
        if has("health") {
            return (self.published.state == PgState::Running, true);
        }
        (self.published.cluster.is_some() && self.by_synchrony(path), true)
    }

    fn by_synchrony(&self, path: &str) -> bool {
        let synchrony = synchronous(self.published);
        let sync = synchrony == Some("sync_standby");
        let quorum = synchrony == Some("quorum_standby");
        match path {
            "/sync" | "/synchronous" => sync && self.replica(),
            "/quorum" => quorum && self.replica(),
            "/async" | "/asynchronous" => !sync && !quorum && self.replica(),
            "/read-only-sync" | "/read-only-synchronous" => self.leading() || (sync && self.replica()),
            "/read-only-quorum" => self.leading() || (quorum && self.replica()),
            _ => false,
        }
    }

    /// In maintenance without a reading of the store, the role is all there is to go by.
    fn by_role(&self) -> bool {
        self.published.cluster.is_none() && self.published.settings.paused
    }

    fn holds(&self) -> bool {
        self.published.holds_lease(self.now)
    }

    fn is_standby_cluster(&self) -> bool {
        self.published.settings.standby_cluster.is_some()
    }

    fn leader(&self) -> bool {
        match self.by_role() {
            true => matches!(self.published.role, Role::Primary | Role::StandbyLeader),
            false => self.holds(),
        }
    }

    fn primary(&self) -> bool {
        match self.by_role() {
            true => self.published.role == Role::Primary,
            false => self.holds() && !self.is_standby_cluster(),
        }
    }

    fn standby_leader(&self) -> bool {
        match self.by_role() {
            true => self.published.role == Role::StandbyLeader,
            false => {
                self.holds()
                    && self.is_standby_cluster()
                    && matches!(self.published.role, Role::Replica | Role::StandbyLeader)
            }
        }
    }

    fn leading(&self) -> bool {
        self.primary() || self.standby_leader()
    }

    fn replica(&self) -> bool {
        let published = self.published;
        let standby_leads = self.is_standby_cluster() && self.holds();
        published.role == Role::Replica
            && published.state == PgState::Running
            && !standby_leads
            && !published.tags.noloadbalance()
            && !self.lags()
            && self.replication_state_matches()
    }

    fn lags(&self) -> bool {
        let Some(allowed) = self.question.get("lag").and_then(bytes) else {
            return false;
        };
        let ahead = leader_position(self.published);
        let replayed = self.published.monitoring.as_ref().and_then(|monitoring| monitoring.replayed_lsn);
        ahead > 0 && ahead > replayed.unwrap_or_default().0.saturating_add(allowed)
    }

    fn replication_state_matches(&self) -> bool {
        let Some(wanted) = self.question.get("replication_state") else {
            return true;
        };
        let monitoring = self.published.monitoring.as_ref();
        monitoring.and_then(|monitoring| monitoring.replication_state.as_deref()) == Some(wanted)
    }

    fn tags_match(&self) -> bool {
        let wanted = self.question.query.iter().filter_map(|(name, _)| Some((name, name.strip_prefix("tag_")?)));
        wanted.into_iter().all(|(name, key)| {
            let tag = self.published.tags.raw.iter().find(|(tag, _)| tag == key);
            tag.is_some_and(|(_, tag)| Some(as_text(tag).as_str()) == self.question.get(name))
        })
    }
}

/// The newest position of the leader that this member knows of; 0 where it knows none.
pub(super) fn leader_position(published: &Published) -> u64 {
    let said = published.cluster.as_ref().and_then(|cluster| cluster.view.status.optime).unwrap_or_default();
    let heard = published.monitoring.as_ref().and_then(|monitoring| monitoring.latest_end_lsn).unwrap_or_default();
    said.max(heard).0
}

fn as_text(tag: &Scalar) -> String {
    match tag {
        Scalar::Null => "none".to_owned(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Integer(number) => number.to_string(),
        // With the digit after the point that the peer prints, too.
        Scalar::Real(number) => format!("{number:?}"),
        Scalar::Text(text) => text.clone(),
    }
}

/// Bytes with an optional unit: `1048576`, `16kB`, `64MB`, `1GB`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `/liveness`: the loop comes round in time.
pub(super) fn liveness(published: &Published, now: Moment) -> u16 {
    let settings = &published.settings;
    let factor = if published.role == Role::Primary && published.state == PgState::Running { 1 } else { 2 };
    let late = published.heartbeat_at + settings.loop_wait + settings.ttl * factor;
    if settings.paused || now < late { 200 } else { 503 }
}

/// `/readiness`: the leader, or a standby that streams and is near enough.
pub(super) fn readiness(published: &Published, now: Moment, question: &Question<'_>) -> u16 {
    let facts = Facts { published, now, question };
    if facts.leader() {
        return 200;
    }
    let Some(monitoring) = published.monitoring.as_ref().filter(|_| published.state == PgState::Running) else {
        return 503;
    };
    if monitoring.replication_state.as_deref() != Some("streaming") {
        return 503;
    }
    if published.cluster.is_none() && monitoring.latest_end_lsn.is_none() {
        return if published.failsafe_active { 200 } else { 503 };
    }
    let reached = match question.get("mode") {
        Some("write") => monitoring.received_lsn.max(monitoring.replayed_lsn),
        _ => monitoring.replayed_lsn,
    };
    let allowed = question.get("lag").and_then(bytes).unwrap_or(published.settings.maximum_lag_on_failover);
    let lag = leader_position(published).saturating_sub(reached.unwrap_or_default().0);
    if lag > allowed { 503 } else { 200 }
}
