//! Times that operators give: ISO 8601 in its usual spellings, always with a zone (rest-api §7.5).

use super::page::{self, Answer};
use crate::ports;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use regent_core::model::WallTime;

/// A time in the future, or the answer that says what is wrong with it.
pub(super) fn parse(text: &str, what: &str) -> Result<WallTime, Answer> {
    let unreadable = || {
        let why = "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601";
        page::text(422, why)
    };
    let (civil, zone) = split_zone(text.trim());
    let civil: DateTime = complete(civil).parse().map_err(|_| unreadable())?;
    let Some(zone) = zone else {
        let why = format!("Timezone information is mandatory for the scheduled {what}");
        return Err(page::text(400, &why));
    };
    let offset = offset(zone).ok_or_else(unreadable)?;
    let at = civil.to_zoned(TimeZone::fixed(offset)).map_err(|_| unreadable())?.timestamp();
    if at.as_microsecond() < ports::wall_now().0 {
        return Err(page::text(422, &format!("Cannot schedule {what} in the past")));
    }
    Ok(WallTime(at.as_microsecond()))
}

/// The time in ISO form with offset.
pub(super) fn iso(at: WallTime) -> String {
    let at = Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.f+00:00").to_string()
}

fn split_zone(text: &str) -> (&str, Option<&str>) {
    for suffix in ["UTC", "Z", "z"] {
        if let Some(civil) = text.strip_suffix(suffix) {
            return (civil.trim_end(), Some("+00"));
        }
    }
    // A sign after the date belongs to an offset.
    match text.char_indices().skip(10).find(|(_, c)| matches!(c, '+' | '-')) {
        Some((at, _)) => (text[..at].trim_end(), Some(&text[at..])),
        None => (text, None),
    }
}

/// A date without a time is midnight; hours without minutes are full.
fn complete(civil: &str) -> String {
    let civil = civil.replacen(' ', "T", 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_are_understood() {
        let at = |text: &str| parse(text, "restart").ok().map(iso);
        let expected = Some("2099-01-02T03:04:00+00:00".to_owned());
        for text in [
            "2099-01-02T03:04Z",
            "2099-01-02 03:04:00 UTC",
            "2099-01-02T03:04:00+00:00",
            "2099-01-02T05:04+02",
            "2099-01-02T01:34:00-0130",
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        let code = |text: &str| parse(text, "restart").err().map(|answer| answer.status().as_u16());
        assert_eq!(code("2099-01-02T03:04"), Some(400));
        assert_eq!(code("2019-01-02T03:04Z"), Some(422));
        assert_eq!(code("tomorrow"), Some(422));
        assert_eq!(code(""), Some(422));
    }
}
