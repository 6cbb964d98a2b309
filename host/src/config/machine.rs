//! The part of a check that looks at the machine: ports, the data directory, PostgreSQL's programs (OPS-24). It only
//! looks: nothing is made or changed.

use super::addresses::HostPort;
use super::reading::{at, some_text_at};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::Path;
use std::process::Command;

/// The programs that a node needs.
const PROGRAMS: [&str; 6] = ["pg_ctl", "initdb", "pg_controldata", "pg_basebackup", "postgres", "pg_isready"];

/// The addresses to listen on, and the port where none is given.
const LISTEN: [(&str, u16); 2] = [("restapi.listen", 8008), ("postgresql.listen", 5432)];

/// What is wrong: the key, and the sentence of the peer's check.
pub(super) fn look(document: &Value, look_at_ports: bool) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if look_at_ports {
        found.extend(LISTEN.into_iter().filter_map(|(path, port)| Some((path, port_in_use(document, path, port)?))));
    }
    let bin_dir = some_text_at(document, "postgresql.bin_dir");
    found.extend(data_directory(document, bin_dir.as_deref()).map(|why| ("postgresql.data_dir", why)));
    found.extend(programs(document, bin_dir.as_deref()).into_iter().map(|why| ("postgresql.bin_dir", why)));
    found
}

/// What is wrong with the data directory and PostgreSQL's programs of a member that is configured here: the key, and a
/// sentence.
pub fn programs_and_directory(local: &super::LocalConfig) -> Vec<(&'static str, String)> {
    let found = look(&local.document, false).into_iter();
    found.map(|(path, why)| (path, why.trim_start_matches("didn't pass validation: ").to_owned())).collect()
}

fn port_in_use(document: &Value, path: &str, default: u16) -> Option<String> {
    let address = HostPort::read(&some_text_at(document, path)?, default);
    let taken = address.host.split(',').any(|host| {
        let host = if matches!(host, "*" | "") { "0.0.0.0" } else { host };
        // A name that means nothing here is the start's to report.
        let addresses = (host, address.port).to_socket_addrs().into_iter().flatten();
        addresses
            .into_iter()
            .any(|address| matches!(TcpListener::bind(address), Err(error) if error.kind() == ErrorKind::AddrInUse))
    });
    taken.then(|| format!("didn't pass validation: Port {} is already in use.", address.port))
}

fn data_directory(document: &Value, bin_dir: Option<&str>) -> Option<String> {
    let path = some_text_at(document, "postgresql.data_dir")?;
    let folder = Path::new(&path);
    let wrong = |why: &str| Some(format!("didn't pass validation: {why}"));
    if folder.exists() && !folder.is_dir() {
        return wrong("is not a directory");
    }
    let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if empty {
        return None;
    }
    let version = std::fs::read_to_string(folder.join("PG_VERSION")).ok().map(|text| text.trim().to_owned());
    let Some(version) = version.filter(|_| folder.join("global/pg_control").is_file()) else {
        return wrong("doesn't look like a valid data directory");
    };
    let log = if version.starts_with("9.") { "pg_xlog" } else { "pg_wal" };
    if !folder.join(log).is_dir() {
        return wrong(&format!("data dir for the cluster is not empty, but doesn't contain \"{log}\" directory"));
    }
    let program = major_of_program(document, bin_dir)?;
    (program != version).then(|| {
        format!(
            "didn't pass validation: data_dir directory postgresql version ({version}) doesn't match with \
             'postgres --version' output ({program})"
        )
    })
}

fn programs(document: &Value, bin_dir: Option<&str>) -> Vec<String> {
    if let Some(folder) = bin_dir.map(Path::new) {
        if !folder.exists() {
            return vec![format!("didn't pass validation: Directory '{}' does not exist.", folder.display())];
        }
        if !folder.is_dir() {
            return vec![format!("didn't pass validation: '{}' is not a directory.", folder.display())];
        }
    }
    let names = PROGRAMS.map(|name| name_of(document, name));
    let missing = names.iter().filter(|name| find(name, bin_dir).is_none());
    let place = bin_dir.unwrap_or("$PATH");
    missing.map(|name| format!("didn't pass validation: does not contain '{name}' in '{place}'")).collect()
}

/// A program's name, where it has another one here.
fn name_of(document: &Value, program: &str) -> String {
    let other = at(document, &format!("postgresql.bin_name.{program}")).and_then(Value::as_str);
    other.unwrap_or(program).to_owned()
}

fn find(name: &str, bin_dir: Option<&str>) -> Option<std::path::PathBuf> {
    let folders = match bin_dir {
        Some(folder) => vec![folder.into()],
        None => crate::ports::program_folders(),
    };
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// `15` for 15.18, `9.6` for 9.6.24, as PG_VERSION has it.
fn major_of_program(document: &Value, bin_dir: Option<&str>) -> Option<String> {
    let program = find(&name_of(document, "postgres"), bin_dir)?;
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut parts = version.split('.');
    let major = digits(parts.next()?);
    Some(if major == "9" { format!("9.{}", digits(parts.next()?)) } else { major })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(section: Value, ports: bool) -> Vec<String> {
        look(&section, ports).into_iter().map(|(path, why)| format!("{path} {why}")).collect()
    }

    /// A folder with all programs, of version 15.
    fn programs_of_15() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in PROGRAMS {
            let path = folder.path().join(name);
            std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 15.18 (Debian)'\n").unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn a_port_in_use_is_found_unless_it_is_not_asked_for() {
        // OPS-24, OPS-26
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bin = programs_of_15();
        let section =
            json!({"restapi": {"listen": format!("127.0.0.1:{port}")}, "postgresql": {"bin_dir": bin.path()}});
        let expected = format!("restapi.listen didn't pass validation: Port {port} is already in use.");
        assert_eq!(found(section.clone(), true), [expected]);
        assert_eq!(found(section, false), [""; 0]);
    }

    #[test]
    fn a_data_directory_is_empty_or_whole_and_of_the_right_version() {
        let (bin, data) = (programs_of_15(), tempfile::tempdir().unwrap());
        let check = |expected: Option<&str>| {
            let section = json!({"postgresql": {"bin_dir": bin.path(), "data_dir": data.path()}});
            let expected: Vec<_> =
                expected.iter().map(|why| format!("postgresql.data_dir didn't pass validation: {why}")).collect();
            assert_eq!(found(section, false), expected);
        };
        check(None);
        std::fs::write(data.path().join("PG_VERSION"), "15\n").unwrap();
        check(Some("doesn't look like a valid data directory"));
        std::fs::create_dir(data.path().join("global")).unwrap();
        std::fs::write(data.path().join("global/pg_control"), "").unwrap();
        check(Some("data dir for the cluster is not empty, but doesn't contain \"pg_wal\" directory"));
        std::fs::create_dir(data.path().join("pg_wal")).unwrap();
        check(None);
        std::fs::write(data.path().join("PG_VERSION"), "14\n").unwrap();
        check(Some("data_dir directory postgresql version (14) doesn't match with 'postgres --version' output (15)"));
    }

    #[test]
    fn missing_programs_are_named() {
        let bin = programs_of_15();
        std::fs::remove_file(bin.path().join("initdb")).unwrap();
        let place = bin.path().display();
        let expected = format!("postgresql.bin_dir didn't pass validation: does not contain 'initdb' in '{place}'");
        assert_eq!(found(json!({"postgresql": {"bin_dir": bin.path()}}), false), [expected]);
        let gone = bin.path().join("gone");
        let expected =
            format!("postgresql.bin_dir didn't pass validation: Directory '{}' does not exist.", gone.display());
        assert_eq!(found(json!({"postgresql": {"bin_dir": gone}}), false), [expected]);
    }
}
