//! An object's life: its configuration, a new one, and its end.

use crate::checks::process::threads;
use crate::context::{Context, Stop, Verdict, ensure, within};
use crate::object::BUDGET;
use regent_plugin_api::abi::Reload;
use regent_plugin_api::host::{ErrorKind, Expect, KeyKind};
use std::time::Duration;

pub(crate) fn check_config(context: &Context) -> Verdict {
    context.plugin.check_config(&context.config)?;
    let garbage = ["", "garbage", "[1, 2", "{\"no-such-setting-of-any-backend\": [", "\u{0}"];
    for text in garbage {
        ensure!(context.plugin.check_config(text).is_err(), "{text:?} was accepted");
    }
    Ok(format!("its own accepted, {} times garbage refused", garbage.len()))
}

pub(crate) fn reload(context: &Context) -> Verdict {
    let a = context.member("a")?;
    let lease = a.acquire()?;
    ensure!(lease.is_some(), "a free lock was refused");
    let answer = a.reload(&context.config.replace("{scope}", &context.scope))?;
    ensure!([Reload::APPLIED, Reload::REOPEN_NEEDED].contains(&answer), "an answer without meaning: {answer:?}");
    let refused = a.reload("garbage").is_err() || context.plugin.check_config("garbage").is_ok();
    ensure!(refused, "garbage was applied");
    let lease = match lease {
        Some(lease) => a.renew(&lease)?,
        None => None,
    };
    ensure!(lease.is_some(), "reloading ended the lock");
    a.load()?;
    let said = if answer == Reload::APPLIED { "applied" } else { "asks to be opened anew" };
    Ok(format!("{said}, the lock stays"))
}

pub(crate) fn close(context: &Context) -> Verdict {
    // What lives as long as the process is there after the first object. More than one follow: what an object leaves
    // must not be taken for a thread of the first that has not ended yet.
    const TIMES: usize = 8;
    let used = |name: &str| -> Result<(), Stop> {
        let object = context.member(name)?;
        object.load()?;
        Ok(object.close()?)
    };
    used("first")?;
    let before = threads();
    for _ in 0..TIMES {
        used("next")?;
    }
    let a = context.member("a")?;
    a.touch_in(BUDGET, b"{}")?;
    let lease = a.acquire()?;
    ensure!(lease.is_some(), "a free lock was refused");
    a.close()?;
    let kinds = [
        ("load", a.load().err()),
        ("acquire_leader", a.acquire().err()),
        ("renew_leader", lease.and_then(|lease| a.renew(&lease).err())),
        ("touch_member", a.touch_in(BUDGET, b"{}").err()),
        ("put", a.put(KeyKind::Config, b"1", &Expect::Any).err()),
        ("delete", a.delete(KeyKind::Config, &Expect::Any).err()),
        ("watch", a.watch(Duration::from_millis(200), "").err()),
        ("delete_cluster", a.delete_cluster_in(BUDGET).err()),
    ];
    for (name, error) in &kinds {
        let kind = error.as_ref().map(|error| error.kind);
        ensure!(kind == Some(ErrorKind::Closed), "{name} after close answers {kind:?}, not Closed");
    }
    ensure!(within(BUDGET, || Ok(threads() <= before))?, "{} threads before, {} after close", before, threads());
    Ok(format!("{} calls refused, no thread left", kinds.len()))
}
