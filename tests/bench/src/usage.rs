//! What a node's daemon uses of the machine, its guard included: everything that is not PostgreSQL.

use anyhow::{Context, Result};
use regent_harness::Node;
use regent_harness::os::process::Stat;
use std::fs;

/// The kernel counts processor time in these.
const TICK_MILLIS: f64 = 10.0;

/// Sums over the node's own processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// MiB; the pages of the program's own files that both processes map are counted once.
    pub resident: f64,
    /// MiB, pages shared with anybody by share: with the neighbours of the same program on this machine, too.
    pub proportional: f64,
    pub threads: f64,
    /// Milliseconds of processor time since their start.
    pub cpu: f64,
    /// Times they slept and were woken.
    pub wakes: f64,
}

/// Reads a node.
///
/// # Errors
/// When its daemon does not run.
pub fn read(node: &Node) -> Result<Usage> {
    let daemon = node.daemon_pid().with_context(|| format!("the daemon of {} does not run", node.name))?;
    let mut sum = Usage::default();
    let mut files = 0.0_f64;
    for pid in [Some(daemon), node.guard_pid()].into_iter().flatten() {
        let (one, mapped) = of_process(pid).with_context(|| format!("cannot read process {pid}"))?;
        sum.resident += one.resident - mapped;
        files = files.max(mapped);
        sum.proportional += one.proportional;
        sum.threads += one.threads;
        sum.cpu += one.cpu;
        sum.wakes += one.wakes;
    }
    sum.resident += files;
    Ok(sum)
}

/// One process, and how much of its resident memory is files: MiB.
fn of_process(pid: i32) -> Option<(Usage, f64)> {
    let stat = Stat::read(pid)?;
    let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let wakes = threads.filter_map(|thread| {
        field(&fs::read_to_string(thread.path().join("status")).ok()?, "voluntary_ctxt_switches:")
    });
    let status = text("status")?;
    let usage = Usage {
        resident: field(&status, "VmRSS:")? / 1024.0,
        proportional: field(&text("smaps_rollup")?, "Pss:")? / 1024.0,
        threads: stat.threads as f64,
        cpu: stat.cpu_ticks as f64 * TICK_MILLIS,
        wakes: wakes.sum(),
    };
    Some((usage, field(&status, "RssFile:")? / 1024.0))
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use regent_harness::wait::block_until;

    use super::*;

    #[test]
    fn this_process_is_read() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        // Each look lets this thread sleep once more: nobody else has to have slept before.
        let slept = block_until(Duration::from_secs(20), Duration::from_millis(1), || {
            of_process(own).is_some_and(|(usage, _)| usage.wakes >= 1.0)
        });
        let (usage, files) = of_process(own).expect("it runs");
        assert!(files > 0.1 && files < usage.resident, "{files} {usage:?}");
        assert!(slept && usage.resident > 0.5 && usage.threads >= 1.0, "{usage:?}");
    }
}
