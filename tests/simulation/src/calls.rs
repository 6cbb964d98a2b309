//! Calls to the store on their way: they take time, get lost, and are carried out long after they were given up.
//!
//! What the store is asked to do about the lock hangs on a session, as the backends for etcd and Consul do it: a member
//! that does not have the lock, and can not tell what becomes of an earlier request for it, ends its session. Writes
//! compare the revision that they were meant for.

use crate::daemon::{Daemon, News};
use crate::server::Phase;
use crate::store::{Answer, Input};
use crate::world::{Event, World};
use regent_core::model::{Moment, StoreCall};
use std::time::Duration;

/// A request that was given up arrives within this time, in milliseconds, or as long after the way is free.
const LATEST: u64 = 12_000;

impl World {
    /// Sends a call.
    pub fn send_call(&mut self, node: usize, daemon: &mut Daemon, call: StoreCall) {
        daemon.view.store.in_flight = Some(call.kind());
        self.renew_session(daemon, &call);
        let settings = &daemon.view.settings;
        let mut input = Input {
            token: daemon.token,
            session: daemon.session,
            ttl: settings.ttl,
            budget: settings.retry_timeout,
            ..Input::default()
        };
        match &call {
            StoreCall::Load => daemon.heard = false,
            StoreCall::TouchMember => {
                let document = daemon.member();
                daemon.written = Some(document.clone());
                daemon.view.store.member_differs = false;
                input.member = Some(document);
                if daemon.unsure && daemon.token.is_none() {
                    input.ends = Some(daemon.session);
                    daemon.session = self.next_id();
                    daemon.unsure = false;
                    input.session = daemon.session;
                }
            }
            StoreCall::Acquire | StoreCall::Renew => input.status = daemon.status(),
            _ => {}
        }
        if daemon.unsure && matches!(call, StoreCall::Acquire | StoreCall::Release { .. }) {
            input.ends = Some(daemon.session);
            daemon.next_session = Some(self.next_id());
        }
        let (instance, sent_at) = (daemon.instance, self.clock(node));
        if call == StoreCall::Renew {
            daemon.view.lease = daemon.view.lease.map(|lease| lease.being_renewed(sent_at, input.ttl));
        }
        self.soon(1, 10, Event::Call { node, instance, call, input, sent_at });
    }

    /// A session lives for the ttl that it was made with.
    fn renew_session(&mut self, daemon: &mut Daemon, call: &StoreCall) {
        let needed = matches!(call, StoreCall::Acquire | StoreCall::Renew | StoreCall::TouchMember);
        let ttl = daemon.view.settings.ttl;
        if needed && std::mem::replace(&mut daemon.session_ttl, ttl) != ttl {
            daemon.session = self.next_id();
        }
    }

    /// A call reaches the store, or does not, or does so later.
    pub fn call(&mut self, node: usize, instance: u32, call: StoreCall, input: Input, sent_at: Moment) {
        let budget = input.budget;
        let away = self.store_away || self.nodes[node].cut;
        let lost = self.loss > 0 && self.rng.u8(..100) < self.loss;
        let arrives = !(away || lost && self.rng.bool());
        let writes = call != StoreCall::Load;
        // Requests that may be sent once more are, as long as there is time, and both may arrive.
        let again = arrives && lost && is_repeated(&call) && self.rng.u8(..4) == 0;
        if writes && (again || !arrives && self.rng.bool()) {
            let seen = self.store.revision_of(&self.names[node], &call);
            self.soon(50, LATEST, Event::Late { node, call: call.clone(), input: input.clone(), seen });
        }
        let answer = if arrives { self.apply(node, &call, input) } else { Answer::Lost(writes) };
        let (budget, answer) = if away || lost {
            (budget, Answer::Lost(arrives))
        } else {
            (Duration::from_millis(self.rng.u64(1..10)), answer)
        };
        self.later(budget, Event::Tell { node, instance, news: News::Answered(call, sent_at, answer) });
    }

    /// A call that nobody waits for any more reaches the store.
    pub fn late(&mut self, node: usize, call: StoreCall, input: Input, seen: u64) {
        if self.store_away || self.nodes[node].cut {
            return self.soon(50, LATEST, Event::Late { node, call, input, seen });
        }
        let name = self.names[node].clone();
        let what = format!("{:?}", call.kind());
        let fits = self.store.fits_late(self.now, &name, &call, &input, seen);
        self.statistics.late(&call, fits);
        if fits {
            self.tell("store", || format!("a late call of {name}: {what}"));
            let _nobody_hears = self.apply(node, &call, Input { ends: None, ..input });
        }
    }

    fn apply(&mut self, node: usize, call: &StoreCall, input: Input) -> Answer {
        let name = self.names[node].clone();
        let (answer, news) = self.store.apply(self.now, &name, call, input);
        if matches!(answer, Answer::Held(..)) {
            let expires = self.store.lock.as_ref().map_or(self.now, |lock| lock.expires);
            let leads_site = self.store.dynamic.site && self.nodes[node].server.phase == Phase::Standby;
            self.checks.lock_held(node, expires, leads_site);
            if *call == StoreCall::Acquire {
                self.check_taken(node);
                self.tell("store", || format!("{name} has the lock"));
            }
        }
        if news {
            self.announce(Some(node));
        }
        answer
    }

    /// Everybody whose watch works hears that something changed.
    pub fn announce(&mut self, but: Option<usize>) {
        for node in 0..self.nodes.len() {
            if Some(node) != but && !self.nodes[node].cut && !self.store_away {
                self.inform(node, 2, 30, News::StoreChanged);
            }
        }
    }
}

/// Whether a backend sends such a request once more: not where the second would be refused because of the first.
fn is_repeated(call: &StoreCall) -> bool {
    !matches!(
        call,
        StoreCall::ClaimInitialize
            | StoreCall::ClearFailover { .. }
            | StoreCall::WriteSync { .. }
            | StoreCall::DeleteSync { .. }
    )
}
