//! Leads the calls through a stub: the only part that writes to the program's code.

use std::ffi::c_void;
use std::{fmt, io, ptr, slice};

use crate::find::{Displacement, calls_of};

/// How far apart the places are that are tried for the stub.
const STEP: usize = 1 << 20;

/// How far from the caller the stub may be: a displacement reaches 2 GiB.
const REACH: usize = 1 << 30;

/// `mov rax, imm64; jmp rax`
const STUB: usize = 12;

/// Why the calls were not redirected.
#[derive(Debug)]
pub(crate) enum PatchError {
    /// The helper's extent is not in the program's symbols.
    NoSize,
    /// The helper calls the function at fault nowhere, or not in a form that is known.
    NoCall,
    /// No free memory near enough for the stub.
    NoRoom,
    Protect(io::Error),
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSize => f.write_str("the size of helper_write_crN is unknown"),
            Self::NoCall => f.write_str("helper_write_crN has no direct call of cpu_interrupt"),
            Self::NoRoom => f.write_str("no free memory near helper_write_crN"),
            Self::Protect(error) => write!(f, "cannot make helper_write_crN writable: {error}"),
        }
    }
}

/// Makes each call of `callee` in the function `caller` reach `target` instead; says how many there were.
pub(crate) fn redirect(caller: usize, callee: usize, target: usize) -> Result<usize, PatchError> {
    let size = symbol_size(caller).ok_or(PatchError::NoSize)?;
    // SAFETY: the symbol says that `size` bytes of code are mapped there, and nothing writes to them yet.
    let code = unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(caller), size) };
    let calls = calls_of(code, caller, callee);
    if calls.is_empty() {
        return Err(PatchError::NoCall);
    }
    let page = page_size();
    let stub = map_stub(caller, target, page)?;
    for call in &calls {
        lead(*call, stub, page)?;
    }
    Ok(calls.len())
}

/// The size in bytes of the function at `address`, by the dynamic symbols.
fn symbol_size(address: usize) -> Option<usize> {
    const RTLD_DL_SYMENT: libc::c_int = 1;
    unsafe extern "C" {
        fn dladdr1(
            address: *const c_void,
            info: *mut libc::Dl_info,
            extra: *mut *mut c_void,
            flags: libc::c_int,
        ) -> libc::c_int;
    }
    // SAFETY: all-zero is a value of this plain C struct.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let mut symbol: *mut c_void = ptr::null_mut();
    let function = ptr::with_exposed_provenance::<c_void>(address);
    // SAFETY: both results are written to places that live here; with this flag `extra` receives a symbol's address.
    if unsafe { dladdr1(function, &raw mut info, &raw mut symbol, RTLD_DL_SYMENT) } == 0 {
        return None;
    }
    // SAFETY: dladdr1 set it to null or to a symbol of a loaded object, which stays loaded: it is the main program.
    let symbol = unsafe { symbol.cast::<libc::Elf64_Sym>().as_ref() }?;
    usize::try_from(symbol.st_size).ok().filter(|&size| info.dli_saddr.addr() == address && size > 0)
}

/// A page below `near` and within reach of it that holds a jump to `target`; its address.
fn map_stub(near: usize, target: usize, page: usize) -> Result<usize, PatchError> {
    let lowest = near.saturating_sub(REACH).max(STEP);
    let mut place = (near & !(STEP - 1)).saturating_sub(STEP);
    while place >= lowest {
        // SAFETY: MAP_FIXED_NOREPLACE takes only addresses that nothing else has.
        let stub = unsafe {
            libc::mmap(
                ptr::with_exposed_provenance_mut(place),
                page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if stub != libc::MAP_FAILED && stub.addr() == place {
            // SAFETY: the page was just mapped writable and is ours alone.
            unsafe { ptr::copy_nonoverlapping(stub_code(target).as_ptr(), stub.cast::<u8>(), STUB) };
            protect(place, page, libc::PROT_READ | libc::PROT_EXEC)?;
            return Ok(stub.expose_provenance());
        }
        if stub != libc::MAP_FAILED {
            // SAFETY: a kernel older than the flag mapped it elsewhere; nothing refers to it yet.
            unsafe { libc::munmap(stub, page) };
        }
        place -= STEP;
    }
    Err(PatchError::NoRoom)
}

fn stub_code(target: usize) -> [u8; STUB] {
    let mut code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
    if let Some(immediate) = code.get_mut(2..10) {
        immediate.copy_from_slice(&target.to_le_bytes());
    }
    code
}

/// Writes the displacement from `call` to `stub`.
fn lead(call: Displacement, stub: usize, page: usize) -> Result<(), PatchError> {
    let distance = i64::try_from(stub).ok().zip(i64::try_from(call.base).ok());
    let distance = distance.and_then(|(stub, base)| i32::try_from(stub - base).ok());
    let distance = distance.ok_or(PatchError::NoRoom)?;
    let first = call.address & !(page - 1);
    let length = call.address + 4 - first;
    protect(first, length, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
    // SAFETY: these are the four bytes of a displacement that `calls_of` found, writable since the line above. Constructors
    // run before QEMU has a second thread, so no thread executes them meanwhile.
    unsafe { ptr::with_exposed_provenance_mut::<i32>(call.address).write_unaligned(distance) };
    protect(first, length, libc::PROT_READ | libc::PROT_EXEC)
}

fn protect(address: usize, length: usize, protection: libc::c_int) -> Result<(), PatchError> {
    // SAFETY: the range is the program's code or this library's stub, and stays readable throughout.
    match unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(address), length, protection) } {
        0 => Ok(()),
        _ => Err(PatchError::Protect(io::Error::last_os_error())),
    }
}

fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
