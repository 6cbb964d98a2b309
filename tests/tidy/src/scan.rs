//! Walking over masked code: words, lines, matching braces.

use crate::mask::is_identifier_byte;

/// A word of the code: an identifier, a keyword or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Where it begins, in bytes.
    pub at: usize,
    /// The word.
    pub text: &'a str,
}

impl Word<'_> {
    /// Where it ends, in bytes.
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// Every word of the code, in order.
pub fn words(code: &str) -> impl Iterator<Item = Word<'_>> {
    let bytes = code.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_identifier_byte(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_identifier_byte(bytes[at]) {
            at += 1;
        }
        (at > start).then(|| Word { at: start, text: &code[start..at] })
    })
}

/// The line, counted from one, that holds the byte.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// What follows the byte, without leading white space.
pub fn rest_from(code: &str, at: usize) -> &str {
    code.get(at..).unwrap_or("").trim_start()
}

/// What stands before the byte, without trailing white space.
pub fn text_before(code: &str, at: usize) -> &str {
    code.get(..at).unwrap_or("").trim_end()
}

/// The body that an item beginning at `from` opens: from its brace to the matching one. An item
/// without a body ends at a semicolon and gives `None`.
pub fn body_after(code: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = code.as_bytes();
    let mut nesting = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => nesting += 1,
            b')' | b']' => nesting -= 1,
            b';' if nesting <= 0 => return None,
            b'{' if nesting <= 0 => return Some((at, closing_brace(bytes, at))),
            _ => {}
        }
    }
    None
}

/// Where the brace opened at `open` is closed, or the end of the text.
fn closing_brace(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_order() {
        let found: Vec<&str> = words("fn f_1(x: &'a u8) -> !").map(|word| word.text).collect();
        assert_eq!(found, ["fn", "f_1", "x", "a", "u8"]);
    }

    #[test]
    fn bodies_match() {
        let code = "fn f(a: [u8; 2]) { if x { y } }  fn g();";
        let (open, close) = body_after(code, 0).expect("f has a body");
        assert_eq!(&code[open..=close], "{ if x { y } }");
        assert_eq!(body_after(code, close + 1), None);
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
