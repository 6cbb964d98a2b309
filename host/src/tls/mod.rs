//! TLS to PostgreSQL servers as libpq's `sslmode` and its companions describe it, done with rustls. It opens no
//! connection and knows no server.

mod key;

pub use key::{private_key, private_key_pem};

use regent_core::model::Account;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS cannot be done as it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);

/// Whether a connection is encrypted.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// Never.
    None,
    /// Where the server offers it.
    Preferred(Arc<ClientConfig>),
    /// Or there is no connection.
    Required(Arc<ClientConfig>),
}

/// What `account` asks for. Connections over a socket file are never encrypted, as in libpq.
///
/// # Errors
///
/// A mode that is not known, or files that cannot be used.
pub fn encryption(account: &Account, over_socket: bool) -> Result<Encryption, TlsError> {
    let option = |name: &str| account.options.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let mode = option("sslmode").unwrap_or("prefer");
    if over_socket || mode == "disable" {
        return Ok(Encryption::None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, option("sslrootcert")) {
        ("allow" | "prefer", _) | ("require", None) => Arc::new(AnyServer { provider: provider.clone() }),
        // A root certificate given with `require` is used like with `verify-ca`.
        ("require" | "verify-ca", root) => trusted(provider.clone(), root, account, Names::Any)?,
        ("verify-full", root) => trusted(provider.clone(), root, account, Names::MustMatch)?,
        (other, _) => return Err(TlsError(format!("sslmode {other:?} is not known"))),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (option("sslcert"), option("sslkey")) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(Path::new(certificate))?;
            let key = private_key(Path::new(key), account.sslpassword.as_ref())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| TlsError(error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    let config = Arc::new(config);
    Ok(if matches!(mode, "allow" | "prefer") { Encryption::Preferred(config) } else { Encryption::Required(config) })
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError(format!("{} cannot be used: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unusable(path, &error))
}

fn revocations(account: &Account) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut files: Vec<PathBuf> = account.options.get("sslcrl").map(PathBuf::from).into_iter().collect();
    if let Some(folder) = account.options.get("sslcrldir") {
        let entries = std::fs::read_dir(folder).map_err(|error| unusable(Path::new(folder), &error))?;
        files.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    let mut lists = Vec::new();
    for file in files {
        let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(&file).and_then(Iterator::collect);
        lists.extend(read.map_err(|error| unusable(&file, &error))?);
    }
    Ok(lists)
}

fn trusted(
    provider: Arc<CryptoProvider>,
    root: Option<&str>,
    account: &Account,
    names: Names,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let root = root.ok_or_else(|| TlsError("this sslmode needs sslrootcert".into()))?;
    let anchors = certificates(Path::new(root))?;
    let mut store = RootCertStore::empty();
    for anchor in &anchors {
        store.add(anchor.clone()).map_err(|error| unusable(Path::new(root), &error))?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .with_crls(revocations(account)?)
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| TlsError(error.to_string()))?;
    Ok(Arc::new(TrustedServer { chain, anchors, names }))
}

/// `verify-ca` does not look at names, `verify-full` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Any,
    MustMatch,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_decides_whether_tls_is_used() {
        let mode = |name: &str, socket| {
            let mut account = Account::default();
            account.options.insert("sslmode".into(), name.into());
            encryption(&account, socket)
        };
        assert!(matches!(encryption(&Account::default(), false), Ok(Encryption::Preferred(_))));
        assert!(matches!(mode("disable", false), Ok(Encryption::None)));
        assert!(matches!(mode("require", false), Ok(Encryption::Required(_))));
        assert!(matches!(mode("require", true), Ok(Encryption::None)));
        assert!(mode("verify-full", false).is_err());
        assert!(mode("always", false).is_err());
    }
}
