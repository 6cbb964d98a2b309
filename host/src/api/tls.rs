//! TLS for the listener: the certificate, its key, and who may come with a certificate of their own.

use super::{ApiError, Options};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What turns a connection into an encrypted one.
pub(super) type Acceptor = TlsAcceptor;

/// The acceptor for these options; `None` where TLS is not configured.
pub(super) fn acceptor(options: &Options) -> Result<Option<Acceptor>, ApiError> {
    let Some(certfile) = &options.certfile else {
        return Ok(None);
    };
    let keyfile = options.keyfile.as_ref().unwrap_or(certfile);
    let chain = certificates(certfile)?;
    let key = PrivateKeyDer::from_pem_file(keyfile).map_err(|error| wrong(keyfile, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certfile, &error))?;
    let builder = match (&options.cafile, options.verify_client.as_str()) {
        (Some(cafile), "required" | "optional") => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(cafile)?);
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if options.verify_client == "optional" {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(cafile, &error))?)
        }
        _ => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| wrong(certfile, &error))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ApiError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, &error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| wrong(path, &error))?;
    if certificates.is_empty() {
        return Err(ApiError::Certificate { file: path.display().to_string(), reason: "holds no certificate".into() });
    }
    Ok(certificates)
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::Certificate { file: path.display().to_string(), reason: error.to_string() }
}
