//! Sums of many worlds in a file of plain lines, so that a long run can be interrupted, and the sheets of several runs
//! be added up.

use crate::statistics::{Statistics, show};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// What is known of a run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// The first seed that was not run yet; `None`: nothing was.
    pub next: Option<u64>,
    /// Seeds that went wrong.
    pub failures: Vec<u64>,
    counts: BTreeMap<String, u64>,
}

impl Sheet {
    /// Reads a sheet; where there is no file, an empty one.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn read(path: &Path) -> io::Result<Sheet> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Sheet::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sheet::default()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// When it can not be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        std::fs::write(&new, self.text())?;
        std::fs::rename(new, path)
    }

    /// Adds what was counted up to that seed.
    pub fn add(&mut self, sum: &Statistics, failures: &[u64], next: u64) {
        self.next = Some(next);
        self.failures.extend(failures);
        for (name, count) in sum.lines() {
            *self.counts.entry(name).or_default() += count;
        }
    }

    fn parse(text: &str) -> Sheet {
        let mut sheet = Sheet::default();
        for line in text.lines() {
            let Some((name, number)) = line.rsplit_once('\t') else { continue };
            let Ok(number) = number.parse() else { continue };
            match name {
                "next" => sheet.next = Some(number),
                "wrong" => sheet.failures.push(number),
                _ => *sheet.counts.entry(name.to_owned()).or_default() += number,
            }
        }
        sheet
    }

    /// A line for each: its name, a tabulator, its number.
    fn text(&self) -> String {
        let mut text = String::new();
        let failures = self.failures.iter().map(|seed| ("wrong", *seed));
        let own = self.next.iter().map(|next| ("next", *next)).chain(failures);
        let counts = self.counts.iter().map(|(name, count)| (name.as_str(), *count));
        for (name, number) in own.chain(counts) {
            // A string takes everything.
            let _written = writeln!(text, "{name}\t{number}");
        }
        text
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.counts, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_read_as_it_was_written() {
        let mut sheet = Sheet::default();
        let mut sum = Statistics::default();
        sum.worlds = 3;
        sum.count("fault", "lossy");
        sheet.add(&sum, &[5], 10);
        sheet.add(&sum, &[], 20);
        assert_eq!(Sheet::parse(&sheet.text()), sheet);
        assert_eq!((sheet.next, sheet.failures.len(), sheet.counts["worlds"]), (Some(20), 1, 6));
        assert_eq!(sheet.counts["fault: lossy"], 2);
    }
}
