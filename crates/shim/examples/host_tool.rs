//! What a host tool asks of the platform, for the tests: run under the preload library it is answered by the simulator.
//!
//! Prints one `key=value` a line. It knows nothing of the library; structures are laid out by hand from `linux/psp-sev.h`.

#![expect(unsafe_code, reason = "it speaks the kernel's interface and executes chosen instructions")]
#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::arch::x86_64::__cpuid;
use std::ffi::{c_int, c_ulong};
use std::io;

/// `_IOWR('S', 0, struct sev_issue_cmd)`
const SEV_ISSUE_CMD: c_ulong = 0xc010_5300;

fn main() {
    let device = open(libc::O_RDWR | libc::O_CLOEXEC);
    match std::env::args().nth(1).as_deref() {
        Some("cpuid") => cpuid(),
        Some("illegal") => illegal(false),
        Some("illegal-handled") => illegal(true),
        Some("open") => println!("open={}", describe(device)),
        Some("status") => status(&device),
        Some("certificates") => certificates(&device),
        Some("errors") => errors(&device),
        other => println!("unknown={other:?}"),
    }
}

fn cpuid() {
    println!("highest={:#x}", __cpuid(0x8000_0000).eax);
    let leaf = __cpuid(0x8000_001f);
    println!("features={:#x}\ncbit={}\nreduced={}", leaf.eax, leaf.ebx & 0x3f, leaf.ebx >> 6 & 0x3f);
    println!("vendor_leaf={}", __cpuid(0).eax > 0);
}

/// Executes an instruction that is not one, which is not the library's business.
fn illegal(handle: bool) {
    extern "C" fn handler(_signal: c_int) {
        // SAFETY: ends the process at once, which a handler may.
        unsafe { libc::_exit(42) }
    }
    if handle {
        // SAFETY: the handler is a function of the type that `signal` takes.
        unsafe { libc::signal(libc::SIGILL, handler as *const () as libc::sighandler_t) };
    }
    // SAFETY: it raises SIGILL and nothing else.
    unsafe { std::arch::asm!("ud2") };
}

type Opened = Result<c_int, io::Error>;

fn open(flags: c_int) -> Opened {
    // SAFETY: the path is a C string.
    match unsafe { libc::open(c"/dev/sev".as_ptr(), flags) } {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(fd),
    }
}

fn describe<T>(result: Result<T, io::Error>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(0)),
    }
}

/// Issues a command whose structure is `data`; its outcome and the firmware's error code.
fn issue(device: &Opened, command: u32, data: &mut [u8]) -> (Result<(), io::Error>, u32) {
    let Ok(device) = device else { return (Err(io::Error::from_raw_os_error(libc::EBADF)), 0) };
    let mut request = Vec::from(command.to_le_bytes());
    request.extend((data.as_mut_ptr().expose_provenance() as u64).to_le_bytes());
    request.extend([0; 4]);
    // SAFETY: the request has the structure's 16 bytes, and `data` the command's.
    let result = match unsafe { libc::ioctl(*device, SEV_ISSUE_CMD, request.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    (result, word(&request, 12))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

fn status(device: &Opened) {
    let mut status = [0; 12];
    let (result, error) = issue(device, 1, &mut status);
    println!("status={}\nerror={error}", describe(result));
    println!("api={}.{}\nstate={}\nflags={:#x}", status[0], status[1], status[2], word(&status, 3));
    println!("guests={}", word(&status, 8));
}

fn certificates(device: &Opened) {
    let mut export = [0; 24];
    let (result, error) = issue(device, 5, &mut export);
    println!("probe={}\nprobe_error={error}", describe(result));
    let lengths = [word(&export, 8), word(&export, 20)];
    println!("pdh_length={}\nchain_length={}", lengths[0], lengths[1]);
    let mut pdh = vec![0; lengths[0] as usize];
    let mut chain = vec![0; lengths[1] as usize];
    export[0..8].copy_from_slice(&(pdh.as_mut_ptr().expose_provenance() as u64).to_le_bytes());
    export[12..20].copy_from_slice(&(chain.as_mut_ptr().expose_provenance() as u64).to_le_bytes());
    let (result, error) = issue(device, 5, &mut export);
    println!("export={}\nexport_error={error}", describe(result));
    println!("pdh_usage={:#x}\npek_usage={:#x}", word(&pdh, 8), word(&chain, 8));
    let mut id = [0; 12];
    let (result, error) = issue(device, 8, &mut id);
    println!("id={}\nid_error={error}\nid_length={}", describe(result), word(&id, 8));
}

fn errors(device: &Opened) {
    println!("unknown={}", describe(issue(device, 99, &mut [0; 64]).0));
    let Ok(fd) = device else {
        return println!("open={}", describe(Err::<(), _>(io::Error::last_os_error())));
    };
    // SAFETY: the address is not mapped, which the callee has to find out.
    let result = unsafe { libc::ioctl(*fd, SEV_ISSUE_CMD, 8) };
    println!("bad_address={result} {}", describe(Err::<(), _>(io::Error::last_os_error())));
    let read_only = open(libc::O_RDONLY);
    println!("read_only_reset={}", describe(issue(&read_only, 0, &mut []).0));
    println!("read_only_status={}", describe(issue(&read_only, 1, &mut [0; 12]).0));
    let imported = issue(device, 6, &mut [0; 24]);
    println!("empty_import={} {:#x}", describe(imported.0), imported.1);
    // SAFETY: duplicates a descriptor.
    let duplicate = Ok(unsafe { libc::dup(*fd) });
    // SAFETY: the original is not used again.
    unsafe { libc::close(*fd) };
    println!("duplicate={}", describe(issue(&duplicate, 1, &mut [0; 12]).0));
    println!("closed={}", describe(issue(device, 1, &mut [0; 12]).0));
}
