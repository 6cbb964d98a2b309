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
