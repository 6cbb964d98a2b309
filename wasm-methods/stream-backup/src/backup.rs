//! `BASE_BACKUP`: what is asked, and how the answer's archives follow each other.

use crate::connection::{Connection, odd};
use bytes::Bytes;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message};
use std::io::{self, BufReader, Read, Write};
use unpack::{BUFFER_BYTES, Done, Error, Unpacker, archive_name, decompressed};

/// The command; `parameter` says what the method's section says.
pub fn command(parameter: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let checkpoint = parameter("checkpoint").unwrap_or_else(|| "fast".into());
    if !["fast", "spread"].contains(&checkpoint.as_str()) {
        return Err(format!("`checkpoint` is fast or spread, not {checkpoint:?}"));
    }
    let mut options = format!("LABEL 'regent stream-backup', PROGRESS, CHECKPOINT '{checkpoint}', WAL");
    if let Some(rate) = parameter("max_rate") {
        let rate: u32 = rate.parse().map_err(|_| format!("`max_rate` is a number of kB in a second, not {rate:?}"))?;
        options += &format!(", MAX_RATE {rate}");
    }
    if let Some(how) = parameter("compression") {
        if !["gzip", "zstd"].contains(&how.as_str()) {
            return Err(format!("`compression` is gzip or zstd, not {how:?}"));
        }
        options += &format!(", COMPRESSION '{how}'");
    }
    Ok(format!("BASE_BACKUP ({options})"))
}

/// Sends the command and unpacks what comes; `expect` is told how many bytes there will be.
pub fn receive<S: Read + Write>(
    mut connection: Connection<S>,
    command: &str,
    mut unpacker: Unpacker<'_>,
    expect: &dyn Fn(u64),
) -> Result<Done, String> {
    let failed = |error: io::Error| error.to_string();
    connection.command(command).map_err(failed)?;
    expect(begin(&mut connection).map_err(failed)?);
    let mut archives = Archives { connection, coming: None, rest: Bytes::new(), state: State::Between };
    while let Some(file) = archives.next_file().map_err(failed)? {
        let name = archive_name(&file).ok_or_else(|| format!("the server sends an archive of the name {file:?}"))?;
        let input = BufReader::with_capacity(BUFFER_BYTES, &mut archives);
        let input = decompressed(&file, input).map_err(failed)?;
        unpacker.archive(name, &file, input).map_err(|error: Error| error.to_string())?;
        io::copy(&mut archives, &mut io::sink()).map_err(failed)?;
    }
    // Where the log of the backup ends, and that the server is content.
    while !matches!(archives.connection.next().map_err(failed)?, Message::ReadyForQuery(_)) {}
    archives.connection.close();
    unpacker.finish().map_err(|error| error.to_string())
}

/// Two tables come first: where the log of the backup begins, and the tablespaces with their sizes in kB.
fn begin<S: Read + Write>(connection: &mut Connection<S>) -> io::Result<u64> {
    let (mut table, mut kilobytes) = (0, 0);
    loop {
        match connection.next()? {
            Message::RowDescription(_) => table += 1,
            Message::DataRow(row) if table == 2 => kilobytes += size(&row)?,
            Message::DataRow(_) | Message::CommandComplete(_) => {}
            Message::CopyOutResponse(_) => return Ok(kilobytes * 1024),
            _ => return Err(odd("the server answers with something else than a backup")),
        }
    }
}

fn size(row: &DataRowBody) -> io::Result<u64> {
    let field = row.ranges().nth(2)?.flatten();
    let text = field.and_then(|range| row.buffer().get(range)).map(String::from_utf8_lossy);
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of an archive has come.
    Between,
    /// Its bytes come.
    Inside,
    /// The list of files: not wanted.
    Manifest,
    /// All has come.
    Ended,
}

/// The archives in the stream, read one after the other.
struct Archives<S> {
    connection: Connection<S>,
    coming: Option<String>,
    rest: Bytes,
    state: State,
}

impl<S: Read + Write> Archives<S> {
    /// The file name of the next archive.
    fn next_file(&mut self) -> io::Result<Option<String>> {
        while self.coming.is_none() && self.state != State::Ended {
            self.step()?;
            self.rest.clear();
        }
        self.state = if self.coming.is_some() { State::Inside } else { self.state };
        Ok(self.coming.take())
    }

    fn step(&mut self) -> io::Result<()> {
        let mut data = match self.connection.next()? {
            Message::CopyData(body) => body.into_bytes(),
            Message::CopyDone => {
                self.state = State::Ended;
                return Ok(());
            }
            _ => return Err(odd("something else comes amid the backup")),
        };
        if data.is_empty() {
            return Err(odd("an empty message comes amid the backup"));
        }
        let kind = data.split_to(1)[0];
        match kind {
            b'n' => {
                let name = data.split(|byte| *byte == 0).next().unwrap_or_default();
                self.coming = Some(String::from_utf8_lossy(name).into_owned());
                self.state = State::Between;
            }
            b'm' => self.state = State::Manifest,
            b'd' if self.state == State::Inside => self.rest = data,
            b'd' | b'p' => {}
            other => return Err(odd(&format!("a message of the unknown kind {:?} comes", other as char))),
        }
        Ok(())
    }
}

impl<S: Read + Write> Read for Archives<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && self.state == State::Inside {
            self.step()?;
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use unpack::testing::entry;

    /// A server that says what it was made to say, whatever it is told.
    struct Recorded {
        says: io::Cursor<Vec<u8>>,
        told: Vec<u8>,
    }

    impl Read for Recorded {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // In small pieces: nothing comes at once.
            let count = buffer.len().min(7);
            self.says.read(&mut buffer[..count])
        }
    }

    impl Write for Recorded {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    fn greeting() -> Vec<u8> {
        [
            message(b'R', &[0, 0, 0, 0]),
            message(b'S', b"server_version\x0016.4 (Debian)\0"),
            message(b'Z', b"I"),
            message(b'T', &[0, 0]),
            message(b'D', &[0, 0]),
            message(b'C', b"SELECT\0"),
            message(b'T', &[0, 0]),
            message(b'D', &[&[0, 3, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2][..], b"12"].concat()),
            message(b'C', b"SELECT\0"),
            message(b'H', &[0, 0, 0]),
        ]
        .concat()
    }

    fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut messages = message(b'd', format!("n{name}\0\0").as_bytes());
        for piece in bytes.chunks(300) {
            messages.extend(message(b'd', &[b"d", piece].concat()));
            messages.extend(message(b'd', b"p\0\0\0\0\0\0\0\0"));
        }
        messages
    }

    fn check(name: &str, says: Vec<u8>, expected: Result<(u64, u64), &str>) {
        let folder = std::env::temp_dir().join(format!("stream-backup-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let unpacker = Unpacker::new(&folder, BTreeMap::new(), |_, _| {});
        let said = std::cell::Cell::new(0);
        let stream = Recorded { says: io::Cursor::new(says), told: Vec::new() };
        let done = Connection::over(stream, "rep", None)
            .map_err(|error| error.to_string())
            .and_then(|connection| receive(connection, "BASE_BACKUP", unpacker, &|bytes| said.set(bytes)));
        match (done, expected) {
            (Ok(done), Ok(expected)) => {
                assert_eq!((done.files, done.bytes), expected, "{name}");
                assert_eq!(said.get(), 12 * 1024);
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{name}: {error}"),
            (done, expected) => panic!("{name}: {done:?} instead of {expected:?}"),
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn archives_are_received_one_after_the_other() {
        let base = [entry("PG_VERSION", b'0', b"16\n"), entry("base/1", b'0', &[7; 2000]), vec![0; 1024]].concat();
        let wal = [entry("0001", b'0', b"wal"), vec![0; 1024]].concat();
        let end = [message(b'c', b""), message(b'C', b"SELECT\0"), message(b'Z', b"I")].concat();
        let whole = [greeting(), archive("base.tar", &base), archive("pg_wal.tar", &wal)].concat();
        let manifest = [message(b'd', b"m"), message(b'd', b"d{}")].concat();
        check("whole", [whole.clone(), manifest, end.clone()].concat(), Ok((3, 2006)));
        check("cut", whole, Err("closed the connection"));
        check("short", [greeting(), archive("base.tar", &base[..700]), end.clone()].concat(), Err("middle of a file"));
        check("odd", [greeting(), archive("../x.tar", &base), end.clone()].concat(), Err("\"../x.tar\""));
        check("late", [greeting(), end].concat(), Err("no PG_VERSION"));
        check("error", message(b'E', b"SFATAL\0Mno such role\0\0"), Err("no such role"));
        check("password", message(b'R', &[0, 0, 0, 3]), Err("with-password"));
        check(
            "old",
            [message(b'R', &[0, 0, 0, 0]), message(b'S', b"server_version\x0014.2\0"), message(b'Z', b"I")].concat(),
            Err("15 or later"),
        );
    }

    #[test]
    fn the_command_is_what_the_section_asks_for() {
        let check = |parameters: &[(&str, &str)], expected: Result<&str, &str>| {
            let parameter =
                |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            match (command(&parameter), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, format!("BASE_BACKUP (LABEL 'regent stream-backup', PROGRESS, {expected})"))
                }
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, _) => panic!("{parameters:?}: {found:?}"),
            }
        };
        check(&[], Ok("CHECKPOINT 'fast', WAL"));
        check(
            &[("checkpoint", "spread"), ("max_rate", "32000"), ("compression", "zstd")],
            Ok("CHECKPOINT 'spread', WAL, MAX_RATE 32000, COMPRESSION 'zstd'"),
        );
        check(&[("compression", "lz4', TARGET 'server")], Err("gzip or zstd"));
        check(&[("max_rate", "a lot")], Err("a number"));
        check(&[("checkpoint", "now")], Err("fast or spread"));
    }
}
