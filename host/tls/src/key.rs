//! Private keys from files, with a password or without.

use super::TlsError;
use pkcs8::der::pem::LineEnding;
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;

/// The label of a key that needs its password (PKCS #8).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// How a key begins that was encrypted in the way from before PKCS #8.
const OLD_ENCRYPTION: &str = "Proc-Type: 4,ENCRYPTED";

/// A key as text, wiped out when it is dropped.
pub type KeyText = Zeroizing<String>;

/// Reads a private key. A password that is not needed is not used.
///
/// # Errors
///
/// When there is no key in the file, or the password does not open it.
pub fn private_key(path: &Path, password: Option<&str>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = private_key_pem(path, password)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable(path, &error))
}

/// The text of a file with a private key; the key alone, opened, where it needs its password.
///
/// # Errors
///
/// When the file cannot be read, or the password does not open its key.
pub fn private_key_pem(path: &Path, password: Option<&str>) -> Result<KeyText, TlsError> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| unusable(path, &error))?);
    if text.contains(OLD_ENCRYPTION) {
        let hint = "its key is encrypted in an old way; `openssl pkcs8 -topk8` makes it a usable one";
        return Err(unusable(path, &hint));
    }
    let Some(block) = encrypted_block(&text) else { return Ok(text) };
    let Some(password) = password else {
        return Err(unusable(path, &"its key is encrypted, and no password is configured"));
    };
    let (_, document) = SecretDocument::from_pem(block).map_err(|error| unusable(path, &error))?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| unusable(path, &error))?;
    let key = encrypted.decrypt(password).map_err(|_| unusable(path, &"the password does not open its key"))?;
    key.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError(format!("{} cannot be used: {why}", path.display()))
}

/// Certificates may stand in the same file.
fn encrypted_block(text: &str) -> Option<&str> {
    let start = text.find(&format!("-----BEGIN {ENCRYPTED}-----"))?;
    let end = format!("-----END {ENCRYPTED}-----");
    let length = text[start..].find(&end)? + end.len();
    Some(&text[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use pkcs8::PrivateKeyInfo;
    use pkcs8::pkcs5::pbes2::Parameters;

    #[test]
    fn keys_open_with_their_password_only() {
        let key = rcgen::KeyPair::generate().unwrap();
        let plain = key.serialize_der();
        let info = PrivateKeyInfo::try_from(plain.as_slice()).unwrap();
        let parameters = Parameters::pbkdf2_sha256_aes256cbc(1000, &[7; 8], &[3; 16]).unwrap();
        let encrypted = info.encrypt_with_params(parameters, "right").unwrap();
        let encrypted = encrypted.to_pem(ENCRYPTED, LineEnding::LF).unwrap();
        let check = |text: &str, password: Option<&str>, opens: bool| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let read = private_key(file.path(), password);
            assert_eq!(read.ok().map(|read| read.secret_der().to_vec()), opens.then(|| plain.clone()), "{password:?}");
        };
        check(&encrypted, Some("right"), true);
        check(&format!("a certificate\n{}\nmore", *encrypted), Some("right"), true);
        check(&encrypted, Some("wrong"), false);
        check(&encrypted, None, false);
        check(&key.serialize_pem(), None, true);
        check(&key.serialize_pem(), Some("unused"), true);
        check(OLD_ENCRYPTION, Some("right"), false);
        check("", None, false);
    }
}
