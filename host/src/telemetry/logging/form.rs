//! How a record looks: text as existing configurations describe it, or a JSON object (LOG-02, LOG-09).

use super::record::Record;
use serde_json::{Map, Value};

/// A form, read once.
pub(super) struct Form {
    kind: Kind,
    dateformat: Option<String>,
}

enum Kind {
    Plain(Vec<Piece>),
    Json { fields: Vec<(String, String)>, fixed: Vec<(String, Value)> },
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// `%(name)-8s`
    Placeholder {
        name: String,
        left: bool,
        zero: bool,
        width: usize,
        digits: Option<usize>,
    },
}

impl Form {
    pub(super) fn plain(text: &str, dateformat: Option<&str>) -> Form {
        Form { kind: Kind::Plain(pieces(text)), dateformat: usable(dateformat) }
    }

    pub(super) fn json(fields: &[(String, String)], fixed: &[(String, Value)], dateformat: Option<&str>) -> Form {
        let kind = Kind::Json { fields: fields.to_vec(), fixed: fixed.to_vec() };
        Form { kind, dateformat: usable(dateformat) }
    }

    /// A record as a line, with its end.
    pub(super) fn line(&self, record: &Record) -> String {
        let mut line = String::with_capacity(record.message.len() + 64);
        match &self.kind {
            Kind::Plain(pieces) => pieces.iter().for_each(|piece| self.append(&mut line, piece, record)),
            Kind::Json { fields, fixed } => {
                let own = fields.iter().map(|(name, shown)| (shown.clone(), self.value(name, record)));
                let object: Map<String, Value> = own.chain(fixed.iter().cloned()).collect();
                line.push_str(&Value::Object(object).to_string());
            }
        }
        line.push('\n');
        line
    }

    fn append(&self, line: &mut String, piece: &Piece, record: &Record) {
        let (name, left, zero, width, digits) = match piece {
            Piece::Text(text) => return line.push_str(text),
            Piece::Placeholder { name, left, zero, width, digits } => (name, *left, *zero, *width, *digits),
        };
        let text = match (self.value(name, record), digits) {
            (Value::String(text), Some(most)) => text.chars().take(most).collect(),
            (Value::String(text), None) => text,
            (Value::Number(number), Some(digits)) => format!("{:.digits$}", number.as_f64().unwrap_or_default()),
            (other, _) => other.to_string(),
        };
        let missing = width.saturating_sub(text.chars().count());
        let fill = if zero && !left { "0" } else { " " };
        if left {
            line.push_str(&text);
            line.push_str(&" ".repeat(missing));
        } else {
            line.push_str(&fill.repeat(missing));
            line.push_str(&text);
        }
    }

    /// What a placeholder stands for; what there is none of is an empty text.
    fn value(&self, name: &str, record: &Record) -> Value {
        let micros = record.at.rem_euclid(1_000_000);
        let file_name = || record.file.rsplit('/').next().unwrap_or_default();
        match name {
            "asctime" => Value::from(self.time(record.at)),
            "levelname" => Value::from(record.level_name()),
            "levelno" => Value::from(record.level_number()),
            "message" => Value::from(record.message.clone()),
            "name" => Value::from(record.target.replace("::", ".")),
            "module" => Value::from(file_name().trim_end_matches(".rs")),
            "filename" => Value::from(file_name()),
            "pathname" => Value::from(record.file),
            "lineno" => Value::from(record.line),
            "process" => Value::from(std::process::id()),
            "processName" | "threadName" => Value::from("regent"),
            "thread" => Value::from(nix::unistd::gettid().as_raw()),
            "created" => Value::from(record.at as f64 / 1e6),
            "msecs" => Value::from(micros / 1000),
            "relativeCreated" => Value::from(record.since_start()),
            _ => Value::from(""),
        }
    }

    /// Local time.
    fn time(&self, at: i64) -> String {
        let now = jiff::Timestamp::from_microsecond(at).unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
        match &self.dateformat {
            Some(format) => jiff::fmt::strtime::format(format, &now).unwrap_or_default(),
            None => format!("{},{:03}", now.strftime("%Y-%m-%d %H:%M:%S"), now.subsec_nanosecond() / 1_000_000),
        }
    }
}

/// A form of time that can be used; another is as none.
fn usable(dateformat: Option<&str>) -> Option<String> {
    let format = dateformat.filter(|format| !format.is_empty())?;
    let now = jiff::Timestamp::default().to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &now).is_ok().then(|| format.to_owned())
}

/// Reads `%(name)s` with flags, width and digits, and `%%`; what is neither stays as it is.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            plain.push('%');
            rest = after;
        } else if let Some((piece, after)) = placeholder(rest) {
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
            rest = after;
        } else {
            plain.push('%');
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

/// `(name)-08.3s` and what follows.
fn placeholder(text: &str) -> Option<(Piece, &str)> {
    // Wider than any line: a slip of the pen must not fill the memory.
    const WIDEST: usize = 1000;
    let (name, rest) = text.strip_prefix('(')?.split_once(')')?;
    let kind = rest.find(|c: char| c.is_ascii_alphabetic())?;
    let (measure, after) = (&rest[..kind], &rest[kind + 1..]);
    let digits_at = measure.find(|c: char| c.is_ascii_digit() && c != '0').unwrap_or(measure.len());
    let flags_end = measure[..digits_at].find('.').unwrap_or(digits_at);
    let (flags, size) = measure.split_at(flags_end);
    if !flags.chars().all(|flag| "-0+ #".contains(flag)) {
        return None;
    }
    let (width, digits) = size.split_once('.').map_or((size, None), |(width, digits)| (width, Some(digits)));
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse().ok() };
    let piece = Piece::Placeholder {
        name: name.to_owned(),
        left: flags.contains('-'),
        zero: flags.contains('0'),
        width: number(width)?.min(WIDEST),
        digits: match digits {
            Some(digits) => Some(number(digits)?.min(WIDEST)),
            None => None,
        },
    };
    Some((piece, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tracing::Level;

    fn record() -> Record {
        Record {
            at: 1_700_000_000_123_456,
            level: Level::WARN,
            target: "regent::agent::fold",
            file: "host/src/agent/fold.rs",
            line: 42,
            message: "it \"rains\"".to_owned(),
        }
    }

    fn check(form: &str, expected: &str) {
        assert_eq!(Form::plain(form, None).line(&record()), format!("{expected}\n"), "{form}");
    }

    #[test]
    fn placeholders_are_filled() {
        // LOG-02
        check("%(levelname)s: %(message)s", "WARNING: it \"rains\"");
        check("[%(levelname)-9s] %(name)s:%(lineno)05d", "[WARNING  ] regent.agent.fold:00042");
        check("%(module)s %(filename)10s|%(levelno)d", "fold    fold.rs|30");
        check("%(created).2f %(msecs)03d", "1700000000.12 123");
        check("%(levelname).1s 100%% %(nothing)s %s %", "W 100%  %s %");
        check("%(open", "%(open");
    }

    #[test]
    fn the_level_starts_at_column_24() {
        let line = Form::plain(super::super::DEFAULT_FORM, None).line(&record());
        assert_eq!(&line[24..33], "WARNING: ");
        assert_eq!(&line[19..24], ",123 ");
    }

    #[test]
    fn the_time_has_the_form_that_was_asked_for() {
        // LOG-04
        let line = |format| Form::plain("%(asctime)s", Some(format)).line(&record());
        assert!(line("%Y|").starts_with("2023|"));
        assert_eq!(line("%Y %!").len(), 24, "a form that can not be used is as none");
    }

    #[test]
    fn an_object_keeps_the_order_of_its_fields() {
        // LOG-09
        let field = |name: &str, shown: &str| (name.to_owned(), shown.to_owned());
        let fields = [field("levelname", "severity"), field("message", "message"), field("lineno", "line")];
        let form = Form::json(&fields, &[("app".to_owned(), Value::from("db"))], None);
        let expected = "{\"severity\":\"WARNING\",\"message\":\"it \\\"rains\\\"\",\"line\":42,\"app\":\"db\"}\n";
        assert_eq!(form.line(&record()), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_a_form(text in ".{0,60}|(%\\([a-z]{0,9}\\)[-0-9.+ ]{0,5}[sdf]){0,4}", date in ".{0,20}") {
            let line = Form::plain(&text, Some(&date)).line(&record());
            prop_assert!(line.ends_with('\n'));
        }
    }
}
