//! A server whose answers break off, change or are wrong.

use super::*;
use body::{Answer, Question};
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::PathBuf;
use std::time::Duration;
use unpack::testing::{entry, gz};

/// A server of files: how it misbehaves, and what it was asked.
#[derive(Default)]
struct Server {
    files: BTreeMap<String, Vec<u8>>,
    asked: Vec<(String, u64)>,
    /// Each answer ends after so many bytes.
    breaks_after: Option<usize>,
    knows_ranges: bool,
    /// Another version with each answer.
    changes: bool,
    /// So many questions are answered with 503 first.
    busy: usize,
}

impl Fetch for Server {
    fn ask(&mut self, question: &Question<'_>) -> io::Result<Answer> {
        self.asked.push((question.url.to_owned(), question.from));
        let version = Some(if self.changes { self.asked.len().to_string() } else { "1".to_owned() });
        let empty = |status| Answer { status, bytes_total: None, from: 0, version: None, body: Box::new(io::empty()) };
        if self.busy > 0 {
            self.busy -= 1;
            return Ok(empty(503));
        }
        let Some(bytes) = self.files.get(question.url) else {
            return Ok(empty(404));
        };
        let from = if self.knows_ranges { question.from as usize } else { 0 };
        let end = self.breaks_after.map_or(bytes.len(), |count| bytes.len().min(from + count));
        let body = Cursor::new(bytes[from..end].to_vec());
        let status = if from > 0 { 206 } else { 200 };
        let bytes_total = Some(bytes.len() as u64);
        Ok(Answer { status, bytes_total, from: from as u64, version, body: Box::new(body) })
    }

    fn pause(&mut self, _: Duration) {}
}

const SUM_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn sum(bytes: &[u8]) -> String {
    let mut checked = Checked::new(bytes);
    std::io::copy(&mut checked, &mut std::io::sink()).unwrap();
    // The only way to see the digest is to be told that it is another one.
    let error = checked.compare("").unwrap_err().to_string();
    error.split(' ').find(|word| word.len() > 60).unwrap().trim_end_matches(',').to_owned()
}

fn server() -> Server {
    let content = vec![7; 5000];
    let base = [entry("PG_VERSION", b'0', b"15\n"), entry("base/1", b'0', &content), vec![0; 1024]].concat();
    let base = gz(&base);
    let wal = [entry("0001", b'0', b"wal"), vec![0; 10240]].concat();
    let sums = format!("{}  base.tar.gz\n{} *pg_wal.tar\n{SUM_OF_NOTHING}  notes\n", sum(&base), sum(&wal));
    let files = [("SHA256SUMS", sums.into_bytes()), ("base.tar.gz", base), ("pg_wal.tar", wal)];
    let files = files.into_iter().map(|(name, bytes)| (format!("http://h/b/{name}"), bytes)).collect();
    Server { files, knows_ranges: true, ..Server::default() }
}

fn check(name: &str, server: &mut Server, expected: Result<(), &str>) {
    let folder: PathBuf = std::env::temp_dir().join(format!("http-restore-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let done = restore(server, "http://h/b/", 3, Unpacker::new(&folder, BTreeMap::new(), |_, _| {}));
    match (done, expected) {
        (Ok(done), Ok(())) => {
            assert_eq!((done.files, done.bytes), (3, 5006), "{name}");
            assert_eq!(std::fs::read_to_string(folder.join("pg_wal/0001")).unwrap(), "wal");
            assert_eq!(std::fs::read(folder.join("base/1")).unwrap(), vec![7; 5000]);
        }
        (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{name}: {error}"),
        (done, expected) => panic!("{name}: {done:?} instead of {expected:?}"),
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn sums_are_those_of_sha256sum() {
    assert_eq!(sum(b""), SUM_OF_NOTHING);
}

#[test]
fn what_breaks_off_goes_on_where_it_was() {
    check("whole", &mut server(), Ok(()));
    let mut breaking = Server { breaks_after: Some(50), ..server() };
    check("breaking", &mut breaking, Ok(()));
    let asked: Vec<u64> = breaking.asked.iter().filter(|(url, _)| url.ends_with("gz")).map(|(_, from)| *from).collect();
    assert!(asked.len() > 2 && asked.windows(2).all(|pair| pair[0] + 50 == pair[1]), "{asked:?}");
    // It gets no further than where it broke off before.
    check("no-ranges", &mut Server { breaks_after: Some(150), knows_ranges: false, ..server() }, Err("3 attempts"));
    check("busy", &mut Server { busy: 2, ..server() }, Ok(()));
    check("too-busy", &mut Server { busy: 3, ..server() }, Err("503"));
}

#[test]
fn what_is_not_what_it_should_be_is_refused() {
    check("changing", &mut Server { breaks_after: Some(50), changes: true, ..server() }, Err("it has changed"));
    let mut damaged = server();
    let wal = damaged.files.get_mut("http://h/b/pg_wal.tar").unwrap();
    *wal.last_mut().unwrap() = 1;
    check("damaged", &mut damaged, Err("should have"));
    let mut missing = server();
    missing.files.remove("http://h/b/pg_wal.tar");
    check("missing", &mut missing, Err("404"));
    let mut without = server();
    without.files.insert("http://h/b/SHA256SUMS".into(), format!("{SUM_OF_NOTHING}  notes\n").into_bytes());
    check("without", &mut without, Err("names no base.tar"));
}
