//! A connection to a server, for replication: it opens, proves who we are, and passes messages.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use std::io::{self, Read, Write};

/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// The oldest server whose backups are understood: each archive has a name in them, and an end.
const VERSION_MIN: u32 = 15;

/// A connection.
pub struct Connection<S> {
    stream: S,
    received: BytesMut,
    buffer: Vec<u8>,
    version: Option<String>,
}

impl<S: Read + Write> Connection<S> {
    /// Over a stream that is open.
    pub fn over(stream: S, user: &str, password: Option<&str>) -> io::Result<Connection<S>> {
        let (received, buffer) = (BytesMut::new(), vec![0; READ_BYTES]);
        let mut connection = Connection { stream, received, buffer, version: None };
        let parameters = [("user", user), ("replication", "true"), ("application_name", "stream-backup")];
        let mut message = BytesMut::new();
        frontend::startup_message(parameters, &mut message)?;
        connection.send(&message)?;
        connection.authenticate(user, password)?;
        connection.wait_until_ready()?;
        Ok(connection)
    }

    fn authenticate(&mut self, user: &str, password: Option<&str>) -> io::Result<()> {
        let asked = |password: Option<&str>| match password {
            Some(password) => Ok(password.to_owned()),
            None => Err(odd("the server asks for a password, and there is none: grant `connstring: with-password`")),
        };
        loop {
            match self.next()? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword => self.send_password(asked(password)?.as_bytes())?,
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(user.as_bytes(), asked(password)?.as_bytes(), body.salt());
                    self.send_password(hash.as_bytes())?;
                }
                Message::AuthenticationSasl(body) => {
                    if !body.mechanisms().any(|name| Ok(name == SCRAM_SHA_256))? {
                        return Err(odd("the server wants a way to log in that is not known here"));
                    }
                    self.scram(asked(password)?.as_bytes())?;
                }
                _ => return Err(odd("the server wants a way to log in that is not known here")),
            }
        }
    }

    fn scram(&mut self, password: &[u8]) -> io::Result<()> {
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        let mut message = BytesMut::new();
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut message)?;
        self.send(&message)?;
        let Message::AuthenticationSaslContinue(body) = self.next()? else {
            return Err(odd("the server breaks off the exchange of passwords"));
        };
        scram.update(body.data())?;
        message.clear();
        frontend::sasl_response(scram.message(), &mut message)?;
        self.send(&message)?;
        let Message::AuthenticationSaslFinal(body) = self.next()? else {
            return Err(odd("the server breaks off the exchange of passwords"));
        };
        scram.finish(body.data())
    }

    fn send_password(&mut self, password: &[u8]) -> io::Result<()> {
        let mut message = BytesMut::new();
        frontend::password_message(password, &mut message)?;
        self.send(&message)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        while !matches!(self.next()?, Message::ReadyForQuery(_)) {}
        // `15.6 (Debian)`, `17beta1`
        let digits = |version: &str| version.split(|c: char| !c.is_ascii_digit()).next().map(str::to_owned);
        match self.version.as_deref().and_then(digits).and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major < VERSION_MIN => {
                Err(odd(&format!("the server is a PostgreSQL {major}: {VERSION_MIN} or later is wanted")))
            }
            _ => Ok(()),
        }
    }

    /// Sends a command.
    pub fn command(&mut self, command: &str) -> io::Result<()> {
        let mut message = BytesMut::new();
        frontend::query(command, &mut message)?;
        self.send(&message)
    }

    /// Takes leave, so that the server need not wonder.
    pub fn close(mut self) {
        let mut message = BytesMut::new();
        frontend::terminate(&mut message);
        // All has come: what happens to this word changes nothing.
        let _ = self.send(&message);
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message)?;
        self.stream.flush()
    }

    /// The next message that matters; what the server reports as an error is one.
    pub fn next(&mut self) -> io::Result<Message> {
        loop {
            match Message::parse(&mut self.received)? {
                Some(Message::ErrorResponse(body)) => return Err(failure(&body)),
                Some(Message::ParameterStatus(body)) => {
                    if body.name()? == "server_version" {
                        self.version = Some(body.value()?.to_owned());
                    }
                }
                Some(Message::NoticeResponse(_)) => {}
                Some(message) => return Ok(message),
                None => {
                    let count = self.stream.read(&mut self.buffer)?;
                    if count == 0 {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
                    }
                    self.received.extend_from_slice(&self.buffer[..count]);
                }
            }
        }
    }
}

fn failure(body: &ErrorResponseBody) -> io::Error {
    let mut fields = body.fields();
    let mut text = "the server reports an error".to_owned();
    while let Ok(Some(field)) = fields.next() {
        if field.type_() == b'M' {
            text = format!("the server says: {}", String::from_utf8_lossy(field.value_bytes()));
        }
    }
    io::Error::other(text)
}

/// What does not fit.
pub fn odd(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
