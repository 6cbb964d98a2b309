//! Times that operators give: ISO 8601 in its usual spellings; local time where no zone is given.

use super::{CtlError, Result, output};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
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
        let (civil, zone) = split_zone(text);
        let civil: DateTime = complete(civil).parse().map_err(|_| wrong())?;
        let zone = match zone {
            Some(zone) => TimeZone::fixed(offset(zone).ok_or_else(wrong)?),
            None => TimeZone::system(),
        };
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

fn split_zone(text: &str) -> (&str, Option<&str>) {
    for suffix in ["UTC", "Z", "z"] {
        if let Some(civil) = text.strip_suffix(suffix) {
            return (civil.trim_end(), Some("+00"));
        }
    }
    // A sign behind the date belongs to an offset.
    match text.char_indices().skip(10).find(|(_, letter)| matches!(letter, '+' | '-')) {
        Some((at, _)) => (text[..at].trim_end(), Some(&text[at..])),
        None => (text, None),
    }
}

/// A date without a time is midnight, a time without a date is today's, hours without minutes are full.
fn complete(civil: &str) -> String {
    let civil = civil.replacen(' ', "T", 1);
    if civil.len() == 5 && civil.contains(':') {
        return format!("{}T{civil}:00", output::now().strftime("%Y-%m-%d"));
    }
    match civil.split_once('T') {
        None => format!("{civil}T00:00:00"),
        Some((_, time)) if time.len() == 2 => format!("{civil}:00:00"),
        Some((_, time)) if time.len() == 5 => format!("{civil}:00"),
        Some(_) => civil,
    }
}

fn offset(zone: &str) -> Option<Offset> {
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes): (i32, i32) = match digits.len() {
        2 => (digits.parse().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        _ => return None,
    };
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
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
