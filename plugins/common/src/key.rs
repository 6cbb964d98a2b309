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

#[cfg(test)]
mod tests {
    use super::*;
    use pkcs8::PrivateKeyInfo;
    use pkcs8::pkcs5::pbes2::Parameters;

    #[test]
    fn keys_open_with_their_password_only() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let (plain, pem) = (pair.serialize_der(), pair.serialize_pem());
        let info = PrivateKeyInfo::try_from(plain.as_slice()).expect("it is one");
        let parameters = Parameters::pbkdf2_sha256_aes256cbc(1000, &[7; 8], &[3; 16]).expect("they make sense");
        let locked = info.encrypt_with_params(parameters, "right").expect("it is encrypted");
        let locked = format!("a certificate\n{}", *locked.to_pem(LABEL, LineEnding::LF).expect("it is written"));
        let check = |file: &str, password: Option<&str>, expected: Result<&str, &str>| {
            let found = opened(file.as_bytes().to_vec(), password);
            let found = found.map(|key| String::from_utf8_lossy(&key).replace("\r\n", "\n"));
            let expected = expected.map(|text| text.replace("\r\n", "\n")).map_err(str::to_owned);
            assert_eq!(found, expected, "{password:?}");
        };
        check(&locked, Some("right"), Ok(&pem));
        check(&locked, Some("wrong"), Err("the password does not open the key"));
        check(&locked, None, Ok(&locked));
        check(&pem, Some("unused"), Ok(&pem));
    }
}
