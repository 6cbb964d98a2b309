//! The REST API: health for load balancers, status for monitoring, control for operators. It reads what the loop
//! published and hands requests to it; it never talks to PostgreSQL or the store itself.
#![allow(clippy::result_large_err, reason = "the error of a check is the answer to send")]

mod access;
mod cluster;
mod configuration;
mod head;
mod health;
mod metrics;
mod page;
mod python_json;
mod restart;
mod router;
mod schedule;
mod server;
mod status;
mod switch;
mod tls;

pub use server::{ApiError, ApiServer};

use crate::agent::handle::{Handle, Published};
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
    /// The authorities that client certificates may come from.
    pub cafile: Option<PathBuf>,
    /// `none`, `optional` or `required`.
    pub verify_client: String,
    /// Addresses and networks that may change something; empty: all.
    pub allowlist: Vec<String>,
    /// Members' addresses may, too.
    pub allowlist_include_members: bool,
    /// Headers for every full answer.
    pub extra_headers: Vec<(String, String)>,
}

/// What every connection shares.
pub(crate) struct Shared {
    handle: Handle,
    options: Mutex<Arc<Options>>,
    rendered: Mutex<(u64, Arc<[u8]>)>,
}

impl Shared {
    fn new(handle: Handle, options: Options) -> Shared {
        Shared { handle, options: Mutex::new(Arc::new(options)), rendered: Mutex::new((0, Arc::default())) }
    }

    fn options(&self) -> Arc<Options> {
        Arc::clone(&lock(&self.options))
    }

    fn set_options(&self, options: Options) {
        *lock(&self.options) = Arc::new(options);
    }

    /// The status document, rendered once for each published state.
    fn status(&self, published: &Published) -> Arc<[u8]> {
        let mut rendered = lock(&self.rendered);
        if rendered.0 != published.generation {
            *rendered = (published.generation, head::render(published));
        }
        Arc::clone(&rendered.1)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
