//! TLS with one self-signed certificate that is an authority, server's and client's certificate at once; certificates
//! that change; clients without one (API-12, API-19).

use super::support::*;
use crate::api::{ApiError, Options};
use crate::config::{CtlSettings, Verify, member_client};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use regent_core::model::Secret;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate that is an authority, with its key, in files.
pub(super) struct Identity {
    folder: TempDir,
}

impl Identity {
    pub(super) fn make() -> Identity {
        let identity = Identity { folder: tempfile::tempdir().unwrap() };
        identity.renew();
        identity
    }

    /// Another certificate in the same files.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(self.file("crt"), certificate.pem()).unwrap();
        std::fs::write(self.file("key"), key.serialize_pem()).unwrap();
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.path().join(kind)
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.file("crt")).unwrap()
    }

    pub(super) fn options(&self, verify_client: &str) -> Options {
        Options {
            listen: "127.0.0.1:0".to_owned(),
            certfile: Some(self.file("crt")),
            keyfile: Some(self.file("key")),
            cafile: Some(self.file("crt")),
            verify_client: verify_client.to_owned(),
            ..Options::default()
        }
    }
}

/// Trusts exactly one certificate.
#[derive(Debug)]
struct Only(CertificateDer<'static>, Arc<CryptoProvider>);

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let right = *end_entity == self.0;
        right.then(ServerCertVerified::assertion).ok_or_else(|| Error::General("another certificate".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.1.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.1.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

/// What comes back over TLS; empty where the server turns the client away.
pub(super) async fn ask(served: &Served, server: &Identity, client: Option<&Identity>, request: &str) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Only(server.certificate(), provider)));
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::from_pem_file(client.file("key")).unwrap();
            let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
            // Not checked here whether they belong together: the server has to.
            let identity = CertifiedKey::new(vec![client.certificate()], key);
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
    };
    let stream = TcpStream::connect(served.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    match tokio::time::timeout(PATIENCE, handshake).await.unwrap() {
        Ok(stream) => exchange(stream, request.as_bytes()).await,
        Err(_) => String::new(),
    }
}

const CHECK: &str = "GET /primary HTTP/1.0\r\n\r\n";
const ACTION: &str = "DELETE /nosuch HTTP/1.0\r\n\r\n";
const RELOAD: &str = "POST /reload HTTP/1.0\r\n\r\n";

fn code(answer: &str) -> u16 {
    Answer::read(answer).code()
}

async fn start(options: Options) -> Served {
    let mut served = Served::start(leader(), options).await;
    served.on_request(drop_it);
    served
}

fn drop_it(_: crate::agent::handle::Request, _: &tokio::sync::watch::Sender<Arc<crate::agent::handle::Published>>) {}

#[tokio::test]
async fn one_certificate_serves_as_everything() {
    let identity = Identity::make();
    let stranger = Identity::make();
    let served = start(identity.options("Required")).await;
    assert_eq!(code(&ask(&served, &identity, Some(&identity), CHECK).await), 200);
    assert_eq!(Answer::read(&ask(&served, &identity, Some(&identity), RELOAD).await).said(), (202, "reload scheduled"));
    assert_eq!(code(&ask(&served, &identity, Some(&identity), ACTION).await), 501);
    assert_eq!(ask(&served, &identity, None, CHECK).await, "");
    assert_eq!(ask(&served, &identity, Some(&stranger), CHECK).await, "");
    // The certificate is public: it proves nothing without its key.
    let thief = Identity::make();
    std::fs::copy(identity.file("crt"), thief.file("crt")).unwrap();
    assert_eq!(ask(&served, &identity, Some(&thief), CHECK).await, "");
}

/// API-19
#[tokio::test]
async fn an_optional_certificate_is_for_what_changes_something() {
    let identity = Identity::make();
    let served = start(identity.options("optional")).await;
    assert_eq!(code(&ask(&served, &identity, None, CHECK).await), 200);
    assert_eq!(code(&ask(&served, &identity, None, "OPTIONS / HTTP/1.0\r\n\r\n").await), 200);
    let refused = ask(&served, &identity, None, RELOAD).await;
    assert_eq!(Answer::read(&refused).said(), (403, "client certificate required"));
    assert_eq!(code(&ask(&served, &identity, Some(&identity), RELOAD).await), 202);
}

/// API-12
#[tokio::test]
async fn plain_clients_get_nothing_from_tls() {
    let identity = Identity::make();
    let served = start(identity.options("none")).await;
    let answer = tokio::time::timeout(PATIENCE, served_bytes(&served)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"));
    assert_eq!(code(&ask(&served, &identity, None, CHECK).await), 200);
}

async fn served_bytes(served: &Served) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(CHECK.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await.is_err();
    answer
}

/// API-11, API-12
#[tokio::test]
async fn certificates_are_exchanged_under_a_listener_that_stays() {
    let identity = Identity::make();
    let mut served = start(identity.options("none")).await;
    let address = served.address();
    let old = identity.certificate();
    identity.renew();
    assert_ne!(old, identity.certificate());
    served.server.reconfigure(identity.options("none")).await.unwrap();
    assert_eq!(served.address(), address);
    assert_eq!(code(&ask(&served, &identity, None, CHECK).await), 200);
    // A file that is no certificate changes nothing.
    std::fs::write(identity.file("crt"), "nothing").unwrap();
    let refused = served.server.reconfigure(identity.options("none")).await;
    assert!(matches!(refused, Err(ApiError::Certificate { .. })));
    // And from TLS to plain and its other options, in one step.
    let plain = Options { authentication: Some(("a".to_owned(), Secret("b".to_owned()))), ..local(Options::default()) };
    served.server.reconfigure(plain).await.unwrap();
    assert_eq!(served.address(), address);
    assert_eq!(served.get("/primary").await.code(), 200);
    assert_eq!(served.ask("POST", "/reload", None).await.said(), (401, "no auth header received"));
}

#[tokio::test]
async fn required_needs_somebody_to_trust() {
    let identity = Identity::make();
    let options = Options { cafile: None, ..identity.options("required") };
    let (_, published) = tokio::sync::watch::channel(Arc::new(leader()));
    let (requests, _) = tokio::sync::mpsc::channel(1);
    let journal = Arc::new(crate::agent::journal::Journal::new(None));
    let handle =
        crate::agent::handle::Handle { published, requests, journal, metrics: Default::default(), client: client() };
    assert!(matches!(crate::api::ApiServer::start(options, handle).await, Err(ApiError::Certificate { .. })));
}

/// Our own calls: one certificate for everything is believed where it is configured, a stranger's is not.
#[tokio::test]
async fn members_are_called_with_one_certificate_for_everything() {
    let identity = Identity::make();
    let stranger = Identity::make();
    let served = start(identity.options("required")).await;
    let settings = |trusted: &Identity, shown: Option<&Identity>, insecure| CtlSettings {
        insecure,
        cacert: Some(trusted.file("crt")),
        certfile: shown.map(|shown| shown.file("crt")),
        keyfile: shown.map(|shown| shown.file("key")),
        ..CtlSettings::default()
    };
    let url = format!("https://{}/patroni", served.address());
    let check = async |ctl: CtlSettings, verify: Verify, expected: bool| {
        let client = member_client(&ctl, verify).unwrap();
        let answer = tokio::time::timeout(PATIENCE, client.get(&url).send()).await.unwrap();
        let said = answer.is_ok_and(|answer| answer.status() == 200);
        assert_eq!(said, expected, "{verify:?} {ctl:?}");
    };
    for verify in [Verify::All, Verify::Authority, Verify::Nothing] {
        check(settings(&identity, Some(&identity), false), verify, true).await;
        check(settings(&identity, None, false), verify, false).await;
        check(settings(&stranger, Some(&identity), false), verify, verify == Verify::Nothing).await;
    }
    assert_eq!(Verify::among_members(&settings(&identity, Some(&identity), false)), Verify::Authority);
    assert_eq!(Verify::among_members(&settings(&identity, None, false)), Verify::Nothing);
    assert_eq!(Verify::from_outside(&settings(&identity, None, false)), Verify::All);
    assert_eq!(Verify::from_outside(&settings(&identity, None, true)), Verify::Nothing);
}

/// The suite that a client of TLS 1.2 ends up with, of those that it offers; `None` where the listener has none of them.
async fn agreed(served: &Served, server: &Identity, offered: &[rustls::CipherSuite]) -> Option<rustls::CipherSuite> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| offered.contains(&suite.suite()));
    let provider = Arc::new(provider);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Only(server.certificate(), provider)))
        .with_no_client_auth();
    let stream = TcpStream::connect(served.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(PATIENCE, handshake).await.unwrap().ok()?;
    stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite())
}

/// API-12: a listener whose key is encrypted, and which takes some ciphers only.
#[tokio::test]
async fn an_encrypted_key_and_a_list_of_ciphers_are_served() {
    use pkcs8::pkcs5::pbes2::Parameters;
    use rustls::CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as AES_128, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as AES_256,
    };
    let identity = Identity::make();
    let key = PrivateKeyDer::from_pem_file(identity.file("key")).unwrap();
    let info = pkcs8::PrivateKeyInfo::try_from(key.secret_der()).unwrap();
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(1000, &[7; 8], &[3; 16]).unwrap();
    let encrypted = info.encrypt_with_params(parameters, "opens").unwrap();
    let encrypted = encrypted.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap();
    std::fs::write(identity.file("key"), encrypted.as_bytes()).unwrap();
    let options = |password: &str| Options {
        keyfile_password: Some(Secret(password.to_owned())),
        ciphers: Some("ECDHE-ECDSA-AES128-GCM-SHA256".to_owned()),
        ..identity.options("none")
    };
    let mut served = start(options("opens")).await;
    assert_eq!(agreed(&served, &identity, &[AES_256, AES_128]).await, Some(AES_128));
    assert_eq!(agreed(&served, &identity, &[AES_256]).await, None);
    assert_eq!(code(&ask(&served, &identity, None, CHECK).await), 200, "TLS 1.3 has suites of its own");
    // A password that does not open it changes nothing, and is not repeated.
    let refused = served.server.reconfigure(options("does-not-open")).await.unwrap_err();
    assert!(
        matches!(refused, ApiError::Certificate { .. }) && !refused.to_string().contains("does-not-open"),
        "{refused}"
    );
    assert_eq!(agreed(&served, &identity, &[AES_128]).await, Some(AES_128));
    served.server.reconfigure(Options { ciphers: None, ..options("opens") }).await.unwrap();
    assert_eq!(agreed(&served, &identity, &[AES_256]).await, Some(AES_256));
}

/// Keeps the warnings of its thread.
#[derive(Clone, Default)]
struct Warnings(Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// LOG-06: a client that goes away in the middle of the handshake is told of with its address.
#[tokio::test]
async fn a_broken_handshake_is_in_the_log() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let warnings = Warnings::default();
    let _here = tracing::subscriber::set_default(warnings.clone());
    let identity = Identity::make();
    let served = start(identity.options("none")).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    let peer = stream.local_addr().unwrap().to_string();
    // The beginning of a ClientHello.
    stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    stream.shutdown().await.unwrap();
    let _closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().is_err();
    let said = warnings.0.lock().unwrap().clone();
    assert!(said.iter().any(|line| line.contains(&peer) && line.contains("TLS")), "{said:?}");
    assert_eq!(code(&ask(&served, &identity, None, CHECK).await), 200);
}
