//! Hears of changes over one standing stream, which outlives the calls that listen to it and is resumed where it broke,
//! at another server if need be. What was compacted away in between counts as a change.

use crate::backend::Etcd3;
use crate::fault::{self, Fault};
use crate::memory::Weight;
use crate::transport::Connection;
use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result, WatchEnd};
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take to begin a watch.
const PATIENCE: Duration = Duration::from_secs(3);

/// A reading's place in the store's history: a revision, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The cluster of etcd servers.
    pub cluster: u64,
    /// Its revision.
    pub revision: i64,
}

impl Cursor {
    /// As the host keeps it.
    pub fn text(self) -> String {
        format!("{:x}:{}", self.cluster, self.revision)
    }

    fn read(text: &str) -> Option<Cursor> {
        let (cluster, revision) = text.split_once(':')?;
        let revision = revision.parse().ok().filter(|revision| *revision >= 0)?;
        Some(Cursor { cluster: u64::from_str_radix(cluster, 16).ok()?, revision })
    }
}

/// The stream and what it told so far.
#[derive(Default)]
pub(crate) struct Watching {
    standing: Option<Standing>,
    /// Every event after this revision was seen, up to `seen`.
    since: i64,
    seen: i64,
    /// The last revision that the daemon must hear of at once.
    changed: i64,
    /// What the daemon should hear of some time, unless it reads it before.
    late: Option<Late>,
    /// A new token was got for the stream, which has yet to show that it works.
    renewed: bool,
}

/// Events that may be told late: the first and the last revision, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Late {
    first: i64,
    last: i64,
    due: Duration,
}

struct Standing {
    connection: Arc<Connection>,
    stream: WatchStream,
    /// It told something, so that it is worth beginning anew at once when it ends.
    works: bool,
}

impl Watching {
    /// Makes sure that all events after `revision` were or will be seen.
    fn cover(&mut self, revision: i64) {
        let known = self.since <= revision && (self.standing.is_some() || revision <= self.seen);
        if !known {
            *self = Watching { since: revision, seen: revision, ..Watching::default() };
        }
    }

    /// When to look up from the stream. What was read up to `loaded` need not be told.
    fn next_look(&mut self, loaded: i64, pace: Duration) -> Option<Duration> {
        self.late.take_if(|late| late.last <= loaded);
        let late = self.late.as_mut()?;
        if late.first <= loaded {
            *late = Late { first: loaded + 1, due: clock::now() + pace, ..*late };
        }
        let wait = late.due.saturating_sub(clock::now());
        if wait.is_zero() {
            self.changed = self.changed.max(late.last);
            self.late = None;
        }
        Some(wait)
    }

    /// Something that may be told late.
    fn tell_late(&mut self, revision: i64, pace: Duration) {
        match &mut self.late {
            Some(late) => late.last = late.last.max(revision),
            None => self.late = Some(Late { first: revision, last: revision, due: clock::now() + pace }),
        }
    }

    /// The stream told something.
    fn work(&mut self) {
        self.renewed = false;
        if let Some(standing) = &mut self.standing {
            standing.works = true;
        }
    }
}

/// What a message of the stream came to.
enum Heard {
    /// Events, or nothing.
    Fine,
    /// The past that was asked for is gone, or is another cluster's.
    Lost,
    /// The stream ended.
    Ended(Fault),
}

impl Etcd3 {
    /// Waits for something after the cursor.
    pub(crate) async fn listen(&self, cx: &Cx, cursor: &str) -> Result<WatchEnd> {
        let Some(cursor) = Cursor::read(cursor) else {
            return Ok(WatchEnd::Changed);
        };
        let mut watching = self.watching.lock().await;
        watching.cover(cursor.revision);
        let mut moved = self.servers.moves();
        loop {
            let look = watching.next_look(self.memory().loaded(), self.loop_wait);
            if watching.changed > cursor.revision {
                return Ok(WatchEnd::Changed);
            }
            let left = cx.left();
            if left.is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            let standing =
                match watching.standing.take().filter(|standing| self.servers.is_current(&standing.connection)) {
                    Some(standing) => standing,
                    None => match self.begin(cx, watching.seen + 1).await? {
                        Some(standing) => standing,
                        None => return Ok(WatchEnd::Deadline),
                    },
                };
            let standing = watching.standing.insert(standing);
            let message = tokio::select! {
                message = standing.stream.message() => message,
                () = moved.wait() => continue,
                () = timer(look.map_or(left, |look| look.min(left))) => continue,
            };
            let heard = match message {
                Ok(Some(message)) => self.hear(&mut watching, cursor, &message),
                Ok(None) => Heard::Ended(Fault::Unsent("the watch ended".to_owned())),
                Err(error) => Heard::Ended(Fault::from(error)),
            };
            match heard {
                Heard::Fine => watching.work(),
                Heard::Lost => {
                    *watching = Watching::default();
                    return Ok(WatchEnd::Changed);
                }
                Heard::Ended(fault) => self.stream_ended(&mut watching, fault).await?,
            }
        }
    }

    /// Begins the stream at the best server that does. `None`: the call was over before any server could be blamed.
    async fn begin(&self, cx: &Cx, from: i64) -> Result<Option<Standing>> {
        let mut last = "no server is known".to_owned();
        for endpoint in self.servers.candidates(cx).await {
            let patience = PATIENCE.min(cx.left());
            let begin = async {
                let connection = self.servers.connection(&endpoint, patience).await?;
                let options = WatchOptions::new().with_prefix().with_start_revision(from);
                let stream = connection.watch().watch(self.keys.prefix(), Some(options)).await?;
                Ok::<_, Fault>(Standing { connection, stream, works: false })
            };
            let fault = match tokio::time::timeout(patience, begin).await {
                Ok(Ok(standing)) => {
                    self.servers.succeeded(&endpoint);
                    return Ok(Some(standing));
                }
                _ if patience < PATIENCE && cx.left().is_zero() => return Ok(None),
                Ok(Err(Fault::Denied(why))) => return Err(DcsError::new(ErrorKind::Auth, why)),
                Ok(Err(fault)) => fault.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            last = format!("{endpoint}: {fault}");
            self.servers.failed(&endpoint);
        }
        Err(DcsError::new(ErrorKind::Unavailable, format!("no etcd server can be watched, at last {last}")))
    }

    fn hear(&self, watching: &mut Watching, cursor: Cursor, message: &WatchResponse) -> Heard {
        if let Some(header) = message.header() {
            if header.cluster_id() != cursor.cluster && header.cluster_id() != 0 {
                return Heard::Lost;
            }
            if message.created() && header.revision() < cursor.revision {
                // It would tell of the future without having reached the present: another must be heard, or read.
                return Heard::Ended(Fault::Unsure("the server lags behind what was read".to_owned()));
            }
            if let Err(fault) = self.servers.check_header(Some(header)) {
                return Heard::Ended(fault);
            }
        }
        if message.canceled() {
            if message.compact_revision() > 0 || fault::is_compacted(message.cancel_reason()) {
                return Heard::Lost;
            }
            let status = tonic::Status::unknown(message.cancel_reason());
            return Heard::Ended(Fault::from(etcd_client::Error::GRpcStatus(status)));
        }
        let mut memory = self.memory();
        for event in message.events() {
            let Some(kv) = event.kv() else { continue };
            let revision = kv.mod_revision();
            watching.seen = watching.seen.max(revision);
            match memory.event(kv, event.event_type() == EventType::Delete) {
                Weight::None => {}
                Weight::Now => watching.changed = watching.changed.max(revision),
                Weight::Late => watching.tell_late(revision, self.loop_wait),
            }
        }
        Heard::Fine
    }

    /// The next round begins the stream anew: with a new token, or at another server.
    async fn stream_ended(&self, watching: &mut Watching, fault: Fault) -> Result<()> {
        let Some(ended) = watching.standing.take() else {
            return Ok(());
        };
        if let Fault::Token(why) = fault {
            let renewed = !watching.renewed && ended.connection.authenticate().await.is_ok();
            // If the first new token does not help, the host waits before it watches again.
            watching.renewed = renewed;
            let error = DcsError::new(ErrorKind::Auth, format!("the watch was refused: {why}"));
            return if renewed { Ok(()) } else { Err(error) };
        }
        self.servers.failed(&ended.connection.endpoint);
        if ended.works {
            Ok(())
        } else {
            Err(DcsError::new(ErrorKind::Unavailable, format!("the watch ended: {fault}")))
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the call's deadline, beside the event that is waited for")]
async fn timer(time: Duration) {
    // pace: the end of the call, or the time at which a late event is told
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_were_written() {
        let cursor = Cursor { cluster: u64::MAX, revision: 42 };
        assert_eq!(Cursor::read(&cursor.text()), Some(cursor));
        for text in ["", "7", "x:1", "1:x", "1:-1", "1:2:3"] {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }

    #[test]
    fn heartbeats_that_were_read_are_not_told() {
        let pace = Duration::from_secs(60);
        let mut watching = Watching::default();
        assert_eq!(watching.next_look(0, pace), None);
        watching.tell_late(5, pace);
        watching.tell_late(7, pace);
        assert!(watching.next_look(4, pace).is_some_and(|wait| wait <= pace));
        assert!(watching.next_look(6, pace).is_some(), "the last one is still to be told");
        assert_eq!(watching.late.map(|late| (late.first, late.last)), Some((7, 7)));
        assert_eq!(watching.next_look(7, pace), None);
        watching.tell_late(8, Duration::ZERO);
        assert_eq!(watching.next_look(7, pace), Some(Duration::ZERO));
        assert_eq!((watching.changed, watching.late), (8, None));
    }

    #[test]
    fn a_stream_covers_what_it_began_before() {
        let mut watching = Watching { since: 10, seen: 15, changed: 12, ..Watching::default() };
        watching.cover(11);
        assert_eq!((watching.since, watching.changed), (10, 12));
        watching.cover(16);
        assert_eq!((watching.since, watching.seen, watching.changed), (16, 16, 0), "no stream: it begins anew");
        watching.cover(9);
        assert_eq!((watching.since, watching.seen), (9, 9), "the past is asked for again");
    }
}
