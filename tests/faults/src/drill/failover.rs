//! Shots that are one fault: it befalls the leader, another one leads, the fault ends.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::field::{Course, Field};
use crate::inject;
use crate::plan::Fault;

/// How much longer than the lock lives the store hangs.
const STORE_AWAY: Duration = Duration::from_secs(4);
/// How long the old server is left to itself after the new leader's first acknowledged write.
const LINGER: Duration = Duration::from_millis(1500);

/// Plays one.
///
/// # Errors
/// When nobody leads instead, or the machine stands in the way.
pub async fn play(field: &Field, course: &mut Course, fault: Fault) -> Result<()> {
    field.story.tell(format!("{} {}", fault.name(), course.leader));
    inject::hurt(&field.bed, fault, course.place)?;
    if fault == Fault::FreezeStore {
        // pace: nothing can be seen of a store that hangs
        sleep(field.ttl + STORE_AWAY).await;
        heal(field, course, fault).await?;
        return field.wait_next_leader(course).await;
    }
    let found = field.wait_next_leader(course).await;
    // pace: whoever still writes to the old server is to be heard
    sleep(LINGER).await;
    heal(field, course, fault).await?;
    found
}

async fn heal(field: &Field, course: &mut Course, fault: Fault) -> Result<()> {
    course.healed = Some(field.history.now());
    let guard_last = fault == Fault::FreezeNode && course.number.is_multiple_of(2);
    field.story.tell(format!("{} ends{}", fault.name(), if guard_last { ", for the guard last" } else { "" }));
    if guard_last {
        course.notes.push("the guard went on last".to_owned());
        return field.node(course.place)?.thaw_node_guard_last();
    }
    inject::heal(&field.bed, fault, course.place).await
}
