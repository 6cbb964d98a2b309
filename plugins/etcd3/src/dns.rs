//! Names to addresses, remembered: a resolver that is down takes no name away that was found before (ETCD-08).

use regent_dcs_common::clock;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(600);

/// How long after a lookup failed an old answer is used without asking again.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How long a lookup may take where there is an old answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Addresses by name.
#[derive(Debug, Default)]
pub(crate) struct Dns {
    known: Mutex<HashMap<String, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    addresses: Vec<IpAddr>,
    good_until: Duration,
}

impl Dns {
    /// The addresses of a name, or of an address in figures.
    ///
    /// # Errors
    /// When the name was never found and is not found now.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let old = self.lock(|known| known.get(host).cloned());
        let addresses = match old {
            Some(old) if clock::now() < old.good_until => old.addresses,
            Some(old) => match tokio::time::timeout(PATIENCE, resolve(host, port)).await {
                Ok(Ok(found)) => self.keep(host, found, FRESH),
                _ => self.keep(host, old.addresses, AFTER_FAILURE),
            },
            None => self.keep(host, resolve(host, port).await?, FRESH),
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Nobody answered at a name's addresses: the next use asks again.
    pub fn doubt(&self, host: &str) {
        self.lock(|known| {
            if let Some(answer) = known.get_mut(host) {
                answer.good_until = answer.good_until.min(clock::now() + AFTER_FAILURE);
            }
        });
    }

    fn keep(&self, host: &str, addresses: Vec<IpAddr>, time: Duration) -> Vec<IpAddr> {
        let answer = Answer { addresses: addresses.clone(), good_until: clock::now() + time };
        self.lock(|known| known.insert(host.to_owned(), answer));
        addresses
    }

    fn lock<T>(&self, work: impl FnOnce(&mut HashMap<String, Answer>) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.map(|address| address.ip()).collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(found)
}
