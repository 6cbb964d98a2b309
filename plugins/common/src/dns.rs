//! Names to addresses, remembered: a resolver that is down takes no name away that was found before, and nobody waits
//! for it to learn the same again (ETCD-08).

use crate::clock;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(600);

/// How long after a lookup failed an old answer is used without asking again.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How often an answer that is no longer good is looked up again, and the pause between.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(1);

/// What a lookup comes to.
type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who is asked.
type Resolver = Arc<dyn Fn(String) -> Lookup + Send + Sync>;

/// Addresses by name; clones share them.
#[derive(Clone)]
pub struct Dns {
    resolver: Resolver,
    known: Arc<Mutex<HashMap<String, Answer>>>,
}

#[derive(Clone, Debug)]
struct Answer {
    addresses: Vec<IpAddr>,
    found_at: Duration,
    good_until: Duration,
    /// Somebody is asking again.
    asked: bool,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns::with(Arc::new(|host| Box::pin(resolve(host))))
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock(|known| write!(f, "Dns({} names)", known.len()))
    }
}

impl Dns {
    fn with(resolver: Resolver) -> Dns {
        Dns { resolver, known: Arc::default() }
    }

    /// The addresses of a name, or of an address in figures. An old answer is given at once, and looked up again by the
    /// way.
    ///
    /// # Errors
    /// When the name was never found and is not found now.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (old, is_due) = self.lock(|known| match known.get_mut(host) {
            None => (None, false),
            Some(answer) => {
                let is_due = clock::now() >= answer.good_until && !answer.asked;
                answer.asked |= is_due;
                (Some(answer.addresses.clone()), is_due)
            }
        });
        if is_due {
            let (dns, host) = (self.clone(), host.to_owned());
            // It ends by itself, or with the runtime.
            drop(tokio::spawn(async move { dns.ask_again(&host).await }));
        }
        let addresses = match old {
            Some(addresses) => addresses,
            None => self.keep(host, (self.resolver)(host.to_owned()).await?),
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// A connection to the first of a name's addresses that answers.
    ///
    /// # Errors
    /// With the last of them; the name is looked up again then.
    pub async fn connect(&self, host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
        let addresses = self.addresses(host, port).await?;
        let each = patience / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in addresses {
            match tokio::time::timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
            }
        }
        self.doubt(host);
        Err(last)
    }

    /// Nobody answered at a name's addresses: the next use asks again, unless they were found just now.
    pub fn doubt(&self, host: &str) {
        self.lock(|known| {
            if let Some(answer) = known.get_mut(host) {
                answer.good_until = answer.good_until.min(answer.found_at + AFTER_FAILURE);
            }
        });
    }

    async fn ask_again(&self, host: &str) {
        for last in (0..TRIES).rev() {
            if let Ok(addresses) = (self.resolver)(host.to_owned()).await {
                self.keep(host, addresses);
                return;
            }
            if last > 0 {
                rest().await;
            }
        }
        self.lock(|known| {
            if let Some(answer) = known.get_mut(host) {
                answer.asked = false;
                answer.good_until = clock::now() + AFTER_FAILURE;
            }
        });
    }

    fn keep(&self, host: &str, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let now = clock::now();
        let answer = Answer { addresses: addresses.clone(), found_at: now, good_until: now + FRESH, asked: false };
        self.lock(|known| known.insert(host.to_owned(), answer));
        addresses
    }

    fn lock<T>(&self, work: impl FnOnce(&mut HashMap<String, Answer>) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn resolve(host: String) -> io::Result<Vec<IpAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.map(|address| address.ip()).collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(found)
}

#[allow(clippy::disallowed_methods, reason = "a resolver that is down is not asked all the time")]
async fn rest() {
    // pace: the next try to find a name, for which nobody waits
    tokio::time::sleep(BETWEEN).await;
}

/// Lets an HTTP client find names here.
#[cfg(feature = "http")]
impl reqwest::dns::Resolve for Dns {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let dns = self.clone();
        Box::pin(async move {
            let found = dns.addresses(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
