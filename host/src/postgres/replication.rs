//! A small client of the replication protocol: who a server is, which timeline it is on, and how its timelines came to
//! be. The SQL driver does not speak it.

use super::Server;
use super::connection::{Address, local_address};
use super::error::{PgError, within};
use super::history::{HistoryRow, parse_history};
use crate::tls::{Encryption, encryption};
use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, Message};
use postgres_protocol::message::frontend;
use regent_core::model::{Account, Lsn, Secret, Source, Timeline};
use rustls::pki_types::ServerName;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::fallible_iterator::FallibleIterator;

/// No answer to our commands is larger than a history file of a few thousand timelines.
const ANSWER_BYTES_MAX: usize = 4 << 20;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a server answers to IDENTIFY_SYSTEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The system identifier of its cluster.
    pub system_id: String,
    /// The timeline that it is on; of a standby, the one that it replays.
    pub timeline: Timeline,
    /// How far it has flushed; a standby: how far it has received or replayed.
    pub lsn: Lsn,
}

/// A replication connection. Closed when dropped.
pub struct Replication {
    stream: Box<dyn Stream>,
    received: BytesMut,
    address: String,
}

impl Server {
    /// A replication connection to another server; of several hosts, the first that answers. For at most `limit`.
    pub async fn replicate_from(&self, source: &Source, limit: Duration) -> Result<Replication, PgError> {
        let ports: Vec<&str> = source.port.split(',').collect();
        let mut last = PgError::Unreadable(format!("{} has no usable address", source.name));
        let hosts: Vec<&str> = source.host.split(',').collect();
        // Each gets its share, so that a silent first host does not use up the time of the others.
        let share = limit / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        for (at, host) in hosts.iter().enumerate() {
            let port = ports.get(at).or(ports.last()).and_then(|port| port.trim().parse().ok()).unwrap_or(5432);
            let address = if host.starts_with('/') {
                Address::Socket(PathBuf::from(host), port)
            } else {
                Address::Tcp((*host).to_owned(), port)
            };
            match Box::pin(Replication::connect(&address, &self.settings.accounts.replication, share)).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A replication connection to the local server, for at most `limit`.
    pub async fn replicate_locally(&self, limit: Duration) -> Result<Replication, PgError> {
        let address = local_address(&self.settings, self.settings.use_unix_socket_repl);
        Box::pin(Replication::connect(&address, &self.settings.accounts.replication, limit)).await
    }
}

impl Replication {
    async fn connect(address: &Address, account: &Account, limit: Duration) -> Result<Replication, PgError> {
        let what = format!("the replication connection to {address}");
        within(limit, what.clone(), async {
            let failed = || PgError::io(what.clone());
            let stream = match address {
                Address::Tcp(host, port) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed())?;
                    stream.set_nodelay(true).map_err(failed())?;
                    encrypted(stream, host, encryption(account, false)?).await?
                }
                Address::Socket(folder, port) => {
                    let path = folder.join(format!(".s.PGSQL.{port}"));
                    Box::new(UnixStream::connect(path).await.map_err(failed())?)
                }
            };
            let mut connection = Replication { stream, received: BytesMut::new(), address: address.to_string() };
            connection.log_in(account).await?;
            Ok(connection)
        })
        .await
    }

    /// Asks who the server is, for at most `limit`.
    pub async fn identify(&mut self, limit: Duration) -> Result<Identity, PgError> {
        let row = self.ask("IDENTIFY_SYSTEM", limit).await?;
        let field = |at: usize| row.get(at).and_then(Option::as_deref).and_then(|text| std::str::from_utf8(text).ok());
        let identity = || {
            Some(Identity {
                system_id: field(0)?.to_owned(),
                timeline: Timeline(field(1)?.parse().ok()?),
                lsn: field(2)?.parse().ok()?,
            })
        };
        identity().ok_or_else(|| self.odd("IDENTIFY_SYSTEM"))
    }

    /// Asks how the timelines up to `timeline` came to be, for at most `limit`. The first timeline has no history.
    pub async fn history(&mut self, timeline: Timeline, limit: Duration) -> Result<Vec<HistoryRow>, PgError> {
        if timeline.0 <= 1 {
            return Ok(Vec::new());
        }
        let row = self.ask(&format!("TIMELINE_HISTORY {timeline}"), limit).await?;
        let content = row.get(1).and_then(Option::as_deref).ok_or_else(|| self.odd("TIMELINE_HISTORY"))?;
        Ok(parse_history(&String::from_utf8_lossy(content)))
    }

    fn odd(&self, command: &str) -> PgError {
        PgError::Unreadable(format!("{} gave something that is not understood to {command}", self.address))
    }

    async fn ask(&mut self, command: &str, limit: Duration) -> Result<Vec<Option<Vec<u8>>>, PgError> {
        let what = format!("{command} at {}", self.address);
        within(limit, what, async {
            self.send(|out| frontend::query(command, out)).await?;
            let mut row = None;
            loop {
                match self.message().await? {
                    Message::DataRow(body) => row = row.or(Some(columns(&body).map_err(|_| self.odd(command))?)),
                    Message::ReadyForQuery(_) => return row.ok_or_else(|| self.odd(command)),
                    _ => {}
                }
            }
        })
        .await
    }

    async fn log_in(&mut self, account: &Account) -> Result<(), PgError> {
        let user = account.username.clone().or_else(system_user).unwrap_or_default();
        let parameters = [("user", user.as_str()), ("replication", "1"), ("application_name", "Regent")];
        self.send(|out| frontend::startup_message(parameters, out)).await?;
        loop {
            match self.message().await? {
                Message::AuthenticationCleartextPassword => {
                    let password = self.password(account)?;
                    self.send(|out| frontend::password_message(password.as_bytes(), out)).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(user.as_bytes(), self.password(account)?.as_bytes(), body.salt());
                    self.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
                }
                Message::AuthenticationSasl(body) => {
                    let offered: Vec<String> =
                        body.mechanisms().map(|name| Ok(name.to_owned())).collect().unwrap_or_default();
                    if !offered.iter().any(|name| name == SCRAM_SHA_256) {
                        return Err(self.unsupported());
                    }
                    self.scram(account).await?;
                }
                Message::AuthenticationOk
                | Message::BackendKeyData(_)
                | Message::ParameterStatus(_)
                | Message::NoticeResponse(_) => {}
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(self.unsupported()),
            }
        }
    }

    async fn scram(&mut self, account: &Account) -> Result<(), PgError> {
        if account.options.get("channel_binding").is_some_and(|mode| mode == "require") {
            return Err(PgError::Tls("channel_binding=require is not possible on replication connections".into()));
        }
        let refused = |error: io::Error| PgError::Unreadable(format!("the server's SCRAM answer: {error}"));
        let mut scram = ScramSha256::new(self.password(account)?.as_bytes(), ChannelBinding::unrequested());
        self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out)).await?;
        loop {
            match self.message().await? {
                Message::AuthenticationSaslContinue(body) => {
                    scram.update(body.data()).map_err(refused)?;
                    self.send(|out| frontend::sasl_response(scram.message(), out)).await?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    return scram.finish(body.data()).map_err(refused);
                }
                _ => return Err(self.unsupported()),
            }
        }
    }

    fn password<'a>(&self, account: &'a Account) -> Result<&'a str, PgError> {
        account.password.as_ref().map(|Secret(password)| password.as_str()).ok_or_else(|| PgError::Refused {
            address: self.address.clone(),
            code: "28P01".into(),
            message: "it wants a password, and none is configured".into(),
        })
    }

    fn unsupported(&self) -> PgError {
        PgError::Unreadable(format!("{} wants a way to log in that is not supported", self.address))
    }

    async fn send(&mut self, message: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), PgError> {
        let failed = || PgError::io(format!("could not write to {}", self.address));
        let mut out = BytesMut::new();
        message(&mut out).map_err(failed())?;
        self.stream.write_all(&out).await.map_err(failed())?;
        self.stream.flush().await.map_err(failed())
    }

    /// The next message; an error that the server sends is an error here.
    async fn message(&mut self) -> Result<Message, PgError> {
        let failed = || PgError::io(format!("could not read from {}", self.address));
        loop {
            match Message::parse(&mut self.received).map_err(failed())? {
                Some(Message::ErrorResponse(body)) => return Err(self.refusal(body.fields())),
                Some(message) => return Ok(message),
                None if self.received.len() > ANSWER_BYTES_MAX => return Err(self.odd("a command")),
                None => {}
            }
            if self.stream.read_buf(&mut self.received).await.map_err(failed())? == 0 {
                return Err(failed()(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn refusal(&self, mut fields: ErrorFields<'_>) -> PgError {
        let (mut code, mut message) = (String::new(), String::new());
        while let Ok(Some(field)) = fields.next() {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => code = value,
                b'M' => message = value,
                _ => {}
            }
        }
        PgError::Refused { address: self.address.clone(), code, message }
    }
}

fn columns(row: &DataRowBody) -> io::Result<Vec<Option<Vec<u8>>>> {
    row.ranges().map(|range| Ok(range.map(|range| row.buffer()[range].to_vec()))).collect()
}

fn system_user() -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name)
}

async fn encrypted(mut stream: TcpStream, host: &str, encryption: Encryption) -> Result<Box<dyn Stream>, PgError> {
    let (config, required) = match encryption {
        Encryption::None => return Ok(Box::new(stream)),
        Encryption::Preferred(config) => (config, false),
        Encryption::Required(config) => (config, true),
    };
    let failed = || PgError::io(format!("could not negotiate TLS with {host}"));
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    stream.write_all(&out).await.map_err(failed())?;
    // Exactly one byte: whatever follows must be read by TLS.
    match stream.read_u8().await.map_err(failed())? {
        b'S' => {}
        _ if required => return Err(PgError::Tls(format!("{host} does not offer it"))),
        _ => return Ok(Box::new(stream)),
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| PgError::Tls(format!("{host} is not a host name")))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
    Ok(Box::new(connector.connect(name, stream).await.map_err(failed())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REW-06: `replication=1` and no database, so that an access rule for `replication` alone is enough.
    #[tokio::test]
    async fn a_replication_connection_names_no_database() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
        let mut account = Account { username: Some("repl".to_owned()), ..Account::default() };
        account.options.insert("sslmode".to_owned(), "disable".to_owned());
        let asks = tokio::spawn(async move {
            let limit = Duration::from_secs(60);
            Replication::connect(&address, &account, limit).await.map(drop)
        });
        let (mut client, _) = listener.accept().await.unwrap();
        let length = client.read_u32().await.unwrap();
        let mut packet = vec![0; usize::try_from(length).unwrap() - 4];
        client.read_exact(&mut packet).await.unwrap();
        let text = String::from_utf8_lossy(&packet[4..]).into_owned();
        let words: Vec<&str> = text.split('\0').collect();
        assert!(words.windows(2).any(|pair| pair == ["replication", "1"]), "{words:?}");
        assert!(words.windows(2).any(|pair| pair == ["user", "repl"]), "{words:?}");
        assert!(!words.contains(&"database"), "{words:?}");
        drop(client);
        assert!(asks.await.unwrap().is_err());
    }
}
