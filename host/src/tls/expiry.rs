//! When certificates end: the one thing of them that an operator has to know before everybody else notices.

use super::{TlsError, certificates, unusable};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regent_core::model::WallTime;
use std::path::Path;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the certificate in a file that ends first.
///
/// # Errors
/// When the file holds none, or what is no certificate.
pub fn expiry(path: &Path) -> Result<WallTime, TlsError> {
    let ends: Option<Vec<WallTime>> = certificates(path)?.iter().map(|one| not_after(one)).collect();
    let first = ends.and_then(|ends| ends.into_iter().min());
    first.ok_or_else(|| unusable(path, &"does not say until when it is good"))
}

/// A certificate is a sequence whose first part is a sequence of version, serial number, algorithm, issuer, validity...
fn not_after(certificate: &[u8]) -> Option<WallTime> {
    let (tag, whole, _) = part(certificate)?;
    let (inner_tag, mut rest, _) = part(whole)?;
    if (tag, inner_tag) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    if rest.first() == Some(&VERSION) {
        rest = part(rest)?.2;
    }
    for _serial_algorithm_issuer in 0..3 {
        rest = part(rest)?.2;
    }
    let (_, validity, _) = part(rest)?;
    let (_, _, behind_the_begin) = part(validity)?;
    let (tag, text, _) = part(behind_the_begin)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// The first part: its tag and content, and what is behind it.
fn part(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(*first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(it, _)| it.len() <= 4)?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, which means 1950 to 2049, or the same with four digits of the year.
fn moment(tag: u8, text: &str) -> Option<WallTime> {
    let text = match tag {
        UTC_TIME => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let civil = DateTime::strptime("%Y%m%d%H%M%S", text.strip_suffix('Z')?).ok()?;
    Some(WallTime(TimeZone::UTC.to_timestamp(civil).ok()?.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = not_after(&bytes);
        }
    }
}
