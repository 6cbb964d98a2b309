//! What happened how often.

use crate::plan::Kind;
use regent_core::decide::Action;
use std::collections::BTreeMap;
use std::fmt;

/// Counts over one world or many.
#[derive(Clone, Debug, Default)]
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
    rules: BTreeMap<u16, u64>,
    actions: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
}

impl Statistics {
    /// A decision.
    pub fn count(&mut self, rule: u16, action: &Action) {
        *self.rules.entry(rule).or_default() += 1;
        let name = match action {
            Action::Wait { .. } => "wait",
            Action::Exit { .. } => "exit",
            Action::Escalate(_) => "escalate",
            Action::CancelTask => "cancel",
            Action::Store(call) => return self.action("store", call),
            Action::Begin(task) | Action::Preempt(task) => return self.action("task", task),
            Action::Run(errand) => return self.action("errand", &errand.kind()),
        };
        *self.actions.entry(name.to_owned()).or_default() += 1;
    }

    fn action(&mut self, family: &str, what: &impl fmt::Debug) {
        let text = format!("{what:?}");
        let name = text.split([' ', '(', '{']).next().unwrap_or_default();
        *self.actions.entry(format!("{family} {name}")).or_default() += 1;
    }

    /// A fault.
    pub fn fault(&mut self, kind: &Kind) {
        let text = format!("{kind:?}");
        *self.faults.entry(text.split('(').next().unwrap_or_default().to_owned()).or_default() += 1;
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
        other.rules.iter().for_each(|(rule, count)| *self.rules.entry(*rule).or_default() += count);
        other.actions.iter().for_each(|(name, count)| *self.actions.entry(name.clone()).or_default() += count);
        other.faults.iter().for_each(|(name, count)| *self.faults.entry(name.clone()).or_default() += count);
    }

    /// How often this rule decided.
    pub fn of_rule(&self, rule: u16) -> u64 {
        self.rules.get(&rule).copied().unwrap_or(0)
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated as f64 / 3_600_000.0;
        writeln!(f, "{} schedules, {hours:.1} simulated hours", self.worlds)?;
        writeln!(
            f,
            "{} acknowledged commits, {} promotions, {} servers killed by their guard, {} commits acknowledged by a \
             thawed machine too late, {} worlds with two timelines of one number in the end",
            self.acknowledged, self.promotions, self.guard_kills, self.after_thaw, self.twins
        )?;
        let list = |title: &str, counts: Vec<String>| format!("{title}: {}", counts.join(", "));
        writeln!(f, "{}", list("faults", self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect()))?;
        writeln!(
            f,
            "{}",
            list("actions", self.actions.iter().map(|(name, count)| format!("{name} {count}")).collect())
        )?;
        writeln!(f, "{}", list("rules", self.rules.iter().map(|(rule, count)| format!("{rule} {count}")).collect()))
    }
}
