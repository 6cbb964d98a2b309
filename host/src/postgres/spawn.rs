//! Starts a process in a session of its own that outlives us and whose end we can still see: the postmaster.

use super::error::PgError;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use std::ffi::{CString, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// `POSIX_SPAWN_SETSID` of glibc and musl: the child leads a new session. A terminal's signals do not reach it, and
/// nothing of it dies with us.
const POSIX_SPAWN_SETSID: i32 = 0x80;

/// Starts `program` with exactly these arguments (the first is its own name) and this environment. Standard input is
/// /dev/null, standard output and error are ours (OPS-04). Returns its pid; it is our child until it ends.
pub(super) fn spawn_session(
    program: &Path,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
) -> Result<i32, PgError> {
    super::run::leave_removed_folder();
    let failed = || PgError::io_at("start", program);
    let attributes = attributes().map_err(|errno| failed()(errno.into()))?;
    let mut files = PosixSpawnFileActions::init().map_err(|errno| failed()(errno.into()))?;
    let nothing = std::fs::File::open("/dev/null").map_err(failed())?;
    files.add_dup2(nothing.as_raw_fd(), 0).map_err(|errno| failed()(errno.into()))?;
    let arguments = arguments.into_iter().map(c_string).collect::<Result<Vec<_>, _>>()?;
    let environment = environment
        .into_iter()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(name)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let pid =
        posix_spawn(program, &files, &attributes, &arguments, &environment).map_err(|errno| failed()(errno.into()))?;
    Ok(pid.as_raw())
}

fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    // We ignore SIGPIPE, as every Rust program does; a server that inherited that would behave differently.
    let mut defaults = SigSet::empty();
    defaults.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&defaults)?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_flags(
        PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID)
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    Ok(attributes)
}

fn c_string(text: OsString) -> Result<CString, PgError> {
    CString::new(text.into_vec()).map_err(|_| PgError::NotAllowed("an argument holds a zero byte".into()))
}
