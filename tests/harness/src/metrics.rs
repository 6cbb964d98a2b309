//! Figures of servers in the text form of Prometheus.

/// The sum of all series of the names that fit.
pub(crate) fn sum(text: &str, fits: impl Fn(&str) -> bool) -> f64 {
    let name = |line: &str| line.split(['{', ' ']).next().is_some_and(&fits);
    text.lines().filter(|line| name(line)).filter_map(value).sum()
}

/// The value of a line.
pub(crate) fn value(line: &str) -> Option<f64> {
    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_name_are_added_up() {
        let text = "# TYPE taken counter\ntaken{method=\"GET\"} 3\ntaken{method=\"PUT\"} 4\ntaken_late 5\nother 6\n";
        assert!((sum(text, |name| name == "taken") - 7.0).abs() < 1e-9);
    }
}
