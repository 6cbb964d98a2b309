//! On which timeline a standby's log is while nothing is received: the monitoring statement cannot say, and an election
//! wants to know it of a server that has just let go of the lost leader (HA-28).

use crate::postgres::Server;
use regent_core::model::{Lsn, Monitoring, Postmaster, Timeline};
use std::time::Duration;

/// For a connection on this machine, and again for the one question.
const LIMIT: Duration = Duration::from_secs(1);

/// What the log of one postmaster was last found to end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    postmaster: Postmaster,
    end: Lsn,
    timeline: Timeline,
}

/// Remembers what was found, so that a log that stands still is asked for once.
#[derive(Debug, Default)]
pub(super) struct LogTimeline {
    known: Option<Known>,
}

impl LogTimeline {
    /// Completes what a standby answered. Where it cannot be asked, the timeline that it was on before counts: a server
    /// in recovery goes over to later ones only.
    pub(super) async fn complete(&mut self, server: &Server, postmaster: Postmaster, value: &mut Monitoring) {
        let Some(end) = value.position().filter(|_| !value.is_primary) else { return };
        let silent = value.timeline.is_none() && value.log_was_read;
        if silent && self.ends_elsewhere(postmaster, end) {
            match replayed_timeline(server).await {
                Ok(timeline) => self.note(postmaster, end, timeline),
                Err(error) => tracing::debug!("the timeline of the local log: {error}"),
            }
        }
        if let Some(timeline) = value.timeline {
            self.note(postmaster, end, timeline);
        }
        value.timeline = self.of(postmaster).map(|known| known.timeline);
    }

    fn of(&self, postmaster: Postmaster) -> Option<Known> {
        self.known.filter(|known| known.postmaster == postmaster)
    }

    fn ends_elsewhere(&self, postmaster: Postmaster, end: Lsn) -> bool {
        self.of(postmaster).is_none_or(|known| known.end != end)
    }

    fn note(&mut self, postmaster: Postmaster, end: Lsn, timeline: Timeline) {
        let before = self.of(postmaster).map(|known| known.timeline);
        self.known = Some(Known { postmaster, end, timeline: before.unwrap_or_default().max(timeline) });
    }
}

async fn replayed_timeline(server: &Server) -> Result<Timeline, crate::postgres::PgError> {
    Ok(server.replicate_locally(LIMIT).await?.identify(LIMIT).await?.timeline)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HA-28: a log is asked for once for each of its ends, and its timeline never goes back.
    #[test]
    fn what_was_found_holds_until_the_log_ends_elsewhere() {
        let one = Postmaster { pid: 1, start_ticks: 1 };
        let mut log = LogTimeline::default();
        assert!(log.ends_elsewhere(one, Lsn(5)) && log.of(one).is_none());
        log.note(one, Lsn(5), Timeline(2));
        assert!(!log.ends_elsewhere(one, Lsn(5)) && log.ends_elsewhere(one, Lsn(6)));
        log.note(one, Lsn(6), Timeline(1));
        assert_eq!(log.of(one).map(|known| (known.timeline, known.end)), Some((Timeline(2), Lsn(6))));
        let next = Postmaster { pid: 2, start_ticks: 2 };
        assert!(log.of(next).is_none() && log.ends_elsewhere(next, Lsn(6)));
    }
}
