//! How much memory the outer machine gets, and whether this machine has it.

use std::fs;
use std::io;

/// What the outer machine needs beside its inner guest: its kernel, page cache, QEMU itself. 1.2 GiB.
const BASE_MIB: u64 = 1229;

/// The outer machine's memory for an inner guest with `guest_mib`: the guest and 15 % for what QEMU adds
/// (flash, video RAM, page tables), and the base.
#[must_use]
pub fn outer_mib(guest_mib: u64) -> u64 {
    guest_mib.saturating_mul(115).div_ceil(100).saturating_add(BASE_MIB)
}

/// Why there is not enough.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error(
        "the lab's outer machine needs {needed_mib} MiB of memory ({guest_mib} MiB for the guest × 1.15 + \
         {BASE_MIB} MiB), and this machine has {available_mib} MiB available"
    )]
    TooLittle { needed_mib: u64, guest_mib: u64, available_mib: u64 },
    #[error("find out how much memory is available")]
    Unknown(#[source] io::Error),
}

/// Gives the outer machine's memory for an inner guest with `guest_mib`.
///
/// # Errors
/// This machine has less available.
pub fn reserve(guest_mib: u64) -> Result<u64, MemoryError> {
    let needed_mib = outer_mib(guest_mib);
    let meminfo = fs::read_to_string("/proc/meminfo").map_err(MemoryError::Unknown)?;
    let available_mib = available_mib(&meminfo)
        .ok_or_else(|| MemoryError::Unknown(io::Error::other("/proc/meminfo has no MemAvailable")))?;
    if needed_mib > available_mib {
        return Err(MemoryError::TooLittle { needed_mib, guest_mib, available_mib });
    }
    Ok(needed_mib)
}

fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_guest_and_fifteen_percent_and_the_base() {
        assert_eq!(outer_mib(4096), 4711 + BASE_MIB);
        assert_eq!(outer_mib(0), BASE_MIB);
        assert_eq!(outer_mib(u64::MAX), u64::MAX / 100 + 1 + BASE_MIB);
    }

    #[test]
    fn a_guest_that_is_too_large_is_refused_with_the_sum() {
        let error = reserve(1 << 40).unwrap_err();
        assert!(error.to_string().contains("1099511627776 MiB for the guest × 1.15 + 1229 MiB"), "{error}");
    }

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available_mib("MemTotal: 9 kB\nMemAvailable:   24200192 kB\n"), Some(23633));
        assert_eq!(available_mib("MemTotal: 9 kB\n"), None);
    }
}
