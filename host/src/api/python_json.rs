//! JSON as the peer spells it: `", "` between items and `": "` after keys, which some scripts match literally.

use serde::Serialize;
use serde_json::ser::Formatter;
use std::io::{self, Write};

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The value as bytes.
pub(super) fn to_bytes(value: &serde_json::Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    match value.serialize(&mut serializer) {
        Ok(()) => bytes,
        // Writing a value into memory can not fail; an empty object is still a document.
        Err(_) => b"{}".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::to_bytes;
    use serde_json::json;

    #[test]
    fn separators_are_the_peers() {
        let text = String::from_utf8(to_bytes(&json!({"a": [1, 2], "b": {"c": null}}))).unwrap();
        assert_eq!(text, r#"{"a": [1, 2], "b": {"c": null}}"#);
    }
}
