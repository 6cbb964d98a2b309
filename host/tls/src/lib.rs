//! Certificates and keys as everybody here reads them, and TLS to PostgreSQL servers as libpq's `sslmode` and its
//! companions describe it, done with rustls. It opens no connection, knows no server, and takes its arithmetic from
//! whoever calls it: the daemon has ring, a component in the sandbox has what is written in Rust alone.

mod key;
mod servers;

pub use key::{KeyText, private_key, private_key_pem};
pub use servers::{Names, any_server, trusted_server};

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
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

/// What libpq's settings ask for; `option` knows their values by their names.
///
/// # Errors
///
/// A mode that is not known, or files that cannot be used.
pub fn encryption(
    option: &dyn Fn(&str) -> Option<String>,
    provider: &Arc<CryptoProvider>,
) -> Result<Encryption, TlsError> {
    let option = |name: &str| option(name).filter(|value| !value.is_empty());
    let mode = option("sslmode").unwrap_or_else(|| "prefer".into());
    if mode == "disable" {
        return Ok(Encryption::None);
    }
    let trusted = |root: Option<String>, names| {
        let root = root.ok_or_else(|| TlsError("this sslmode needs sslrootcert".into()))?;
        trusted_server(provider, Path::new(&root), revocations(&option)?, names)
    };
    let verifier = match (mode.as_str(), option("sslrootcert")) {
        ("allow" | "prefer", _) | ("require", None) => any_server(provider),
        // A root certificate given with `require` is used like with `verify-ca`.
        ("require" | "verify-ca", root) => trusted(root, Names::Any)?,
        ("verify-full", root) => trusted(root, Names::MustMatch)?,
        (other, _) => return Err(TlsError(format!("sslmode {other:?} is not known"))),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (option("sslcert"), option("sslkey")) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(Path::new(&certificate))?;
            let key = private_key(Path::new(&key), option("sslpassword").as_deref())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| TlsError(error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    let config = Arc::new(config);
    let wish = matches!(mode.as_str(), "allow" | "prefer");
    Ok(if wish { Encryption::Preferred(config) } else { Encryption::Required(config) })
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError(format!("{} cannot be used: {error}", path.display()))
}

/// Reads the certificates in a file: one at least.
///
/// # Errors
/// When it cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, &"holds no certificate")),
        found => found.map_err(|error| unusable(path, &error)),
    }
}

fn revocations(
    option: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut files: Vec<PathBuf> = option("sslcrl").map(PathBuf::from).into_iter().collect();
    if let Some(folder) = option("sslcrldir") {
        let entries = std::fs::read_dir(&folder).map_err(|error| unusable(Path::new(&folder), &error))?;
        files.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    let mut lists = Vec::new();
    for file in files {
        let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(&file).and_then(Iterator::collect);
        lists.extend(read.map_err(|error| unusable(&file, &error))?);
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_decides_whether_tls_is_used() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mode = |wanted: Option<&str>| {
            let wanted = wanted.map(str::to_owned);
            encryption(&move |name| wanted.clone().filter(|_| name == "sslmode"), &provider)
        };
        assert!(matches!(mode(None), Ok(Encryption::Preferred(_))));
        assert!(matches!(mode(Some("")), Ok(Encryption::Preferred(_))));
        assert!(matches!(mode(Some("disable")), Ok(Encryption::None)));
        assert!(matches!(mode(Some("require")), Ok(Encryption::Required(_))));
        assert!(mode(Some("verify-full")).is_err());
        assert!(mode(Some("always")).is_err());
    }
}
