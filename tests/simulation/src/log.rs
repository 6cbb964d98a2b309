//! The write-ahead log of a modelled server: records with identities, so that histories are compared exactly.

use regent_core::model::{Lsn, Timeline};

/// Where the first record begins.
const FIRST: u64 = 1000;

/// Bytes of a record.
const RECORD: u64 = 100;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The timeline that it was written on.
    pub timeline: u32,
    /// Never given to another record.
    pub id: u32,
}

/// A log, and the timelines that its server has heard of.
#[derive(Clone, Debug, Default)]
pub struct Log {
    records: Vec<Record>,
    /// So many of them survive the machine.
    flushed: usize,
    /// The newest timeline whose history file is there: the next promotion takes a higher one.
    known: u32,
}

impl Log {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Behind the last record.
    pub fn end(&self) -> Lsn {
        position(self.len())
    }

    /// Behind the last record that is on the disk.
    pub fn flushed_end(&self) -> Lsn {
        position(self.flushed)
    }

    /// Where the last record begins.
    pub fn start_of_last(&self) -> Lsn {
        position(self.len().saturating_sub(1))
    }

    /// The timeline of the last record.
    pub fn timeline(&self) -> Timeline {
        Timeline(self.records.last().map_or(1, |record| record.timeline))
    }

    /// Adds a record on the same timeline.
    pub fn append(&mut self, id: u32) {
        let timeline = self.timeline().0;
        self.push(Record { timeline, id });
    }

    /// Begins the next timeline that nobody this server or its daemon has heard of has taken.
    pub fn begin_timeline(&mut self, id: u32, taken: Timeline) {
        let timeline = self.known.max(self.timeline().0).max(taken.0) + 1;
        self.push(Record { timeline, id });
    }

    fn push(&mut self, record: Record) {
        self.known = self.known.max(record.timeline);
        self.records.push(record);
    }

    /// Everything is on the disk.
    pub fn flush(&mut self) {
        self.flushed = self.records.len();
    }

    /// So many records are on the disk.
    pub fn flushed(&self) -> usize {
        self.flushed
    }

    /// So many are not.
    pub fn unflushed(&self) -> usize {
        self.records.len() - self.flushed
    }

    /// The last records are lost, of those that are not on the disk; gives their number.
    pub fn lose(&mut self, records: usize) -> u64 {
        let lost = records.min(self.unflushed());
        self.records.truncate(self.records.len() - lost);
        u64::try_from(lost).unwrap_or(0)
    }

    /// The last records were never here.
    pub fn forget(&mut self, records: usize) {
        self.records.truncate(self.len().saturating_sub(records).max(1));
        self.flushed = self.flushed.min(self.records.len());
    }

    /// This record stands at that place.
    pub fn holds(&self, index: usize, id: u32) -> bool {
        self.records.get(index).is_some_and(|record| record.id == id)
    }

    /// The other log begins with this one.
    pub fn is_beginning_of(&self, other: &Log) -> bool {
        match self.records.last() {
            Some(last) => other.records.get(self.len() - 1) == Some(last),
            None => true,
        }
    }

    /// Older timelines and where they were left.
    pub fn switches(&self) -> Vec<(Timeline, Lsn)> {
        let pairs = self.records.windows(2).enumerate();
        let switches = pairs.filter(|(_, pair)| pair[0].timeline != pair[1].timeline);
        switches.map(|(index, pair)| (Timeline(pair[0].timeline), position(index + 1))).collect()
    }

    /// Takes over what the source has on its disk beyond this log, so many records at most: nothing is sent before it is
    /// there, and nothing replayed or confirmed before it is on the own.
    pub fn receive(&mut self, source: &Log, limit: usize) {
        let new = source.records[..source.flushed].iter().skip(self.len()).take(limit);
        self.records.extend(new);
        self.flush();
        self.known = self.known.max(source.known);
    }

    /// What both have in common, and then everything the source has: pg_rewind or a clone.
    pub fn become_like(&mut self, source: &Log) {
        self.records.clear();
        self.records.extend_from_slice(&source.records[..source.flushed]);
        self.flush();
        self.known = self.known.max(source.known);
    }
}

fn position(records: usize) -> Lsn {
    Lsn(FIRST + RECORD * u64::try_from(records).unwrap_or(u64::MAX / RECORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_told_apart() {
        let mut old = Log::default();
        (0..3).for_each(|id| old.append(id));
        old.flush();
        let mut new = old.clone();
        old.append(10);
        new.begin_timeline(11, Timeline(1));
        new.flush();
        assert!(!old.is_beginning_of(&new) && !new.is_beginning_of(&old));
        assert_eq!(new.timeline(), Timeline(2));
        assert_eq!(new.switches(), [(Timeline(1), Lsn(1300))]);
        assert!(old.holds(3, 10) && !new.holds(3, 10) && new.holds(2, 2));
        old.become_like(&new);
        old.append(12);
        new.receive(&old, 9);
        assert_eq!((old.unflushed(), new.len()), (1, 4), "what is not on the disk is not sent");
        old.flush();
        new.receive(&old, 9);
        assert!(new.holds(4, 12) && new.is_beginning_of(&old));
        old.append(13);
        assert_eq!((old.lose(5), old.len()), (1, 5));
    }
}
