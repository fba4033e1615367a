//! Why a command failed, in the two numbers that the kernel gives for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use sim::FirmwareStatus;

use crate::errno::Errno;

/// `SEV_RET_NO_FW_CALL`: the firmware's error code when the kernel failed before it asked the firmware.
const NO_FIRMWARE_CALL: u32 = u32::MAX;

/// Why a command to the platform or to a guest failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel itself would refuse it.
    Kernel(Errno),
    /// The firmware refused it.
    Firmware(FirmwareStatus),
    /// The simulator cannot be reached, or is gone.
    Connection(io::Error),
    /// The simulator answered something that does not belong to the command.
    Reply,
}

impl Failure {
    /// What `errno` becomes.
    pub(crate) const fn errno(&self) -> Errno {
        match self {
            Self::Kernel(errno) => *errno,
            Self::Firmware(_) | Self::Connection(_) | Self::Reply => Errno::EIO,
        }
    }

    /// What the command's own error field becomes.
    pub(crate) const fn status(&self) -> u32 {
        match self {
            Self::Firmware(status) => status.code(),
            Self::Kernel(_) | Self::Connection(_) | Self::Reply => NO_FIRMWARE_CALL,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(Errno(number)) => io::Error::from_raw_os_error(*number).fmt(f),
            Self::Firmware(status) => status.fmt(f),
            Self::Connection(error) => write!(f, "the simulator cannot be reached: {error}"),
            Self::Reply => f.write_str("the simulator's answer does not belong to the command"),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

impl From<FirmwareStatus> for Failure {
    fn from(status: FirmwareStatus) -> Self {
        Self::Firmware(status)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// The value in a lock, also after a thread has panicked with it held: nothing here leaves it half changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
