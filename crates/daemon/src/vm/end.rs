//! How a guest's life ended, and the exit code that says so.

use std::fmt;

use rpc::remote::domain::state;

use super::life::RunState;

/// What ended a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest shut itself down.
    GuestEnded,
    /// It was set up, measured and, where asked for, attested; running it was not wanted.
    StayedPaused,
    /// It was stopped by sevirt's user.
    Stopped(Stopper),
    /// QEMU was stopped by someone else; the reason is QEMU's `ShutdownCause`.
    StoppedElsewhere(String),
    /// The guest's kernel reported a panic.
    GuestPanicked,
    /// The guest cannot go on.
    GuestFailed(String),
    /// It could not be started.
    CannotStart(String),
    /// QEMU ended by itself before the guest ran.
    RefusedToStart(ExitKind),
    /// It was set up, and cannot run here.
    CannotResume(String),
    AttestationFailed(String),
    TimedOut(String),
    /// QEMU ended by itself while the guest ran.
    Died(ExitKind),
    /// QEMU was killed and is still there: the kernel holds it.
    Unkillable,
    /// It rebooted or crashed, and is to be launched anew by another QEMU.
    Relaunch,
}

/// Who asked for a guest's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopper {
    /// sevirt got this signal.
    Signal(i32),
    /// The user left the console by its escape.
    Console,
    /// A command to the supervisor.
    Command,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    Code(i32),
    Signal(i32),
    /// It was no child of this process.
    Unknown,
}

impl ExitKind {
    /// From a status as wait(2) has it.
    pub(crate) fn of(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            signal => Self::Signal(signal),
        }
    }
}

impl End {
    /// What the protocol says of a guest that ended so.
    pub fn run_state(&self) -> RunState {
        match self {
            Self::GuestEnded | Self::StayedPaused | Self::StoppedElsewhere(_) | Self::Relaunch => {
                state::SHUTOFF_SHUTDOWN
            }
            Self::Stopped(_) => state::SHUTOFF_DESTROYED,
            Self::GuestPanicked | Self::GuestFailed(_) | Self::Died(_) => state::SHUTOFF_CRASHED,
            Self::CannotStart(_)
            | Self::RefusedToStart(_)
            | Self::CannotResume(_)
            | Self::AttestationFailed(_)
            | Self::TimedOut(_)
            | Self::Unkillable => state::SHUTOFF_FAILED,
        }
        .into()
    }

    /// sevirt's exit code: 0 the guest ended well, 4 cannot start, 5 attestation failed, 6 timed out, 7 QEMU or the
    /// guest died; where sevirt was stopped by a signal, 128 and the signal's number, as shells have it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped(Stopper::Signal(signal)) => {
                u8::try_from(*signal).map_or(u8::MAX, |signal| 128 | signal)
            }
            Self::GuestEnded
            | Self::StayedPaused
            | Self::Relaunch
            | Self::Stopped(Stopper::Console | Stopper::Command) => 0,
            Self::CannotStart(_)
            | Self::RefusedToStart(ExitKind::Code(_) | ExitKind::Unknown)
            | Self::CannotResume(_) => 4,
            Self::AttestationFailed(_) => 5,
            Self::TimedOut(_) => 6,
            Self::RefusedToStart(ExitKind::Signal(_))
            | Self::Died(_)
            | Self::StoppedElsewhere(_)
            | Self::GuestPanicked
            | Self::GuestFailed(_)
            | Self::Unkillable => 7,
        }
    }

    /// Whether QEMU ended by itself, so that its last words tell why.
    pub fn is_qemus_own(&self) -> bool {
        matches!(self, Self::RefusedToStart(_) | Self::Died(_) | Self::TimedOut(_) | Self::CannotStart(_))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuestEnded => f.write_str("the guest shut down"),
            Self::StayedPaused => f.write_str("the guest was set up and not run, as asked"),
            Self::Stopped(Stopper::Signal(signal)) => match signal_name(*signal) {
                Some(name) => write!(f, "the guest was stopped by {name}"),
                None => write!(f, "the guest was stopped by signal {signal}"),
            },
            Self::Stopped(Stopper::Console) => f.write_str("the guest was stopped from its console"),
            Self::Stopped(Stopper::Command) => f.write_str("the guest was stopped"),
            Self::StoppedElsewhere(reason) => write!(f, "QEMU was stopped by someone else ({reason})"),
            Self::GuestPanicked => f.write_str("the guest's kernel panicked"),
            Self::GuestFailed(reason) => f.write_str(reason),
            Self::CannotStart(reason) => write!(f, "cannot start the guest: {reason}"),
            Self::RefusedToStart(exit) => write!(f, "QEMU ended before the guest ran ({exit})"),
            Self::CannotResume(reason) => write!(f, "the guest cannot run here: {reason}"),
            Self::AttestationFailed(reason) => write!(f, "attestation failed: {reason}"),
            Self::TimedOut(what) => write!(f, "timed out: {what}"),
            Self::Died(exit) => write!(f, "QEMU died while the guest ran ({exit})"),
            Self::Relaunch => f.write_str("the guest is to be launched anew"),
            Self::Unkillable => f.write_str("QEMU was killed and does not end: the kernel holds it"),
        }
    }
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Unknown => f.write_str("with a status that this kernel tells only its parent"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        31 => "SIGSYS, which is what its seccomp sandbox sends",
        _ => return None,
    })
}
