//! The host's clock and its offset from UTC, for guests whose clock is set relative to it.

#![expect(unsafe_code, reason = "the C library alone knows the host's time zone")]

use std::time::{SystemTime, UNIX_EPOCH};

use qemu::plan::HostClock;

pub(super) fn now() -> Option<HostClock> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let unix_seconds = i64::try_from(elapsed.as_secs()).ok()?;
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, which fills the second.
    let filled = unsafe { libc::localtime_r(&raw const unix_seconds, broken_down.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: zeroed is a valid `tm`, and the call has filled it.
    let broken_down = unsafe { broken_down.assume_init() };
    let utc_offset_seconds = i32::try_from(broken_down.tm_gmtoff).ok()?;
    Some(HostClock { unix_seconds, utc_offset_seconds })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_offset_is_less_than_a_day() {
        let clock = super::now().unwrap();
        assert!(clock.unix_seconds > 1_700_000_000);
        assert!(clock.utc_offset_seconds.abs() < 86_400);
    }
}
