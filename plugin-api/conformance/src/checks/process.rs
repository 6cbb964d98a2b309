//! The process around the plugin: nothing is left behind, nothing that belongs to all is changed.

use crate::context::{Baseline, Context, Stop, Verdict, ensure, within};
use crate::object::{BUDGET, Object};
use regent_plugin_api::abi::WatchEnd;
use regent_plugin_api::host::{Expect, KeyKind};

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

/// All that the daemon does with an object. The watch is woken by another member, so that it ends when it has begun.
fn use_once(context: &Context, other: &Object) -> Result<(), Stop> {
    let a = context.member("a")?;
    a.touch_in(BUDGET, b"{}")?;
    let cursor = a.load()?.cursor;
    other.put(KeyKind::Config, cursor.as_bytes(), &Expect::Any)?;
    let end = a.watch(BUDGET, &cursor)?;
    let known = [WatchEnd::CHANGED, WatchEnd::UNSUPPORTED].contains(&end);
    ensure!(known, "a watch of what changed already ended otherwise: {end:?}");
    a.close()?;
    Ok(())
}

/// What the process has of everything that an object may leave behind.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    kib: usize,
}

impl Holdings {
    fn now() -> Holdings {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        Holdings { descriptors: descriptors(), threads: threads(), kib }
    }

    fn within(self, before: Holdings) -> bool {
        const SLACK: usize = 4;
        // Allocators keep some for later; what 1,000 objects leave is more.
        const SLACK_KIB: usize = 64 << 10;
        self.descriptors <= before.descriptors + SLACK
            && self.threads <= before.threads + SLACK
            && self.kib <= before.kib + SLACK_KIB
    }
}

impl std::fmt::Display for Holdings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} descriptors, {} threads, {} MiB", self.descriptors, self.threads, self.kib >> 10)
    }
}

pub(crate) fn leaks(context: &Context) -> Verdict {
    const TIMES: usize = 1000;
    const LIKE_THE_DAEMON: usize = 25;
    // What is made once for all objects is there before anything is counted.
    let other = context.member("other")?;
    for _ in 0..LIKE_THE_DAEMON {
        use_once(context, &other)?;
    }
    let before = Holdings::now();
    ensure!(before.descriptors > 0 && before.threads > 0 && before.kib > 0, "the process can not be looked at");
    for round in 0..TIMES {
        if round % LIKE_THE_DAEMON == 0 {
            use_once(context, &other)?;
        } else {
            let a = context.member("a")?;
            a.load()?;
            a.close()?;
        }
    }
    let freed = within(BUDGET, || Ok(Holdings::now().within(before)))?;
    let after = Holdings::now();
    ensure!(freed, "there were {before}, are {after} after {TIMES} objects");
    Ok(format!("{TIMES} objects opened and closed: from {before} to {after}"))
}

pub(crate) fn side_effects(context: &Context) -> Verdict {
    let a = context.member("a")?;
    a.put(KeyKind::Config, b"1", &Expect::Any)?;
    ensure!(a.acquire()?.is_some(), "a free lock was refused");
    use_once(context, &context.member("other")?)?;
    a.close()?;
    drop(a);
    ensure!(context.baseline.facts() >= 5, "the process can not be looked at");
    let changed = context.baseline.difference(&Baseline::take());
    ensure!(changed.is_empty(), "changed for the whole process: {}", changed.join(", "));
    Ok("working folder, umask, signals, environment as before".to_owned())
}
