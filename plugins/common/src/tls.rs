//! Certificates: whom we trust, who we are. Read once, when the section is read.

use crate::key;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Where distributions keep the authorities that everybody trusts.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The files as configured.
pub struct Files {
    /// `cacert`
    pub ca: Option<String>,
    /// `cert`
    pub certificate: Option<String>,
    /// `key`
    pub key: Option<String>,
}

/// The files as read.
#[derive(Clone, PartialEq)]
pub struct Tls {
    /// Whom we trust; `None`: whom the system trusts.
    authorities: Option<Vec<CertificateDer<'static>>>,
    /// Our certificate with its key, PEM.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authorities = self.authorities.as_ref().map(Vec::len);
        write!(f, "Tls(authorities: {authorities:?}, identity: {})", self.identity.is_some())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The key of the section, and what is wrong with it.
    pub fn read(files: &Files) -> Result<Tls, (&'static str, String)> {
        Tls::read_with(files, None)
    }

    /// The same; the key may need that password.
    ///
    /// # Errors
    /// The key of the section, and what is wrong with it.
    pub fn read_with(files: &Files, password: Option<&str>) -> Result<Tls, (&'static str, String)> {
        let authorities = match &files.ca {
            Some(path) => Some(certificates(path).map_err(|why| ("cacert", why))?),
            None => None,
        };
        let identity = match (&files.certificate, &files.key) {
            (None, None) => None,
            (None, Some(_)) => return Err(("cert", "must be given together with key".to_owned())),
            (Some(certificate), key) => {
                // One file may hold both.
                let key_path = key.as_ref().unwrap_or(certificate);
                certificates(certificate).map_err(|why| ("cert", why))?;
                let of_key = if key.is_some() { "key" } else { "cert" };
                let key = read(key_path).map_err(|why| (of_key, why))?;
                let key = key::opened(key, password).map_err(|why| (of_key, format!("{key_path}: {why}")))?;
                PrivateKeyDer::from_pem_slice(&key)
                    .map_err(|_| (of_key, format!("{key_path}: holds no unencrypted private key in PEM form")))?;
                Some((read(certificate).map_err(|why| ("cert", why))?, key))
            }
        };
        Ok(Tls { authorities, identity })
    }

    /// Our certificate and its key, PEM.
    pub fn identity(&self) -> Option<(&[u8], &[u8])> {
        self.identity.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()))
    }

    /// Who looks at the server's certificate.
    ///
    /// # Errors
    /// One phrase.
    pub fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, String> {
        Ok(Arc::new(self.known_authorities()?))
    }

    /// How to encrypt; without `verify` whoever answers is believed to be the server.
    ///
    /// # Errors
    /// One phrase.
    pub fn https(&self, verify: bool) -> Result<rustls::ClientConfig, String> {
        let verifier = if verify { self.verifier()? } else { Arc::new(Anybody(provider())) };
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).flatten().collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
        builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
    }

    fn known_authorities(&self) -> Result<Verifier, String> {
        let pinned = self.authorities.clone().unwrap_or_default();
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(authorities) => {
                for certificate in authorities {
                    roots.add(certificate.clone()).map_err(|error| format!("cacert: {error}"))?;
                }
            }
            None => roots.add_parsable_certificates(system_authorities()?).0.checked_sub(1).map_or_else(
                || Err("no authority of the system's bundle can be used: set cacert".to_owned()),
                |_| Ok(()),
            )?,
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Verifier { inner, pinned })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{path}: holds no certificate in PEM form")),
    }
}

fn system_authorities() -> Result<Vec<CertificateDer<'static>>, String> {
    let bundle = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read(path).ok());
    let bundle = bundle.ok_or("the system has no bundle of authorities: set cacert")?;
    Ok(CertificateDer::pem_slice_iter(&bundle).flatten().collect())
}

/// The usual checks, with one more way to pass: a server may show a certificate that `cacert` itself holds, even if it
/// is an authority's. That is how many small clusters are set up: one self-signed certificate for everything.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // Whether it ended is looked at before whether it is an authority's: an old one is refused as such.
        let Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) = &verdict else {
            return verdict;
        };
        if !self.pinned.iter().any(|pinned| pinned == end_entity) {
            return verdict;
        }
        rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// No checks but that the other side has the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
