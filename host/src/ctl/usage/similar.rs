//! Which known name somebody may have meant: by the share of letters that two words have in common, in order.

/// The known names that are alike, sorted; at most three.
pub(super) fn alike<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const LIKENESS_MIN: f64 = 0.6;
    let mut found: Vec<_> = known.map(|name| (likeness(word, name), name)).collect();
    found.retain(|(likeness, _)| *likeness >= LIKENESS_MIN);
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(a.1)));
    let mut names: Vec<_> = found.into_iter().take(3).map(|(_, name)| name).collect();
    names.sort_unstable();
    names
}

/// What is said behind an unknown name; empty where nothing is alike.
pub(super) fn suggestion(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!(" Did you mean '{one}'?"),
        several => {
            let quoted: Vec<_> = several.iter().map(|name| format!("'{name}'")).collect();
            format!(" (Did you mean one of: {}?)", quoted.join(", "))
        }
    }
}

/// Twice the common letters by all letters: 1 for the same word, 0 for nothing in common.
fn likeness(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let letters = a.len() + b.len();
    if letters == 0 { 1.0 } else { 2.0 * common(&a, &b) as f64 / letters as f64 }
}

/// Letters in the longest common piece, and in what lies before it, and behind it.
fn common(a: &[char], b: &[char]) -> usize {
    let (mut start_a, mut start_b, mut length) = (0, 0, 0);
    for i in 0..a.len() {
        for j in 0..b.len() {
            let same = a[i..].iter().zip(&b[j..]).take_while(|(x, y)| x == y).count();
            if same > length {
                (start_a, start_b, length) = (i, j, same);
            }
        }
    }
    if length == 0 {
        return 0;
    }
    length + common(&a[..start_a], &b[..start_b]) + common(&a[start_a + length..], &b[start_b + length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike_are_told() {
        let known = ["reinit", "reload", "remove", "restart", "resume", "list"];
        let check = |word: &str, expected: &str| {
            assert_eq!(suggestion(&alike(word, known.into_iter())), expected, "{word}");
        };
        check("lis", " Did you mean 'list'?");
        check("remue", " (Did you mean one of: 'remove', 'resume'?)");
        check("rest", " (Did you mean one of: 'reinit', 'restart', 'resume'?)");
        check("nosuch", "");
        check("re", "");
        check("", "");
    }
}
