//! The process around the plugin: nothing is left behind, nothing that belongs to all is changed.

use crate::context::{Baseline, Context, Verdict, ensure, within};
use crate::object::BUDGET;
use regent_plugin_api::host::{Expect, KeyKind};
use std::time::Duration;

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The threads of this process.
pub(crate) fn threads() -> usize {
    count("/proc/self/task")
}

fn descriptors() -> usize {
    count("/proc/self/fd")
}

fn use_once(context: &Context) -> Result<(), crate::context::Stop> {
    let a = context.member("a")?;
    a.touch_in(BUDGET, b"{}")?;
    let cursor = a.load()?.cursor;
    a.watch(Duration::from_millis(5), &cursor)?;
    a.close()?;
    Ok(())
}

pub(crate) fn leaks(context: &Context) -> Verdict {
    const TIMES: usize = 24;
    const SLACK: usize = 4;
    for _ in 0..2 {
        use_once(context)?;
    }
    let before = (descriptors(), threads());
    ensure!(before.0 > 0 && before.1 > 0, "the process can not be looked at");
    for _ in 0..TIMES {
        use_once(context)?;
    }
    let freed = within(BUDGET, || Ok(descriptors() <= before.0 + SLACK && threads() <= before.1 + SLACK))?;
    let after = (descriptors(), threads());
    ensure!(freed, "descriptors and threads were {before:?}, are {after:?} after {TIMES} objects");
    Ok(format!("{TIMES} objects opened and closed, descriptors and threads {before:?} to {after:?}"))
}

pub(crate) fn side_effects(context: &Context) -> Verdict {
    let a = context.member("a")?;
    a.put(KeyKind::Config, b"1", &Expect::Any)?;
    ensure!(a.acquire()?.is_some(), "a free lock was refused");
    use_once(context)?;
    a.close()?;
    drop(a);
    ensure!(context.baseline.facts() >= 5, "the process can not be looked at");
    let changed = context.baseline.difference(&Baseline::take());
    ensure!(changed.is_empty(), "changed for the whole process: {}", changed.join(", "));
    Ok("working folder, umask, signals, environment as before".to_owned())
}
