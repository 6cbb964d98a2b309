//! Which known name was probably meant.

/// Further away than this, a name is another name and no slip.
const DISTANCE_MAX: usize = 2;

/// The nearest of the known names, where one is near.
pub(in super::super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let reach = DISTANCE_MAX.min(name.chars().count() / 2);
    let letters = name.chars().count();
    known
        .filter(|other| other.chars().count().abs_diff(letters) <= reach)
        .map(|other| (distance(name, other), other))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= reach)
        .map(|(_, other)| other)
}

/// How many letters have to be changed, added, removed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let (above, left) = (rows[i - 1][j] + 1, row[j - 1] + 1);
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = above.min(left).min(replaced);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_understood_and_other_names_are_not() {
        let known = ["scope", "name", "postgresql", "log", "tags"];
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        };
        check("scop", Some("scope"));
        check("socpe", Some("scope"));
        check("postgres", Some("postgresql"));
        check("lgo", Some("log"));
        check("kubernetes", None);
        check("x", None);
    }
}
