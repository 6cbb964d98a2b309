//! Bytes as the text that this API keeps. Text stays as it is, for everybody else who reads it; what is no text is
//! written down in base64 behind a mark.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What no other client writes.
const MARK: &str = "\u{1}base64:";

/// The text for a value.
pub(crate) fn written(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.starts_with(MARK) => text.to_owned(),
        _ => format!("{MARK}{}", STANDARD.encode(value)),
    }
}

/// The value of a text; a text that only looks like one of ours is its own value.
pub(crate) fn read(text: &str) -> Vec<u8> {
    let bytes = text.strip_prefix(MARK).and_then(|rest| STANDARD.decode(rest).ok());
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back() {
        let check = |value: &[u8], is_plain: bool| {
            let text = written(value);
            assert_eq!((read(&text).as_slice(), text.as_bytes() == value), (value, is_plain), "{text:?}");
        };
        check(b"", true);
        check(b"{\"a\":\"\xc3\xbc\"}", true);
        check(b"\0", true);
        check(b"\xff\xfe", false);
        check(written(b"\xff").as_bytes(), false);
        assert_eq!(read("\u{1}base64:!"), b"\x01base64:!");
    }
}
