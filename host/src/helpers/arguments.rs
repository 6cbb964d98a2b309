//! Options as the peer's scripts take them: `--key=value` or `--key value`, `_` and `-` alike. What nobody asks for is
//! left alone, because the daemon passes on every key of a section.

use std::collections::BTreeMap;

/// The options and the other words, in order.
#[derive(Debug)]
pub(super) struct Arguments {
    options: BTreeMap<String, String>,
    words: Vec<String>,
}

impl Arguments {
    pub(super) fn read(arguments: Vec<String>) -> Arguments {
        let (mut options, mut words) = (BTreeMap::new(), Vec::new());
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix("--") else {
                words.push(argument);
                continue;
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if FLAGS.contains(&option) => (option, String::new()),
                None => (option, arguments.next_if(|next| !next.starts_with("--")).unwrap_or_default()),
            };
            options.insert(name.replace('_', "-"), value);
        }
        Arguments { options, words }
    }

    /// The words that are no options.
    pub(super) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// Its value, where it has one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Its value as a number; `otherwise` where it is not given. An `Err` says what is no number.
    pub(super) fn number(&self, name: &str, otherwise: u64) -> Result<u64, String> {
        let parse = |text: &str| text.parse().map_err(|_| format!("--{name} wants a number, and is {text:?}"));
        self.text(name).map_or(Ok(otherwise), parse)
    }

    /// It says yes.
    pub(super) fn truth(&self, name: &str) -> bool {
        let no = ["0", "false", "off", "no"];
        self.options.get(name).is_some_and(|value| !no.contains(&value.to_lowercase().as_str()))
    }
}

/// What never takes the next word.
const FLAGS: [&str; 3] = ["reset", "help", "version"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_read() {
        let words = ["recover", "--a=1", "--b_c", "2", "--reset", "word", "--no_leader=0", "--flag", "--x=y=z"];
        let arguments = Arguments::read(words.map(str::to_owned).to_vec());
        assert_eq!(arguments.words(), ["recover", "word"]);
        assert_eq!((arguments.number("a", 0), arguments.text("b-c")), (Ok(1), Some("2")));
        assert!(arguments.truth("reset") && arguments.truth("flag") && !arguments.truth("no-leader"));
        assert_eq!((arguments.text("x"), arguments.number("missing", 7)), (Some("y=z"), Ok(7)));
        assert!(arguments.number("x", 0).is_err() && !arguments.truth("missing"));
    }
}
