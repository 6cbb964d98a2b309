//! Damages good inputs at random, for as long as there is time.

use crate::ports;
use fastrand::Rng;
use regent_core::model::Moment;
use serde_json::{Map, Value, json};

/// How long one target is tried where nobody says how long, in seconds.
const SECONDS: u64 = 1;

/// Pieces that mean something somewhere: in YAML, JSON, PostgreSQL's units, HTTP, paths, or to a careless reader.
const PIECES: [&str; 56] = [
    "",
    " ",
    "\n",
    "\t",
    "\r\n",
    "\0",
    "-",
    "- ",
    ":",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "\\",
    "#",
    "&a",
    "*a",
    "<<: *a",
    "!!str",
    "---",
    "...",
    "|",
    ">",
    "%",
    "%25",
    "%zz",
    "?",
    "&",
    "=",
    "../",
    "null",
    "~",
    "true",
    "off",
    "NaN",
    "-1",
    "0",
    "99999999999999999999",
    "1e999",
    "0x",
    "1kB",
    "8 min",
    "9223372036854775807",
    "\u{feff}",
    "ä",
    "😀",
    "\u{202e}",
    "$(x)",
    "::1",
    "*:65536",
    "9999-99-99T99:99:99Z",
    "{{{{{{{{",
];

/// A round of damage: chance, and the seed that repeats it.
pub struct Round {
    pub chance: Rng,
    seed: u64,
    shown: String,
}

/// A failure says what it was about.
impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, input {:?}", self.seed, self.shown);
        }
    }
}

impl Round {
    /// Remembers the input for the case that it breaks something.
    pub fn show(&mut self, input: impl Into<String>) {
        self.shown = input.into();
    }
}

fn variable(name: &str) -> Option<u64> {
    let found = ports::environment().into_iter().find(|(known, _)| known == name);
    found.and_then(|(_, value)| value.to_str()?.parse().ok())
}

/// Whether there is time for another round, and its chance: `REGENT_FUZZ_SECONDS` in all, or one round of
/// `REGENT_FUZZ_SEED`.
pub struct Rounds {
    end: Moment,
    only: Option<u64>,
    count: u64,
}

impl Rounds {
    pub fn begin() -> Rounds {
        let seconds = variable("REGENT_FUZZ_SECONDS").unwrap_or(SECONDS);
        let end = Moment(ports::now().0.saturating_add(seconds * 1000));
        Rounds { end, only: variable("REGENT_FUZZ_SEED"), count: 0 }
    }

    /// The next round. The first is always taken.
    pub fn next(&mut self) -> Option<Round> {
        let over = if self.only.is_some() { self.count > 0 } else { self.count > 0 && ports::now() >= self.end };
        if over {
            eprintln!("{} rounds", self.count);
            return None;
        }
        self.count += 1;
        let seed = self.only.unwrap_or_else(|| fastrand::u64(..));
        Some(Round { chance: Rng::with_seed(seed), seed, shown: String::new() })
    }
}

/// A text with up to eight wounds.
pub fn text(chance: &mut Rng, good: &str) -> String {
    let mut letters: Vec<char> = good.chars().collect();
    for _ in 0..chance.usize(1..=8) {
        let at = chance.usize(..=letters.len());
        let to = (at + chance.usize(..32)).min(letters.len());
        match chance.u8(..6) {
            0 => drop(letters.drain(at..to)),
            1 => {
                let copy = letters[at..to].to_vec();
                let there = chance.usize(..=letters.len());
                letters.splice(there..there, copy);
            }
            2 if at < letters.len() => letters[at] = chance.char(..),
            3 => letters.truncate(at),
            _ => drop(letters.splice(at..at, piece(chance).chars())),
        }
    }
    letters.into_iter().collect()
}

/// A piece, now and then a great many of them.
pub fn piece(chance: &mut Rng) -> String {
    let piece = PIECES[chance.usize(..PIECES.len())];
    if chance.u8(..50) == 0 { piece.repeat(chance.usize(..2000)) } else { piece.to_owned() }
}

/// A document in which up to four values are others, are gone, or stand under other names.
pub fn document(chance: &mut Rng, good: &Value) -> Value {
    let mut document = good.clone();
    for _ in 0..chance.usize(1..=4) {
        wound(chance, &mut document);
    }
    document
}

fn wound(chance: &mut Rng, value: &mut Value) {
    let deeper = chance.u8(..5) > 0;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let name = map.keys().nth(chance.usize(..map.len())).cloned().unwrap_or_default();
            match chance.u8(..10) {
                0 => drop(map.shift_remove(&name)),
                1 => {
                    let moved = map.shift_remove(&name).unwrap_or_default();
                    map.insert(text(chance, &name), moved);
                }
                _ => wound(chance, map.entry(name).or_insert(Value::Null)),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = chance.usize(..items.len());
            wound(chance, &mut items[at]);
        }
        Value::String(said) if chance.bool() => *said = text(chance, said),
        other => *other = junk(chance, 3),
    }
}

/// Any value.
fn junk(chance: &mut Rng, depth: u8) -> Value {
    match chance.u8(..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(chance.bool()),
        2 => json!(chance.i64(..)),
        3 => json!(f64::from_bits(chance.u64(..))),
        4 => json!(chance.i8(..)),
        5 => json!(piece(chance)),
        6 => (0..chance.usize(..4)).map(|_| junk(chance, depth - 1)).collect(),
        _ => {
            let pairs = (0..chance.usize(..4)).map(|_| (piece(chance), junk(chance, depth - 1)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}
