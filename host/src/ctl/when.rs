//! Times that operators give to a command: local time where no zone is given.

use super::{CtlError, Result, output};
use crate::config::{GivenTime, read_time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// A moment, in the zone in which it was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct When(Zoned);

impl When {
    /// Reads a time; `None` for now.
    pub fn read(text: &str) -> Result<Option<When>> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("now") {
            return Ok(None);
        }
        let wrong = || {
            let hint = "It should be in an unambiguous format (e.g. ISO 8601)";
            CtlError::new(format!("Unable to parse scheduled timestamp ({text}). {hint}"))
        };
        let GivenTime { civil, offset } = read_time(text, Some(output::now().date())).ok_or_else(wrong)?;
        let zone = offset.map_or_else(TimeZone::system, TimeZone::fixed);
        Ok(Some(When(civil.to_zoned(zone).map_err(|_| wrong())?)))
    }

    /// With a `T` in the middle, as programs read it.
    pub fn iso(&self) -> String {
        self.with('T')
    }

    /// With a space in the middle, as people read it.
    pub fn spaced(&self) -> String {
        self.with(' ')
    }

    fn with(&self, middle: char) -> String {
        let micros = self.0.subsec_nanosecond() / 1000;
        let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
        let format = format!("%Y-%m-%d{middle}%H:%M:%S{fraction}%:z");
        self.0.strftime(&format).to_string()
    }
}

/// An example for a question: an hour from now.
pub(super) fn example() -> String {
    let now = output::now();
    let later = now.checked_add(SignedDuration::from_hours(1)).unwrap_or(now);
    later.strftime("%Y-%m-%dT%H:%M").to_string()
}

/// The moment it is, for comparison.
impl From<&When> for Timestamp {
    fn from(when: &When) -> Timestamp {
        when.0.timestamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_are_understood() {
        let iso = |text: &str| When::read(text).ok().flatten().map(|when| when.iso());
        let check = |text: &str, expected: &str| assert_eq!(iso(text).as_deref(), Some(expected), "{text}");
        check("2030-01-01T00:00Z", "2030-01-01T00:00:00+00:00");
        check("2030-01-01 00:00:00+02", "2030-01-01T00:00:00+02:00");
        check("2030-01-01T00:00:00.123456-0130", "2030-01-01T00:00:00.123456-01:30");
        check("2030-01-01 10 UTC", "2030-01-01T10:00:00+00:00");
        assert!(iso("2030-01-01").is_some_and(|text| text.starts_with("2030-01-01T00:00:00")));
        let at = When::read("2030-01-01T00:00Z").unwrap().unwrap();
        assert_eq!(at.spaced(), "2030-01-01 00:00:00+00:00");
        assert_eq!(Timestamp::from(&at).to_string(), "2030-01-01T00:00:00Z");
        assert_eq!(When::read("now").unwrap(), None);
        assert_eq!(When::read("").unwrap(), None);
        let error = When::read("bad").unwrap_err().0;
        assert!(error.starts_with("Unable to parse scheduled timestamp (bad). "), "{error}");
    }
}
