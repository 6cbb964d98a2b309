//! The DCS backend for ZooKeeper whose servers Exhibitor knows: section `exhibitor:`. Which servers there are is asked
//! of it; all else is in `regent-zookeeper`.
//!
//! **Rooms.** `config` reads the section; `list` asks one Exhibitor; this file keeps what it said, and asks again.

mod config;
mod list;

use config::Place;
use list::Http;
use regent_dcs_common::clock;
use regent_plugin_sdk::{Result, log};
use regent_zookeeper::{Ensemble, Section, Server, ZooKeeper};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long one Exhibitor may take.
const ANSWER: Duration = Duration::from_millis(3100);

/// While there is no connection it is asked again after that.
const AGAIN: Duration = Duration::from_secs(5);

/// The servers are those that Exhibitor names.
pub struct Exhibitor(Arc<Shared>);

struct Shared {
    place: Place,
    http: Http,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    servers: Vec<Server>,
    /// When it was asked last, and what came of it.
    asked_at: Option<Duration>,
    answered: bool,
    /// Where the next round begins.
    turn: usize,
}

impl Ensemble for Exhibitor {
    const NAME: &'static str = "exhibitor";
    type Place = Place;

    fn read(section: &Section) -> Result<(Place, String)> {
        Ok((Place::read(section)?, String::new()))
    }

    fn new(place: Place) -> Result<Exhibitor> {
        Ok(Exhibitor(Arc::new(Shared { place, http: Http::new()?, known: Mutex::default() })))
    }

    async fn servers(&self, patience: Duration) -> std::result::Result<Vec<Server>, String> {
        if self.0.begins_after(AGAIN) {
            // What was known before may do as well.
            let _late = tokio::time::timeout(patience, self.0.ask()).await.is_err();
        }
        let servers = self.0.known().servers.clone();
        if servers.is_empty() { Err("no Exhibitor tells of servers".to_owned()) } else { Ok(servers) }
    }

    fn is_outdated(&self, server: &Server) -> bool {
        if self.0.begins_after(self.0.place.poll_interval) {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.ask().await });
        }
        let known = self.0.known();
        !known.servers.is_empty() && !known.servers.contains(server)
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last round is that long ago, or failed a while ago; then the next one begins now.
    fn begins_after(&self, age: Duration) -> bool {
        let mut known = self.known();
        let age = if known.answered { age } else { age.min(AGAIN) };
        let due = known.asked_at.is_none_or(|at| clock::now() >= at + age);
        if due {
            known.asked_at = Some(clock::now());
        }
        due
    }

    /// Asks one after the other until one answers: those of the section, then those that run beside the servers.
    async fn ask(&self) {
        let (beside, turn) = {
            let mut known = self.known();
            known.turn = known.turn.wrapping_add(1);
            (known.servers.clone(), known.turn)
        };
        for exhibitor in self.place.candidates(&beside, turn) {
            let answer = tokio::time::timeout(ANSWER, self.http.list(&exhibitor)).await;
            match answer.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(servers) => {
                    let mut known = self.known();
                    if !known.servers.is_empty() && known.servers != servers {
                        log::info("Exhibitor names other servers than before");
                    }
                    (known.servers, known.answered) = (servers, true);
                    return;
                }
                Err(why) => log::debug(&format!("Exhibitor {exhibitor}: {why}")),
            }
        }
        self.known().answered = false;
        log::warn("no Exhibitor tells of ZooKeeper's servers");
    }
}

/// A member's object.
pub type Backend = ZooKeeper<Exhibitor>;

regent_plugin_sdk::export_backend!(Backend, "exhibitor");
