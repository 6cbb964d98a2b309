//! The way between daemon and guard: an abstract datagram socket whose name both can work out, and whose senders are
//! known by their credentials.

use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, recvmsg, sendto,
    setsockopt, socket, sockopt,
};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::message::BYTES;

/// The name of the guard of one member: its user, cluster, member and data directory decide.
pub(super) fn address(scope: &str, name: &str, data_dir: &Path) -> nix::Result<UnixAddr> {
    let identity = format!("{}\0{scope}\0{name}\0{}", rustix::process::geteuid().as_raw(), data_dir.display());
    let hash = identity
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    UnixAddr::new_abstract(format!("regent-guard-{hash:016x}").as_bytes())
}

/// A socket that tells who sent what it receives.
pub(super) struct Socket {
    descriptor: OwnedFd,
    control: Vec<u8>,
}

impl Socket {
    /// A socket at `address`, or at one that the system chooses.
    pub fn open(address: Option<&UnixAddr>) -> nix::Result<Socket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&descriptor, sockopt::PassCred, &true)?;
        match address {
            Some(address) => bind(descriptor.as_raw_fd(), address)?,
            None => bind(descriptor.as_raw_fd(), &UnixAddr::new_unnamed())?,
        }
        Ok(Socket { descriptor, control: cmsg_space!(UnixCredentials) })
    }

    /// Sends a datagram; never waits.
    pub fn send(&self, bytes: &[u8; BYTES], to: &UnixAddr) -> nix::Result<()> {
        sendto(self.descriptor.as_raw_fd(), bytes, to, MsgFlags::MSG_DONTWAIT).map(drop)
    }

    /// The next datagram from our own user or root, and where an answer goes; never waits. Others' are dropped.
    pub fn receive(&mut self, buffer: &mut [u8; 2 * BYTES]) -> nix::Result<Option<(usize, Option<UnixAddr>)>> {
        let ours = rustix::process::geteuid().as_raw();
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<UnixAddr>(
            self.descriptor.as_raw_fd(),
            &mut slices,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let sender = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.uid()),
            _ => None,
        });
        let trusted = sender.is_some_and(|uid| uid == ours || uid == 0);
        Ok(trusted.then_some((message.bytes, message.address)))
    }

    /// For waiting.
    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }
}
