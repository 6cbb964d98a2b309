//! Servers that are neither there nor gone: one that takes its time, and one that forgot its connections.

use crate::checks::faults::{RECOVERY, TRY};
use crate::context::{Context, Stop, Verdict, ensure, within};
use crate::object::BUDGET;
use regent_plugin_api::abi::WatchEnd;
use regent_plugin_api::host::{Expect, KeyKind};
use std::time::Duration;

/// How much later everything arrives, there and back.
const DELAY: Duration = Duration::from_millis(150);

pub(crate) fn slow_server(context: &Context) -> Verdict {
    const ROUNDS: usize = 2;
    let proxy = context.proxy()?;
    let (a, b) = (context.member("a")?, context.member("b")?);
    b.load()?;
    proxy.delay(DELAY);
    for round in 0..ROUNDS {
        let value = round.to_string();
        ensure!(
            a.put(KeyKind::Config, value.as_bytes(), &Expect::Any)?.is_some(),
            "an unconditional write was refused"
        );
        a.touch_in(BUDGET, value.as_bytes())?;
        let lease = a.acquire()?.ok_or_else(|| Stop::Fail("a lock that is free or ours was refused".to_owned()))?;
        ensure!(a.renew(&lease)?.is_some(), "a lock was lost because the server is slow");
        ensure!(b.acquire()?.is_none(), "another member got a lock that is held");
        ensure!(b.load()?.entries.len() == 3, "a reading does not show the three keys");
    }
    Ok(format!("{} calls, each answered though everything arrives {} ms late", 6 * ROUNDS, DELAY.as_millis()))
}

pub(crate) fn half_open(context: &Context) -> Verdict {
    let proxy = context.proxy()?;
    let (a, b) = (context.member("a")?, context.member("b")?);
    ensure!(a.acquire()?.is_some(), "a free lock was refused");
    b.load()?;
    let before = proxy.swallowed();
    proxy.half_open();
    for member in [&a, &b] {
        let back = within(RECOVERY, || Ok(member.load_in(TRY).is_ok()))?;
        ensure!(back, "after {} s still no new connection in place of a dead one", RECOVERY.as_secs());
    }
    ensure!(proxy.swallowed() > before, "nothing was sent on the dead connections: nothing was proved");
    ensure!(a.acquire()?.is_some(), "the holder was refused its own lock");
    ensure!(b.acquire()?.is_none(), "another member got a lock that is held");
    if context.plugin.capabilities().native_watch {
        let cursor = b.load()?.cursor;
        a.put(KeyKind::Config, b"1", &Expect::Any)?;
        ensure!(b.watch(BUDGET, &cursor)? == WatchEnd::CHANGED, "a watch does not hear over a new connection");
    }
    Ok("dead connections are given up, the lock stays".to_owned())
}
