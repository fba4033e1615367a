//! Overwrites the CPUID instructions and answers the faults that they then raise.
//!
//! The handler runs in whatever code executed the instruction, with any lock held: it takes none, allocates nothing and
//! calls nothing but the processor, `sigaction` and the program's own handler.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::{arch, io, mem, ptr};

use super::answer::{Registers, answer};
use super::sites::CPUID;

/// How far the instruction pointer moves.
const CPUID_LENGTH: i64 = 2;

/// What the second byte of `0f a2` becomes: `0f 0b` is `ud2`.
const FAULTING_BYTE: u8 = 0x0b;

/// The overwritten instructions' addresses, sorted.
static SITES: OnceLock<Vec<usize>> = OnceLock::new();

/// What the program had for SIGILL before.
static PREVIOUS: Previous = Previous(UnsafeCell::new(mem::MaybeUninit::zeroed()));

struct Previous(UnsafeCell<mem::MaybeUninit<libc::sigaction>>);

// SAFETY: it is written by `set` alone, before any instruction that leads to a reader is overwritten.
unsafe impl Sync for Previous {}

/// Makes the instructions at `sites` fault, and the fault be answered.
pub(super) fn set(sites: &[usize]) -> io::Result<()> {
    if SITES.set(sites.to_vec()).is_err() {
        return Ok(());
    }
    // SAFETY: all-zero is a value of this plain C struct; the handler has the type that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = on_illegal_instruction as *const () as usize;
        // SA_NODEFER: a handler of the program's that is called from ours may itself execute CPUID.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        if libc::sigaction(libc::SIGILL, &raw const action, (*PREVIOUS.0.get()).as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    sites.iter().try_for_each(|&site| overwrite(site))
}

/// Makes the instruction at `site` a faulting one.
fn overwrite(site: usize) -> io::Result<()> {
    // SAFETY: sysconf only reads.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let byte = site + CPUID.len() - 1;
    let start = ptr::with_exposed_provenance_mut::<c_void>(byte & !(page - 1));
    // SAFETY: the page is part of the program's code and stays executable throughout, and the byte is the second of an
    // instruction that was found there. It is written before the program has a second thread.
    unsafe {
        if libc::mprotect(start, page, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        ptr::with_exposed_provenance_mut::<u8>(byte).write_volatile(FAULTING_BYTE);
        if libc::mprotect(start, page, libc::PROT_READ | libc::PROT_EXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

unsafe extern "C" fn on_illegal_instruction(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the interrupted thread's context, which is ours to change until we return.
    let machine = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = usize::try_from(machine[libc::REG_RIP as usize]).unwrap_or(0);
    if SITES.get().is_none_or(|sites| sites.binary_search(&at).is_err()) {
        // SAFETY: these are the handler's own arguments.
        return unsafe { pass_on(signal, info, context) };
    }
    let leaf = low_half(machine[libc::REG_RAX as usize]);
    let subleaf = low_half(machine[libc::REG_RCX as usize]);
    let result = answer(leaf, |leaf| {
        let real = arch::x86_64::__cpuid_count(leaf, subleaf);
        Registers { eax: real.eax, ebx: real.ebx, ecx: real.ecx, edx: real.edx }
    });
    machine[libc::REG_RAX as usize] = result.eax.into();
    machine[libc::REG_RBX as usize] = result.ebx.into();
    machine[libc::REG_RCX as usize] = result.ecx.into();
    machine[libc::REG_RDX as usize] = result.edx.into();
    machine[libc::REG_RIP as usize] += CPUID_LENGTH;
}

/// Gives a fault that is not ours to whom it would have gone.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: `set` filled it before it made the first instruction fault; the values are what sigaction gave.
    unsafe {
        let previous = (*PREVIOUS.0.get()).assume_init_ref();
        match previous.sa_sigaction {
            // By default the instruction is to end the process: let it fault again without us.
            libc::SIG_DFL | libc::SIG_IGN => {
                let mut default: libc::sigaction = mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    mem::transmute(ptr::with_exposed_provenance::<()>(handler));
                handler(signal, info, context);
            }
            handler => {
                let handler: unsafe extern "C" fn(c_int) =
                    mem::transmute(ptr::with_exposed_provenance::<()>(handler));
                handler(signal);
            }
        }
    }
}

/// The low 32 bits of a register.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low half is what is wanted")]
const fn low_half(register: i64) -> u32 {
    register as u32
}
