//! Looks at a file before the dynamic linker does: a truncated library kills the process that maps it.

use std::fs::File;
use std::os::unix::fs::FileExt;

const HEADER: usize = 64;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;

#[cfg(target_arch = "x86_64")]
const MACHINE: (u16, &str) = (62, "x86-64");
#[cfg(target_arch = "aarch64")]
const MACHINE: (u16, &str) = (183, "AArch64");

/// Says what is wrong with the file as a shared library of this machine, if anything.
pub(crate) fn check(file: &File, size: u64) -> Result<(), String> {
    let mut header = [0_u8; HEADER];
    let read = file.read_at(&mut header, 0).map_err(|error| format!("can not be read: {error}"))?;
    if read < 4 || header[..4] != *b"\x7fELF" {
        return Err("not a shared library: no ELF magic".to_owned());
    }
    if read < HEADER {
        return Err("not a shared library: shorter than an ELF header".to_owned());
    }
    if header[4] != 2 {
        return Err("file is 32-bit, this daemon is 64-bit".to_owned());
    }
    let machine = half(&header, 18);
    if machine != MACHINE.0 {
        return Err(format!("file is {}, this daemon is {}", machine_name(machine), MACHINE.1));
    }
    if half(&header, 16) != ET_DYN {
        return Err("not a shared library: the ELF type is not ET_DYN".to_owned());
    }
    let (table, entry, count) = (quad(&header, 32), u64::from(half(&header, 54)), u64::from(half(&header, 56)));
    for index in 0..count {
        let mut segment = [0_u8; 56];
        let at = table.saturating_add(index * entry);
        if file.read_at(&mut segment, at).unwrap_or(0) < segment.len() {
            return Err("truncated: the program headers are not in the file".to_owned());
        }
        if word(&segment, 0) == PT_LOAD {
            let needed = quad(&segment, 8).saturating_add(quad(&segment, 32));
            if needed > size {
                return Err(format!("truncated: segment needs {needed} bytes, file has {size}"));
            }
        }
    }
    Ok(())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

fn quad(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86".to_owned(),
        40 => "ARM".to_owned(),
        62 => "x86-64".to_owned(),
        183 => "AArch64".to_owned(),
        other => format!("for machine {other}"),
    }
}
