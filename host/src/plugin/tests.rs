//! What is said of files that are no plugins, and of configurations without one. Real ones are looked at end to end.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn check_file(content: &[u8], mode: u32, sha256: Option<&str>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.so");
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    run(&Command::Check { file, sha256: sha256.map(str::to_owned) })
}

#[test]
fn a_refusal_is_one_line_and_says_why() {
    let check = |content: &[u8], mode: u32, sha256: Option<&str>, verdict: &str| {
        let report = check_file(content, mode, sha256);
        let last = report.text.lines().last().unwrap();
        assert_eq!((last.trim_start_matches("verdict   it would not be loaded: "), report.good), (verdict, false));
    };
    check(b"hello", 0o644, None, "not a shared library: no ELF magic");
    check(b"hello", 0o666, None, "mode 666 lets others write to it");
    check(b"\x7fELF", 0o644, None, "not a shared library: shorter than an ELF header");
    let found = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    check(b"hello", 0o644, Some("00"), &format!("sha256 is {found}, the configuration asks for 00"));
    check(b"hello", 0o644, Some(found), "not a shared library: no ELF magic");
    let report = run(&Command::Check { file: "/nowhere/x.so".into(), sha256: None });
    assert!(report.text.contains("No such file") && !report.good, "{}", report.text);
    assert!(check_file(b"hello", 0o644, None).text.contains(&format!("sha256    {found}\n")));
}

#[test]
fn a_configuration_without_a_plugin_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("regent.yml");
    let list = |more: &str| {
        let text = format!(
            "scope: a\nname: b\nrestapi: {{listen: '*:8008'}}\npostgresql: {{listen: '*:5432', data_dir: /d}}\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        run(&Command::List { config: Some(file.clone()) })
    };
    let dir = folder.path().display();
    let report = list(&format!("plugins: {{dir: {dir}}}\netcd: {{host: a}}\n"));
    assert!(!report.good && report.text.contains("store     etcd\n"), "{}", report.text);
    assert!(report.text.contains("libregent_dcs_etcd.so") && report.text.contains("no plugin"), "{}", report.text);
    std::fs::write(folder.path().join("libregent_dcs_etcd.so"), "x").unwrap();
    let report = list(&format!("plugins: {{dir: {dir}}}\netcd: {{host: a}}\n"));
    assert!(!report.good && report.text.contains("would not be loaded: not a shared library"), "{}", report.text);
    assert!(report.text.contains(&format!("etcd      {dir}/libregent_dcs_etcd.so")), "{}", report.text);
}

#[test]
fn a_skeleton_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("mine");
    let new = |sdk: Option<PathBuf>| run(&Command::New { name: "my_store".to_owned(), sdk, folder: Some(at.clone()) });
    assert!(!new(Some(folder.path().to_owned())).good, "there is no SDK");
    assert!(new(None).good);
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    assert!(read("src/lib.rs").contains("export_backend!(MyStore, \"my_store\")"));
    for file in ["Cargo.toml", "src/lib.rs", "src/memory.rs", "tests/conformance.rs", "README.md"] {
        assert!(!read(file).contains('@'), "{file}");
    }
    assert!(new(None).text.ends_with("is there already\n"));
}
