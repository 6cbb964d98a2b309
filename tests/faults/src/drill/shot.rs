//! What one shot of a drill came to: a line for people, a line of JSON for the file that outlives the run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::check::Verdict;
use crate::history::{Attempt, Outcome};

/// One shot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shot {
    /// The drill.
    pub drill: String,
    /// Its number in the run, from one.
    pub number: u64,
    /// What the run calls the program under test.
    pub label: String,
    /// When it ended, in seconds of Unix time.
    pub ended: u64,
    /// How long all of it took.
    pub seconds: f64,
    /// Who led, and who led then.
    pub leaders: String,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Writes without an answer.
    pub unknown: u64,
    /// Writes acknowledged by an older timeline after a newer one's first, that are gone or were even sent after it.
    pub after: u64,
    /// Those of them that were sent after the fault was healed: no answer from before it.
    pub after_new: u64,
    /// Writes that were on their way when the newer timeline's first was acknowledged, were acknowledged later, and
    /// survived.
    pub late: u64,
    /// Acknowledged writes that are gone.
    pub lost: u64,
    /// The longest time without an acknowledgement, in seconds.
    pub pause: f64,
    /// The least that was left of a lock that had to be kept, in seconds.
    pub lowest: Option<i64>,
    /// What else was seen.
    pub notes: Vec<String>,
    /// Every broken promise.
    pub violations: Vec<String>,
}

impl Shot {
    /// Counts what clients were told, and what the checker found of it.
    pub fn count(&mut self, attempts: &[Attempt], verdict: &Verdict, healed: Option<Duration>) {
        let newest = attempts.iter().filter_map(Attempt::timeline).max();
        let first =
            attempts.iter().filter(|attempt| attempt.timeline() == newest).map(|attempt| attempt.answered).min();
        let mut last = None;
        for attempt in attempts {
            match attempt.outcome {
                Outcome::Refused => {}
                Outcome::Unknown => self.unknown += 1,
                Outcome::Acknowledged(_) => {
                    self.acknowledged += 1;
                    let before = last.replace(attempt.answered).unwrap_or(attempt.answered);
                    self.pause = self.pause.max(attempt.answered.saturating_sub(before).as_secs_f64());
                }
            }
        }
        let is_late = |attempt: &&Attempt| {
            attempt.timeline().is_some_and(|timeline| Some(timeline) < newest) && Some(attempt.answered) > first
        };
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.after = count(verdict.doubly_accepted.len());
        self.late = count(attempts.iter().filter(is_late).count()).saturating_sub(self.after);
        let is_new = |attempt: &&Attempt| healed.is_some_and(|healed| attempt.sent > healed);
        self.after_new = count(verdict.doubly_accepted.iter().filter(is_new).count());
        self.lost = count(verdict.lost.len());
    }

    /// For people.
    pub fn line(&self) -> String {
        let lowest = self.lowest.map_or(String::new(), |left| format!(", lock never below {left} s"));
        let notes: String = self.notes.iter().map(|note| format!("; {note}")).collect();
        let broken: String = self.violations.iter().map(|what| format!("\n    BROKEN: {what}")).collect();
        format!(
            "{} {}: {} in {:.0} s: {} acknowledged, {} after the new leader's first ({} of them new), {} late, {} lost, \
             {:.1} s without a write{lowest}{notes}{broken}",
            self.drill,
            self.number,
            self.leaders,
            self.seconds,
            self.acknowledged,
            self.after,
            self.after_new,
            self.late,
            self.lost,
            self.pause,
        )
    }

    /// For the file.
    pub fn json(&self) -> Value {
        json!({
            "drill": self.drill, "shot": self.number, "label": self.label, "ended": self.ended,
            "seconds": self.seconds, "leaders": self.leaders, "acknowledged": self.acknowledged,
            "unknown": self.unknown, "after": self.after, "after_new": self.after_new, "late": self.late,
            "lost": self.lost, "pause": self.pause, "lowest": self.lowest, "notes": self.notes,
            "violations": self.violations,
        })
    }

    /// From the file; what a line does not say is nothing.
    pub fn of_json(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| value[name].as_u64().unwrap_or_default();
        let list = |name: &str| {
            let entries = value[name].as_array().map_or(&[][..], Vec::as_slice);
            entries.iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect()
        };
        Self {
            drill: text("drill"),
            number: number("shot"),
            label: text("label"),
            ended: number("ended"),
            seconds: value["seconds"].as_f64().unwrap_or_default(),
            leaders: text("leaders"),
            acknowledged: number("acknowledged"),
            unknown: number("unknown"),
            after: number("after"),
            after_new: number("after_new"),
            late: number("late"),
            lost: number("lost"),
            pause: value["pause"].as_f64().unwrap_or_default(),
            lowest: value["lowest"].as_i64(),
            notes: list("notes"),
            violations: list("violations"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: u64, sent: u64, answered: u64, outcome: Outcome) -> Attempt {
        let (sent, answered) = (Duration::from_secs(sent), Duration::from_secs(answered));
        Attempt { id, client: 0, node: 0, sent, answered, outcome }
    }

    #[test]
    fn what_came_after_the_new_leaders_first_is_told_apart() {
        let old = Outcome::Acknowledged(1);
        let attempts = [
            attempt(1, 1, 2, old),
            attempt(2, 3, 20, Outcome::Unknown),
            attempt(3, 10, 10, Outcome::Acknowledged(2)),
            attempt(4, 3, 20, old),
            attempt(5, 3, 20, old),
            attempt(6, 20, 21, old),
        ];
        let lost = vec![attempts[4], attempts[5]];
        let verdict = Verdict { doubly_accepted: lost.clone(), lost, ..Verdict::default() };
        let mut shot = Shot::default();
        shot.count(&attempts, &verdict, Some(Duration::from_secs(19)));
        assert_eq!((shot.acknowledged, shot.unknown, shot.lost), (5, 1, 2));
        assert_eq!((shot.after, shot.after_new, shot.late), (2, 1, 1));
    }

    #[test]
    fn a_shot_survives_the_file() {
        let shot = Shot {
            drill: "a".into(),
            number: 3,
            label: "x".into(),
            seconds: 1.5,
            lowest: Some(5),
            lost: 7,
            violations: vec!["no".into()],
            ..Shot::default()
        };
        assert_eq!(Shot::of_json(&shot.json()), shot);
        assert!(shot.line().contains("BROKEN: no") && shot.line().contains("never below 5 s"), "{}", shot.line());
    }
}
