//! Each ban, on small strings: what it finds, and what it leaves alone.

use super::*;

const PRODUCT: &str = "host/src/act/mod.rs";

fn lines(findings: Vec<Finding>) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

#[test]
fn leftovers() {
    let check = |text: &str| lines(check_leftovers(&Source::new(PRODUCT, text)));
    assert_eq!(check("fn f() {\n todo!() }\nfn g() { unimplemented!(\"x\") }\nfn h() { dbg!(x) }"), [2, 3, 4]);
    assert_eq!(check("#[test]\n#[ignore]\nfn f() {}"), [2]);
    assert_eq!(check("#[ignore = \"slow\"]\nfn f() {}"), [1]);
    assert_eq!(check(&format!("fn f() {{}} // {}: later", NOTES[0])), [1]);
    assert_eq!(check(&format!("/* {} */", NOTES[1])), [1]);
    assert_eq!(check(&format!("let template = \"#{}\"; let todo = 1; // ignore todo", NOTES[0])), []);
}

#[test]
fn notes_in_other_files() {
    assert_eq!(lines(check_notes("Makefile", &format!("all:\n\t# {} x", NOTES[0]))), [2]);
    assert_eq!(lines(check_notes("Makefile", "mktemp -d /tmp/a.XXXXXX")), []);
}

#[test]
fn unwraps() {
    let check = |path: &str, text: &str| lines(check_unwraps(&Source::new(path, text)));
    assert_eq!(check(PRODUCT, "let a = b\n  .unwrap();\nc.unwrap_or(1); d.expect(\"why\");"), [2]);
    assert_eq!(check(PRODUCT, "#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }"), []);
    assert_eq!(check(PRODUCT, "/// a.unwrap()\nfn unwrap() {}"), []);
    assert_eq!(check("tests/harness/src/lib.rs", "a.unwrap();"), []);
}

#[test]
fn unsafety() {
    let check = |path: &str, text: &str| lines(check_unsafe(&Source::new(path, text)));
    assert_eq!(check(PRODUCT, "\nlet a = unsafe { b() };"), [2]);
    assert_eq!(check(PRODUCT, "#[unsafe(no_mangle)]"), [1]);
    assert_eq!(check(PRODUCT, "#![forbid(unsafe_code)] // unsafe"), []);
    assert_eq!(check("plugin-api/src/loader.rs", "unsafe { b() }"), []);
    assert_eq!(check("host/src/fence/device.rs", "unsafe { b() }"), []);
    assert_eq!(check("host/src/fence/guard.rs", "unsafe { b() }"), [1]);
}

#[test]
fn sleeps() {
    let check = |path: &str, text: &str| lines(check_sleeps(&Source::new(path, text)));
    assert_eq!(check(PRODUCT, "\ntokio::time::sleep(d).await;\nstd::thread::sleep(d);\nsleep(d);"), [2, 3, 4]);
    assert_eq!(check(PRODUCT, "// pace: a refused connection is tried again\nlet x = time::sleep(d);"), []);
    assert_eq!(check(PRODUCT, "time::sleep(d); // pace: same line"), []);
    assert_eq!(check(PRODUCT, "// pace: too far\n\n\n\n\ntime::sleep(d);"), [6]);
    assert_eq!(check(PRODUCT, "fn sleep(d: u8) {}\nsleep_until(deadline).await;\nlet sleep = 1;"), []);
    assert_eq!(check("tests/harness/src/lib.rs", "thread::sleep(d);"), []);
    assert_eq!(check(PRODUCT, "#[cfg(test)]\nmod tests { fn f() { sleep(d); } }"), []);
}

#[test]
fn machine_paths() {
    let check = |text: &str| lines(check_machine_paths("docs/a.md", text));
    let [work, root, home] = MACHINE_PATHS;
    assert_eq!(check(&format!("a\nsee {work}shared")), [2]);
    assert_eq!(check(&format!("{root}/.cargo and {root}")), [1, 1]);
    assert_eq!(check(&format!("HOME={home}me")), [1]);
    assert_eq!(check(&format!("src{work}a target{root} {root}s /the{root} ${{DIR}}{root}")), []);
}
