//! TLS for the rooms of the host: what `regent_tls` does for accounts and secrets as they were configured, with ring.

pub use regent_tls::{Encryption, Names, TlsError, any_server, certificates, trusted_server};

use regent_core::model::{Account, Secret};
use rustls::pki_types::PrivateKeyDer;
use std::path::Path;
use std::sync::Arc;

/// What `account` asks for. Connections over a socket file are never encrypted, as in libpq.
///
/// # Errors
///
/// A mode that is not known, or files that cannot be used.
pub fn encryption(account: &Account, over_socket: bool) -> Result<Encryption, TlsError> {
    if over_socket {
        return Ok(Encryption::None);
    }
    let option = |name: &str| match (name, &account.sslpassword) {
        ("sslpassword", Some(Secret(password))) => Some(password.clone()),
        _ => account.options.get(name).cloned(),
    };
    regent_tls::encryption(&option, &Arc::new(rustls::crypto::ring::default_provider()))
}

/// Reads a private key. A password that is not needed is not used.
///
/// # Errors
///
/// When there is no key in the file, or the password does not open it.
pub fn private_key(path: &Path, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, TlsError> {
    regent_tls::private_key(path, text(password))
}

/// The text of a file with a private key; the key alone, opened, where it needs its password.
///
/// # Errors
///
/// When the file cannot be read, or the password does not open its key.
pub fn private_key_pem(path: &Path, password: Option<&Secret>) -> Result<regent_tls::KeyText, TlsError> {
    regent_tls::private_key_pem(path, text(password))
}

fn text(password: Option<&Secret>) -> Option<&str> {
    password.map(|Secret(password)| password.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_file_needs_no_tls() {
        let mut account = Account::default();
        account.options.insert("sslmode".into(), "require".into());
        assert!(matches!(encryption(&account, true), Ok(Encryption::None)));
        assert!(matches!(encryption(&account, false), Ok(Encryption::Required(_))));
    }
}
