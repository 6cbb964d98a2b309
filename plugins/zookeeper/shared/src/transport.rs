//! Connects to one server, encrypted or not.

use crate::config::Encryption;
use crate::server::Server;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What messages go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// One phrase: the certificates can not be used.
    pub fn new(encryption: Option<&Encryption>) -> Result<Connector, String> {
        let tls = match encryption {
            Some(encryption) => {
                let config = encryption.files.https(encryption.verify)?;
                Some(TlsConnector::from(Arc::new(config)))
            }
            None => None,
        };
        Ok(Connector { tls })
    }

    /// A connection; nothing was said on it.
    pub async fn connect(&self, server: &Server) -> Result<Box<dyn Stream>, String> {
        let stream =
            TcpStream::connect((server.host.as_str(), server.port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(server.host.clone()).map_err(|error| error.to_string())?;
        Ok(Box::new(tls.connect(name, stream).await.map_err(|error| error.to_string())?))
    }
}
