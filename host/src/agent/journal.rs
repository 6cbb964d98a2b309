//! The decision journal: which rule fired, why, and what came of it. A ring in memory and a file of JSON lines.
//!
//! It records changes, not heartbeats: an entry equal to the last in rule, reason and action is counted, not repeated.

use crate::ports;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

/// Entries kept in memory; the file keeps two times this many before it is rolled over.
const KEPT: usize = 512;

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Wall-clock time in ISO 8601, UTC.
    pub at: String,
    /// The rule's number.
    pub rule: u16,
    /// The group of rules that it belongs to.
    pub situation: &'static str,
    /// Why, in words.
    pub reason: String,
    /// What was done, in words.
    pub action: String,
    /// What came of it, in words; empty while it goes on.
    pub outcome: String,
    /// The inputs that mattered.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// How often the same was decided in a row.
    pub times: u64,
    /// The entry's number, growing.
    pub number: u64,
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ring: VecDeque<Entry>,
    next: u64,
    file: Option<JournalFile>,
}

#[derive(Debug)]
struct JournalFile {
    path: PathBuf,
    lines: usize,
}

impl Journal {
    /// A journal that also appends to `path`, where one is given. A file that cannot be written is told of once and
    /// does not stop anything.
    pub fn new(path: Option<PathBuf>) -> Journal {
        let file = path.map(|path| JournalFile { path, lines: 0 });
        Journal { inner: Mutex::new(Inner { ring: VecDeque::with_capacity(64), next: 1, file }) }
    }

    /// Records a decision; returns its number.
    pub fn record(
        &self,
        rule: u16,
        situation: &'static str,
        reason: String,
        action: String,
        facts: serde_json::Map<String, serde_json::Value>,
    ) -> u64 {
        let mut inner = self.lock();
        if let Some(last) = inner.ring.back_mut()
            && last.rule == rule
            && last.reason == reason
            && last.action == action
        {
            last.times += 1;
            return last.number;
        }
        let number = inner.next;
        inner.next += 1;
        let at = timestamp();
        let entry = Entry { at, rule, situation, reason, action, outcome: String::new(), facts, times: 1, number };
        inner.append_to_file(&entry);
        if inner.ring.len() == KEPT {
            inner.ring.pop_front();
        }
        inner.ring.push_back(entry);
        number
    }

    /// Says what came of decision `number`.
    pub fn outcome(&self, number: u64, outcome: &str) {
        let mut inner = self.lock();
        let Some(entry) = inner.ring.iter_mut().rev().find(|entry| entry.number == number) else {
            return;
        };
        if entry.outcome == outcome {
            return;
        }
        entry.outcome = outcome.to_owned();
        let entry = entry.clone();
        inner.append_to_file(&entry);
    }

    /// The last `count` decisions, oldest first.
    pub fn last(&self, count: usize) -> Vec<Entry> {
        let inner = self.lock();
        let skipped = inner.ring.len().saturating_sub(count);
        inner.ring.iter().skip(skipped).cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    fn append_to_file(&mut self, entry: &Entry) {
        let Some(file) = self.file.as_mut() else {
            return;
        };
        if let Err(error) = file.append(entry) {
            tracing::warn!("the decision journal {} can not be written: {error}", file.path.display());
            self.file = None;
        }
    }
}

impl JournalFile {
    fn append(&mut self, entry: &Entry) -> std::io::Result<()> {
        if self.lines >= 2 * KEPT {
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            self.lines = 0;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.lines += 1;
        file.write_all(&line)
    }
}

fn timestamp() -> String {
    jiff::Timestamp::from_microsecond(ports::wall_now().0).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(journal: &Journal, rule: u16, reason: &str) -> u64 {
        journal.record(rule, "replica", reason.to_owned(), "wait".to_owned(), serde_json::Map::new())
    }

    #[test]
    fn equal_decisions_in_a_row_are_counted() {
        let journal = Journal::new(None);
        record(&journal, 100, "a");
        record(&journal, 100, "a");
        let number = record(&journal, 200, "b");
        journal.outcome(number, "done");
        let last = journal.last(10);
        assert_eq!(last.iter().map(|entry| (entry.rule, entry.times)).collect::<Vec<_>>(), [(100, 2), (200, 1)]);
        assert_eq!(last[1].outcome, "done");
    }

    #[test]
    fn a_file_that_can_not_be_written_stops_nothing() {
        let journal = Journal::new(Some(PathBuf::from("/nonexistent/journal.jsonl")));
        record(&journal, 100, "a");
        assert_eq!(journal.last(1).len(), 1);
    }
}
