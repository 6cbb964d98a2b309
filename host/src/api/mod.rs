//! The REST API: health for load balancers, status for monitoring, control for operators. It reads what the loop
//! published and hands requests to it; it never talks to PostgreSQL or the store itself.
#![allow(clippy::result_large_err, reason = "the error of a check is the answer to send")]

mod access;
mod ciphers;
mod cluster;
mod configuration;
mod dashboard;
mod failsafe;
mod head;
mod health;
mod in_force;
mod metrics;
mod page;
mod places;
mod python_json;
mod restart;
mod router;
mod routes;
mod schedule;
mod server;
mod status;
mod switch;
#[cfg(test)]
mod tests;
mod tls;

pub use server::{ApiError, ApiServer};

use crate::agent::handle::{Handle, Published};
use in_force::InForce;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the API is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// `host:port`; `*` or nothing as host: everywhere.
    pub listen: String,
    /// User name and password for what changes something.
    pub authentication: Option<(String, regent_core::model::Secret)>,
    /// The certificate; with it, TLS is spoken.
    pub certfile: Option<PathBuf>,
    /// Its key; the certificate's file where it is not given.
    pub keyfile: Option<PathBuf>,
    /// The key's password.
    pub keyfile_password: Option<regent_core::model::Secret>,
    /// The cipher suites of TLS 1.2, as OpenSSL lists them; all that are good where nothing is said.
    pub ciphers: Option<String>,
    /// How many connections the kernel keeps for us until we take them, at least.
    pub request_queue_size: u32,
    /// The authorities that client certificates may come from.
    pub cafile: Option<PathBuf>,
    /// `none`, `optional` or `required`.
    pub verify_client: String,
    /// Addresses, networks and host names that may change something; empty: all.
    pub allowlist: Vec<String>,
    /// Members' addresses may, too.
    pub allowlist_include_members: bool,
    /// Headers for every full answer.
    pub extra_headers: Vec<(String, String)>,
    /// What the `Server` header says: `original`, `minimal` or `productonly`; empty is `original`.
    pub server_tokens: String,
}

/// What every connection shares.
pub(crate) struct Shared {
    handle: Handle,
    in_force: Mutex<Arc<InForce>>,
    rendered: Mutex<Rendered>,
    gathered: dashboard::Gathered,
}

/// The parts of an answer that stay the same for a while.
#[derive(Default)]
struct Rendered {
    generation: Option<u64>,
    status: Arc<[u8]>,
    second: i64,
    date: Arc<str>,
}

impl Shared {
    fn new(handle: Handle, in_force: InForce) -> Shared {
        Shared {
            handle,
            in_force: Mutex::new(Arc::new(in_force)),
            rendered: Mutex::default(),
            gathered: Default::default(),
        }
    }

    fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&lock(&self.in_force))
    }

    fn enforce(&self, in_force: InForce) {
        *lock(&self.in_force) = Arc::new(in_force);
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.handle.published.borrow())
    }

    /// The status document, rendered once for each published state.
    fn status(&self, published: &Published) -> Arc<[u8]> {
        let mut rendered = lock(&self.rendered);
        if rendered.generation != Some(published.generation) {
            rendered.status = head::render(published);
            rendered.generation = Some(published.generation);
        }
        Arc::clone(&rendered.status)
    }

    /// The `Date` header's value, rendered once a second.
    fn date(&self) -> Arc<str> {
        let second = crate::ports::wall_now().0.div_euclid(1_000_000);
        let mut rendered = lock(&self.rendered);
        if rendered.second != second {
            let at = jiff::Timestamp::from_second(second).unwrap_or_default();
            rendered.date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().into();
            rendered.second = second;
        }
        Arc::clone(&rendered.date)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
