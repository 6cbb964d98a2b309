//! Tells heartbeats from news: values in which nothing but figures moved on.

/// Whether two values are the same but for the figures in them: positions that moved on.
pub fn differ_in_figures_only(a: &[u8], b: &[u8]) -> bool {
    let mut a = Shape(a);
    let mut b = Shape(b);
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (left, right) if left != right => return false,
            _ => {}
        }
    }
}

/// The bytes of a value, each run of figures as one.
struct Shape<'a>(&'a [u8]);

impl Iterator for Shape<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !first.is_ascii_digit() {
            self.0 = rest;
            return Some(*first);
        }
        let after = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.0 = &rest[after..];
        Some(b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_told_from_news() {
        let check = |a: &str, b: &str, expected: bool| {
            assert_eq!(differ_in_figures_only(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        };
        check("", "", true);
        check(r#"{"xlog_location":99}"#, r#"{"xlog_location":100}"#, true);
        check(r#"{"a":1}"#, r#"{"a":}"#, false);
        check(r#"{"role":"replica"}"#, r#"{"role":"primary"}"#, false);
        check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false);
    }
}
