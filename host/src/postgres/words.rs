//! Splits a command line from the configuration into words the way a POSIX shell does, without expanding anything.

/// A command line with an open quote, a trailing backslash, or no word at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote is not closed.
    #[error("the command has an unclosed quote")]
    OpenQuote,
    /// The last character is a backslash.
    #[error("the command ends with a backslash")]
    TrailingBackslash,
    /// There is no word.
    #[error("the command is empty")]
    Empty,
}

/// The words of `line`: at least one.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::OpenQuote)? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(SplitError::TrailingBackslash)?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(SplitError::Empty) } else { Ok(words) }
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), SplitError> {
    loop {
        match chars.next().ok_or(SplitError::OpenQuote)? {
            '"' => return Ok(()),
            // Inside double quotes a backslash only quotes what would be special there.
            '\\' => match chars.next().ok_or(SplitError::OpenQuote)? {
                special @ ('"' | '\\' | '$' | '`') => word.push(special),
                other => word.extend(['\\', other]),
            },
            inside => word.push(inside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: Result<&[&str], SplitError>) {
        assert_eq!(
            split(line),
            expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
            "{line:?}"
        );
    }

    #[test]
    fn splits_like_a_shell() {
        check("/x.sh  arg", Ok(&["/x.sh", "arg"]));
        check("a 'b c'd \"e \\\" f\" g\\ h", Ok(&["a", "b cd", "e \" f", "g h"]));
        check("a ''", Ok(&["a", ""]));
        check("\"a\\n\"", Ok(&["a\\n"]));
        check("a 'b", Err(SplitError::OpenQuote));
        check("a \"b", Err(SplitError::OpenQuote));
        check("a \\", Err(SplitError::TrailingBackslash));
        check("  ", Err(SplitError::Empty));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[^']{0,8}", 1..5)) {
            let line: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split(&line.join(" ")).unwrap(), words);
        }
    }
}
