//! The client for calls to members' APIs, by the configuration: whom it believes to be one, and with which certificate
//! it comes. What is called, and what the answers mean, it does not know.

use super::CtlSettings;
use crate::tls::{TlsError, private_key, private_key_pem};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Why members' APIs can not be called.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct CallError {
    /// The file that is not usable.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What is checked of the certificate that an API shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Where it comes from, and for whom it was made.
    All,
    /// Where it comes from.
    Authority,
    /// Nothing.
    Nothing,
}

impl Verify {
    /// What a member checks of another: nothing, unless it has a certificate of its own to show (rest-api §2).
    pub fn among_members(ctl: &CtlSettings) -> Verify {
        if ctl.certfile.is_some() { Verify::Authority } else { Verify::Nothing }
    }

    /// What an operator's command checks.
    pub fn from_outside(ctl: &CtlSettings) -> Verify {
        if ctl.insecure { Verify::Nothing } else { Verify::All }
    }
}

/// The client for members' APIs.
///
/// # Errors
/// When a configured certificate or key is not usable.
pub fn member_client(ctl: &CtlSettings, verify: Verify) -> Result<reqwest::Client, CallError> {
    // The first provider that is installed serves the whole process.
    let _installed = rustls::crypto::ring::default_provider().install_default().is_err();
    let builder = reqwest::Client::builder().no_proxy().user_agent(concat!("Regent/", env!("CARGO_PKG_VERSION")));
    let builder = match (&ctl.cacert, &ctl.certfile, verify) {
        // Whomever the public authorities vouch for.
        (None, None, Verify::All | Verify::Authority) => builder,
        (None, Some(certfile), Verify::All | Verify::Authority) => builder.identity(identity(ctl, certfile)?),
        _ => builder.use_preconfigured_tls(tls(ctl, verify)?),
    };
    builder.build().map_err(|error| wrong(Path::new("the client for members' APIs"), &error))
}

fn identity(ctl: &CtlSettings, certfile: &Path) -> Result<reqwest::Identity, CallError> {
    let mut pem = std::fs::read(certfile).map_err(|error| wrong(certfile, &error))?;
    let keyfile = ctl.keyfile.as_deref().unwrap_or(certfile);
    let key = private_key_pem(keyfile, ctl.keyfile_password.as_ref()).map_err(|error| unopened(keyfile, error))?;
    if !pem.ends_with(key.as_bytes()) {
        pem.extend(key.as_bytes());
    }
    reqwest::Identity::from_pem(&pem).map_err(|error| wrong(certfile, &error))
}

fn tls(ctl: &CtlSettings, verify: Verify) -> Result<ClientConfig, CallError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let servers = Servers { verify, known: known(ctl, verify, &provider)?, provider: Arc::clone(&provider) };
    let unusable = |error: &Error| wrong(Path::new("TLS"), error);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers));
    let Some(certfile) = &ctl.certfile else {
        return Ok(builder.with_no_client_auth());
    };
    let keyfile = ctl.keyfile.as_ref().unwrap_or(certfile);
    let key = private_key(keyfile, ctl.keyfile_password.as_ref()).map_err(|error| unopened(keyfile, error))?;
    builder.with_client_auth_cert(certificates(certfile)?, key).map_err(|error| wrong(certfile, &error))
}

fn known(ctl: &CtlSettings, verify: Verify, provider: &Arc<CryptoProvider>) -> Result<Option<Known>, CallError> {
    let Some(cacert) = ctl.cacert.as_ref().filter(|_| verify != Verify::Nothing) else {
        return Ok(None);
    };
    let anchors = certificates(cacert)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(anchors.iter().cloned());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(Some(Known { anchors, chains: chains.map_err(|error| wrong(cacert, &error))? }))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CallError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    certificates.map_err(|error| wrong(path, &error))
}

fn unopened(path: &Path, TlsError(reason): TlsError) -> CallError {
    CallError { file: path.display().to_string(), reason }
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> CallError {
    CallError { file: path.display().to_string(), reason: error.to_string() }
}

/// The configured authorities.
#[derive(Debug)]
struct Known {
    anchors: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

/// Believes a server whose certificate leads to an authority, or is one: chain building refuses the latter (a CA
/// certificate is no end entity), and one certificate for everything is common.
#[derive(Debug)]
struct Servers {
    verify: Verify,
    known: Option<Known>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(known) = &self.known else {
            return match self.verify {
                Verify::Nothing => Ok(ServerCertVerified::assertion()),
                Verify::All | Verify::Authority => Err(CertificateError::UnknownIssuer.into()),
            };
        };
        if known.anchors.iter().any(|anchor| anchor == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match known.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.verify == Verify::Authority => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
