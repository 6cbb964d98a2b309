//! TLS for the listener: the certificate, its key, and who may come with a certificate of their own.

use super::{ApiError, Options, ciphers};
use crate::tls::{certificates, private_key};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What turns a connection into an encrypted one.
pub(super) type Acceptor = TlsAcceptor;

/// What is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VerifyClient {
    /// Nothing.
    None,
    /// A certificate for what changes something.
    Optional,
    /// A certificate for everything.
    Required,
}

impl VerifyClient {
    /// Reads `restapi.verify_client`; what is no value of it is told of, and asks nothing.
    pub fn read(text: &str) -> VerifyClient {
        match text.to_ascii_lowercase().as_str() {
            "required" => VerifyClient::Required,
            "optional" => VerifyClient::Optional,
            "none" | "" => VerifyClient::None,
            _ => {
                tracing::warn!("Bad value in the \"restapi.verify_client\": {text:?}");
                VerifyClient::None
            }
        }
    }
}

/// The acceptor for these options; `None` where TLS is not configured.
pub(super) fn acceptor(options: &Options, verify: VerifyClient) -> Result<Option<Acceptor>, ApiError> {
    let Some(certfile) = &options.certfile else {
        return Ok(None);
    };
    let keyfile = options.keyfile.as_ref().unwrap_or(certfile);
    let chain = read(certfile)?;
    let key = private_key(keyfile, options.keyfile_password.as_ref()).map_err(|error| wrong(keyfile, &error))?;
    let mut provider = rustls::crypto::ring::default_provider();
    if let Some(ciphers) = &options.ciphers {
        ciphers::restrict(&mut provider.cipher_suites, ciphers);
    }
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certfile, &error))?;
    let builder = match (&options.cafile, verify) {
        (_, VerifyClient::None) => builder.with_no_client_auth(),
        (Some(cafile), _) => builder.with_client_cert_verifier(verifier(cafile, verify, provider)?),
        // Without authorities no certificate can be right: what changes something is refused by `access`.
        (None, VerifyClient::Optional) => builder.with_no_client_auth(),
        (None, VerifyClient::Required) => {
            return Err(wrong(certfile, &"restapi.verify_client: required needs restapi.cafile"));
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| wrong(certfile, &error))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn verifier(
    cafile: &Path,
    verify: VerifyClient,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ApiError> {
    let anchors = read(cafile)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(anchors.iter().cloned());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if verify == VerifyClient::Optional {
        builder = builder.allow_unauthenticated();
    }
    let chains = builder.build().map_err(|error| wrong(cafile, &error))?;
    Ok(Arc::new(Pinning { anchors, chains }))
}

/// Accepts a client certificate that is byte for byte one of the configured authorities, which chain building refuses
/// (a CA certificate is no end entity); anything else has to come from one of them. That the client holds the key is
/// proven by its signature in the handshake either way.
#[derive(Debug)]
struct Pinning {
    anchors: Vec<CertificateDer<'static>>,
    chains: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Pinning {
    fn offer_client_auth(&self) -> bool {
        self.chains.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.anchors.iter().any(|anchor| anchor.as_ref() == end_entity.as_ref()) {
            return Ok(ClientCertVerified::assertion());
        }
        self.chains.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, ApiError> {
    certificates(path).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::Certificate { file: path.display().to_string(), reason: error.to_string() }
}
