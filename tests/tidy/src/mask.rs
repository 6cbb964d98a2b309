//! Tells Rust code from comments and literals, so that a check looks at the one it means.
//!
//! The result has the same bytes at the same places, blanked where they belong to the other kind:
//! line numbers stay true.

/// A source text, separated.
pub struct Masked {
    /// The code; comments and the contents of literals are spaces.
    pub code: String,
    /// The comments; everything else is spaces.
    pub comments: String,
}

/// Separates a Rust source text.
pub fn mask(text: &str) -> Masked {
    let mut lexer = Lexer::new(text.as_bytes());
    while lexer.at < lexer.text.len() {
        lexer.step();
    }
    let utf8 = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Masked { code: utf8(lexer.code), comments: utf8(lexer.comments) }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, code: Vec::with_capacity(text.len()), comments: Vec::with_capacity(text.len()) }
    }

    fn step(&mut self) {
        match self.text[self.at] {
            b'/' if self.ahead(1) == b'/' => self.line_comment(),
            b'/' if self.ahead(1) == b'*' => self.block_comment(),
            b'"' => self.string(),
            b'\'' => self.quote(),
            b'r' if self.starts_raw_string() => self.raw_string(),
            _ => self.take(Kind::Code, 1),
        }
    }

    fn ahead(&self, distance: usize) -> u8 {
        self.text.get(self.at + distance).copied().unwrap_or(0)
    }

    /// Moves `count` bytes on, giving each to its own kind and a blank to the others.
    fn take(&mut self, kind: Kind, count: usize) {
        let end = (self.at + count).min(self.text.len());
        for &byte in &self.text[self.at..end] {
            let blank = if byte == b'\n' { b'\n' } else { b' ' };
            self.code.push(if kind == Kind::Code { byte } else { blank });
            self.comments.push(if kind == Kind::Comment { byte } else { blank });
        }
        self.at = end;
    }

    fn line_comment(&mut self) {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        self.take(Kind::Comment, length);
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.text.len() {
            match (self.ahead(0), self.ahead(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.take(Kind::Comment, 2);
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.take(Kind::Comment, 2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.take(Kind::Comment, 1),
            }
        }
    }

    fn string(&mut self) {
        self.take(Kind::Code, 1);
        while self.at < self.text.len() && self.ahead(0) != b'"' {
            let escaped = self.ahead(0) == b'\\';
            self.take(Kind::Literal, if escaped { 2 } else { 1 });
        }
        self.take(Kind::Code, 1);
    }

    /// A character literal or the tick of a lifetime.
    fn quote(&mut self) {
        let first = self.ahead(1);
        let width = match first {
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        };
        if first == b'\\' {
            self.take(Kind::Code, 1);
            self.take(Kind::Literal, 2);
            while self.at < self.text.len() && self.ahead(0) != b'\'' {
                self.take(Kind::Literal, 1);
            }
            self.take(Kind::Code, 1);
        } else if self.ahead(1 + width) == b'\'' {
            self.take(Kind::Code, 1);
            self.take(Kind::Literal, width);
            self.take(Kind::Code, 1);
        } else {
            self.take(Kind::Code, 1);
        }
    }

    fn starts_raw_string(&self) -> bool {
        let mut before = self.at;
        if before > 0 && matches!(self.text[before - 1], b'b' | b'c') {
            before -= 1;
        }
        if before > 0 && is_identifier_byte(self.text[before - 1]) {
            return false;
        }
        let hashes = self.count_hashes(self.at + 1);
        self.ahead(1 + hashes) == b'"'
    }

    fn count_hashes(&self, from: usize) -> usize {
        self.text[from.min(self.text.len())..].iter().take_while(|&&byte| byte == b'#').count()
    }

    fn raw_string(&mut self) {
        let hashes = self.count_hashes(self.at + 1);
        self.take(Kind::Code, hashes + 2);
        while self.at < self.text.len() {
            if self.ahead(0) == b'"' && self.count_hashes(self.at + 1) >= hashes {
                self.take(Kind::Code, hashes + 1);
                return;
            }
            self.take(Kind::Literal, 1);
        }
    }
}

/// Whether the byte may stand in an identifier.
pub fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let masked = mask(text);
        assert_eq!(masked.code.split_whitespace().collect::<Vec<_>>().join(" "), code, "{text}");
        assert_eq!(masked.comments.trim(), comments, "{text}");
        assert_eq!(masked.code.len(), text.len(), "{text}");
        assert_eq!(masked.code.lines().count(), text.lines().count(), "{text}");
    }

    #[test]
    fn comments_are_not_code() {
        check("let a = 1; // two", "let a = 1;", "// two");
        check("/* a /* b */ c */ d", "d", "/* a /* b */ c */");
        check("a // \"b\nc", "a c", "// \"b");
    }

    #[test]
    fn literals_are_neither() {
        check(r#"f("a // b")"#, r#"f(" ")"#, "");
        check(r#"f("a \" b", x)"#, r#"f(" ", x)"#, "");
        check(r###"f(r#"a " b"#, x)"###, r###"f(r#" "#, x)"###, "");
        check("f(b'\\'', '\"', 'ä')", "f(b' ', ' ', ' ')", "");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}", "");
        check("let r#type = bar;", "let r#type = bar;", "");
    }

    #[test]
    fn an_open_end_is_no_endless_loop() {
        check("\"abc", "\"", "");
        check("/* abc", "", "/* abc");
        check("r#\"abc", "r#\"", "");
    }
}
