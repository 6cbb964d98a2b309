//! Times for later that operators give to the API: always with a zone (rest-api §7.5).

use super::page::{self, Answer};
use crate::config::{GivenTime, read_time};
use crate::ports;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use regent_core::model::WallTime;

/// A time in the future, or the answer that says what is wrong with it.
pub(super) fn parse(text: &str, what: &str) -> Result<WallTime, Answer> {
    let unreadable = || {
        let why = "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601";
        page::text(422, why)
    };
    let GivenTime { civil, offset } = read_time(text, None).ok_or_else(unreadable)?;
    let Some(offset) = offset else {
        let why = format!("Timezone information is mandatory for the scheduled {what}");
        return Err(page::text(400, &why));
    };
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
