//! The way to a server: in the clear, or through TLS as libpq's `sslmode` asks for it. Knows nothing of what is said.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use regent_tls::Encryption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CipherSuite, ClientConfig, ClientConnection, NamedGroup, StreamOwned};
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// How much is read from the network at once; TLS itself would ask for four kilobytes.
const READ_BYTES: usize = 256 * 1024;

/// Says what is wanted, by libpq's names.
pub type Settings<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An open way.
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Through TLS.
    Secure(Box<StreamOwned<ClientConnection, Wire>>),
}

impl Stream {
    /// To this server.
    pub fn open(host: &str, port: u16, settings: Settings<'_>) -> io::Result<Stream> {
        for (name, what) in [("channel_binding", "channel binding"), ("gssencmode", "GSSAPI")] {
            if settings(name).is_some_and(|value| value == "require") {
                return Err(io::Error::other(format!("{name}=require is asked for, and this method knows no {what}")));
            }
        }
        match Stream::with(&provider(Suites::Fast), host, port, settings) {
            Err(error) if nothing_in_common(&error) => Stream::with(&provider(Suites::All), host, port, settings),
            ended => ended,
        }
        .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {host}:{port}: {error}")))
    }

    fn with(provider: &Arc<CryptoProvider>, host: &str, port: u16, settings: Settings<'_>) -> io::Result<Stream> {
        let encryption = regent_tls::encryption(settings, provider).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect((host, port))?;
        match encryption {
            Encryption::None => Ok(Stream::Plain(stream)),
            Encryption::Preferred(config) if offers(&mut stream)? => shake_hands(stream, host, config),
            Encryption::Preferred(_) => Ok(Stream::Plain(stream)),
            Encryption::Required(config) if offers(&mut stream)? => shake_hands(stream, host, config),
            Encryption::Required(_) => Err(io::Error::other("the server has no TLS, and sslmode asks for it")),
        }
    }
}

/// One byte answers. What is sent behind it too early is for TLS to refuse.
fn offers(stream: &mut TcpStream) -> io::Result<bool> {
    let (mut question, mut answer) = (BytesMut::new(), [0]);
    frontend::ssl_request(&mut question);
    stream.write_all(&question)?;
    stream.read_exact(&mut answer)?;
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as a PostgreSQL server")),
    }
}

fn shake_hands(stream: TcpStream, host: &str, config: Arc<ClientConfig>) -> io::Result<Stream> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut wire = Wire(BufReader::with_capacity(READ_BYTES, stream));
    while connection.is_handshaking() {
        connection.complete_io(&mut wire)?;
    }
    Ok(Stream::Secure(Box::new(StreamOwned::new(connection, wire))))
}

/// Did the server find no suite among those that it was offered?
fn nothing_in_common(error: &io::Error) -> bool {
    let told = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(told, Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)))
}

/// What is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suites {
    /// What is quick where a processor's own AES cannot be had, as in a sandbox: ChaCha20 alone.
    Fast,
    /// For the few servers that may not use it.
    All,
}

fn provider(suites: Suites) -> Arc<CryptoProvider> {
    let mut provider = rustls_rustcrypto::provider();
    if suites == Suites::Fast {
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    }
    // The curve that PostgreSQL prefers first: another one would cost a question more.
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::secp256r1);
    Arc::new(provider)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Secure(stream) => stream.flush(),
        }
    }
}

/// What TLS reads from and writes to.
pub struct Wire(BufReader<TcpStream>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection};
    use std::net::TcpListener;

    /// Nobody's: it proves nothing, as nobody believes it.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBdjCCARugAwIBAgIUEEOApdq/y9pgwaPs4TzsM8wm6Y8wCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExNTI2MjdaGA8yMTI2MTAyODE1MjYy\n\
N1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGkL\n\
Qc0RC+Czs05tMVxv71iJntOXwGDRDjofs02cl+0sRcqYxs7sR3v75RT/9Y+gRnpP\n\
g2T5Iqn/QPOyE5fcUeKjUzBRMB0GA1UdDgQWBBSDh9GOQMz6yNSnbr1KUJQdvRl/\n\
VjAfBgNVHSMEGDAWgBSDh9GOQMz6yNSnbr1KUJQdvRl/VjAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDnqpOegJjfPwUXKKxl99QL2Hl77AriOr8N\n\
6fl/UF/U5AIhAOP4vWGJwldfmKAwZ1smJZwZItTaO7/yTIw65Vxb5THn\n\
-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4MGZHHduT5lWEpUP\n\
3TbMj2N/r4eeGtpOSX6aLfKflk2hRANCAARpC0HNEQvgs7NObTFcb+9YiZ7Tl8Bg\n\
0Q46H7NNnJftLEXKmMbO7Ed7++UU//WPoEZ6T4Nk+SKp/0DzshOX3FHi\n\
-----END PRIVATE KEY-----\n";

    /// Answers each connection with this byte; behind an `S` with TLS that knows AES alone. Says hello.
    fn serve(answer: u8) -> u16 {
        let mut provider = rustls_rustcrypto::provider();
        provider.cipher_suites.retain(|suite| suite.suite() != CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read_exact(&mut [0; 8]).and_then(|()| stream.write_all(&[answer]));
                if answer == b'S' {
                    let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                    let _ = StreamOwned::new(session, stream).write_all(b"hello");
                } else {
                    let _ = stream.write_all(b"hello");
                }
            }
        });
        port
    }

    fn check(answer: u8, mode: &str, expected: Result<bool, &str>) {
        let mode = mode.to_owned();
        let settings = move |name: &str| (name == "sslmode").then(|| mode.clone());
        match (Stream::open("127.0.0.1", serve(answer), &settings), expected) {
            (Ok(mut stream), Ok(secure)) => {
                let mut said = [0; 5];
                stream.read_exact(&mut said).unwrap();
                assert_eq!((&said, matches!(stream, Stream::Secure(_))), (b"hello", secure));
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (opened, expected) => panic!("{:?} instead of {expected:?}", opened.err()),
        }
    }

    #[test]
    fn a_server_has_tls_or_not() {
        // Its suite is not the one that is offered first.
        check(b'S', "prefer", Ok(true));
        check(b'S', "require", Ok(true));
        check(b'N', "prefer", Ok(false));
        check(b'N', "require", Err("the server has no TLS"));
        check(b'E', "prefer", Err("not answer as a PostgreSQL server"));
        check(b'N', "verify-full", Err("needs sslrootcert"));
    }

    #[test]
    fn what_cannot_be_proved_is_not_left_out() {
        for name in ["channel_binding", "gssencmode"] {
            let error = Stream::open("127.0.0.1", 1, &|asked| (asked == name).then(|| "require".into())).err().unwrap();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
