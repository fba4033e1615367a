//! The kernel's error numbers, and system calls made without this library's own interposed functions.

use std::ffi::{c_int, c_ulong, c_void};
use std::io;

/// Why a system call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl Errno {
    pub(crate) const EFAULT: Self = Self(libc::EFAULT);
    pub(crate) const EINVAL: Self = Self(libc::EINVAL);
    pub(crate) const EIO: Self = Self(libc::EIO);
    pub(crate) const ENODEV: Self = Self(libc::ENODEV);
    pub(crate) const ENOENT: Self = Self(libc::ENOENT);
    pub(crate) const ENOMEM: Self = Self(libc::ENOMEM);
    pub(crate) const ENOSPC: Self = Self(libc::ENOSPC);
    pub(crate) const ENOTTY: Self = Self(libc::ENOTTY);
    pub(crate) const EBADF: Self = Self(libc::EBADF);
    pub(crate) const EPERM: Self = Self(libc::EPERM);

    /// Of the call that this thread made last.
    pub(crate) fn last() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

/// What an interposed function answers: a number, or -1 and `errno`.
pub(crate) type Outcome = Result<c_int, Errno>;

/// The C form of an outcome.
pub(crate) fn to_c(outcome: Outcome) -> c_int {
    match outcome {
        Ok(value) => value,
        Err(Errno(number)) => {
            // SAFETY: the location is this thread's own errno.
            unsafe { *libc::__errno_location() = number };
            -1
        }
    }
}

/// The Rust form of a C result.
pub(crate) fn from_c(value: libc::c_long) -> Outcome {
    match c_int::try_from(value) {
        Ok(value) if value >= 0 => Ok(value),
        Ok(_) => Err(Errno::last()),
        Err(_) => Err(Errno::EIO),
    }
}

/// The kernel's own `ioctl`.
pub(crate) fn ioctl(fd: c_int, request: u32, argument: *mut c_void) -> Outcome {
    // SAFETY: the callers pass what the program passed, or a structure of the request's layout that lives through the call.
    from_c(unsafe { libc::syscall(libc::SYS_ioctl, fd, c_ulong::from(request), argument) })
}

/// The kernel's own `ioctl`, with a structure of ours.
pub(crate) fn ioctl_with<T>(fd: c_int, request: u32, argument: &mut T) -> Outcome {
    let argument: *mut T = argument;
    ioctl(fd, request, argument.cast())
}
