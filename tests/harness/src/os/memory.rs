//! System V shared memory that a killed PostgreSQL leaves behind.
//!
//! The next start in the same data directory removes it; after the last test of a cluster there is
//! no next start. What is removed here is attached by nobody, belongs to the cluster's account, and
//! did not exist before the cluster.

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};

/// The segments that existed at one moment.
pub struct Segments {
    before: HashSet<u64>,
    uid: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Segment {
    id: u64,
    attached: u64,
    uid: u32,
}

impl Segments {
    /// Remembers what exists now.
    pub fn snapshot(uid: u32) -> Self {
        Self { before: read().into_iter().map(|segment| segment.id).collect(), uid }
    }

    /// Removes what came since and is attached by nobody.
    pub fn remove_new(&self) {
        let is_ours =
            |segment: &Segment| segment.attached == 0 && segment.uid == self.uid && !self.before.contains(&segment.id);
        for segment in read().into_iter().filter(is_ours) {
            // Somebody else may have been quicker.
            let _ = Command::new("ipcrm")
                .args(["-m", &segment.id.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn read() -> Vec<Segment> {
    parse(&fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default())
}

/// Columns: key shmid perms size cpid lpid nattch uid ...
fn parse(text: &str) -> Vec<Segment> {
    let parse_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some(Segment {
            id: fields.get(1)?.parse().ok()?,
            attached: fields.get(6)?.parse().ok()?,
            uid: fields.get(7)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(parse_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let text = "key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap\n\
                    1610841 5 600 56 77 78 6 101 104 101 104 1 0 1 4096 0\n";
        assert_eq!(parse(text), [Segment { id: 5, attached: 6, uid: 101 }]);
        assert_eq!(parse(""), []);
    }
}
