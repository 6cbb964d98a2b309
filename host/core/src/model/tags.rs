//! Tags of a member: what the operator said about the part that it may play (CFG-32).

/// A scalar as configuration files and the store give it; order and type are kept as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// Text, also where the text looks like a number.
    Text(String),
}

impl Scalar {
    /// The truth value that the text, number or flag stands for; `None` where it stands for none.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Scalar::Bool(flag) => Some(*flag),
            Scalar::Integer(0) => Some(false),
            Scalar::Integer(1) => Some(true),
            Scalar::Text(text) => match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Some(true),
                "off" | "false" | "no" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The whole number that the value stands for.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Scalar::Integer(number) => Some(*number),
            Scalar::Real(number) if number.fract() == 0.0 => Some(*number as i64),
            Scalar::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// The tags of a member: what they mean, and as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tags {
    /// Every published tag in the order it was written.
    pub raw: Vec<(String, Scalar)>,
}

impl Tags {
    fn get(&self, name: &str) -> Option<&Scalar> {
        self.raw.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| **value != Scalar::Null)
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Scalar::as_bool).unwrap_or(false)
    }

    /// This member must never become primary. `nofailover` decides alone where it is given, else a
    /// `failover_priority` of zero or less says so.
    pub fn nofailover(&self) -> bool {
        match self.get("nofailover").and_then(Scalar::as_bool) {
            Some(said) => said,
            None => self.get("failover_priority").and_then(Scalar::as_integer).is_some_and(|priority| priority <= 0),
        }
    }

    /// Which of equally good candidates goes first; more is better, 0 means never.
    pub fn failover_priority(&self) -> i64 {
        if self.nofailover() {
            return 0;
        }
        self.get("failover_priority").and_then(Scalar::as_integer).filter(|priority| *priority > 0).unwrap_or(1)
    }

    /// This member must never be a synchronous standby.
    pub fn nosync(&self) -> bool {
        match self.get("nosync").and_then(Scalar::as_bool) {
            Some(said) => said,
            None => self.get("sync_priority").and_then(Scalar::as_integer).is_some_and(|priority| priority <= 0),
        }
    }

    /// Which standby is preferred as synchronous; more is better, 0 means never (SYNC-04, SYNC-14).
    pub fn sync_priority(&self) -> i64 {
        if self.nosync() {
            return 0;
        }
        self.get("sync_priority").and_then(Scalar::as_integer).filter(|priority| *priority > 0).unwrap_or(1)
    }

    /// The same tags, and the wish never to be a synchronous standby (SYNC-03).
    pub fn released_from_sync(&self) -> Tags {
        self.with("nosync", Scalar::Bool(true)).with("sync_priority", Scalar::Integer(0))
    }

    /// The same tags, and the wish not to lead (HA-52).
    pub fn not_leading(&self) -> Tags {
        self.with("nofailover", Scalar::Bool(true))
    }

    /// The tags of a member whose data no server can run on, with the reason: it leads nobody (REW-04).
    pub fn unusable(&self, why: &str) -> Tags {
        self.not_leading().with("unusable", Scalar::Text(why.to_owned()))
    }

    fn with(&self, name: &str, value: Scalar) -> Tags {
        let mut raw = self.raw.clone();
        match raw.iter_mut().find(|(known, _)| known == name) {
            Some((_, present)) => *present = value,
            None => raw.push((name.to_owned(), value)),
        }
        Tags { raw }
    }

    /// Load balancers must not send readers here.
    pub fn noloadbalance(&self) -> bool {
        self.flag("noloadbalance")
    }

    /// New replicas may be cloned from this member.
    pub fn clonefrom(&self) -> bool {
        self.flag("clonefrom")
    }

    /// This member replays from the archive only.
    pub fn nostream(&self) -> bool {
        self.flag("nostream")
    }

    /// The member that this one streams from instead of the leader.
    pub fn replicatefrom(&self) -> Option<&str> {
        match self.get("replicatefrom") {
            Some(Scalar::Text(name)) if !name.is_empty() => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(raw: &[(&str, Scalar)]) -> Tags {
        Tags { raw: raw.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect() }
    }

    #[test]
    fn nofailover_decides_alone_where_it_is_given() {
        let both = tags(&[("nofailover", Scalar::Bool(false)), ("failover_priority", Scalar::Integer(0))]);
        assert!(!both.nofailover());
        assert!(tags(&[("failover_priority", Scalar::Integer(0))]).nofailover());
        assert!(tags(&[("nofailover", Scalar::Text("on".into()))]).nofailover());
        assert_eq!(tags(&[("nofailover", Scalar::Bool(true))]).failover_priority(), 0);
        assert_eq!(Tags::default().failover_priority(), 1);
    }
}
