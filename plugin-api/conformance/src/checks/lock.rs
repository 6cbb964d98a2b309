//! The lock: one holder at a time, its end, and who may take it, keep it and give it back.

use crate::context::{Context, Stop, Verdict, conclusive, ensure, now, pause, within};
use crate::object::{BUDGET, Object};
use regent_plugin_api::host::{Key, KeyKind, Lease, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How late after its ttl a lock may still be held.
pub(crate) const LATE: Duration = Duration::from_secs(10);

/// How early: clocks are read in whole milliseconds, and at both ends.
const EARLY: Duration = Duration::from_millis(50);

fn taken(member: &Object) -> Result<Lease, Stop> {
    member.acquire()?.ok_or_else(|| Stop::Fail("a free lock was refused".to_owned()))
}

pub(crate) fn mutual_exclusion(context: &Context) -> Verdict {
    const WANTED: usize = 40;
    let (holders, count, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let start = now();
    let contend = |name: &str| -> Result<(), Stop> {
        let member = context.member(name)?;
        while count.load(Ordering::SeqCst) < WANTED && !over.load(Ordering::SeqCst) {
            ensure!(now().duration_since(start) < Duration::from_secs(120), "too slow to tell");
            let Some(lease) = member.acquire()? else { continue };
            let others = holders.fetch_add(1, Ordering::SeqCst);
            let kept = member.renew(&lease);
            pause(Duration::from_millis(2));
            holders.fetch_sub(1, Ordering::SeqCst);
            ensure!(others == 0, "two members have the lock at a time");
            let lease = kept?.ok_or_else(|| Stop::Fail("a lock was lost long before its ttl".to_owned()))?;
            ensure!(member.release(&lease)?, "a lock that is held was not given back");
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let contend = |name| {
            let result = contend(name);
            over.fetch_or(result.is_err(), Ordering::SeqCst);
            result
        };
        let threads: Vec<_> = ["a", "b", "c", "d"].map(|name| scope.spawn(move || contend(name))).into();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    for result in results {
        result.map_err(|_| Stop::Fail("a contender panicked".to_owned()))??;
    }
    let count = count.into_inner();
    ensure!(count >= WANTED, "only {count} acquisitions");
    Ok(format!("{count} acquisitions by 4 contenders, never two holders"))
}

pub(crate) fn reentrant_acquire(context: &Context) -> Verdict {
    let (a, b) = (context.member("a")?, context.member("b")?);
    taken(&a)?;
    for _ in 0..3 {
        let again = a.acquire()?.ok_or_else(|| Stop::Fail("the holder was refused its own lock".to_owned()))?;
        ensure!(a.renew(&again)?.is_some(), "a lock acquired again can not be kept");
        ensure!(b.acquire()?.is_none(), "another member got a lock that is held");
    }
    Ok("3 times again, the other refused".to_owned())
}

pub(crate) fn release_own_only(context: &Context) -> Verdict {
    let (a, b) = (context.member("a")?, context.member("b")?);
    let old = taken(&a)?;
    ensure!(a.release(&old)?, "a lock that is held was not given back");
    ensure!(!a.release(&old)?, "a lock was given back twice");
    let lease = taken(&b)?;
    ensure!(!a.release(&old)?, "the lock of another was given back");
    ensure!(b.renew(&lease)?.is_some(), "giving back what was not ours ended the lock of another");
    ensure!(a.renew(&old)?.is_none(), "a lock that another has was kept");
    Ok("a stale lease gives nothing back".to_owned())
}

pub(crate) fn ttl_expiry(context: &Context) -> Verdict {
    let (a, b) = (context.brief("a")?, context.brief("b")?);
    b.load()?;
    conclusive(|| {
        let began = now();
        let lease = taken(&a)?;
        pause(context.ttl / 2);
        let start = now();
        let kept = a.renew(&lease)?.is_some();
        if !kept && now().duration_since(began) >= context.ttl {
            return Ok(None);
        }
        ensure!(kept, "a lock was lost before its ttl");
        expires(&b, context.ttl, start)
    })
}

/// The other gets the lock neither early nor late; then it gives it back. `None` if nobody looked while it was held.
fn expires(other: &Object, ttl: Duration, start: Instant) -> Result<Option<String>, Stop> {
    let (mut refusals, mut lease) = (0, None);
    within(ttl + LATE, || {
        lease = other.acquire()?;
        refusals += usize::from(lease.is_none());
        Ok(lease.is_some())
    })?;
    let (elapsed, ttl) = (now().duration_since(start), ttl.as_millis());
    let took = elapsed.as_millis();
    let Some(lease) = lease else {
        return Err(Stop::Fail(format!("still held {took} ms after a ttl of {ttl} ms began")));
    };
    ensure!((elapsed + EARLY).as_millis() >= ttl, "ended after {took} of {ttl} ms");
    other.release(&lease)?;
    Ok((refusals > 0).then(|| format!("ended after {took} of {ttl} ms, {refusals} refusals before")))
}

pub(crate) fn expired_lease(context: &Context) -> Verdict {
    let (a, b) = (context.brief("a")?, context.brief("b")?);
    let lease = taken(&a)?;
    let gone = within(context.ttl + LATE, || Ok(b.value(&Key::of(KeyKind::Leader))?.is_none()))?;
    ensure!(gone, "the lock never ended");
    ensure!(a.renew(&lease)?.is_none(), "a lock that ended was kept");
    conclusive(|| {
        let start = now();
        let again = a.acquire()?.ok_or_else(|| Stop::Fail("after its lock ended a member is refused".to_owned()))?;
        let kept = a.renew(&again)?.is_some();
        let other = b.acquire()?;
        if now().duration_since(start) >= context.ttl {
            if let Some(lease) = other {
                b.release(&lease)?;
            }
            return Ok(None);
        }
        ensure!(kept, "the lock acquired after the end can not be kept");
        ensure!(other.is_none(), "the lock acquired after the end is no lock");
        Ok(Some("lost, then acquired again".to_owned()))
    })
}

pub(crate) fn set_ttl(context: &Context) -> Verdict {
    let (a, b) = (context.member("a")?, context.member("b")?);
    let effective = a.set_ttl(context.ttl)?;
    ensure!(effective == context.ttl, "asked for {:?}, told {effective:?}", context.ttl);
    conclusive(|| {
        let start = now();
        let lease = taken(&a)?;
        ensure!(lease.ttl == effective, "the lock has a ttl of {:?}, told was {effective:?}", lease.ttl);
        expires(&b, effective, start)
    })
}

pub(crate) fn snapshot_consistency(context: &Context) -> Verdict {
    const WANTED: usize = 40;
    if !context.plugin.capabilities().atomic_multi_write {
        return Err(Stop::Skip("the backend does not claim to write atomically".to_owned()));
    }
    let (a, b) = (context.member("a")?, context.member("b")?);
    let mut lease = taken(&a)?;
    let (renewals, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let renewing = || -> Result<(), Stop> {
        while !over.load(Ordering::SeqCst) {
            let value = renewals.load(Ordering::SeqCst).to_string().into_bytes();
            let also = [KeyKind::Status, KeyKind::Failsafe, KeyKind::Other(9000)]
                .map(|kind| Write { key: Key::of(kind), value: value.clone() });
            lease = a.renew_in(BUDGET, &lease, &also)?.ok_or_else(|| Stop::Fail("the lock was lost".to_owned()))?;
            renewals.fetch_add(1, Ordering::SeqCst);
            // A writer that never rests may lock readers out: that is no question of consistency.
            pause(Duration::from_millis(5));
        }
        Ok(())
    };
    let (mut readings, mut torn) = (0, None);
    std::thread::scope(|scope| {
        let writer = scope.spawn(renewing);
        let read = within(Duration::from_secs(60), || {
            for _ in 0..8 {
                let entries = b.load()?.entries;
                let mut values: Vec<_> =
                    entries.into_iter().filter(|entry| entry.key.kind != KeyKind::Leader).map(|e| e.value).collect();
                let count = values.len();
                values.dedup();
                readings += usize::from(count > 0);
                if count != 0 && (count != 3 || values.len() != 1) {
                    torn = Some(format!("torn: {count} of 3 keys with {} values", values.len()));
                }
            }
            Ok(torn.is_some()
                || writer.is_finished()
                || (readings >= WANTED && renewals.load(Ordering::SeqCst) >= WANTED))
        });
        over.store(true, Ordering::SeqCst);
        writer.join().map_err(|_| Stop::Fail("the writer panicked".to_owned()))??;
        read
    })?;
    if let Some(torn) = torn {
        return Err(Stop::Fail(torn));
    }
    let renewals = renewals.into_inner();
    ensure!(readings >= WANTED && renewals >= WANTED, "too little: {renewals} renewals, {readings} readings");
    Ok(format!("{renewals} renewals, {readings} readings, none torn"))
}
