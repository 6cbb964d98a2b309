//! Asks by way of the host, which does TLS and holds the connections: `wasi:http`.

use crate::aws::Signer;
use crate::body::{Answer, Fetch, Question};
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, IncomingBody, IncomingResponse, Method, OutgoingRequest, Scheme};
use wasip2::io::streams::{InputStream, StreamError};

/// How often a server may send us on.
const REDIRECTS_MAX: u32 = 5;

/// How much is read at once.
const READ_BYTES: u64 = 256 * 1024;

/// The way to HTTP servers.
pub struct Web {
    authorization: Option<String>,
    signer: Option<Signer>,
}

impl Web {
    /// With this header, or with signatures, for the first server.
    pub fn new(authorization: Option<String>, signer: Option<Signer>) -> Web {
        Web { authorization, signer }
    }

    fn once(&self, place: &Place<'_>, question: &Question<'_>, first: &Place<'_>) -> io::Result<IncomingResponse> {
        let mut headers = vec![("user-agent".to_owned(), b"regent-http-restore".to_vec())];
        let range = (question.from > 0).then(|| format!("bytes={}-", question.from));
        if let Some(range) = &range {
            headers.push(("range".to_owned(), range.clone().into_bytes()));
            if let Some(version) = question.version {
                headers.push(("if-range".to_owned(), version.as_bytes().to_vec()));
            }
        }
        let trusted = (place.secure, place.authority) == (first.secure, first.authority);
        if let Some(signer) = self.signer.as_ref().filter(|_| trusted) {
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let signed = signer.headers(place.host(), place.path, range.as_deref(), seconds);
            headers.extend(signed.into_iter().map(|(name, value)| (name, value.into_bytes())));
        } else if let Some(authorization) = self.authorization.as_ref().filter(|_| trusted) {
            headers.push(("authorization".to_owned(), authorization.as_bytes().to_vec()));
        }
        let request = OutgoingRequest::new(Fields::from_list(&headers).map_err(|error| odd(&error))?);
        let scheme = if place.secure { Scheme::Https } else { Scheme::Http };
        let set = request
            .set_method(&Method::Get)
            .and_then(|()| request.set_scheme(Some(&scheme)))
            .and_then(|()| request.set_authority(Some(place.authority)))
            .and_then(|()| request.set_path_with_query(Some(place.path)));
        set.map_err(|()| odd(&question.url))?;
        let pending = handle(request, None).map_err(|error| odd(&error))?;
        pending.subscribe().block();
        match pending.get() {
            Some(Ok(Ok(response))) => Ok(response),
            Some(Ok(Err(error))) => Err(io::Error::other(format!("{error:?}"))),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Fetch for Web {
    fn ask(&mut self, question: &Question<'_>) -> io::Result<Answer> {
        let first = Place::of(question.url)?;
        let mut url = question.url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let place = Place::of(&url)?;
            let response = self.once(&place, question, &first)?;
            let header = |name: &str| {
                let value = response.headers().get(name).into_iter().next()?;
                String::from_utf8(value).ok()
            };
            let status = response.status();
            if let (301 | 302 | 303 | 307 | 308, Some(to)) = (status, header("location")) {
                url = place.on_to(&to);
                continue;
            }
            let length = header("content-length").and_then(|text| text.parse().ok());
            let range = header("content-range").and_then(|text| range(&text));
            let (from, bytes_total) = match range {
                Some((from, total)) if status == 206 => (from, total),
                _ => (0, length),
            };
            let version = header("etag").filter(|tag| !tag.starts_with("W/"));
            return Ok(Answer { status, bytes_total, from, version, body: Box::new(Stream::of(response)?) });
        }
        Err(odd(&"it sends us on and on"))
    }
}

/// A URL in its parts.
struct Place<'a> {
    secure: bool,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> io::Result<Place<'a>> {
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(odd(&format!("{url} is no http:// or https:// URL"))),
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        Ok(Place { secure, authority, path: if path.is_empty() { "/" } else { path } })
    }

    /// As it stands in the header: the usual port is left out.
    fn host(&self) -> &'a str {
        self.authority.strip_suffix(if self.secure { ":443" } else { ":80" }).unwrap_or(self.authority)
    }

    fn on_to(&self, to: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        match to {
            to if to.contains("://") => to.to_owned(),
            to if to.starts_with("//") => format!("{scheme}:{to}"),
            to if to.starts_with('/') => format!("{scheme}://{}{to}", self.authority),
            to => {
                let folder = &self.path[..self.path.rfind('/').unwrap_or(0)];
                format!("{scheme}://{}{folder}/{to}", self.authority)
            }
        }
    }
}

/// `bytes FROM-TO/TOTAL`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    Some((span.split('-').next()?.parse().ok()?, total.parse().ok()))
}

/// A body; the parts are let go in this order.
struct Stream {
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl Stream {
    fn of(response: IncomingResponse) -> io::Result<Stream> {
        let body = response.consume().map_err(|()| odd(&"it has no body"))?;
        let stream = body.stream().map_err(|()| odd(&"it has no body"))?;
        Ok(Stream { stream, _body: body, _response: response })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = READ_BYTES.min(buffer.len() as u64);
        loop {
            match self.stream.blocking_read(wanted) {
                // Nothing yet.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(&bytes);
                    return Ok(bytes.len());
                }
                Err(StreamError::Closed) => return Ok(0),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, error.to_debug_string()));
                }
            }
        }
    }
}

fn odd(what: &dyn std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{what:?}"))
}
