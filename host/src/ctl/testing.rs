//! A member's API as the commands' tests see it: it keeps what it was asked, and answers what it is told to.

use super::context::{Context, Surroundings};
use crate::config::{LocalConfig, Source};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is said to a request line such as `POST /restart`: the status and the body.
type Says = fn(&str) -> (u16, &'static str);

/// The API.
pub(super) struct Api {
    /// Where it is, as a member publishes it.
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    /// Serves on a free port, encrypted where an acceptor is given.
    pub async fn serve(tls: Option<TlsAcceptor>, says: Says) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/patroni", listener.local_addr().expect("it has an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => answer(stream, &kept, says).await,
                    Some(tls) => {
                        // A client that does not believe us goes away.
                        if let Ok(stream) = tls.accept(stream).await {
                            answer(stream, &kept, says).await;
                        }
                    }
                }
            }
        });
        Api { url, asked }
    }

    /// Requests in their order, heads and bodies.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, kept: &Mutex<Vec<String>>, says: Says) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { if count == 0 { return } else { continue } };
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if count > 0 && body.len() < length.unwrap_or(0) {
            continue;
        }
        let line: Vec<&str> = head.split(' ').take(2).collect();
        let (status, body) = says(&line.join(" "));
        kept.lock().expect("nobody panics with it").push(text.clone());
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        // Whoever has gone has heard enough.
        let _gone = stream.write_all(text.as_bytes()).await.is_err() || stream.shutdown().await.is_err();
        return;
    }
}

/// The context of a cluster `batman` by this configuration.
pub(super) fn context(yaml: &str, insecure: bool) -> Context {
    let text = format!("scope: batman\n{yaml}");
    let source = Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text)]));
    let local = LocalConfig::load(&source).expect("it is good");
    let surroundings = Surroundings::from_local(&local, insecure).expect("a client");
    surroundings.cluster(None, None).expect("it has a name")
}
