//! PLATFORM_STATUS through `/dev/sev`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use crate::facts::{Fact, Platform, PlatformState};

const DEVICE: &str = "/dev/sev";
/// `_IOWR('S', 0, struct sev_issue_cmd)`, linux/psp-sev.h.
const SEV_ISSUE_CMD: libc::c_ulong = 0xc010_5300;
const SEV_PLATFORM_STATUS: u32 = 1;

/// `struct sev_issue_cmd`, linux/psp-sev.h: packed, 16 bytes.
#[repr(C, packed)]
struct IssueCommand {
    command: u32,
    data: u64,
    error: u32,
}

/// `struct sev_user_data_status`, linux/psp-sev.h: packed, 12 bytes.
#[repr(C, packed)]
#[derive(Default)]
struct Status {
    api_major: u8,
    api_minor: u8,
    state: u8,
    flags: u32,
    build: u8,
    guests: u32,
}

/// Asks the secure processor of this machine how it is.
#[must_use]
pub fn probe() -> Fact<Platform> {
    Fact::of_io(DEVICE, status())
}

fn status() -> io::Result<Platform> {
    let device = File::options().read(true).write(true).open(DEVICE)?;
    let mut status = Status::default();
    let mut command = IssueCommand {
        command: SEV_PLATFORM_STATUS,
        data: (&raw mut status).expose_provenance() as u64,
        error: 0,
    };
    issue(&device, &mut command)?;
    let Status { api_major, api_minor, state, flags, build, guests } = status;
    Ok(Platform {
        api_major,
        api_minor,
        build,
        state: match state {
            0 => PlatformState::Uninitialised,
            1 => PlatformState::Initialised,
            2 => PlatformState::Working,
            other => PlatformState::Unknown(other),
        },
        externally_owned: flags & 1 == 1,
        es: flags >> 8 & 1 == 1,
        guests,
    })
}

#[expect(
    unsafe_code,
    reason = "an ioctl has no safe form; the C library's, so that the lab's preload sees it"
)]
fn issue(device: &File, command: &mut IssueCommand) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call; `command` and the status that it points to are
    // exclusively borrowed by the caller, live across the call and have the layout and size of the kernel's.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), SEV_ISSUE_CMD, std::ptr::from_mut(command)) };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(if command.error == 0 {
        error
    } else {
        let firmware = command.error;
        io::Error::new(error.kind(), format!("{error}, firmware error {firmware:#x}"))
    })
}
