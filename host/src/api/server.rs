//! The listener and its connections: each has its own task and deadlines, so that silent and slow clients hold up
//! nobody but themselves.

use super::head::{self, HEAD_BYTES_MAX, Head};
use super::in_force::InForce;
use super::places::{Places, Seat};
use super::{Options, Shared, router};
use crate::agent::handle::Handle;
use axum::Router;
use bytes::{Buf, BytesMut};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a client may take to send the head of a request, the first byte included.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may take to accept an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a TLS handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);

/// How long, and for how many bytes, a client may go on sending what nobody reads before it is cut off.
const LINGER_PATIENCE: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: u64 = 16 << 20;

/// Connections at a time. Beyond that, each new one takes the place of whoever was silent for longest.
const CONNECTIONS_MAX: usize = 512;

/// How many connections wait in the kernel's queue, however few are asked for: a queue costs nothing, and a load
/// balancer that finds it full takes a healthy member for a dead one.
const QUEUE_MIN: u32 = 1024;

/// Why the API can not be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is no address.
    #[error("restapi.listen {0:?} is not host:port")]
    Address(String),
    /// The address is not to be had.
    #[error("restapi.listen {address:?} can not be listened on: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The certificate is not usable.
    #[error("{file}: {reason}")]
    Certificate {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

/// The API as it is served. Dropped, it stops listening; what is being carried out is finished.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl ApiServer {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address or the certificate is not usable.
    pub async fn start(options: Options, handle: Handle) -> Result<ApiServer, ApiError> {
        let in_force = InForce::make(options).await?;
        let listener = bind(&in_force.options.listen, in_force.options.request_queue_size).await?;
        let shared = Arc::new(Shared::new(handle, in_force));
        let (address, listening) = listen(listener, &shared);
        Ok(ApiServer { shared, address, listening })
    }

    /// Takes changed options, and reads certificates and host names again. The listener moves only if the address
    /// changed; connections that are there are finished as they began.
    ///
    /// # Errors
    /// When the new address or certificate is not usable: then everything stays as it was.
    pub async fn reconfigure(&mut self, options: Options) -> Result<(), ApiError> {
        let in_force = InForce::make(options).await?;
        let old = self.shared.in_force().options.listen.clone();
        if old != in_force.options.listen {
            self.move_to(&in_force.options, &old).await?;
        }
        self.shared.enforce(in_force);
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn move_to(&mut self, options: &Options, old: &str) -> Result<(), ApiError> {
        let (new, queue) = (options.listen.as_str(), options.request_queue_size);
        let bound = match bind(new, queue).await {
            // The port may be ours, on an address that overlaps.
            Err(ApiError::Listen { source, .. }) if self.may_be_in_the_way(new, &source) => {
                self.listening.abort();
                // The port is free once the task is gone; it ends as aborted, which is no news.
                let _aborted = (&mut self.listening).await.is_err();
                bind(new, queue).await
            }
            bound => bound,
        };
        let (listener, refusal) = match bound {
            Ok(listener) => (listener, Ok(())),
            Err(error) if self.listening.is_finished() => (bind(old, queue).await?, Err(error)),
            Err(error) => return Err(error),
        };
        let (address, listening) = listen(listener, &self.shared);
        std::mem::replace(&mut self.listening, listening).abort();
        self.address = address;
        refusal
    }

    /// Only our own listener on the same port is worth giving up for a new one.
    fn may_be_in_the_way(&self, new: &str, refusal: &io::Error) -> bool {
        let port = new.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        refusal.kind() == io::ErrorKind::AddrInUse && port == Some(self.address.port())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn listen(listener: TcpListener, shared: &Arc<Shared>) -> (SocketAddr, JoinHandle<()>) {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = listener.local_addr().unwrap_or(unknown);
    (address, tokio::spawn(accept(listener, Arc::clone(shared))))
}

async fn bind(listen: &str, queue: u32) -> Result<TcpListener, ApiError> {
    let (host, port) = listen.rsplit_once(':').ok_or_else(|| ApiError::Address(listen.to_owned()))?;
    let port: u16 = port.parse().map_err(|_| ApiError::Address(listen.to_owned()))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let bound = match host {
        "" | "*" => match bind_to("::", port, queue).await {
            Ok(listener) => Ok(listener),
            Err(_) => bind_to("0.0.0.0", port, queue).await,
        },
        host => bind_to(host, port, queue).await,
    };
    bound.map_err(|source| ApiError::Listen { address: listen.to_owned(), source })
}

/// Listens on the first of the host's addresses that is to be had.
async fn bind_to(host: &str, port: u16, queue: u32) -> io::Result<TcpListener> {
    let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((host, port)).await? {
        match bind_at(address, queue) {
            Ok(listener) => return Ok(listener),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn bind_at(address: SocketAddr, queue: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(queue.max(QUEUE_MIN))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let router = router::build(Arc::clone(&shared));
    let places = Places::new(CONNECTIONS_MAX);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("the REST API could not accept a connection: {error}");
                pause().await;
                continue;
            }
        };
        let Some((seat, gone)) = places.take().await else {
            return;
        };
        let (shared, router) = (Arc::clone(&shared), router.clone());
        tokio::spawn(async move {
            let seat = Arc::new(seat);
            let served = tokio::select! {
                served = connection(stream, peer, &shared, router, &seat) => served,
                () = sent_away(gone) => Err(io::Error::other("others need the place")),
            };
            if let Err(error) = served {
                tracing::debug!("API connection from {peer}: {error}");
            }
        });
    }
}

/// Ends when the place is needed; never, once it may be kept.
async fn sent_away(gone: oneshot::Receiver<()>) {
    if gone.await.is_err() {
        std::future::pending().await
    }
}

/// Out of file descriptors or memory, most likely: others have to finish first.
#[allow(clippy::disallowed_methods, reason = "paces a failing accept")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await; // pace: a failing accept fails again at once
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    router: Router,
    seat: &Arc<Seat>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let acceptor = shared.in_force().acceptor.clone();
    match acceptor {
        None => {
            let peer = router::Peer { address: peer, certified: false, encrypted: false };
            serve(stream, peer, shared, router, seat).await
        }
        Some(acceptor) => {
            let handshake = tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream));
            let stream = match handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => stream,
                Err(error) => {
                    // A client with the wrong certificate, or a check that knows no TLS: somebody has to look at it.
                    tracing::warn!("the REST API and {peer} do not agree on TLS: {error}");
                    return Ok(());
                }
            };
            let certified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
            serve(stream, router::Peer { address: peer, certified, encrypted: true }, shared, router, seat).await
        }
    }
}

/// Answers health checks itself, for as long as the client asks for nothing else; the rest goes to the router.
async fn serve<S>(
    mut stream: S,
    peer: router::Peer,
    shared: &Arc<Shared>,
    router: Router,
    seat: &Arc<Seat>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        match head::read(&buffer, shared) {
            Head::Answer(answer, keep, used) => {
                let written = tokio::time::timeout(WRITE_PATIENCE, stream.write_all(&answer));
                written.await.map_err(|_| io::ErrorKind::TimedOut)??;
                buffer.advance(used);
                seat.answered();
                if !keep {
                    return stream.shutdown().await;
                }
            }
            Head::Partial if buffer.len() < HEAD_BYTES_MAX => {
                let read = tokio::time::timeout(HEAD_PATIENCE, stream.read_buf(&mut buffer));
                if read.await.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                    return Ok(());
                }
            }
            Head::Partial | Head::Malformed | Head::Other => {
                let router = router.layer(axum::Extension(Arc::clone(seat)));
                return route(Rejoined { first: buffer, stream }, peer, router).await;
            }
        }
    }
}

async fn route<S>(stream: Rejoined<S>, peer: router::Peer, router: Router) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = router.layer(axum::Extension(peer));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        // As the peer spells them: some scripts look for a header letter by letter.
        .title_case_headers(true)
        .keep_alive(true)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .without_shutdown()
        .await;
    linger(served.map_err(io::Error::other)?.io.into_inner()).await
}

/// Closes so that the client gets its answer even if it is still sending: closing with bytes unread would reset the
/// connection, and the answer with it.
async fn linger<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let drain = async {
        stream.shutdown().await?;
        let mut unread = (&mut stream).take(LINGER_BYTES_MAX);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    match tokio::time::timeout(LINGER_PATIENCE, drain).await {
        Ok(drained) => drained.map(|_| ()),
        Err(_) => Ok(()),
    }
}

/// A stream whose first bytes were read already.
struct Rejoined<S> {
    first: BytesMut,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rejoined<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rejoined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
