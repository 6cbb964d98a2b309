//! The Linux watchdog's device: the few calls that its protocol has, and nothing about when to make them.
#![allow(unsafe_code, reason = "the watchdog is told its time by ioctls, which have no safe form")]

use rustix::fs::{Access, Mode, OFlags};
use rustix::ioctl::{Getter, Updater, ioctl, opcode};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// `WDIOF_SETTIMEOUT`: its time can be set.
const CAN_SET_TIMEOUT: u32 = 0x80;

/// `WDIOF_MAGICCLOSE`: a `V` as the last byte written lets it be closed without a reset.
const CAN_BE_CLOSED: u32 = 0x100;

/// `struct watchdog_info`: 40 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

/// `WDIOC_GETSUPPORT`: number 0 of `W`.
const GET_SUPPORT: rustix::ioctl::Opcode = opcode::read::<Info>(b'W', 0);
/// `WDIOC_SETTIMEOUT`: number 6.
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'W', 6);
/// `WDIOC_GETTIMEOUT`: number 7.
const GET_TIMEOUT: rustix::ioctl::Opcode = opcode::read::<i32>(b'W', 7);

/// What a device is able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Its time can be set.
    pub timeout: bool,
    /// It can be closed without a reset of the host.
    pub close: bool,
}

/// Where devices are opened: the kernel, or a test.
pub trait Kernel: Send + 'static {
    /// Opens the device. From then on it counts down.
    ///
    /// # Errors
    /// When the system refuses.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Device>>;

    /// Whether it could be opened for writing; opens nothing.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, path: &Path) -> io::Result<()>;
}

/// An open device. Dropping it without [`Device::disarm`] lets it count down to the reset.
pub trait Device {
    /// What it is able to do.
    ///
    /// # Errors
    /// When it is no watchdog.
    fn support(&self) -> io::Result<Support>;

    /// Sets its time, in seconds. The device may choose another one.
    ///
    /// # Errors
    /// When it can not be that.
    fn set_timeout(&self, seconds: i32) -> io::Result<()>;

    /// Its time, in seconds.
    ///
    /// # Errors
    /// When it does not tell.
    fn timeout(&self) -> io::Result<i32>;

    /// Starts the count anew.
    ///
    /// # Errors
    /// When the device is gone.
    fn keep_alive(&self) -> io::Result<()>;

    /// Stops the count and closes.
    ///
    /// # Errors
    /// When the device is gone.
    fn disarm(self: Box<Self>) -> io::Result<()>;
}

/// The devices of this host.
pub struct Host;

impl Kernel for Host {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Device>> {
        // What is not a watchdog (a pipe without a reader, say) must not hold the caller up.
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Box::new(Opened(descriptor)))
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::access(path, Access::WRITE_OK)?)
    }
}

struct Opened(OwnedFd);

impl Opened {
    fn write(&self, byte: u8) -> io::Result<()> {
        rustix::io::write(&self.0, &[byte])?;
        Ok(())
    }
}

impl Device for Opened {
    fn support(&self) -> io::Result<Support> {
        // SAFETY: the call fills a `struct watchdog_info`, whose layout and size `Info` has.
        let info = unsafe { ioctl(&self.0, Getter::<GET_SUPPORT, Info>::new()) }?;
        Ok(Support { timeout: info.options & CAN_SET_TIMEOUT != 0, close: info.options & CAN_BE_CLOSED != 0 })
    }

    fn set_timeout(&self, seconds: i32) -> io::Result<()> {
        let mut value = seconds;
        // SAFETY: the call reads and writes one int.
        Ok(unsafe { ioctl(&self.0, Updater::<SET_TIMEOUT, i32>::new(&mut value)) }?)
    }

    fn timeout(&self) -> io::Result<i32> {
        // SAFETY: the call writes one int.
        Ok(unsafe { ioctl(&self.0, Getter::<GET_TIMEOUT, i32>::new()) }?)
    }

    fn keep_alive(&self) -> io::Result<()> {
        self.write(b'1')
    }

    fn disarm(self: Box<Self>) -> io::Result<()> {
        self.write(b'V')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of linux/watchdog.h.
    #[test]
    fn the_calls_have_the_kernels_numbers() {
        assert_eq!(GET_SUPPORT, 0x8028_5700);
        assert_eq!(SET_TIMEOUT, 0xc004_5706);
        assert_eq!(GET_TIMEOUT, 0x8004_5707);
        assert_eq!(size_of::<Info>(), 40);
    }

    /// WD-02: what is no watchdog is told by its errno, and nothing waits for it.
    #[test]
    fn other_files_are_no_watchdogs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let missing = Host.open(&folder.path().join("missing")).map(drop).expect_err("it is missing");
        assert_eq!(missing.raw_os_error(), Some(rustix::io::Errno::NOENT.raw_os_error()));
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let file = Host.open(&file).expect("it opens");
        let error = file.support().expect_err("it answers no ioctl");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOTTY.raw_os_error()));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::from(0o600), 0).expect("a pipe");
        assert!(Host.open(&pipe).is_err(), "nobody reads it");
    }
}
