//! Private keys that need a password (PKCS #8).

use pkcs8::der::pem::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};

/// The label of such a key.
const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// The file as it is, or its key alone, opened, where it needs the password and there is one.
///
/// # Errors
/// One phrase.
pub(crate) fn opened(file: Vec<u8>, password: Option<&str>) -> Result<Vec<u8>, String> {
    let text = String::from_utf8_lossy(&file);
    let (Some(block), Some(password)) = (encrypted(&text), password) else { return Ok(file) };
    let (_, document) = SecretDocument::from_pem(block).map_err(|error| error.to_string())?;
    let key = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| error.to_string())?;
    let key = key.decrypt(password).map_err(|_| "the password does not open the key".to_owned())?;
    let pem = key.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| error.to_string())?;
    Ok(pem.as_bytes().to_vec())
}

/// Certificates may stand in the same file.
fn encrypted(text: &str) -> Option<&str> {
    let start = text.find(&format!("-----BEGIN {LABEL}-----"))?;
    let end = format!("-----END {LABEL}-----");
    let length = text[start..].find(&end)? + end.len();
    Some(&text[start..start + length])
}
