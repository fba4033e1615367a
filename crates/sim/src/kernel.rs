//! What the kernel's drivers do around the firmware when user space asks: bring it up before commands that need it up, and
//! down before a factory reset.

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::command::{Command, PlatformState, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;

/// Carries out a command as `/dev/sev` and KVM do.
///
/// # Errors
/// As the firmware says; a factory reset while guests exist is refused, as the driver refuses it.
pub fn run(platform: &mut Platform, command: Command) -> Result<Reply, FirmwareStatus> {
    match (&command, platform.state()) {
        (
            Command::PekGen
            | Command::PekCsr
            | Command::PekCertImport { .. }
            | Command::PdhGen
            | Command::PdhCertExport
            | Command::GuestInit { .. },
            PlatformState::Uninit,
        ) => {
            platform.run(Command::Init)?;
        }
        (Command::FactoryReset, PlatformState::Working) => return Err(FirmwareStatus::InvalidPlatformState),
        (Command::FactoryReset, PlatformState::Init) => {
            platform.run(Command::Shutdown)?;
        }
        _ => {}
    }
    platform.run(command)
}
