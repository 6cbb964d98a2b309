//! What a component writes to its standard output and error: lines of the log, as many as a log can bear.

use super::message::{Level, Report, tame};
use regent_core::model::Moment;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The longest line that is kept of a component's output, in characters.
const LINE_CHARS_MAX: usize = 2000;

/// How much of the log one run may fill, in bytes. A restore says a line per file at most, and a cluster of a hundred
/// thousand files is none that a log should list.
const LOG_BYTES_MAX: usize = 1 << 20;

/// What a line of the log costs besides its text.
const LINE_BYTES_EXTRA: usize = 64;

/// Progress is for people: it need not be told more often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Tells the daemon. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reporter(Arc<Mutex<Sender>>);

struct Sender {
    channel: Box<dyn Write + Send>,
    log_bytes_left: usize,
    progress_said: Option<Moment>,
}

impl Reporter {
    pub(super) fn new(channel: Box<dyn Write + Send>) -> Reporter {
        Reporter(Arc::new(Mutex::new(Sender { channel, log_bytes_left: LOG_BYTES_MAX, progress_said: None })))
    }

    /// A line for the log; beyond the bound it is dropped.
    pub(super) fn log(&self, level: Level, text: &str) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A flood costs no more than it must.
        if sender.log_bytes_left == 0 {
            return;
        }
        let text = tame(text, LINE_CHARS_MAX);
        if text.is_empty() {
            return;
        }
        sender.log_bytes_left = sender.log_bytes_left.saturating_sub(text.len() + LINE_BYTES_EXTRA);
        sender.send(&Report::Log { level, text });
        if sender.log_bytes_left == 0 {
            let text = format!("the method has written {LOG_BYTES_MAX} bytes: what else it writes is left out");
            sender.send(&Report::Log { level: Level::Warn, text });
        }
    }

    fn is_full(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).log_bytes_left == 0
    }

    /// Says how far it is, unless that was said just now.
    pub(super) fn progress(&self, report: &Report) {
        let now = crate::ports::now();
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.progress_said.is_none_or(|said| now.since(said) >= PROGRESS_INTERVAL) {
            sender.progress_said = Some(now);
            sender.send(report);
        }
    }

    /// Says how it has ended.
    pub(super) fn send(&self, report: &Report) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(report);
    }
}

impl Sender {
    fn send(&mut self, report: &Report) {
        let Ok(mut line) = serde_json::to_vec(report) else {
            return;
        };
        line.push(b'\n');
        // Nobody listens only when the daemon has ended: then so do we, by our input.
        let _ = self.channel.write_all(&line).and_then(|()| self.channel.flush());
    }
}

/// One of the two outputs.
pub(super) struct Lines {
    reporter: Reporter,
    level: Level,
}

impl Lines {
    pub(super) fn new(reporter: Reporter, level: Level) -> Lines {
        Lines { reporter, level }
    }

    fn writer(&self) -> LineWriter {
        LineWriter { reporter: self.reporter.clone(), level: self.level, pending: Vec::new() }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.writer())
    }
}

/// Cuts what is written into lines. The last one needs no end.
struct LineWriter {
    reporter: Reporter,
    level: Level,
    pending: Vec<u8>,
}

impl LineWriter {
    fn take(&mut self, bytes: &[u8]) {
        if self.reporter.is_full() {
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // The rest of a long line is left out.
            let room = (4 * LINE_CHARS_MAX).saturating_sub(self.pending.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.pending.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                self.line();
            }
        }
    }

    fn line(&mut self) {
        let line = std::mem::take(&mut self.pending);
        self.reporter.log(self.level, &String::from_utf8_lossy(&line));
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.line();
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for LineWriter {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn heard(write: impl FnOnce(&mut LineWriter)) -> Vec<String> {
        let heard = Heard::default();
        let mut writer = Lines::new(Reporter::new(Box::new(heard.clone())), Level::Info).writer();
        write(&mut writer);
        drop(writer);
        let bytes = heard.0.lock().unwrap().clone();
        let report = |line| match serde_json::from_str(line).unwrap() {
            Report::Log { text, .. } => text,
            other => panic!("{other:?}"),
        };
        String::from_utf8(bytes).unwrap().lines().map(report).collect()
    }

    #[test]
    fn output_becomes_lines() {
        let lines = heard(|writer| {
            writer.take(b"one\ntw");
            writer.take(b"o\nthree");
        });
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_flood_is_dammed() {
        let lines = heard(|writer| {
            for _ in 0..10_000 {
                writer.take(&[b'x'; 1000]);
                writer.take(b"\n");
            }
            writer.take(&vec![b'y'; 10 << 20]);
        });
        let bytes: usize = lines.iter().map(String::len).sum();
        assert!(bytes < LOG_BYTES_MAX + 10_000, "{bytes}");
        assert!(lines.last().unwrap().contains("left out"));
    }
}
