//! Durations as Go writes them: `10s`, `24h0m0s`, `1m30.5s`.

use std::time::Duration;

const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Reads one; nothing if it is none.
pub(crate) fn read(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (figures, after) = rest.split_at(number);
        let unit = after.find(|one: char| one.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += figures.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Writes one: in whole seconds where it can be.
pub(crate) fn write(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(read(text), expected.map(Duration::from_millis), "{text}");
        };
        check("10s", Some(10_000));
        check("24h0m0s", Some(86_400_000));
        check("1m30.5s", Some(90_500));
        check("250ms", Some(250));
        check("0s", Some(0));
        for text in ["", "10", "s", "1x", "-1s", "1.2.3s"] {
            check(text, None);
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        let check = |millis: u64, expected: &str| {
            let duration = Duration::from_millis(millis);
            assert_eq!(write(duration), expected);
            assert_eq!(read(expected), Some(duration));
        };
        check(150_000, "150s");
        check(1500, "1500ms");
        check(0, "0s");
    }
}
