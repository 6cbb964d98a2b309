//! Reads tar as PostgreSQL writes it (ustar; long names by the extensions of GNU and POSIX) and puts files into a folder.
//! Knows nothing of backups.

use std::io::{self, Read};

/// Tar counts in blocks.
const BLOCK: usize = 512;

/// A name longer than this is none.
const NAME_BYTES_MAX: u64 = 64 * 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with so many bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A link: its target is elsewhere.
    Link,
}

/// One entry; its bytes follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs: a relative path without `..`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// An archive that is read from its beginning to its end.
pub struct Archive<R> {
    input: R,
    unread: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    /// The archive in `input`.
    pub fn new(input: R) -> Self {
        Self { input, unread: 0, padding: 0 }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When the input fails, ends too early or is no tar.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut long_name = None;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let size = number(&header[124..136])?;
            self.unread = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            let name = long_name.take().unwrap_or_else(|| name(&header));
            let kind = match header[156] {
                b'0' | 0 | b'7' => Kind::File(size),
                b'5' => Kind::Folder,
                b'1' | b'2' => Kind::Link,
                b'L' => {
                    long_name = Some(text(&self.small()?));
                    continue;
                }
                b'x' => {
                    long_name = pax_path(&self.small()?);
                    continue;
                }
                b'g' => continue,
                other => return Err(wrong(format!("an entry of the unknown kind {:?}: {name}", other as char))),
            };
            return Ok(Some(Entry { path: relative(&name)?, kind }));
        }
    }

    /// Reads on in the bytes of the entry; 0 at their end.
    ///
    /// # Errors
    /// When the input fails or ends too early.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.unread).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(wrong("it ends in the middle of a file".into()));
        }
        self.unread -= count as u64;
        Ok(count)
    }

    fn skip(&mut self) -> io::Result<()> {
        let wanted = self.unread + self.padding;
        let skipped = io::copy(&mut (&mut self.input).take(wanted), &mut io::sink())?;
        (self.unread, self.padding) = (0, 0);
        if skipped == wanted { Ok(()) } else { Err(wrong("it ends in the middle of a file".into())) }
    }

    /// The next header; `None` at the end, which is a block of zeros.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut header = [0; BLOCK];
        self.input.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => wrong("it has no end: it was cut off".into()),
            _ => error,
        })?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(&header[148..156])? != sum {
            return Err(wrong("it is no tar, or damaged: a checksum is wrong".into()));
        }
        Ok(Some(header))
    }

    fn small(&mut self) -> io::Result<Vec<u8>> {
        if self.unread > NAME_BYTES_MAX {
            return Err(wrong("a name is too long".into()));
        }
        let mut bytes = vec![0; usize::try_from(self.unread).unwrap_or(0)];
        self.input.read_exact(&mut bytes)?;
        self.unread = 0;
        Ok(bytes)
    }
}

fn wrong(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn name(header: &[u8; BLOCK]) -> String {
    let prefix = if &header[257..262] == b"ustar" && header[263..265] == *b"00" {
        text(&header[345..500])
    } else {
        String::new()
    };
    let name = text(&header[..100]);
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// Octal digits, or big-endian bytes where the highest bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let (high, low) = field.split_at(field.len() - 8);
        if high.iter().skip(1).any(|byte| *byte != 0) {
            return Err(wrong("a number is too large".into()));
        }
        return Ok(low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let digits = text(field);
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| wrong(format!("{digits:?} is no number")))
}

/// `LENGTH path=NAME\n` among the records.
fn pax_path(mut records: &[u8]) -> Option<String> {
    while let Some(space) = records.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length.checked_sub(1)?)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(String::from_utf8_lossy(path).into_owned());
        }
        records = records.get(length..)?;
    }
    None
}

/// The path without `.` and slashes at its ends; one that climbs is refused.
fn relative(name: &str) -> io::Result<String> {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if name.starts_with('/') || parts.contains(&"..") {
        return Err(wrong(format!("{name} leads out of the folder")));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::testing::entry;

    fn check(bytes: &[u8], expected: &[(&str, Kind, &str)]) {
        let mut archive = Archive::new(bytes);
        for (path, kind, content) in expected {
            let entry = archive.next_entry().unwrap().unwrap();
            assert_eq!((entry.path.as_str(), entry.kind), (*path, *kind));
            let mut read = Vec::new();
            let mut buffer = [0; 3];
            while let count @ 1.. = archive.read(&mut buffer).unwrap() {
                read.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(String::from_utf8(read).unwrap(), *content);
        }
        assert_eq!(archive.next_entry().unwrap(), None);
    }

    #[test]
    fn entries_come_in_order() {
        let long = "d/".repeat(80) + "f";
        let pax = format!("{} path={long}\n", long.len() + 10);
        let archive = [
            entry("./base/", b'5', b""),
            entry("base/1", b'0', b"hello"),
            entry("pg_tblspc/1", b'2', b""),
            entry("x", b'L', long.as_bytes()),
            entry("cut", b'0', b"a"),
            entry("x", b'x', pax.as_bytes()),
            entry("cut", b'0', b"b"),
            vec![0; 1024],
        ];
        check(
            &archive.concat(),
            &[
                ("base", Kind::Folder, ""),
                ("base/1", Kind::File(5), "hello"),
                ("pg_tblspc/1", Kind::Link, ""),
                (&long, Kind::File(1), "a"),
                (&long, Kind::File(1), "b"),
            ],
        );
    }

    #[test]
    fn damage_and_escapes_are_refused() {
        let refused = |bytes: &[u8], reason: &str| {
            let mut archive = Archive::new(bytes);
            let error = loop {
                match archive.next_entry() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{reason} was not seen"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(reason), "{error}");
        };
        refused(&entry("../x", b'0', b""), "leads out");
        refused(&entry("/x", b'0', b""), "leads out");
        refused(&entry("a/../../x", b'0', b""), "leads out");
        refused(&entry("x", b'0', b"hello")[..513], "middle of a file");
        refused(&entry("x", b'0', b"hello"), "cut off");
        refused(&entry("x", b'6', b""), "unknown kind");
        let mut damaged = entry("x", b'0', b"");
        damaged[0] = b'y';
        refused(&damaged, "checksum");
    }
}
