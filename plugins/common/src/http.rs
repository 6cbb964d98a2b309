//! Sends one HTTP request and reads the answer; tells a request that never left from one that may have.

use crate::Dns;
use reqwest::{Client, Method};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// A large cluster's keys, and more.
const ANSWER_MAX: usize = 64 << 20;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// To what, with the query; encoded.
    pub url: String,
    /// Beside those that go without saying.
    pub headers: Vec<(&'static str, String)>,
    /// Its type and itself.
    pub body: Option<(&'static str, Vec<u8>)>,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub struct Reply {
    /// 100 to 599.
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    /// All of it.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer as a server would give it, for tests.
    #[doc(hidden)]
    pub fn of(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Reply {
        let header = |(name, value): &(&'static str, &'static str)| {
            (
                reqwest::header::HeaderName::from_bytes(name.as_bytes()).ok(),
                reqwest::header::HeaderValue::from_static(value),
            )
        };
        let headers = headers.iter().map(header).filter_map(|(name, value)| Some((name?, value))).collect();
        Reply { status, headers, body: body.as_bytes().to_vec() }
    }

    /// A header that can be read as that.
    pub fn header<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// The request never left.
    Unsent(String),
    /// It may have reached the server.
    Unsure(String),
}

/// A client.
#[derive(Clone)]
pub struct Http {
    client: Client,
}

impl Http {
    /// Nothing is connected yet. A connection is made within `patience`, to where `dns` says that a server is.
    ///
    /// # Errors
    /// One phrase, where the certificates can not be used.
    pub fn new(tls: rustls::ClientConfig, patience: Duration, dns: Option<Dns>) -> Result<Http, String> {
        let mut builder = Client::builder()
            .no_proxy()
            .user_agent(concat!("Regent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .use_preconfigured_tls(tls)
            .connect_timeout(patience)
            .tcp_nodelay(true)
            .tcp_keepalive(patience.max(Duration::from_secs(1)));
        if let Some(dns) = dns {
            builder = builder.dns_resolver(Arc::new(dns));
        }
        Ok(Http { client: builder.build().map_err(|error| chain(&error))? })
    }

    /// One try.
    ///
    /// # Errors
    /// Where there is no whole answer.
    pub async fn send(&self, request: Request) -> Result<Reply, Fault> {
        self.begin(request).await?.whole().await
    }

    /// The same up to the answer's head, for answers that take their time.
    ///
    /// # Errors
    /// Where nothing answers.
    pub async fn begin(&self, request: Request) -> Result<Begun, Fault> {
        let mut builder = self.client.request(request.method, request.url);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some((kind, body)) = request.body {
            builder = builder.header("Content-Type", kind).body(body);
        }
        let answer = builder.send().await.map_err(|error| {
            // A request that can not be built is never sent either.
            let unsent = error.is_connect() || error.is_builder();
            let why = chain(&error.without_url());
            if unsent { Fault::Unsent(why) } else { Fault::Unsure(why) }
        });
        Ok(Begun { answer: answer? })
    }
}

/// An answer of which the head is there.
pub struct Begun {
    answer: reqwest::Response,
}

impl Begun {
    /// Waits for the rest.
    ///
    /// # Errors
    /// Where it does not come, or does not end.
    pub async fn whole(self) -> Result<Reply, Fault> {
        let mut answer = self.answer;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| Fault::Unsure(chain(&error.without_url())))? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_MAX {
                return Err(Fault::Unsure("the answer has no end".to_owned()));
            }
        }
        Ok(Reply { status, headers, body })
    }
}

/// One pair of a query or a form; the name alone where there is no value.
pub fn pair(name: &str, value: &str) -> String {
    if value.is_empty() { name.to_owned() } else { format!("{name}={}", encoded(value.as_bytes())) }
}

/// Bytes as part of a URL's path or query; slashes stay.
pub fn encoded(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// An error with all that it was caused by.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encoded("service/de mo?/ü".as_bytes()), "service/de%20mo%3F/%C3%BC");
        assert_eq!((pair("recurse", ""), pair("dc", "a b")), ("recurse".to_owned(), "dc=a%20b".to_owned()));
    }
}
