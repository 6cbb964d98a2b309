//! The command line: `--drill daemon-killed,clone --shots 10 --jobs 3 --ttl 12 --label v1`, or `--report` for what the file has.

use anyhow::{Context, Result, bail, ensure};

use super::Drill;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The drills, in the order in which they are begun.
    pub drills: Vec<Drill>,
    /// How many shots each gets, where it is not left to the drill.
    pub shots: Option<usize>,
    /// How many clusters there are at a time.
    pub jobs: usize,
    /// How long a lock lives, in seconds: 8, or more where the machine is busy with other work.
    pub ttl: u64,
    /// What the run calls the program under test. Shots without a label are not written to the file.
    pub label: String,
    /// Only tables, of all shots in the file.
    pub report: bool,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// When one is unknown, lacks its value, or asks for nothing.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options =
            Self { drills: Drill::ALL.to_vec(), shots: None, jobs: 1, ttl: 8, label: String::new(), report: false };
        while let Some(argument) = arguments.next() {
            if argument == "--report" {
                options.report = true;
                continue;
            }
            let value = arguments.next().with_context(|| format!("{argument} wants a value"))?;
            let number = || value.parse::<usize>().with_context(|| format!("{argument} wants a number, not {value:?}"));
            match argument.as_str() {
                "--drill" => options.drills = drills(&value)?,
                "--shots" => options.shots = Some(number()?),
                "--jobs" => options.jobs = number()?,
                "--ttl" => options.ttl = u64::try_from(number()?)?,
                "--label" => options.label = value,
                _ => bail!(
                    "{argument}: want --drill all|NAME,..., --shots N, --jobs N, --ttl N, --label TEXT or --report"
                ),
            }
        }
        ensure!(options.shots != Some(0) && options.jobs > 0, "--shots and --jobs want at least 1");
        ensure!(options.ttl >= 8, "--ttl wants at least 8");
        Ok(options)
    }
}

fn drills(names: &str) -> Result<Vec<Drill>> {
    if names == "all" {
        return Ok(Drill::ALL.to_vec());
    }
    let known = || Drill::ALL.map(Drill::name).join(", ");
    let find = |name: &str| {
        let drill = Drill::ALL.into_iter().find(|drill| drill.name() == name);
        drill.with_context(|| format!("there is no drill {name:?}, only all, {}", known()))
    };
    names.split(',').map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        fn check(line: &str, expected: Result<(usize, Option<usize>, usize, bool), &str>) {
            let found = Options::read(line.split_whitespace().map(str::to_owned));
            match (found, expected) {
                (Ok(options), Ok(expected)) => {
                    let found = (options.drills.len(), options.shots, options.jobs, options.report);
                    assert_eq!(found, expected, "{line}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{line}: {error}"),
                (found, expected) => panic!("{line}: {found:?} and not {expected:?}"),
            }
        }
        check("", Ok((13, None, 1, false)));
        check("--drill clone,rewind --shots 7 --jobs 3", Ok((2, Some(7), 3, false)));
        check("--report --drill all", Ok((13, None, 1, true)));
        check("--drill some", Err("no drill \"some\""));
        check("--shots 0", Err("at least 1"));
        check("--ttl 7", Err("at least 8"));
        check("--jobs x", Err("wants a number"));
        check("--label", Err("wants a value"));
        check("--colour red", Err("want --drill"));
    }
}
