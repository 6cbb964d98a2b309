//! The body of a file on a server, read to its end over as many connections as that takes: what came is not asked for
//! again. Knows nothing of the program that it runs in.

use std::io::{self, Read};
use std::time::Duration;

/// The longest pause before a file is asked for again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// What for.
    pub url: &'a str,
    /// From this byte on.
    pub from: u64,
    /// If it is still this version.
    pub version: Option<&'a str>,
}

/// What a server answers.
pub struct Answer {
    /// The code.
    pub status: u16,
    /// How long the whole file is.
    pub bytes_total: Option<u64>,
    /// The first byte of the body in the file.
    pub from: u64,
    /// A strong entity tag.
    pub version: Option<String>,
    /// The bytes.
    pub body: Box<dyn Read>,
}

/// Asks servers.
pub trait Fetch {
    /// Asks once.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&mut self, question: &Question<'_>) -> io::Result<Answer>;

    /// Waits before asking again.
    fn pause(&mut self, pause: Duration) {
        // pace: a server that did not answer is asked again; it will not tell when it is well.
        std::thread::sleep(pause);
    }
}

/// A file that is being read.
pub struct Body<'a> {
    fetch: &'a mut dyn Fetch,
    url: &'a str,
    current: Option<Box<dyn Read>>,
    at: u64,
    bytes_total: Option<u64>,
    version: Option<String>,
    attempts: u32,
    failed: u32,
}

impl<'a> Body<'a> {
    /// Asks for it.
    ///
    /// # Errors
    /// When nobody answers, or not with the file.
    pub fn open(fetch: &'a mut dyn Fetch, url: &'a str, attempts: u32) -> io::Result<Body<'a>> {
        let (current, bytes_total, version) = (None, None, None);
        let mut body = Body { fetch, url, current, at: 0, bytes_total, version, attempts, failed: 0 };
        while let Err(error) = body.ask() {
            body.give_up_or_wait(error)?;
        }
        Ok(body)
    }

    fn ask(&mut self) -> Result<(), Trouble> {
        let question = Question { url: self.url, from: self.at, version: self.version.as_deref() };
        let answer = self.fetch.ask(&question).map_err(Trouble::Passing)?;
        match answer.status {
            200 | 206 => {}
            // A server that is busy, or has no way to the one behind it, may do better soon.
            408 | 429 | 500..=599 => return Err(Trouble::Passing(said(answer.status))),
            status => return Err(Trouble::Final(said(status))),
        }
        let first = self.at == 0 && self.bytes_total.is_none();
        if !first && (answer.bytes_total != self.bytes_total || answer.version != self.version) {
            return Err(Trouble::Final(wrong("it has changed while it was read".into())));
        }
        if answer.from > self.at {
            return Err(Trouble::Final(wrong(format!("the answer begins at {}, not at {}", answer.from, self.at))));
        }
        (self.bytes_total, self.version) = (answer.bytes_total, answer.version);
        let mut body = answer.body;
        // It knows no ranges: what we have is sent again.
        let known = self.at - answer.from;
        let skipped = io::copy(&mut (&mut body).take(known), &mut io::sink()).map_err(Trouble::Passing)?;
        if skipped < known {
            return Err(Trouble::Passing(io::ErrorKind::UnexpectedEof.into()));
        }
        self.current = Some(body);
        Ok(())
    }

    fn give_up_or_wait(&mut self, trouble: Trouble) -> io::Result<()> {
        let error = match trouble {
            Trouble::Final(error) => return Err(error),
            Trouble::Passing(error) => error,
        };
        self.failed += 1;
        if self.failed >= self.attempts {
            return Err(io::Error::new(
                error.kind(),
                format!("{error} ({} attempts, {} bytes came)", self.failed, self.at),
            ));
        }
        self.fetch.pause(Duration::from_secs(1 << self.failed.min(4)).min(PAUSE_MAX) / 2);
        Ok(())
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        if self.current.is_none() {
            self.ask()?;
        }
        let Some(current) = &mut self.current else {
            return Ok(0);
        };
        let count = current.read(buffer).map_err(Trouble::Passing)?;
        if count == 0 && self.bytes_total.is_some_and(|total| self.at < total) {
            return Err(Trouble::Passing(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(count)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.bytes_total == Some(self.at) {
            return Ok(0);
        }
        loop {
            match self.read_on(buffer) {
                Ok(count) => {
                    self.at += count as u64;
                    // It goes on: what failed before has passed.
                    self.failed = 0;
                    return Ok(count);
                }
                Err(trouble) => {
                    self.current = None;
                    self.give_up_or_wait(trouble)?;
                }
            }
        }
    }
}

/// Why there is nothing to read.
enum Trouble {
    Passing(io::Error),
    Final(io::Error),
}

fn said(status: u16) -> io::Error {
    io::Error::other(format!("the server says {status}"))
}

fn wrong(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
