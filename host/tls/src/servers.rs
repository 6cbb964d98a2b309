//! Which servers are believed to be who they say: any, or those whose certificate comes from somebody we trust.

use super::{TlsError, certificates, unusable};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Whether it is looked at for which host a certificate was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// It may be for any host.
    Any,
    /// It has to be for the host that was called.
    MustMatch,
}

/// Believes whoever answers.
pub fn any_server(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyServer { provider: Arc::clone(provider) })
}

/// Believes servers whose certificate leads to one in the file `root`, or is one, and was not revoked.
///
/// # Errors
/// When the file holds no certificate that can be used.
pub fn trusted_server(
    provider: &Arc<CryptoProvider>,
    root: &Path,
    revocations: Vec<CertificateRevocationListDer<'static>>,
    names: Names,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let anchors = certificates(root)?;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(anchors.iter().cloned());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .with_crls(revocations)
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| unusable(root, &error))?;
    Ok(Arc::new(TrustedServer { chain, anchors, names }))
}

/// A server whose certificate leads to a configured anchor, or is one: a self-signed certificate that is its own CA is
/// common, and the chain builder refuses a CA as a server.
#[derive(Debug)]
struct TrustedServer {
    chain: Arc<WebPkiServerVerifier>,
    anchors: Vec<CertificateDer<'static>>,
    names: Names,
}

impl ServerCertVerifier for TrustedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.anchors.iter().any(|anchor| anchor == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.names == Names::Any => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Whoever answers: what `prefer` and `require` mean without a root certificate.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
