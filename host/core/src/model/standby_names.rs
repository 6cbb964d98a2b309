//! `synchronous_standby_names`: whom commits wait for, read and written the way PostgreSQL and the peer spell it
//! (SYNC-08, SYNC-11).

use std::fmt;

/// The name that nobody has: written where commits must wait although no standby is there (SYNC-06).
pub const STRICT_PLACEHOLDER: &str = "__patroni_strict_sync_replica_placeholder__";

/// How the names are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMethod {
    /// The first so many of those that are connected.
    #[default]
    First,
    /// Any so many.
    Any,
}

/// Whom commits wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyNames {
    /// How the names are meant.
    pub method: SyncMethod,
    /// How many have to confirm a commit; 0 without names.
    pub count: u32,
    /// Names; sorted where we made them.
    pub names: Vec<String>,
}

impl StandbyNames {
    /// All of these.
    pub fn all_of(names: impl IntoIterator<Item = String>) -> StandbyNames {
        let names = sorted(names);
        StandbyNames { method: SyncMethod::First, count: u32::try_from(names.len()).unwrap_or(u32::MAX), names }
    }

    /// Any `count` of these.
    pub fn any_of(count: u32, names: impl IntoIterator<Item = String>) -> StandbyNames {
        let names = sorted(names);
        if names.is_empty() {
            return StandbyNames::default();
        }
        StandbyNames { method: SyncMethod::Any, count, names }
    }

    /// Nobody who exists: every commit waits.
    pub fn nobody_yet() -> StandbyNames {
        StandbyNames::all_of([STRICT_PLACEHOLDER.to_owned()])
    }

    /// Reads what the server has; `None` for what it would not accept either.
    pub fn parse(text: &str) -> Option<StandbyNames> {
        let tokens = tokens(text)?;
        let (method, rest) = match tokens.as_slice() {
            [] => return Some(StandbyNames::default()),
            [Token::Word(word), rest @ ..] if word.eq_ignore_ascii_case("any") && begins_group(rest) => {
                (SyncMethod::Any, rest)
            }
            [Token::Word(word), rest @ ..] if word.eq_ignore_ascii_case("first") && begins_group(rest) => {
                (SyncMethod::First, rest)
            }
            all => (SyncMethod::First, all),
        };
        if let [Token::Word(count), Token::Sign('('), list @ .., Token::Sign(')')] = rest {
            let count = count.parse().ok().filter(|count| *count > 0)?;
            return Some(StandbyNames { method, count, names: names_of(list)? });
        }
        Some(StandbyNames { method, count: 1, names: names_of(rest)? })
    }

    /// The names of members: without the placeholder and the peer's older `*`.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).filter(|name| *name != STRICT_PLACEHOLDER && *name != "*")
    }

    /// This name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.members().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// No commit is acknowledged without this standby.
    pub fn always_waits_for(&self, name: &str) -> bool {
        self.contains(name) && usize::try_from(self.count).is_ok_and(|count| count >= self.names.len())
    }

    /// They mean the same, however they are spelled.
    pub fn means(&self, other: &StandbyNames) -> bool {
        let folded = |names: &StandbyNames| sorted(names.names.iter().map(|name| name.to_ascii_lowercase()));
        (self.method, self.count) == (other.method, other.count) && folded(self) == folded(other)
    }
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    names.dedup();
    names
}

impl fmt::Display for StandbyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.names.iter().map(|name| quoted(name)).collect();
        match (self.method, quoted.as_slice()) {
            (_, []) => Ok(()),
            (SyncMethod::First, [name]) => f.write_str(name),
            (SyncMethod::First, names) => write!(f, "{} ({})", self.count, names.join(",")),
            (SyncMethod::Any, names) => write!(f, "ANY {} ({})", self.count, names.join(",")),
        }
    }
}

/// Quoted, unless it is a plain identifier that means nothing else.
fn quoted(name: &str) -> String {
    let mut letters = name.chars();
    let plain = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$')
        && !["first", "any"].iter().any(|word| name.eq_ignore_ascii_case(word));
    if plain || name == "*" { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// An unquoted word or number.
    Word(String),
    /// A quoted name.
    Quoted(String),
    /// A comma or a bracket.
    Sign(char),
}

fn begins_group(tokens: &[Token]) -> bool {
    matches!(tokens, [Token::Word(count), Token::Sign('('), ..] if count.bytes().all(|byte| byte.is_ascii_digit()))
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            blank if blank.is_whitespace() => {}
            ',' | '(' | ')' => found.push(Token::Sign(letter)),
            '"' => {
                let mut name = String::new();
                loop {
                    match letters.next()? {
                        '"' if letters.peek() == Some(&'"') => name.extend(letters.next()),
                        '"' => break,
                        other => name.push(other),
                    }
                }
                found.push(Token::Quoted(name));
            }
            first => {
                let mut word = String::from(first);
                while let Some(next) = letters.next_if(|next| !next.is_whitespace() && !",()\"".contains(*next)) {
                    word.push(next);
                }
                found.push(Token::Word(word));
            }
        }
    }
    Some(found)
}

/// Names with commas between them.
fn names_of(tokens: &[Token]) -> Option<Vec<String>> {
    let name = |token: &Token| match token {
        Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
        Token::Sign(_) => None,
    };
    tokens
        .chunks(2)
        .enumerate()
        .map(|(index, pair)| match pair {
            [one] => name(one),
            [one, Token::Sign(',')] if index * 2 + 2 < tokens.len() => name(one),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_written_as_the_peer_writes_them() {
        // SYNC-08, SYNC-11: compared literally by scripts.
        let check = |names: StandbyNames, expected: &str| assert_eq!(names.to_string(), expected);
        check(StandbyNames::default(), "");
        check(StandbyNames::all_of([]), "");
        check(StandbyNames::all_of(strings(&["postgres-1"])), "\"postgres-1\"");
        check(StandbyNames::all_of(strings(&["postgresql1"])), "postgresql1");
        check(StandbyNames::all_of(strings(&["b-1", "a-1"])), "2 (\"a-1\",\"b-1\")");
        check(StandbyNames::any_of(1, strings(&["postgres-2", "postgres-0"])), "ANY 1 (\"postgres-0\",\"postgres-2\")");
        check(StandbyNames::any_of(1, strings(&["a"])), "ANY 1 (a)");
        check(StandbyNames::any_of(1, []), "");
        check(StandbyNames::all_of(strings(&["First"])), "\"First\"");
        check(StandbyNames::nobody_yet(), STRICT_PLACEHOLDER);
    }

    #[test]
    fn whatever_the_server_may_have_is_read() {
        let check = |text: &str, expected: Option<(SyncMethod, u32, &[&str])>| {
            let expected = expected.map(|(method, count, names)| StandbyNames { method, count, names: strings(names) });
            assert_eq!(StandbyNames::parse(text), expected, "{text}");
        };
        check("", Some((SyncMethod::First, 0, &[])));
        check("a, \"b c\"", Some((SyncMethod::First, 1, &["a", "b c"])));
        check("2 (a,b)", Some((SyncMethod::First, 2, &["a", "b"])));
        check("FIRST 2(a , b)", Some((SyncMethod::First, 2, &["a", "b"])));
        check("any 1 (\"a\"\"b\")", Some((SyncMethod::Any, 1, &["a\"b"])));
        check("any", Some((SyncMethod::First, 1, &["any"])));
        check("*", Some((SyncMethod::First, 1, &["*"])));
        check("a,", None);
        check("2 (a", None);
        check("\"a", None);
        check("0 (a)", None);
    }

    #[test]
    fn only_those_without_whom_nothing_is_acknowledged_are_always_waited_for() {
        let waits =
            |text: &str, name: &str| StandbyNames::parse(text).is_some_and(|names| names.always_waits_for(name));
        assert!(waits("a", "A"), "SYNC-15");
        assert!(waits("2 (a,b)", "b") && waits("ANY 2 (a,b)", "b"));
        assert!(!waits("a,b", "a") && !waits("ANY 1 (a,b)", "a") && !waits("a", "b") && !waits("*", "*"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(any: bool, names in proptest::collection::vec("[ -~]{1,9}", 1..4)) {
            let written = if any { StandbyNames::any_of(1, names) } else { StandbyNames::all_of(names) };
            prop_assert_eq!(StandbyNames::parse(&written.to_string()), Some(written));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = StandbyNames::parse(&text);
        }
    }
}
