//! The command line: `--only switchover,idle --rounds 3 --peer no --store local --list`.

use crate::scenarios;
use crate::system::System;
use anyhow::{Context, Result, bail, ensure};

/// How often what is repeated is repeated, unless said otherwise.
const ROUNDS: usize = 3;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The scenarios' names; all of them if empty.
    only: Vec<String>,
    /// How often a scenario is repeated.
    pub rounds: usize,
    /// Who is measured.
    pub systems: Vec<System>,
    /// Whether to use the embedded store, which Patroni does not know, in place of etcd.
    pub local: bool,
    /// Only say which scenarios there are.
    pub list: bool,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// When one is unknown or lacks its value.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            only: Vec::new(),
            rounds: ROUNDS,
            systems: vec![System::Regent, System::Patroni],
            local: false,
            list: false,
        };
        while let Some(argument) = arguments.next() {
            if argument == "--list" {
                options.list = true;
                continue;
            }
            let value = arguments.next().with_context(|| format!("{argument} wants a value"))?;
            match (argument.as_str(), value.as_str()) {
                ("--only", names) => options.only = names.split(',').map(str::to_owned).collect(),
                ("--rounds", number) => options.rounds = number.parse().context("--rounds wants a number")?,
                ("--peer", "yes") => {}
                ("--peer", "no") => options.systems = vec![System::Regent],
                ("--peer", "only") => options.systems = vec![System::Patroni],
                ("--store", "etcd3") => {}
                ("--store", "local") => options.local = true,
                _ => bail!("{argument} {value}: want --only A,B, --rounds N, --peer yes|no|only, --store etcd3|local"),
            }
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.rounds > 0, "--rounds wants at least 1");
        let known = scenarios::names();
        if let Some(unknown) = self.only.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("there is no scenario {unknown:?}, only {}", known.join(", "));
        }
        let peer = self.systems.contains(&System::Patroni);
        ensure!(!(self.local && peer), "Patroni does not know the embedded store: want --peer no");
        Ok(())
    }

    /// Whether a scenario shall run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        fn check(line: &str, expected: Result<(usize, usize, bool), &str>) {
            let found = Options::read(line.split_whitespace().map(str::to_owned));
            match (found, expected) {
                (Ok(options), Ok(expected)) => {
                    assert_eq!((options.rounds, options.systems.len(), options.wants("idle")), expected, "{line}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{line}: {error}"),
                (found, expected) => panic!("{line}: {found:?} and not {expected:?}"),
            }
        }
        check("", Ok((3, 2, true)));
        check("--only switchover,idle --rounds 5 --peer no", Ok((5, 1, true)));
        check("--only switchover", Ok((3, 2, false)));
        check("--only dance", Err("dance"));
        check("--rounds 0", Err("at least 1"));
        check("--rounds", Err("wants a value"));
        check("--store local", Err("--peer no"));
        check("--store local --peer no", Ok((3, 1, true)));
        check("--peer maybe", Err("--peer yes|no"));
    }
}
