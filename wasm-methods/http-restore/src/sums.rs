//! Checksums as `sha256sum` writes them, and a reader that makes one.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// A file and the digest that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Its name, without a folder.
    pub file: String,
    /// Hexadecimal digits.
    pub digest: String,
}

/// The lines `DIGEST  NAME` or `DIGEST *NAME`; a file in another folder is none of ours.
pub fn parse(text: &str) -> io::Result<Vec<Sum>> {
    let mut sums = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no line of a checksum"));
        let (digest, file) = line.split_once(' ').ok_or_else(wrong)?;
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let file = file.trim_start_matches([' ', '*']).trim_end();
        let file = file.strip_prefix("./").unwrap_or(file).to_owned();
        if !file.contains('/') {
            sums.push(Sum { file, digest: digest.to_lowercase() });
        }
    }
    Ok(sums)
}

/// Reads on, and makes the digest of what came.
pub struct Checked<R> {
    input: R,
    digest: Sha256,
}

impl<R: Read> Checked<R> {
    /// Of this.
    pub fn new(input: R) -> Self {
        Self { input, digest: Sha256::new() }
    }

    /// Was it what it must be?
    pub fn compare(self, wanted: &str) -> io::Result<()> {
        let digest = crate::aws::hex(&self.digest.finalize());
        if digest == wanted {
            return Ok(());
        }
        let text = format!("what came has the digest {digest}, and should have {wanted}");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let digest = "0".repeat(63) + "A";
        let text = format!("{digest}  ./base.tar\n{digest} *pg_wal.tar\n\n{digest}  old/base.tar\n");
        let files: Vec<_> = parse(&text).unwrap().into_iter().map(|sum| (sum.file, sum.digest)).collect();
        let digest = digest.to_lowercase();
        assert_eq!(files, [("base.tar".into(), digest.clone()), ("pg_wal.tar".into(), digest)]);
        for odd in ["<html>", "12  base.tar", "nothing"] {
            assert!(parse(odd).is_err(), "{odd}");
        }
    }
}
