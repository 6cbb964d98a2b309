//! The holder's process is stopped and goes on later: its lock ends meanwhile, and it learns so.

use crate::checks::faults::RECOVERY;
use crate::checks::lock::LATE;
use crate::context::{Context, Stop, Verdict, conclusive, ensure, now, within};
use crate::holder::Holder;
use crate::object::Object;
use std::time::Duration;

/// The holder must be stopped before its lock ends by itself, on a machine that is slow too.
const TTL_MIN: Duration = Duration::from_secs(2);

pub(crate) fn frozen_holder(context: &Context) -> Verdict {
    let ttl = context.ttl.max(TTL_MIN);
    let other = context.member("other")?;
    other.load()?;
    let mut holder = Holder::start(context, "frozen", ttl)?;
    conclusive(|| {
        let start = now();
        ensure!(holder.ask("acquire")? == "lease", "a free lock was refused to another process");
        let kept = holder.ask("renew")?;
        let lease = other.acquire()?;
        if now().duration_since(start) >= ttl {
            if let Some(lease) = lease {
                other.release(&lease)?;
            }
            return Ok(None);
        }
        ensure!(kept == "lease", "another process can not keep its lock: {kept}");
        ensure!(lease.is_none(), "a lock that another process holds was given away");
        Ok(Some(kept))
    })?;
    holder.freeze()?;
    let start = now();
    let free = within(ttl + LATE, || Ok(other.acquire()?.is_some()))?;
    ensure!(free, "a stopped process has the lock {} ms after it was stopped", now().duration_since(start).as_millis());
    let took = now().duration_since(start);
    holder.thaw()?;
    learns(&mut holder)?;
    ensure!(holder.ask("acquire")? == "none", "a process that was stopped got a lock that another holds");
    ensure!(holds(&other)?, "a process that goes on took the lock from its new holder");
    Ok(format!("lost after {} of {} ms, and the process knows", took.as_millis(), ttl.as_millis()))
}

/// There may be no verdict at first: connections may have ended meanwhile.
fn learns(holder: &mut Holder) -> Result<(), Stop> {
    let mut last = String::new();
    let told = within(RECOVERY, || {
        last = holder.ask("renew")?;
        Ok(["lease", "none"].contains(&last.as_str()))
    })?;
    ensure!(told, "a process that goes on is told nothing about its lock: {last}");
    ensure!(last == "none", "a process that was stopped kept a lock that another has got");
    Ok(())
}

fn holds(member: &Object) -> Result<bool, Stop> {
    let lease = member.acquire()?;
    Ok(match lease {
        Some(lease) => member.renew(&lease)?.is_some(),
        None => false,
    })
}
