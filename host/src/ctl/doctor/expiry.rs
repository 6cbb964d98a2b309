//! When certificates end: the one thing of them that an operator has to know before everybody else notices.

use crate::tls::{TlsError, certificates};
use regent_core::model::WallTime;
use std::path::Path;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The end of the certificate in a file that ends first.
///
/// # Errors
/// When the file holds none, or what is no certificate.
pub(super) fn expiry(path: &Path) -> Result<WallTime, TlsError> {
    let ends: Option<Vec<WallTime>> = certificates(path)?.iter().map(|one| not_after(one)).collect();
    let unreadable = || TlsError(format!("{} cannot be used: it does not say until when it is good", path.display()));
    ends.and_then(|ends| ends.into_iter().min()).ok_or_else(unreadable)
}

fn not_after(certificate: &[u8]) -> Option<WallTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    i64::try_from(end.as_micros()).ok().map(WallTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(year: i32) -> Option<i64> {
        let mut params = rcgen::CertificateParams::new(vec!["node1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        not_after(params.self_signed(&key).unwrap().der()).map(|end| end.0 / 1_000_000)
    }

    #[test]
    fn the_end_is_read_in_both_spellings() {
        assert_eq!(end_of(2031), Some(1_927_843_200));
        assert_eq!(end_of(2150), Some(5_683_132_800));
    }

    #[test]
    fn the_first_end_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = |year| {
            let mut params = rcgen::CertificateParams::new(vec!["node1".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 2, 3);
            params.self_signed(&key).unwrap().pem()
        };
        std::fs::write(file.path(), pem(2035) + &pem(2031)).unwrap();
        assert_eq!(expiry(file.path()).unwrap().0 / 1_000_000, 1_927_843_200);
        std::fs::write(file.path(), "").unwrap();
        assert!(expiry(file.path()).unwrap_err().0.contains("no certificate"));
    }
}
