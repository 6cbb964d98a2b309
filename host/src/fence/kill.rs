//! Kills a server so that not one more commit is acknowledged: its postmaster is stopped first, so that it can start
//! nobody new, then every child is killed, then itself. Nothing is allocated.

use regent_core::model::Postmaster;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use std::os::fd::OwnedFd;

/// Rounds over the children: a stopped postmaster makes none, so the second finds nobody.
const ROUNDS_MAX: usize = 16;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killed {
    /// It is dead, and so are this many children.
    Server(u32),
    /// That process is gone, or is another one by now.
    Gone,
}

/// Asks the server that is this very process to stop fast: it ends its sessions, and sends its standbys all it has.
pub(super) fn ask_to_stop(postmaster: Postmaster) {
    if let Some(handle) = handle(postmaster) {
        // A process that ended meanwhile needs no asking.
        let _ended = rustix::process::pidfd_send_signal(&handle, Signal::INT).is_err();
    }
}

/// A handle keeps meaning this process, whoever gets its number later.
fn handle(postmaster: Postmaster) -> Option<OwnedFd> {
    let pid = Pid::from_raw(postmaster.pid)?;
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    (start_ticks(postmaster.pid) == Some(postmaster.start_ticks)).then_some(handle)
}

/// Kills the server that is this very process.
pub(super) fn kill(postmaster: Postmaster) -> Killed {
    let Some(handle) = handle(postmaster) else {
        return Killed::Gone;
    };
    let stopped = rustix::process::pidfd_send_signal(&handle, Signal::STOP).is_ok();
    let mut count = 0;
    for _ in 0..ROUNDS_MAX {
        let killed = if stopped { kill_children(postmaster.pid) } else { 0 };
        if killed == 0 {
            break;
        }
        count += killed;
    }
    // A process that ended meanwhile needs no killing.
    let _ended = rustix::process::pidfd_send_signal(&handle, Signal::KILL).is_err();
    Killed::Server(count)
}

/// Kills the children that live; gives how many.
fn kill_children(pid: i32) -> u32 {
    let mut path = Text::new();
    path.push(b"/proc/");
    path.number(pid);
    path.push(b"/task/");
    path.number(pid);
    path.push(b"/children");
    let mut buffer = [0_u8; 64 * 1024];
    let Some(length) = read(path.terminated(), &mut buffer) else {
        return 0;
    };
    let mut count = 0;
    for word in buffer[..length].split(|byte| *byte == b' ') {
        let number = std::str::from_utf8(word).ok().and_then(|word| word.trim().parse::<i32>().ok());
        let Some(child) = number.filter(|child| !is_dead(*child)).and_then(Pid::from_raw) else {
            continue;
        };
        if rustix::process::kill_process(child, Signal::KILL).is_ok() {
            count += 1;
        }
    }
    count
}

/// `/proc/PID/stat` from the state on: fields 3 and later.
fn stat(pid: i32, buffer: &mut [u8; 1024]) -> Option<usize> {
    let mut path = Text::new();
    path.push(b"/proc/");
    path.number(pid);
    path.push(b"/stat");
    let length = read(path.terminated(), buffer)?;
    let after_name = buffer[..length].iter().rposition(|byte| *byte == b')')? + 2;
    buffer.copy_within(after_name..length, 0);
    Some(length - after_name)
}

fn is_dead(pid: i32) -> bool {
    let mut buffer = [0; 1024];
    stat(pid, &mut buffer).is_none_or(|_| matches!(buffer[0], b'Z' | b'X'))
}

/// When the process was started, in clock ticks after boot: field 22.
fn start_ticks(pid: i32) -> Option<u64> {
    let mut buffer = [0; 1024];
    let length = stat(pid, &mut buffer)?;
    let field = buffer[..length].split(|byte| *byte == b' ').nth(19)?;
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

fn read(path: &std::ffi::CStr, buffer: &mut [u8]) -> Option<usize> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::read(&file, &mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(_) => return None,
        }
    }
    Some(length)
}

/// A short text on the stack.
struct Text {
    bytes: [u8; 64],
    length: usize,
}

impl Text {
    fn new() -> Text {
        Text { bytes: [0; 64], length: 0 }
    }

    fn push(&mut self, more: &[u8]) {
        let end = (self.length + more.len()).min(self.bytes.len() - 1);
        let count = end - self.length;
        self.bytes[self.length..end].copy_from_slice(&more[..count]);
        self.length = end;
    }

    fn number(&mut self, number: i32) {
        let mut digits = [0_u8; 10];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            // One decimal digit always fits a byte.
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    fn terminated(&self) -> &std::ffi::CStr {
        std::ffi::CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}
