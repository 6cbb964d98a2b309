//! Which plain words of YAML 1.1 are something else than text. Text that reads so needs quotes.

/// It is read as a truth, a number, a time, nothing, or a sign of YAML's own.
pub(super) fn is_something(text: &str) -> bool {
    is_word(text) || is_integer(text) || is_float(text) || is_time(text)
}

fn is_word(text: &str) -> bool {
    const NAMES: [&str; 6] = ["yes", "no", "true", "false", "on", "off"];
    let cased = |name: &str| {
        let title = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        text == name || text == title || text == name.to_uppercase()
    };
    NAMES.iter().any(|name| cased(name)) || cased("null") || matches!(text, "" | "~" | "=" | "<<")
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, fits: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter == '_' || fits(letter))
}

fn is_decimal(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit()) && all(text, |letter| letter.is_ascii_digit())
}

fn is_integer(text: &str) -> bool {
    let text = unsigned(text);
    if let Some(bits) = text.strip_prefix("0b") {
        return all(bits, |letter| matches!(letter, '0' | '1'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |letter| letter.is_ascii_hexdigit());
    }
    match text.strip_prefix('0') {
        Some("") => true,
        Some(octal) => all(octal, |letter| ('0'..='7').contains(&letter)),
        None => is_decimal(text) || is_base_60(text),
    }
}

/// `12:30:00`: whatever follows the first part is below 60.
fn is_base_60(text: &str) -> bool {
    let Some((first, rest)) = text.split_once(':') else { return false };
    let below_60 = |part: &str| {
        let digits = part.len() <= 2 && part.chars().all(|letter| letter.is_ascii_digit());
        digits && part.parse::<u8>().is_ok_and(|number| number < 60)
    };
    is_decimal(first) && rest.split(':').all(below_60)
}

fn is_float(text: &str) -> bool {
    let bare = unsigned(text);
    if matches!(bare, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match bare.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (bare, None),
    };
    let signed = |exponent: &str| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|letter| letter.is_ascii_digit())
    };
    let Some((whole, fraction)) = mantissa.split_once('.') else { return false };
    let fraction_fits = fraction.is_empty() || all(fraction, |letter| letter.is_ascii_digit());
    let whole_fits = is_decimal(whole)
        || (whole.is_empty() && bare == text && is_decimal(fraction))
        || (exponent.is_none() && is_base_60(whole));
    whole_fits && fraction_fits && exponent.is_none_or(signed)
}

/// A date, or a date and a time.
fn is_time(text: &str) -> bool {
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_digit())
    };
    let end = text.find(['T', 't', ' ', '\t']).unwrap_or(text.len());
    let (date, time) = text.split_at(end);
    let parts: Vec<_> = date.split('-').collect();
    let &[year, month, day] = parts.as_slice() else { return false };
    if !digits(year, 4..=4) {
        return false;
    }
    if time.is_empty() {
        return digits(month, 2..=2) && digits(day, 2..=2);
    }
    let clock = time.trim_start_matches(['T', 't', ' ', '\t']);
    let zone = clock.find(['Z', '+', '-', ' ']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone);
    let parts: Vec<_> = clock.split(':').collect();
    let &[hours, minutes, seconds] = parts.as_slice() else { return false };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    digits(month, 1..=2)
        && digits(day, 1..=2)
        && digits(hours, 1..=2)
        && digits(minutes, 2..=2)
        && digits(seconds, 2..=2)
        && digits(fraction, 0..=99)
        && is_zone(zone.trim_start())
}

fn is_zone(text: &str) -> bool {
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_digit());
    match text.strip_prefix(['+', '-']) {
        Some(offset) => match offset.split_once(':') {
            Some((hours, minutes)) => digits(hours) && minutes.len() == 2 && digits(minutes),
            None => digits(offset),
        },
        None => matches!(text, "" | "Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_something;

    #[test]
    fn text_is_told_from_the_rest() {
        for text in ["yes", "On", "NULL", "~", "", "1", "-1", "0x10", "1_000", "12:30", ".5", "1.", "1.0e+5", "0b1"] {
            assert!(is_something(text), "{text:?}");
        }
        for text in ["2020-01-01", "2026-11-20T19:58:32.380153+00:00", "2020-01-01 10:00:00", "=", "<<", ".inf", "007"]
        {
            assert!(is_something(text), "{text:?}");
        }
        for text in ["y", "1e5", "0o7", "0/3000060", "a", "1.2.3", "12:60", "2020-1-1", "08", "yEs", ":", "-", "1-2-3"]
        {
            assert!(!is_something(text), "{text:?}");
        }
        assert!(!is_something("2030-01-01T00:00:00+00:00 if version < 9.6"));
    }
}
