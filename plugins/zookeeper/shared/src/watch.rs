//! Hears of changes: the servers tell once of whatever changes after it was read, and then it is read again. What is
//! nothing but the figures of others is told late, what this member wrote is not told.

use crate::Ensemble;
use crate::backend::ZooKeeper;
use crate::call::Repeat;
use crate::config::Pace;
use crate::memory::Weight;
use crate::message::Op;
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, Result, WatchEnd};
use std::time::Duration;

impl<E: Ensemble> ZooKeeper<E> {
    /// Waits for something after the cursor. It makes no connection: where there is none, the daemon has to know.
    pub(crate) async fn listen(&self, cx: &Cx, cursor: &str) -> Result<WatchEnd> {
        let Ok(cursor) = cursor.parse::<i64>() else { return Ok(WatchEnd::Changed) };
        let mut news = self.session().shared.news.subscribe();
        let mut told = self.memory().told_since(cursor);
        let mut late: Option<Duration> = None;
        loop {
            let count = *news.borrow_and_update();
            let Some(serial) = self.session().connected() else { return Ok(WatchEnd::Changed) };
            if told != Some((serial, count)) {
                // A daemon that does nothing any more shall lose its session: nothing is asked in its place.
                if self.is_idle() {
                    return Ok(WatchEnd::Changed);
                }
                let Some(reading) = self.survey(cx, false).await? else { continue };
                let Some(nodes) = reading.listed() else { continue };
                let weight = self.memory().weigh(cursor, &nodes);
                self.memory().read(&nodes);
                match weight {
                    Weight::Now => return Ok(WatchEnd::Changed),
                    Weight::Late => late = late.or(Some(clock::now() + self.loop_wait())),
                    Weight::None => {}
                }
                told = Some((reading.serial(), count));
                continue;
            }
            let left = cx.left();
            let due = late.map(|due| due.saturating_sub(clock::now()));
            if due.is_some_and(|due| due.is_zero()) {
                return Ok(WatchEnd::Changed);
            }
            if left.is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            let silence = Pace { loop_wait: self.loop_wait() }.silence();
            let limit = due.map_or(left, |due| due.min(left)).min(silence);
            let quiet = tokio::time::timeout(limit, news.changed()).await.is_err();
            if quiet && limit == silence && !self.is_idle() {
                // Is the server still there? If not, the connection ends, and that is told.
                self.ask(cx, Repeat::Read, &[Op::Exists(self.paths.root(), false)]).await?;
            }
        }
    }

    /// The daemon's loop does not go on.
    fn is_idle(&self) -> bool {
        self.idle() > self.loop_wait() * 2
    }
}
