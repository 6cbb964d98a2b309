//! Positions in the write-ahead log, and timelines.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log; written `X/X` in upper-case hexadecimal without padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// How many bytes `self` is behind `ahead`; zero if it is not behind.
    pub fn behind(self, ahead: Lsn) -> u64 {
        ahead.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A text that is not a write-ahead log position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnLsn(pub String);

impl fmt::Display for NotAnLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a write-ahead log position of the form X/X", self.0)
    }
}

impl std::error::Error for NotAnLsn {}

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Self, NotAnLsn> {
        let wrong = || NotAnLsn(text.to_owned());
        let (high, low) = text.trim().split_once('/').ok_or_else(wrong)?;
        let part = |digits: &str| {
            if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            u64::from_str_radix(digits, 16).map_err(|_| wrong())
        };
        Ok(Lsn(part(high)? << 32 | part(low)?))
    }
}

/// A timeline of the write-ahead log; 1 for a fresh cluster, one more after each promotion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Lsn>().ok().map(|lsn| lsn.0), expected, "{text:?}");
    }

    #[test]
    fn parses_what_postgresql_prints_and_nothing_else() {
        check("0/3000060", Some(50331744));
        check("16/B374D848", Some(0x16_B374_D848));
        check("", None);
        check("1", None);
        check("/1", None);
        check("1/", None);
        check("1/+2", None);
        check("1/123456789", None);
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(value: u64) {
            prop_assert_eq!(Lsn(value).to_string().parse::<Lsn>().unwrap(), Lsn(value));
        }
    }
}
