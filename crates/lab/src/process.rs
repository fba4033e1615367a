//! The few things about processes and signals for which Rust's library wants `unsafe`, behind safe functions.
#![expect(
    unsafe_code,
    reason = "hooks between fork and exec, signal masks and kill(-1) have no safe interface"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid};

/// Lets the child die with the thread that starts it, however that thread ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was set.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: the hook makes three system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) };
}

/// Lets the child inherit descriptors which are otherwise closed on exec. They must stay open until it is started.
pub(crate) fn inherit(command: &mut Command, descriptors: &[&OwnedFd]) {
    let numbers: Vec<RawFd> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    let hook = move || {
        for &number in &numbers {
            // SAFETY: the caller keeps the descriptor open, and the child has a copy of it.
            let descriptor = unsafe { rustix::fd::BorrowedFd::borrow_raw(number) };
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the hook makes system calls only; the vector was allocated before the fork.
    unsafe { command.pre_exec(hook) };
}

/// Makes the child's standard input its controlling terminal, in a session of its own.
pub(crate) fn own_terminal(command: &mut Command) {
    let hook = || {
        setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // SAFETY: the hook makes two system calls.
    unsafe { command.pre_exec(hook) };
}

/// Kills every process but this one; for a first process that is about to end.
pub(crate) fn kill_all_others() {
    debug_assert_eq!(getpid(), Pid::INIT, "only a first process may do this");
    // SAFETY: kill(2) with these arguments touches no memory of this process.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Signals as a descriptor that becomes readable, instead of what they would do by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: OwnedFd,
    before: libc::sigset_t,
}

impl Signals {
    /// Takes over the given signals for the calling thread, and for threads and nothing else that it starts:
    /// Rust's `Command` gives children an empty mask.
    pub(crate) fn take(signals: &[libc::c_int]) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` fills the set that `sigaddset`, `pthread_sigmask` and `signalfd` then read;
        // `pthread_sigmask` fills `before` when it returns 0; the descriptor is new and nobody else's.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let errno = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(errno));
            }
            let before = before.assume_init();
            let descriptor = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if descriptor < 0 {
                let error = io::Error::last_os_error();
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
                return Err(error);
            }
            Ok(Self { descriptor: OwnedFd::from_raw_fd(descriptor), before })
        }
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// The next signal that has arrived, if any.
    pub(crate) fn next(&self) -> Option<libc::c_int> {
        let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(&self.descriptor, &mut record).ok()?;
        // `ssi_signo` is the record's first field.
        let number = record.first_chunk().filter(|_| read == record.len())?;
        libc::c_int::try_from(u32::from_ne_bytes(*number)).ok()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: `before` is a mask that the kernel gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_instead_of_obeyed() {
        let signals = Signals::take(&[libc::SIGUSR1]).unwrap();
        assert_eq!(signals.next(), None);
        // SAFETY: sends a signal to this very thread, which has it blocked.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
        assert_eq!(signals.next(), Some(libc::SIGUSR1));
        assert_eq!(signals.next(), None);
    }

    #[test]
    fn a_child_inherits_what_it_is_given_and_starts_without_a_mask() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let _signals = Signals::take(&[libc::SIGUSR2]).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("grep SigBlk /proc/self/status >&{}", writer.as_raw_fd()));
        inherit(&mut command, &[&writer]);
        die_with_parent(&mut command);
        assert!(command.status().unwrap().success());
        drop(writer);
        let mut text = String::new();
        io::Read::read_to_string(&mut std::fs::File::from(reader), &mut text).unwrap();
        assert_eq!(text.trim(), "SigBlk:\t0000000000000000");
    }
}
