//! What the AMD secure processor says of itself through `/dev/sev`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use crate::facts::{Fact, Platform, PlatformState, SnpPlatform};
use crate::root::Root;

pub(super) const DEVICE: &str = "/dev/sev";
/// `_IOWR('S', 0, struct sev_issue_cmd)`, linux/psp-sev.h.
const SEV_ISSUE_CMD: libc::c_ulong = 0xc010_5300;
const SEV_PLATFORM_STATUS: u32 = 1;
const SNP_PLATFORM_STATUS: u32 = 9;

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

/// `struct sev_user_data_snp_status`, linux/psp-sev.h: packed, 32 bytes.
#[repr(C, packed)]
#[derive(Default)]
struct SnpStatus {
    api_major: u8,
    api_minor: u8,
    state: u8,
    /// Bit 0: the reverse map table is initialised.
    rmp: u8,
    build: u32,
    keys: u32,
    guests: u32,
    current_tcb: u64,
    reported_tcb: u64,
}

pub(super) fn probe(root: &Root) -> (Fact<Platform>, Fact<SnpPlatform>) {
    if !root.is_live() {
        let Some(said) = root.description().map(|description| &description.ioctl) else {
            return (Fact::Absent, Fact::Absent);
        };
        return (
            said.platform_status.map_or(Fact::Absent, |answer| Fact::of_io(DEVICE, answer.result())),
            said.snp_platform_status.map_or(Fact::Absent, |answer| of_snp(answer.result())),
        );
    }
    match File::options().read(true).write(true).open(DEVICE) {
        Ok(device) => (Fact::of_io(DEVICE, status(&device)), of_snp(snp_status(&device))),
        Err(error) => {
            let unopened = Fact::<()>::of_io(DEVICE, Err(error));
            // An error is all there can be in it.
            (unopened.clone().and_then(|()| None), unopened.and_then(|()| None))
        }
    }
}

/// PLATFORM_STATUS of this machine's secure processor.
#[must_use]
pub fn platform_status() -> Fact<Platform> {
    let device = File::options().read(true).write(true).open(DEVICE);
    Fact::of_io(DEVICE, device.and_then(|device| status(&device)))
}

/// Kernels that do not know the command refuse it as invalid, and so do later ones until SNP is initialised.
fn of_snp(result: io::Result<SnpPlatform>) -> Fact<SnpPlatform> {
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => Fact::Absent,
        other => Fact::of_io(DEVICE, other),
    }
}

fn status(device: &File) -> io::Result<Platform> {
    let mut status = Status::default();
    let mut command = IssueCommand {
        command: SEV_PLATFORM_STATUS,
        data: (&raw mut status).expose_provenance() as u64,
        error: 0,
    };
    issue(device, &mut command)?;
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

fn snp_status(device: &File) -> io::Result<SnpPlatform> {
    let mut status = SnpStatus::default();
    let mut command = IssueCommand {
        command: SNP_PLATFORM_STATUS,
        data: (&raw mut status).expose_provenance() as u64,
        error: 0,
    };
    issue(device, &mut command)?;
    let SnpStatus { api_major, api_minor, state, rmp, build, keys: _, guests, current_tcb, reported_tcb } =
        status;
    Ok(SnpPlatform {
        api_major,
        api_minor,
        build,
        initialised: state == 1,
        rmp_initialised: rmp & 1 == 1,
        guests,
        current_tcb,
        reported_tcb,
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
    let firmware = command.error;
    // The number is kept where the firmware has not said more.
    Err(if firmware == 0 {
        error
    } else {
        io::Error::other(format!("{error}, firmware error {firmware:#x}"))
    })
}
