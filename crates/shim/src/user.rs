//! Reads and writes the program's memory as the kernel does for a system call: a bad address is `EFAULT`, not a crash.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use crate::errno::Errno;

/// What may be filled with any bytes and read as bytes.
///
/// # Safety
/// The type has no padding, no pointer, and no bit pattern that is not a value.
pub(crate) unsafe trait Plain: Copy {}

/// The most that is copied for one request, in bytes: QEMU measures a whole firmware image at once.
const LONGEST: usize = 1 << 30;

/// The address that a pointer of the program's has.
pub(crate) fn address(pointer: *mut c_void) -> u64 {
    pointer.expose_provenance() as u64
}

/// A copy of the value at `address`.
pub(crate) fn read<T: Plain>(address: u64) -> Result<T, Errno> {
    let mut value = MaybeUninit::<T>::uninit();
    transfer(libc::SYS_process_vm_readv, value.as_mut_ptr().cast(), address, size_of::<T>())?;
    // SAFETY: all bytes were written, and every bit pattern is a value of `T`.
    Ok(unsafe { value.assume_init() })
}

/// Stores `value` at `address`.
pub(crate) fn write<T: Plain>(address: u64, value: &T) -> Result<(), Errno> {
    let source: *const T = value;
    transfer(libc::SYS_process_vm_writev, source.cast_mut().cast(), address, size_of::<T>())
}

/// A copy of `length` bytes at `address`.
pub(crate) fn read_bytes(address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    if length > LONGEST {
        return Err(Errno::EINVAL);
    }
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    transfer(libc::SYS_process_vm_readv, bytes.as_mut_ptr(), address, length)?;
    // SAFETY: `length` bytes lie within the capacity, and all of them were written.
    unsafe { bytes.set_len(length) };
    Ok(bytes)
}

/// Stores `bytes` at `address`.
pub(crate) fn write_bytes(address: u64, bytes: &[u8]) -> Result<(), Errno> {
    transfer(libc::SYS_process_vm_writev, bytes.as_ptr().cast_mut(), address, bytes.len())
}

/// Moves `length` bytes between `local`, which is memory of ours, and `address`, which the program named.
fn transfer(call: libc::c_long, local: *mut u8, address: u64, length: usize) -> Result<(), Errno> {
    let mut done = 0;
    while done < length {
        let remote = usize::try_from(address).ok().and_then(|start| start.checked_add(done));
        let remote = std::ptr::with_exposed_provenance_mut::<c_void>(remote.ok_or(Errno::EFAULT)?);
        let ours = libc::iovec { iov_base: local.wrapping_add(done).cast(), iov_len: length - done };
        let theirs = libc::iovec { iov_base: remote, iov_len: length - done };
        // SAFETY: the callers own `length` bytes at `local`, writable when `call` reads the other side; what `theirs` names
        // is checked by the kernel, and is the memory that the program asked to be read or written.
        let moved = unsafe {
            libc::syscall(call, libc::getpid(), &raw const ours, 1_usize, &raw const theirs, 1_usize, 0_usize)
        };
        match usize::try_from(moved) {
            Ok(0) => return Err(Errno::EFAULT),
            Ok(moved) => done += moved,
            Err(_) => return Err(Errno::last()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut place = [0_u8; 8];
        let address = place.as_mut_ptr().expose_provenance() as u64;
        write_bytes(address, b"measured").unwrap();
        assert_eq!(read_bytes(address, 8).unwrap(), b"measured");
    }

    #[test]
    fn a_bad_address_is_an_error() {
        assert_eq!(read_bytes(8, 16).unwrap_err(), Errno::EFAULT);
        assert_eq!(write_bytes(u64::MAX - 3, &[0; 8]).unwrap_err(), Errno::EFAULT);
        assert_eq!(read_bytes(0, usize::MAX).unwrap_err(), Errno::EINVAL);
    }

    #[test]
    fn nothing_is_read_from_nowhere() {
        assert_eq!(read_bytes(0, 0).unwrap(), b"");
    }
}
