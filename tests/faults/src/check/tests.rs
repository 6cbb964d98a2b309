//! Small histories, each with one thing wrong.

use super::*;

const WINDOW: Promise = Promise::KeepOlderThan(Duration::from_millis(100));

/// `id node sent answered outcome`, where an outcome is a timeline, `refused` or `unknown`.
fn history(lines: &[&str]) -> Vec<Attempt> {
    let attempt = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |place: usize| fields[place].parse::<u64>().expect("a number");
        let outcome = match fields[4] {
            "refused" => Outcome::Refused,
            "unknown" => Outcome::Unknown,
            timeline => Outcome::Acknowledged(timeline.parse().expect("a timeline")),
        };
        Attempt {
            id: number(0),
            client: 0,
            node: number(1) as usize,
            sent: Duration::from_millis(number(2)),
            answered: Duration::from_millis(number(3)),
            outcome,
        }
    };
    lines.iter().map(attempt).collect()
}

fn tables(ids: [&[u64]; 3]) -> Vec<Table> {
    let table = |(place, ids): (usize, &[u64])| Table { node: format!("node{}", place + 1), ids: ids.to_vec() };
    ids.into_iter().enumerate().map(table).collect()
}

/// Each expectation is a part of one violation, in order.
fn check_all(name: &str, lines: &[&str], ids: &[u64], promise: Promise, expected: &[&str]) -> Verdict {
    let verdict = check(&history(lines), &HashSet::new(), &tables([ids, ids, ids]), promise);
    let fits = verdict.violations.len() == expected.len()
        && verdict.violations.iter().zip(expected).all(|(found, part)| found.contains(part));
    assert!(fits, "{name}: {:?} and not {expected:?}", verdict.violations);
    verdict
}

#[test]
fn a_failover_without_loss_is_clean() {
    let lines = ["1 0 1 2 1", "2 0 3 4 unknown", "3 0 5 6 refused", "4 1 500 501 2"];
    for ids in [&[1, 4][..], &[1, 2, 4]] {
        let verdict = check_all("clean", &lines, ids, Promise::Keep, &[]);
        assert_eq!(verdict, Verdict::default());
    }
}

#[test]
fn a_lost_write_breaks_the_promise_or_lies_in_the_window() {
    let lines = ["1 0 1 2 1", "2 0 40 41 1", "3 0 50 51 1", "4 1 500 501 2"];
    let verdict = check_all("kept", &lines, &[1, 4], Promise::Keep, &["2 acknowledged writes are lost"]);
    assert_eq!((verdict.lost.len(), verdict.loss_window), (2, Duration::from_millis(10)));
    check_all("recent", &lines, &[1, 4], WINDOW, &[]);
    let old = ["1 0 1 2 1", "2 0 200 201 1", "4 1 500 501 2"];
    check_all("old", &old, &[2, 4], WINDOW, &["199ms old"]);
    check_all("no failover", &["1 0 1 2 1"], &[], WINDOW, &["the one that survived"]);
}

#[test]
fn what_was_settled_is_not_found_again() {
    let lines = ["1 0 1 2 1", "2 1 500 501 2"];
    let verdict = check(&history(&lines), &HashSet::from([1]), &tables([&[2], &[2], &[2]]), Promise::Keep);
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn a_second_leader_is_found() {
    let sent_late = ["1 0 1 2 1", "2 1 10 11 2", "3 0 20 21 1", "4 1 30 31 2"];
    let doubly = "1 acknowledged writes were doubly accepted";
    let verdict = check_all("lost too", &sent_late, &[1, 2, 4], WINDOW, &[doubly]);
    assert_eq!(verdict.doubly_accepted.len(), 1);
    check_all("though it is there", &sent_late, &[1, 2, 3, 4], WINDOW, &[doubly]);
    let sent_before = ["1 0 1 2 1", "2 1 10 11 2", "3 0 5 21 1"];
    check_all("answered late and lost", &sent_before, &[1, 2], WINDOW, &[doubly]);
    check_all("an answer that lay at the door", &sent_before, &[1, 2, 3], WINDOW, &[]);
    check_all("one number, two histories", &["1 0 1 2 2", "2 1 3 4 2"], &[1, 2], WINDOW, &["timeline 2 has 2 writers"]);
}

#[test]
fn rows_that_should_not_be_are_found() {
    let lines = ["1 0 1 2 1", "2 0 3 4 refused"];
    check_all("refused", &lines, &[1, 2], Promise::Keep, &["1 writes are there though they were refused"]);
    check_all("twice", &lines, &[1, 1], Promise::Keep, &["1 rows are there more than once"]);
    check_all("strange", &lines, &[1, 7], Promise::Keep, &["1 rows were written by nobody"]);
}

#[test]
fn tables_must_agree() {
    let attempts = history(&["1 0 1 2 1", "2 0 3 4 1"]);
    let verdict = check(&attempts, &HashSet::new(), &tables([&[1, 2], &[2, 1], &[2]]), Promise::Keep);
    let expected = "the table of node3 differs from that of node1: 1 rows are missing, 0 are there in addition";
    assert_eq!(verdict.violations, [expected]);
    let none = check(&[], &HashSet::new(), &[], Promise::Keep);
    assert_eq!(none.violations, ["no table was read"]);
}
