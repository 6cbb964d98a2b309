//! What holds a member's server back when its daemon can not: the lease guard and the watchdog, by what it says of them.

use super::{Finding, Weight};
use serde_json::Value;

/// `node` is the document of one of our members; the peer's have none.
pub(super) fn of_guards(name: &str, node: &Value) -> Vec<Finding> {
    let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut findings = Vec::new();
    let mut told = |weight, text: &str| findings.push(Finding(weight, format!("{name}: {text}")));
    let alive = node.pointer("/guard/alive").and_then(Value::as_bool);
    if alive == Some(false) && text("/guard/mode") != "off" {
        told(Weight::Bad, "its lease guard does not run: if its daemon dies, nothing stops its server in time");
    }
    match (text("/watchdog/mode"), text("/watchdog/state")) {
        ("required", "failed") => told(Weight::Bad, "its watchdog is required and does not work: it can not lead"),
        ("automatic", "failed") => told(Weight::Odd, "its watchdog does not work"),
        _ => {}
    }
    if node.get("failsafe_active").and_then(Value::as_bool) == Some(true) {
        told(Weight::Odd, "it leads without the store, by failsafe_mode");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_guard_is_told() {
        let check = |node: Value, expected: &[&str]| {
            let found = of_guards("a", &node);
            let found: Vec<_> = found.iter().map(|Finding(weight, text)| format!("{weight:?} {text}")).collect();
            assert_eq!(found, expected, "{node}");
        };
        check(
            json!({"guard": {"mode": "automatic", "alive": true}, "watchdog": {"mode": "off", "state": "closed"}}),
            &[],
        );
        check(
            json!({"guard": {"mode": "off", "alive": false}, "watchdog": {"mode": "automatic", "state": "open"}}),
            &[],
        );
        check(
            json!({
                "guard": {"mode": "required", "alive": false}, "watchdog": {"mode": "required", "state": "failed"},
                "failsafe_active": true,
            }),
            &[
                "Bad a: its lease guard does not run: if its daemon dies, nothing stops its server in time",
                "Bad a: its watchdog is required and does not work: it can not lead",
                "Odd a: it leads without the store, by failsafe_mode",
            ],
        );
        check(json!({"watchdog": {"mode": "automatic", "state": "failed"}}), &["Odd a: its watchdog does not work"]);
        check(json!({}), &[]);
    }
}
