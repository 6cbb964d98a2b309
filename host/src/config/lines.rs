//! On which line of a YAML text a key stands: a scan of block-style mappings, for messages only.

/// The line of `path` (keys with dots), counted from 1; `None` where the text is not in block style there.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let keys: Vec<&str> = path.split('.').collect();
    let mut depth = 0;
    let mut indents: Vec<usize> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        while indents.last().is_some_and(|last| indent <= *last) {
            indents.pop();
            depth = indents.len();
        }
        let Some((key, _)) = trimmed.split_once(':') else {
            continue;
        };
        if depth == indents.len() && keys.get(depth) == Some(&key.trim().trim_matches(['\'', '"'])) {
            let nested_right = indents.last().is_none_or(|last| indent > *last) && (depth > 0 || indent == 0);
            if nested_right {
                indents.push(indent);
                depth += 1;
                if depth == keys.len() {
                    return Some(number + 1);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn keys_are_found_by_their_path() {
        let text = "scope: a\npostgresql:\n  # why\n  listen: x\n  parameters: 5\nother:\n  parameters: 6\n";
        assert_eq!(line_of(text, "scope"), Some(1));
        assert_eq!(line_of(text, "postgresql.parameters"), Some(5));
        assert_eq!(line_of(text, "other.parameters"), Some(7));
        assert_eq!(line_of(text, "other.missing"), None);
        assert_eq!(line_of("{a: 1}", "a"), None);
    }
}
