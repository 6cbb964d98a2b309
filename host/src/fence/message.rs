//! What daemon and guard say to each other: datagrams of one fixed size, with a version and a checksum.

use regent_core::model::{Moment, Postmaster};

/// The size of every datagram.
pub(super) const BYTES: usize = 48;

const MAGIC: [u8; 4] = *b"RGG1";

/// What the daemon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Kill this server at that moment, unless something else is said before.
    Arm(Postmaster, Moment),
    /// Kill nobody.
    Disarm,
    /// End.
    Quit,
    /// Only answer.
    Ping,
}

/// What the guard answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Its process id.
    pub guard: i32,
    /// Whom it kills when, if anybody.
    pub armed: Option<(Postmaster, Moment)>,
    /// How many servers it has killed.
    pub kills: u32,
}

fn put(bytes: &mut [u8; BYTES], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(bytes: &[u8; BYTES], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// FNV-1a: enough to tell a datagram of ours from noise.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn seal(mut bytes: [u8; BYTES]) -> [u8; BYTES] {
    bytes[..4].copy_from_slice(&MAGIC);
    let sum = checksum(&bytes[..BYTES - 8]);
    put(&mut bytes, BYTES - 8, sum);
    bytes
}

fn open(bytes: &[u8]) -> Option<&[u8; BYTES]> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    (bytes[..4] == MAGIC && checksum(&bytes[..BYTES - 8]) == get(bytes, BYTES - 8)).then_some(bytes)
}

fn put_server(bytes: &mut [u8; BYTES], postmaster: Postmaster, at: Moment) {
    put(bytes, 8, u64::from(postmaster.pid.unsigned_abs()));
    put(bytes, 16, postmaster.start_ticks);
    put(bytes, 24, at.0);
}

fn get_server(bytes: &[u8; BYTES]) -> Option<(Postmaster, Moment)> {
    let pid = i32::try_from(get(bytes, 8)).ok().filter(|pid| *pid > 1)?;
    Some((Postmaster { pid, start_ticks: get(bytes, 16) }, Moment(get(bytes, 24))))
}

impl Order {
    /// As a datagram.
    pub fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        match self {
            Order::Arm(postmaster, at) => {
                bytes[4] = 1;
                put_server(&mut bytes, postmaster, at);
            }
            Order::Disarm => bytes[4] = 2,
            Order::Quit => bytes[4] = 3,
            Order::Ping => bytes[4] = 4,
        }
        seal(bytes)
    }

    /// From a datagram; `None` for anything that is not an order.
    pub fn decode(bytes: &[u8]) -> Option<Order> {
        let bytes = open(bytes)?;
        match bytes[4] {
            1 => get_server(bytes).map(|(postmaster, at)| Order::Arm(postmaster, at)),
            2 => Some(Order::Disarm),
            3 => Some(Order::Quit),
            4 => Some(Order::Ping),
            _ => None,
        }
    }
}

impl Report {
    /// As a datagram.
    pub fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[4] = 16;
        if let Some((postmaster, at)) = self.armed {
            bytes[5] = 1;
            put_server(&mut bytes, postmaster, at);
        }
        bytes[32..36].copy_from_slice(&self.guard.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.kills.to_le_bytes());
        seal(bytes)
    }

    /// From a datagram.
    pub fn decode(bytes: &[u8]) -> Option<Report> {
        let bytes = open(bytes).filter(|bytes| bytes[4] == 16)?;
        let armed = if bytes[5] == 1 { Some(get_server(bytes)?) } else { None };
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        Some(Report { guard: i32::from_le_bytes(word(32)), armed, kills: u32::from_le_bytes(word(36)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_and_reports_survive_the_round_trip() {
        let postmaster = Postmaster { pid: 4711, start_ticks: 99 };
        for order in [Order::Arm(postmaster, Moment(7)), Order::Disarm, Order::Quit, Order::Ping] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
            assert_eq!(Report::decode(&order.encode()), None);
        }
        let report = Report { guard: 12, armed: Some((postmaster, Moment(7))), kills: 3 };
        assert_eq!(Report::decode(&report.encode()), Some(report));
    }

    #[test]
    fn a_server_that_can_not_be_is_refused() {
        let nobody = Postmaster { pid: 1, start_ticks: 0 };
        assert_eq!(Order::decode(&Order::Arm(nobody, Moment(7)).encode()), None);
    }

    proptest! {
        #[test]
        fn noise_is_no_order(bytes: Vec<u8>) {
            prop_assert_eq!(Order::decode(&bytes), None);
        }
    }
}
