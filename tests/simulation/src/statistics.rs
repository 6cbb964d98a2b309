//! What happened how often, in names and numbers: sums of many runs are sums of their lines.

use crate::plan::Kind;
use regent_core::decide::Action;
use regent_core::model::{ErrandKind, StoreCall, Task};
use std::collections::BTreeMap;
use std::fmt;

/// Rules have lower numbers.
const RULES: usize = 1200;

/// Counts over one world or many.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Worlds.
    pub worlds: u64,
    /// Milliseconds of their time.
    pub simulated: u64,
    /// Commits that clients were told to be safe.
    pub acknowledged: u64,
    /// Standbys that became primaries.
    pub promotions: u64,
    /// Servers that the guard killed.
    pub guard_kills: u64,
    /// Commits that a server acknowledged right after its machine had stood still, another having led meanwhile.
    pub after_thaw: u64,
    /// Worlds in which a timeline's number was taken twice in the end: nobody heard of the first before the second.
    pub twins: u64,
    rules: Vec<u64>,
    others: BTreeMap<(&'static str, &'static str), u64>,
}

impl Default for Statistics {
    fn default() -> Statistics {
        Statistics {
            worlds: 0,
            simulated: 0,
            acknowledged: 0,
            promotions: 0,
            guard_kills: 0,
            after_thaw: 0,
            twins: 0,
            rules: vec![0; RULES],
            others: BTreeMap::new(),
        }
    }
}

impl Statistics {
    /// A decision.
    pub fn decided(&mut self, rule: u16, action: &Action) {
        if let Some(count) = self.rules.get_mut(usize::from(rule)) {
            *count += 1;
        }
        self.count("action", name_of(action));
    }

    /// A call that came after it was given up, and whether it was carried out.
    pub fn late(&mut self, call: &StoreCall, done: bool) {
        self.count(if done { "late call" } else { "late call in vain" }, name_of_call(call));
    }

    /// A fault.
    pub fn fault(&mut self, kind: &Kind) {
        self.count("fault", kind.name());
    }

    /// Something of a family.
    pub fn count(&mut self, family: &'static str, what: &'static str) {
        *self.others.entry((family, what)).or_default() += 1;
    }

    /// So much of it.
    pub fn add_count(&mut self, family: &'static str, what: &'static str, count: u64) {
        if count > 0 {
            *self.others.entry((family, what)).or_default() += count;
        }
    }

    /// Those of another world as well.
    pub fn add(&mut self, other: &Statistics) {
        self.worlds += other.worlds;
        self.simulated += other.simulated;
        self.acknowledged += other.acknowledged;
        self.promotions += other.promotions;
        self.guard_kills += other.guard_kills;
        self.after_thaw += other.after_thaw;
        self.twins += other.twins;
        self.rules.iter_mut().zip(&other.rules).for_each(|(sum, count)| *sum += count);
        other.others.iter().for_each(|(name, count)| *self.others.entry(*name).or_default() += count);
    }

    /// How often this rule decided.
    pub fn of_rule(&self, rule: u16) -> u64 {
        self.rules.get(usize::from(rule)).copied().unwrap_or(0)
    }

    /// Every count by its name.
    pub fn lines(&self) -> BTreeMap<String, u64> {
        let named = [
            ("worlds", self.worlds),
            ("simulated ms", self.simulated),
            ("commits acknowledged", self.acknowledged),
            ("promotions", self.promotions),
            ("kills by the guard", self.guard_kills),
            ("commits acknowledged by a thawed machine too late", self.after_thaw),
            ("worlds with two timelines of one number in the end", self.twins),
        ];
        let rules = self.rules.iter().enumerate().filter(|(_, count)| **count > 0);
        let others = self.others.iter().map(|((family, what), count)| (format!("{family}: {what}"), *count));
        let named = named.into_iter().map(|(name, count)| (name.to_owned(), count));
        named.chain(rules.map(|(rule, count)| (format!("rule {rule:04}"), *count))).chain(others).collect()
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.lines(), f)
    }
}

/// Writes counts for a reader: families on a line each.
pub fn show(lines: &BTreeMap<String, u64>, f: &mut impl fmt::Write) -> fmt::Result {
    let mut families: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, count) in lines {
        match (name.split_once(": "), name.strip_prefix("rule ")) {
            (Some((family, what)), _) => families.entry(family).or_default().push(format!("{what} {count}")),
            (None, Some(rule)) => families.entry("rule").or_default().push(format!("{rule} {count}")),
            (None, None) if name == "simulated ms" => writeln!(f, "simulated hours: {}", count / 3_600_000)?,
            (None, None) => writeln!(f, "{name}: {count}")?,
        }
    }
    families.iter().try_for_each(|(family, counts)| writeln!(f, "{family}: {}", counts.join(", ")))
}

fn name_of(action: &Action) -> &'static str {
    match action {
        Action::Wait { .. } => "wait",
        Action::Exit { .. } => "exit",
        Action::Escalate(_) => "escalate",
        Action::CancelTask => "cancel",
        Action::Store(call) => name_of_call(call),
        Action::Begin(task) | Action::Preempt(task) => name_of_task(task),
        Action::Run(errand) => name_of_errand(errand.kind()),
    }
}

fn name_of_call(call: &StoreCall) -> &'static str {
    match call {
        StoreCall::Load => "load",
        StoreCall::Acquire => "acquire",
        StoreCall::Renew => "renew",
        StoreCall::Release { .. } => "release",
        StoreCall::TouchMember => "touch member",
        StoreCall::ClaimInitialize => "claim initialize",
        StoreCall::SetInitialize { .. } => "set initialize",
        StoreCall::CancelInitialize => "cancel initialize",
        StoreCall::RestoreConfig => "restore config",
        StoreCall::ClearFailover { .. } => "clear failover",
        StoreCall::WriteSync { .. } => "write sync",
        StoreCall::DeleteSync { .. } => "delete sync",
        StoreCall::WriteFailsafe { .. } => "write failsafe",
        StoreCall::WriteHistory { .. } => "write history",
    }
}

fn name_of_task(task: &Task) -> &'static str {
    match task {
        Task::Bootstrap => "bootstrap",
        Task::Clone { .. } => "clone",
        Task::Start(_) => "start",
        Task::Stop { .. } => "stop",
        Task::Promote => "promote",
        Task::Follow(_) => "follow",
        Task::StopReceiving => "stop receiving",
        Task::Restart(_) => "restart",
        Task::CompareHistories(_) => "compare histories",
        Task::Rewind(_) => "rewind",
        Task::RecoverInSingleUserMode => "recover in single-user mode",
        Task::CopySlots { .. } => "copy slots",
        Task::Wipe => "wipe",
        Task::SetAsideFailedBootstrap => "set aside",
    }
}

fn name_of_errand(kind: ErrandKind) -> &'static str {
    match kind {
        ErrandKind::Probe => "probe",
        ErrandKind::AskFailsafe => "ask failsafe",
        ErrandKind::SyncSlots => "sync slots",
        ErrandKind::CheckpointAfterPromote => "checkpoint after promote",
        ErrandKind::ApplyConfiguration => "apply configuration",
        ErrandKind::SetStandbyNames => "set standby names",
        ErrandKind::Callback => "callback",
        ErrandKind::ReadHistory => "read history",
        ErrandKind::ReadControl => "read control",
        ErrandKind::WakeReceiver => "wake receiver",
    }
}
