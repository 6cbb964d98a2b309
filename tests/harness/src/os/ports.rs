//! Free loopback ports that stay ours until the cluster ends, whatever other tests run beside it.
//!
//! A port is taken below the range from which the kernel gives ports to clients, so that no
//! outgoing connection sits on it. Other test processes see our claim as an abstract socket with
//! the port's name: it ends with the process, and leaves no file.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// First port that is tried, and how many there are: all below 32768, where clients' ports begin.
const FIRST: u16 = 21_000;
const COUNT: u16 = 11_000;

/// A claimed port.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _claim: UnixListener,
}

/// Claims a port that nobody listens on.
///
/// # Errors
/// When every port of the range is taken.
pub fn claim() -> Result<Port> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different places, so that they seldom try each other's ports.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = FIRST + ((u32::from(start) * 37 + u32::from(offset)) % u32::from(COUNT)) as u16;
        let Ok(name) = SocketAddr::from_abstract_name(format!("regent-harness-port-{number}")) else {
            continue;
        };
        let Ok(claim) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", number)).is_ok() {
            return Ok(Port { number, _claim: claim });
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_not_given_twice() {
        let ports: Vec<Port> = (0..50).map(|_| claim().expect("a port is free")).collect();
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        assert!(TcpListener::bind(("127.0.0.1", numbers[0])).is_ok(), "the port itself is free");
    }
}
