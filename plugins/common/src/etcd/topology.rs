//! Which servers there are, and in which order to ask them: the one that answered last, those never found failing, the
//! rest by how long ago they failed.

use crate::clock;
use crate::endpoint::Endpoint;
use std::collections::HashMap;
use std::time::Duration;

/// If all answers came out of the past for so long, it is the present.
const STALE_MAX: Duration = Duration::from_secs(30);

/// How often SRV records are looked up again while no server answers, and while none is known.
const SRV_PERIOD: Duration = Duration::from_secs(10);
const SRV_PERIOD_FIRST: Duration = Duration::from_secs(1);

/// The servers of the store.
#[derive(Debug, Default)]
pub struct Topology {
    /// As configured, or as found by SRV records.
    configured: Vec<Endpoint>,
    /// What the members themselves say.
    discovered: Vec<Endpoint>,
    good: Option<Endpoint>,
    failed: HashMap<Endpoint, Duration>,
    asked_at: Option<Duration>,
    term: Option<(u64, u64)>,
    /// Since when every answer came out of the past.
    stale_since: Option<Duration>,
    srv_asked_at: Option<Duration>,
}

impl Topology {
    /// Begins with what is configured.
    pub fn new(configured: Vec<Endpoint>) -> Topology {
        Topology { configured, ..Topology::default() }
    }

    /// What is configured changed: SRV records were found. The named servers follow them.
    pub fn configure(&mut self, configured: Vec<Endpoint>) {
        self.configured = configured;
    }

    /// Whether SRV records should be looked up now: no server is known by them, or none answers.
    pub fn srv_is_due(&mut self) -> bool {
        let period = if self.srv_asked_at.is_none() || self.candidates().is_empty() {
            SRV_PERIOD_FIRST
        } else if self.all_failed() {
            SRV_PERIOD
        } else {
            return false;
        };
        let due = self.srv_asked_at.is_none_or(|at| clock::now() >= at + period);
        if due {
            self.srv_asked_at = Some(clock::now());
        }
        due
    }

    /// What members say of each other, in any order. An empty list is no news.
    pub fn discover(&mut self, mut members: Vec<Endpoint>) {
        self.asked_at = Some(clock::now());
        if members.is_empty() {
            return;
        }
        fastrand::shuffle(&mut members);
        self.discovered = members;
        let known = |endpoint: &Endpoint| self.discovered.contains(endpoint) || self.configured.contains(endpoint);
        self.failed.retain(|endpoint, _| known(endpoint));
    }

    /// Whom to ask, in that order.
    pub fn candidates(&self) -> Vec<Endpoint> {
        let mut candidates = Vec::with_capacity(self.configured.len() + self.discovered.len());
        for endpoint in self.good.iter().chain(&self.discovered).chain(&self.configured) {
            if !candidates.contains(endpoint) {
                candidates.push(endpoint.clone());
            }
        }
        candidates.sort_by_key(|endpoint| self.failed.get(endpoint).copied().unwrap_or_default());
        candidates
    }

    /// Whether nobody is left who did not fail.
    fn all_failed(&self) -> bool {
        self.configured.iter().chain(&self.discovered).all(|endpoint| self.failed.contains_key(endpoint))
    }

    /// It answered. Whether the members should be asked about each other: at first, now and then, after a failure.
    pub fn succeeded(&mut self, endpoint: &Endpoint, period: Duration) -> bool {
        let changed = self.good.as_ref() != Some(endpoint);
        if changed {
            self.good = Some(endpoint.clone());
        }
        self.failed.remove(endpoint);
        let due = self.asked_at.is_none_or(|at| clock::now() >= at + period);
        if due || changed {
            // Whatever comes of it: not again at once.
            self.asked_at = Some(clock::now());
        }
        due || changed
    }

    /// It did not answer, or not as it should.
    pub fn failed(&mut self, endpoint: &Endpoint) {
        self.failed.insert(endpoint.clone(), clock::now());
        self.good.take_if(|good| good == endpoint);
    }

    /// Looks at the term in an answer: one that goes backwards comes from a member that lives in the past. Another
    /// cluster begins anew, and so does one of which nobody has known better for a while: it was restored.
    ///
    /// # Errors
    /// The term that was known.
    pub fn check_term(&mut self, cluster: u64, term: u64) -> Result<(), u64> {
        let newest = self.term.filter(|(known, newest)| *known == cluster && term < *newest).map(|term| term.1);
        let since = *self.stale_since.get_or_insert_with(clock::now);
        match newest {
            Some(newest) if clock::now() < since + STALE_MAX => Err(newest),
            _ => {
                self.term = Some((cluster, term));
                self.stale_since = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { tls: false, host: host.to_owned(), port: 1 }
    }

    fn order(topology: &Topology) -> String {
        topology.candidates().iter().map(|endpoint| endpoint.host.as_str()).collect::<Vec<_>>().join("")
    }

    #[test]
    fn the_good_one_is_asked_first_and_the_one_that_failed_last() {
        let period = Duration::from_secs(300);
        let mut topology = Topology::new(vec![endpoint("a"), endpoint("b"), endpoint("c")]);
        assert_eq!(order(&topology), "abc");
        assert!(topology.succeeded(&endpoint("b"), period), "the first answer asks about members");
        assert!(!topology.succeeded(&endpoint("b"), period));
        assert_eq!(order(&topology), "bac");
        topology.failed(&endpoint("b"));
        assert_eq!(order(&topology), "acb");
        assert!(topology.succeeded(&endpoint("c"), period), "success elsewhere after a failure (ETCD-07)");
        assert_eq!(order(&topology), "cab");
        topology.discover(vec![endpoint("d"), endpoint("b")]);
        assert_eq!(order(&topology), "cdab", "configured servers remain as a fallback (ETCD-02)");
        topology.discover(vec![]);
        assert_eq!(order(&topology), "cdab");
    }

    #[test]
    fn a_term_that_goes_backwards_is_noticed_and_another_cluster_is_not_compared() {
        let mut topology = Topology::new(vec![]);
        assert_eq!(topology.check_term(1, 5), Ok(()));
        assert_eq!(topology.check_term(1, 4), Err(5));
        assert_eq!(topology.check_term(1, 6), Ok(()));
        assert_eq!(topology.check_term(2, 1), Ok(()));
        assert_eq!(topology.check_term(2, 1), Ok(()));
        assert_eq!(topology.check_term(2, 0), Err(1));
        topology.stale_since = Some(clock::now().saturating_sub(STALE_MAX));
        assert_eq!(topology.check_term(2, 0), Ok(()), "nobody knew better for long: it was restored");
        assert_eq!(topology.check_term(2, 0), Ok(()));
    }
}
