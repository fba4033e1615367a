//! The C library's functions that this library puts itself before.
//!
//! They are exported with a fixed number of arguments where C declares them variadic: on x86-64 both are passed alike, and an
//! argument that the caller left out is passed on unread. What is not the simulator's goes to the kernel by system call, so
//! that nothing here depends on when the dynamic linker resolves which name.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};

use crate::errno::{from_c, to_c};
use crate::{kvm, sev_device};

/// `open` of `path` relative to `directory`, for all of the C library's forms of it.
unsafe fn open_at(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: a path that is not null is a C string, as the callers' contract says.
    let is_device =
        !path.is_null() && unsafe { CStr::from_ptr(path) }.to_bytes() == sev_device::PATH.to_bytes();
    to_c(if is_device {
        sev_device::open(flags)
    } else {
        // SAFETY: the arguments are passed on as the program gave them.
        from_c(unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) })
    })
}

/// Exports the C library's forms of `open`: with a directory or without, and with a mode or, as its checked headers use
/// them, without.
macro_rules! export_open {
    ($($name:ident($($directory:ident)?; $($mode:ident)?) = ($at:expr, $with:expr),)*) => {$(
        /// # Safety
        /// As the C library's function of this name.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(
            $($directory: c_int,)? path: *const c_char, flags: c_int $(, $mode: c_uint)?
        ) -> c_int {
            // SAFETY: the caller keeps to the C library's contract.
            unsafe { open_at($at, path, flags, $with) }
        }
    )*};
}

export_open! {
    open(; mode) = (libc::AT_FDCWD, mode),
    open64(; mode) = (libc::AT_FDCWD, mode),
    openat(directory; mode) = (directory, mode),
    openat64(directory; mode) = (directory, mode),
    __open_2(;) = (libc::AT_FDCWD, 0),
    __open64_2(;) = (libc::AT_FDCWD, 0),
    __openat_2(directory;) = (directory, 0),
    __openat64_2(directory;) = (directory, 0),
}

/// # Safety
/// As the C library's `ioctl`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // The kernel takes 32 bits of the request; some programs pass them sign-extended.
    #[expect(clippy::cast_possible_truncation, reason = "as the kernel does")]
    let request = request as u32;
    to_c(match sev_device::ioctl(fd, request, argument) {
        Some(outcome) => outcome,
        None => kvm::ioctl(fd, request, argument),
    })
}

/// # Safety
/// As the C library's `close`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn close(fd: c_int) -> c_int {
    kvm::closing(fd);
    // SAFETY: the argument is passed on as the program gave it.
    to_c(from_c(unsafe { libc::syscall(libc::SYS_close, fd) }))
}
