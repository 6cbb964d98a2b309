//! Times that operators give: ISO 8601 in its usual spellings, with or without a zone. What a time without one means is
//! for whoever asked.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// A time as it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GivenTime {
    /// Date and time of the day.
    pub civil: DateTime,
    /// The zone, where one was given.
    pub offset: Option<Offset>,
}

/// Reads a time; a time of the day alone is `today`'s, where that is given. `None` where it is not understood.
pub fn read_time(text: &str, today: Option<Date>) -> Option<GivenTime> {
    let (civil, zone) = split_zone(text.trim());
    let civil = complete(civil, today).parse().ok()?;
    let offset = match zone {
        Some(zone) => Some(offset(zone)?),
        None => None,
    };
    Some(GivenTime { civil, offset })
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

/// A date without a time is midnight, hours without minutes are full.
fn complete(civil: &str, today: Option<Date>) -> String {
    let civil = civil.replacen(' ', "T", 1);
    if let Some(today) = today.filter(|_| civil.len() == 5 && civil.contains(':')) {
        return format!("{today}T{civil}:00");
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_of_the_day_is_todays_where_that_is_known() {
        let today = jiff::civil::date(2030, 5, 6);
        let read = read_time("07:08", Some(today)).map(|time| time.civil);
        assert_eq!(read, Some(today.at(7, 8, 0, 0)));
        assert_eq!(read_time("07:08", None), None);
        assert_eq!(read_time("2030-05-06 07", None).map(|time| time.civil), Some(today.at(7, 0, 0, 0)));
        assert_eq!(read_time("2030-05-06 07:08+2", None), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_hurts(text in "\\PC{0,40}") {
            let today = jiff::civil::date(2030, 5, 6);
            prop_assert_eq!(read_time(&text, None).is_some() && read_time(&text, Some(today)).is_none(), false);
        }
    }
}
