//! Watching: it wakes, loses nothing, is quiet when nothing happens, and ends when it is taken back.

use crate::context::{Context, Stop, Verdict, ensure, now, pause};
use crate::object::{BUDGET, Object, number};
use regent_plugin_api::abi::WatchEnd;
use regent_plugin_api::host::{ErrorKind, Expect, KeyKind};
use std::time::Duration;

/// How long a quiet watch is looked at.
const QUIET: Duration = Duration::from_millis(200);

fn need(context: &Context) -> Result<(), Stop> {
    if context.plugin.capabilities().native_watch {
        return Ok(());
    }
    Err(Stop::Skip("the backend does not claim to watch".to_owned()))
}

/// A watch that is too short to be sure to be heard: on a machine that is busy, no verdict is none.
fn short(member: &Object, cursor: &str) -> Result<Option<WatchEnd>, Stop> {
    match member.watch(QUIET, cursor) {
        Err(error) if error.kind == ErrorKind::Unavailable => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

pub(crate) fn watch(context: &Context) -> Verdict {
    const ROUNDS: u32 = 20;
    need(context)?;
    let (a, b) = (context.member("a")?, context.member("b")?);
    let cursor = b.load()?.cursor;
    let start = now();
    let end = std::thread::scope(|scope| {
        let watching = scope.spawn(|| b.watch(BUDGET, &cursor));
        pause(QUIET);
        let written = a.put(KeyKind::Config, b"0", &Expect::Any);
        let end = watching.join().map_err(|_| Stop::Fail("the watcher panicked".to_owned()))??;
        written?;
        Ok::<_, Stop>(end)
    })?;
    ensure!(end == WatchEnd::CHANGED, "a write did not wake: {end:?}");
    let woken = now().duration_since(start);
    ensure!(woken < BUDGET, "woken after {woken:?}");
    for round in 0..ROUNDS {
        let cursor = b.load()?.cursor;
        // Another value than before: writing what is there already need not be a change.
        a.put(KeyKind::Config, format!("round {round}").as_bytes(), &Expect::Any)?;
        let end = b.watch(BUDGET, &cursor)?;
        ensure!(end == WatchEnd::CHANGED, "a change between reading and watching was lost: {end:?} in round {round}");
    }
    let mut spurious = 0;
    for _ in 0..5 {
        let cursor = b.load()?.cursor;
        spurious += u32::from(short(&b, &cursor)? == Some(WatchEnd::CHANGED));
    }
    ensure!(spurious <= 2, "{spurious} of 5 watches of nothing told of changes");
    Ok(format!("woken, {ROUNDS} changes not lost, {spurious} of 5 spurious"))
}

pub(crate) fn cancel(context: &Context) -> Verdict {
    need(context)?;
    let (a, b) = (context.member("a")?, context.member("b")?);
    // Numbers that are no call's, or not yet.
    b.cancel(u64::MAX);
    b.cancel(0);
    // What is made for the first watch is there before short ones follow.
    let cursor = b.load()?.cursor;
    a.put(KeyKind::Config, b"0", &Expect::Any)?;
    ensure!(b.watch(BUDGET, &cursor)? == WatchEnd::CHANGED, "cancelling another call ended a watch");
    let cursor = b.load()?.cursor;
    ensure!(short(&b, &cursor)? != Some(WatchEnd::CANCELLED), "cancelling another call ended a watch");
    let mut cancelled = 0;
    for _ in 0..3 {
        let (id, start) = (number(), now());
        let cursor = b.load()?.cursor;
        let end = std::thread::scope(|scope| {
            let watching = scope.spawn(|| b.watch_as(id, BUDGET, &cursor));
            pause(QUIET);
            b.cancel(id);
            watching.join().map_err(|_| Stop::Fail("the watcher panicked".to_owned()))
        })??;
        let took = now().duration_since(start);
        ensure!(took < BUDGET / 2, "a cancelled watch went on for {} ms", took.as_millis());
        cancelled += u32::from(end == WatchEnd::CANCELLED);
        // Too late.
        b.cancel(id);
    }
    ensure!(cancelled > 0, "no cancelled watch said so");
    let cursor = b.load()?.cursor;
    ensure!(short(&b, &cursor)? != Some(WatchEnd::CANCELLED), "a late cancellation ended the next watch");
    a.put(KeyKind::Config, b"1", &Expect::Any)?;
    ensure!(b.watch(BUDGET, &cursor)? == WatchEnd::CHANGED, "after a cancellation a change does not wake");
    Ok(format!("{cancelled} watches cancelled, early and late numbers harmless"))
}
