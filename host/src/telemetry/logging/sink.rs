//! Where lines go: straight to standard error, or through a queue with an end to a thread that writes (LOG-03, LOG-07).

use super::{FILE_NAME, FileOptions};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines that found the queue full since the last one that did not.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The queue's memory is taken at once, so that a slip of the pen must not take all there is.
const QUEUE_MOST: usize = 1_000_000;

/// How long a new writer waits for its predecessor, which may hang on a reader that went away.
const HAND_OVER: Duration = Duration::from_secs(1);

/// Where lines go.
pub(super) enum Sink {
    /// Standard error, by whoever logs.
    Direct,
    /// A thread of its own.
    Queue { lines: SyncSender<String>, written: Mutex<Receiver<()>> },
}

/// Whether lines were left over.
pub(super) enum Written {
    All,
    NotAll,
}

impl Sink {
    /// Gives a line away. It never waits for a writer; what finds the queue full is counted and said later.
    pub(super) fn write(&self, line: impl FnOnce() -> String) {
        let lines = match self {
            Sink::Direct => return to_standard_error(&line()),
            Sink::Queue { lines, .. } => lines,
        };
        match LOST.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => {
                let note = format!("the log was read too slowly: {lost} records are lost\n");
                if lines.try_send(note).is_err() {
                    LOST.fetch_add(lost, Ordering::Relaxed);
                }
            }
        }
        if let Err(TrySendError::Full(_)) = lines.try_send(line()) {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Goes on through a new queue into the file, or to standard error. On an error the old one goes on.
    pub(super) fn reconfigure(&mut self, queue: usize, file: Option<&FileOptions>) -> io::Result<()> {
        let target = match file {
            Some(options) => Target::File(LogFile::open(options.clone())?),
            None => Target::StandardError,
        };
        let (lines, taken) = mpsc::sync_channel(queue.clamp(1, QUEUE_MOST));
        let (finished, written) = mpsc::sync_channel(1);
        let old = std::mem::replace(self, Sink::Queue { lines, written: Mutex::new(written) });
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            // The lines before ours come first, if their writer still gets on.
            let _all = old.finish(HAND_OVER);
            run(target, &taken);
            // Nobody may be waiting any more.
            let _ = finished.send(());
        })?;
        Ok(())
    }

    /// Writes what waits, for so long.
    pub(super) fn finish(self, deadline: Duration) -> Written {
        let Sink::Queue { lines, written } = self else {
            return Written::All;
        };
        drop(lines);
        let written = written.into_inner().unwrap_or_else(PoisonError::into_inner);
        match written.recv_timeout(deadline) {
            Ok(()) => Written::All,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Written::NotAll,
        }
    }
}

fn run(mut target: Target, lines: &Receiver<String>) {
    while let Ok(line) = lines.recv() {
        target.write(&line);
    }
}

fn to_standard_error(line: &str) {
    // Whoever closed it does not want to hear of it.
    let _closed = io::stderr().lock().write_all(line.as_bytes()).is_err();
}

enum Target {
    StandardError,
    File(LogFile),
}

impl Target {
    fn write(&mut self, line: &str) {
        match self {
            Target::StandardError => to_standard_error(line),
            // A full disk must not hide what happens: standard error may still be read.
            Target::File(file) => {
                if let Err(error) = file.write(line) {
                    to_standard_error(&format!("{}: {error}\n{line}", file.path.display()));
                }
            }
        }
    }
}

/// A file that is begun anew when it is full; the old ones are `NAME.1`, `NAME.2`, to the oldest.
struct LogFile {
    options: FileOptions,
    path: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    fn open(options: FileOptions) -> io::Result<LogFile> {
        std::fs::create_dir_all(&options.dir)?;
        let path = options.dir.join(FILE_NAME);
        let (file, size) = append(&path, options.mode)?;
        Ok(LogFile { options, path, file, size })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        let limited = self.options.size > 0 && self.options.kept > 0;
        if limited && self.size > 0 && self.size + length > self.options.size {
            self.begin_anew()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.size += length;
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let numbered = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.options.kept).rev() {
            rename_if_there(&numbered(number), &numbered(number + 1))?;
        }
        rename_if_there(&self.path, &numbered(1))?;
        (self.file, self.size) = append(&self.path, self.options.mode)?;
        Ok(())
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens a file to append to, and tells how long it is already.
fn append(path: &Path, mode: Option<u32>) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).custom_flags(nix::libc::O_CLOEXEC);
    let file = options.open(path)?;
    if let Some(mode) = mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path, size: u64, kept: usize) -> FileOptions {
        FileOptions { dir: dir.join("log"), mode: Some(0o640), size, kept }
    }

    fn files(dir: &Path) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(dir.join("log")).expect("the folder is there").flatten();
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("it is text");
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(entry.path()))).collect();
        files.sort();
        files
    }

    #[test]
    fn a_full_file_is_begun_anew_and_the_oldest_goes() {
        // LOG-03
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = LogFile::open(options(dir.path(), 12, 2)).expect("it opens");
        for number in 1..=7 {
            file.write(&format!("line{number}\n")).expect("it is written");
        }
        let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let expected = [
            named("patroni.log", "line7\n"),
            named("patroni.log.1", "line5\nline6\n"),
            named("patroni.log.2", "line3\nline4\n"),
        ];
        assert_eq!(files(dir.path()), expected);
        let mode = std::fs::metadata(dir.path().join("log/patroni.log")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn an_existing_file_is_continued_and_one_without_limit_grows() {
        let dir = tempfile::tempdir().expect("a folder");
        for (size, kept) in [(0, 4), (5, 0)] {
            let mut file = LogFile::open(options(dir.path(), size, kept)).expect("it opens");
            file.write("0123456789\n").expect("it is written");
        }
        assert_eq!(files(dir.path()), [("patroni.log".to_owned(), "0123456789\n0123456789\n".to_owned())]);
    }

    #[test]
    fn lines_reach_the_file_in_order_through_a_change() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut sink = Sink::Direct;
        for part in 0..3 {
            sink.reconfigure(100, Some(&options(dir.path(), 0, 0))).expect("it opens");
            for line in 0..50 {
                sink.write(|| format!("{part}.{line:02}\n"));
            }
        }
        assert!(matches!(sink.finish(Duration::from_secs(10)), Written::All));
        let text = &files(dir.path())[0].1;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 150);
        assert!(lines.is_sorted(), "{text}");
    }

    #[test]
    fn nobody_waits_for_a_slow_reader() {
        // LOG-07
        let (lines, taken) = mpsc::sync_channel(2);
        let (_finished, written) = mpsc::sync_channel(1);
        let sink = Sink::Queue { lines, written: Mutex::new(written) };
        for number in 0..10 {
            sink.write(|| format!("{number}\n"));
        }
        assert_eq!((taken.recv().as_deref(), taken.recv().as_deref()), (Ok("0\n"), Ok("1\n")));
        sink.write(|| "later\n".to_owned());
        assert_eq!(taken.recv().as_deref(), Ok("the log was read too slowly: 8 records are lost\n"));
        assert_eq!(taken.recv().as_deref(), Ok("later\n"));
        assert!(matches!(sink.finish(Duration::from_millis(1)), Written::NotAll));
    }
}
