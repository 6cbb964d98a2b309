//! The command line: `--rounds 3 --seed 7 --mode async,sync --faults 4`.

use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How a cluster replicates, and so what it promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Commits wait for nobody: what no standby had when its leader was lost is lost.
    Async,
    /// Commits wait for a standby while there is one.
    Sync,
    /// Commits wait for a standby always.
    Strict,
    /// Commits wait for any one of the standbys.
    Quorum,
}

impl Mode {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 4] = [Self::Async, Self::Sync, Self::Strict, Self::Quorum];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Sync => "sync",
            Self::Strict => "strict",
            Self::Quorum => "quorum",
        }
    }

    /// What its dice begin with: each mode has others.
    pub fn seed(self, seed: u64) -> u64 {
        let place = Self::ALL.iter().position(|mode| *mode == self).unwrap_or_default();
        seed.rotate_left(16) ^ place as u64
    }

    /// The dynamic configuration that asks for it.
    pub fn dynamic(self) -> Value {
        match self {
            Self::Async => json!({}),
            Self::Sync => json!({ "synchronous_mode": true }),
            Self::Strict => json!({ "synchronous_mode": true, "synchronous_mode_strict": true }),
            Self::Quorum => json!({ "synchronous_mode": "quorum" }),
        }
    }

    /// Whether an acknowledged write may be gone after a failover.
    pub fn may_lose(self) -> bool {
        self == Self::Async
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many rounds each mode gets.
    pub rounds: usize,
    /// What the dice begin with: the same seed draws the same faults.
    pub seed: u64,
    /// The modes, one after the other, each on a cluster of its own.
    pub modes: Vec<Mode>,
    /// How many faults a round has.
    pub faults: usize,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// When one is unknown, lacks its value, or asks for nothing.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { rounds: 3, seed: seed_of_the_moment(), modes: Mode::ALL.to_vec(), faults: 4 };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{argument} wants a value"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{argument} wants a number, not {value:?}"));
            match argument.as_str() {
                "--rounds" => options.rounds = usize::try_from(number()?)?,
                "--seed" => options.seed = number()?,
                "--faults" => options.faults = usize::try_from(number()?)?,
                "--mode" => options.modes = modes(&value)?,
                _ => bail!("{argument}: want --rounds N, --seed N, --faults N, --mode all|async,sync,strict,quorum"),
            }
        }
        ensure!(options.rounds > 0 && options.faults > 0, "--rounds and --faults want at least 1");
        Ok(options)
    }
}

fn modes(names: &str) -> Result<Vec<Mode>> {
    if names == "all" {
        return Ok(Mode::ALL.to_vec());
    }
    let find = |name: &str| {
        let known = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        known.with_context(|| format!("there is no mode {name:?}, only async, sync, strict, quorum and all"))
    };
    names.split(',').map(find).collect()
}

/// Another one for each run; it is printed, and a number that is easily typed again.
fn seed_of_the_moment() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        fn check(line: &str, expected: Result<(usize, usize, &str), &str>) {
            let found = Options::read(line.split_whitespace().map(str::to_owned));
            match (found, expected) {
                (Ok(options), Ok(expected)) => {
                    let names: Vec<&str> = options.modes.iter().map(|mode| mode.name()).collect();
                    assert_eq!((options.rounds, options.faults, names.join(",").as_str()), expected, "{line}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{line}: {error}"),
                (found, expected) => panic!("{line}: {found:?} and not {expected:?}"),
            }
        }
        check("", Ok((3, 4, "async,sync,strict,quorum")));
        check("--rounds 7 --faults 2 --mode quorum,async --seed 9", Ok((7, 2, "quorum,async")));
        check("--mode all", Ok((3, 4, "async,sync,strict,quorum")));
        check("--mode some", Err("no mode \"some\""));
        check("--rounds 0", Err("at least 1"));
        check("--rounds", Err("wants a value"));
        check("--seed x", Err("wants a number"));
        check("--colour red", Err("want --rounds"));
    }
}
