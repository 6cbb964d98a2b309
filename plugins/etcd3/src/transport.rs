//! Reaches one server: TCP with the options that notice a dead peer, TLS, HTTP/2, and a token where one is asked for.

use crate::fault::{self, Fault};
use etcd_client::{Channel, Client, ConnectOptions, KvClient, WatchClient};
use hyper_util::rt::TokioIo;
use regent_dcs_common::Dns;
use regent_dcs_common::endpoint::{Credentials, Endpoint};
use regent_dcs_common::etcd::Config;
use rustix::net::sockopt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::transport::{ClientTlsConfig, Endpoint as TonicEndpoint, Identity};

/// Unanswered probes after which a connection is dead.
const PROBES: u32 = 3;

/// The kernel counts in seconds.
const PROBE_MIN: Duration = Duration::from_secs(1);

/// Servers count pings that come more often than every five seconds, and hang up.
const PING_MIN: Duration = Duration::from_secs(6);

/// Pings that are further apart would find a frozen server too late to be of use.
const PING_MAX: Duration = Duration::from_secs(15);

/// All keys of a large cluster come in one message.
const MESSAGE_MAX: usize = 64 << 20;

/// How connections are made.
pub(crate) struct Transport {
    /// The section.
    pub config: Config,
    /// Names of servers.
    pub dns: Dns,
    timing: Timing,
}

/// The daemon's rhythm, from which the patience of sockets follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long the lock lives.
    pub ttl: Duration,
    /// Time between heartbeats.
    pub loop_wait: Duration,
    /// How long a call may be retried.
    pub retry_timeout: Duration,
}

/// A connection to one server. It mends itself, but is thrown away after the first failure: then others are asked.
pub(crate) struct Connection {
    /// Which.
    pub endpoint: Endpoint,
    client: Client,
    credentials: Option<Credentials>,
}

impl Transport {
    /// Nothing is reached yet.
    pub fn new(config: Config, timing: Timing) -> Transport {
        Transport { config, dns: Dns::default(), timing }
    }

    /// Connects within `patience` and gets a token where there are credentials.
    pub async fn connect(self: &Arc<Self>, endpoint: &Endpoint, patience: Duration) -> Result<Connection, Fault> {
        let channel = self.channel(endpoint, patience).await?;
        let options = ConnectOptions::new().with_require_leader(true);
        let client = Client::from_channel(Channel::Tonic(channel), Some(options)).await?;
        let credentials = self.config.credentials.clone();
        let connection = Connection { endpoint: endpoint.clone(), client, credentials };
        connection.authenticate().await?;
        Ok(connection)
    }

    async fn channel(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        patience: Duration,
    ) -> Result<tonic::transport::Channel, Fault> {
        let unsent = |error: tonic::transport::Error| Fault::Unsent(fault::chain(&error));
        let mut builder = TonicEndpoint::from_shared(endpoint.to_string())
            .map_err(unsent)?
            .user_agent(concat!("Regent/", env!("CARGO_PKG_VERSION")))
            .map_err(unsent)?
            .http2_keep_alive_interval(self.timing.loop_wait.clamp(PING_MIN, PING_MAX))
            .keep_alive_timeout(self.timing.retry_timeout.min(PING_MIN))
            // Without a request or a stream, servers take pings for abuse.
            .keep_alive_while_idle(false);
        if endpoint.tls {
            let verifier = self.config.tls.verifier().map_err(Fault::Unsent)?;
            let identity = self.config.tls.identity().map(|(certificate, key)| Identity::from_pem(certificate, key));
            let config = identity.map_or_else(ClientTlsConfig::new, |it| ClientTlsConfig::new().identity(it));
            builder = builder.tls_config_with_verifier(config, verifier).map_err(unsent)?;
        }
        let (transport, endpoint) = (Arc::clone(self), endpoint.clone());
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let (transport, endpoint) = (Arc::clone(&transport), endpoint.clone());
            async move { transport.tcp(&endpoint, patience).await.map(TokioIo::new) }
        });
        builder.connect_with_connector(connector).await.map_err(unsent)
    }

    /// A TCP connection to the first of the server's addresses that answers.
    async fn tcp(&self, endpoint: &Endpoint, patience: Duration) -> io::Result<TcpStream> {
        let stream = self.dns.connect(&endpoint.host, endpoint.port, patience).await?;
        self.set_options(&stream)?;
        Ok(stream)
    }

    fn set_options(&self, stream: &TcpStream) -> io::Result<()> {
        let (ttl, idle) = (self.timing.ttl, self.timing.loop_wait + self.timing.retry_timeout);
        let between = ttl.saturating_sub(idle) / PROBES;
        let user_timeout = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, idle.max(PROBE_MIN))?;
        sockopt::set_tcp_keepintvl(stream, between.max(PROBE_MIN))?;
        sockopt::set_tcp_keepcnt(stream, PROBES)?;
        sockopt::set_tcp_user_timeout(stream, user_timeout)?;
        Ok(())
    }
}

impl Connection {
    /// The client of that connection.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Reads and writes keys.
    pub fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(MESSAGE_MAX)
    }

    /// Watches keys.
    pub fn watch(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(MESSAGE_MAX)
    }

    /// Whether a new token could be had.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Gets a token, where there are credentials and the server wants them.
    pub async fn authenticate(&self) -> Result<(), Fault> {
        let Some(credentials) = self.credentials.clone() else {
            return Ok(());
        };
        let user = Some((credentials.username, credentials.password));
        match self.client.clone().update_user(user).await {
            Err(error) if !fault::is_without_authentication(&error) => match Fault::from(error) {
                // The request for a token changes nothing, whatever became of it.
                Fault::Unsure(why) => Err(Fault::Unsent(why)),
                Fault::Token(why) => Err(Fault::Denied(why)),
                other => Err(other),
            },
            _ => Ok(()),
        }
    }
}
