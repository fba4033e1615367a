//! A preload library for the lab's outer QEMU, which emulates the host: it cures one fault of QEMU's TCG.
//!
//! When a nested guest writes CR8 while a virtual interrupt is pending, QEMU's `helper_write_crN` calls `cpu_interrupt` without
//! the big lock, and `tcg_handle_interrupt` aborts the whole machine (`assertion failed: (bql_locked())`). OVMF's exception
//! handlers write CR8, so about half of the lab's boots died of it. This library finds that one call among the helper's
//! instructions and leads it through a stub that takes the lock around it.
//!
//! It acts only in a process that exports all of the names it needs, which is QEMU; in any other it does nothing. It says so
//! on standard error when it could not find what it looks for, and, with `SEVIRT_CR8_VERBOSE` set, what it did.

#![expect(unsafe_code, reason = "it rewrites one instruction of the program that it is loaded into")]

mod find;
mod patch;

use std::ffi::{c_char, c_int, c_void};
use std::io::Write as _;
use std::sync::OnceLock;

/// QEMU's functions, by their exported names.
#[derive(Clone, Copy)]
struct Qemu {
    /// `helper_write_crN`, which holds the call at fault.
    helper: usize,
    cpu_interrupt: unsafe extern "C" fn(cpu: *mut c_void, mask: c_int),
    bql_locked: unsafe extern "C" fn() -> bool,
    bql_lock_impl: unsafe extern "C" fn(file: *const c_char, line: c_int),
    bql_unlock: unsafe extern "C" fn(),
}

static QEMU: OnceLock<Qemu> = OnceLock::new();

impl Qemu {
    /// Nothing when this process is not a QEMU that emulates x86.
    fn find() -> Option<Self> {
        let helper = symbol(c"helper_write_crN")?;
        let cpu_interrupt = symbol(c"cpu_interrupt")?;
        let bql_locked = symbol(c"bql_locked")?;
        let bql_lock_impl = symbol(c"bql_lock_impl")?;
        let bql_unlock = symbol(c"bql_unlock")?;
        // SAFETY: the names are those of QEMU's functions, whose signatures these are (include/exec/cpu-interrupt.h and
        // include/qemu/main-loop.h); a process that exports all five is QEMU.
        unsafe {
            Some(Self {
                helper: helper.addr(),
                cpu_interrupt: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, c_int)>(
                    cpu_interrupt,
                ),
                bql_locked: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> bool>(bql_locked),
                bql_lock_impl: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_char, c_int)>(
                    bql_lock_impl,
                ),
                bql_unlock: std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(bql_unlock),
            })
        }
    }
}

/// The address of an exported name, if the program or a library of it has one.
fn symbol(name: &std::ffi::CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string; dlsym reads nothing else.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// What `helper_write_crN` calls instead of `cpu_interrupt`: the same with the big lock held.
unsafe extern "C" fn interrupt_with_lock(cpu: *mut c_void, mask: c_int) {
    let Some(qemu) = QEMU.get() else { return };
    // SAFETY: the arguments are those that QEMU passed, and the lock is taken exactly when it is not held yet.
    unsafe {
        if (qemu.bql_locked)() {
            (qemu.cpu_interrupt)(cpu, mask);
        } else {
            (qemu.bql_lock_impl)(c"sevirt_cr8".as_ptr(), 1);
            (qemu.cpu_interrupt)(cpu, mask);
            (qemu.bql_unlock)();
        }
    }
}

/// One line on standard error; a failure to write it is nobody's concern.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr(), "libsevirt_cr8: {message}");
}

extern "C" fn start() {
    let Some(qemu) = Qemu::find() else { return };
    let target = interrupt_with_lock as *const () as usize;
    let cpu_interrupt = qemu.cpu_interrupt as *const () as usize;
    let helper = qemu.helper;
    if QEMU.set(qemu).is_err() {
        return;
    }
    match patch::redirect(helper, cpu_interrupt, target) {
        Ok(count) if std::env::var_os("SEVIRT_CR8_VERBOSE").is_some() => {
            say(&format!("{count} call(s) of cpu_interrupt in helper_write_crN now take the big lock"));
        }
        Ok(_) => {}
        Err(error) => say(&format!("QEMU's fault with CR8 is not cured, the machine may abort: {error}")),
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;
