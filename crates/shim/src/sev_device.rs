//! `/dev/sev`: the platform's commands, as the kernel's `ccp` driver takes them from user space.
//!
//! What the program gets for its `open` is a connection to the simulator, so that its `close` ends the connection without
//! this library's help.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::sync::Mutex;

use sim::client::{Connection, socket_path};
use sim::{Command, FirmwareStatus, Reply};

use crate::abi::{
    BufferData, GetIdData, PdhCertExportData, PekCertImportData, SEV_ISSUE_CMD, SevIssueCmd, SnpStatusData,
    StatusData, platform,
};
use crate::errno::{Errno, Outcome, from_c};
use crate::failure::{Failure, locked};
use crate::message::{say, trace};
use crate::user;

/// The device that is simulated.
pub(crate) const PATH: &CStr = c"/dev/sev";

/// When this variable is `required`, the device is there only if a node is, as on a real host.
const NODE_VARIABLE: &str = "SEVSIM_NODE";

/// `SEV_FW_BLOB_MAX_SIZE`: the kernel takes no longer certificates.
const LONGEST_BLOB: u32 = 16 * 1024;

/// A device that was opened.
#[derive(Clone, Copy)]
struct Device {
    /// The socket's inode number, which tells it from what may have the same descriptor later.
    inode: u64,
    writable: bool,
}

/// The opened devices by descriptor.
static DEVICES: Mutex<BTreeMap<c_int, Device>> = Mutex::new(BTreeMap::new());

/// Opens the simulated device as the kernel would open a real one, by the node's owner and mode if there is a node.
pub(crate) fn open(flags: c_int) -> Outcome {
    check_node(flags)?;
    let path = socket_path();
    let connection = Connection::open(&path).map_err(|error| {
        say!("no simulated secure processor at {}: {error}", path.display());
        Errno::ENODEV
    })?;
    let fd = OwnedFd::from(connection).into_raw_fd();
    if flags & libc::O_CLOEXEC == 0 {
        // SAFETY: the descriptor is ours, and the call changes its flag only.
        unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    }
    let device = Device { inode: inode(fd)?, writable: flags & libc::O_ACCMODE != libc::O_RDONLY };
    locked(&DEVICES).insert(fd, device);
    trace!("open /dev/sev: {fd}");
    Ok(fd)
}

/// Lets the kernel judge access to the node, which is a plain file or a device without a driver.
fn check_node(flags: c_int) -> Result<(), Errno> {
    let access = (flags & libc::O_ACCMODE) | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    let opened = from_c(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, PATH.as_ptr(), access, 0) });
    match opened {
        Ok(fd) => {
            // SAFETY: the descriptor was opened here, for this purpose alone.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            Ok(())
        }
        // The kernel looks for the driver only after it has granted access.
        Err(Errno(libc::ENXIO | libc::ENODEV)) => Ok(()),
        Err(Errno::ENOENT) if std::env::var_os(NODE_VARIABLE).is_none_or(|value| value != "required") => {
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}

fn inode(fd: c_int) -> Result<u64, Errno> {
    // SAFETY: all-zero is a value of this plain C struct.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to `status`, which lives here.
    from_c(unsafe { libc::fstat(fd, &raw mut status) }.into())?;
    Ok(status.st_ino)
}

/// The opened device that a descriptor, or a duplicate of one, stands for.
fn device(fd: c_int) -> Option<Device> {
    let inode = inode(fd).ok()?;
    locked(&DEVICES).values().find(|device| device.inode == inode).copied()
}

/// Whether `fd` is the simulated `/dev/sev`.
pub(crate) fn is_device(fd: c_int) -> bool {
    device(fd).is_some()
}

/// Carries out a request to the device; nothing when `fd` is another file.
pub(crate) fn ioctl(fd: c_int, request: u32, argument: *mut c_void) -> Option<Outcome> {
    if request != SEV_ISSUE_CMD {
        return None;
    }
    let device = device(fd)?;
    Some(issue(fd, device, user::address(argument)))
}

/// `SEV_ISSUE_CMD`: the command at `argument`, and the firmware's error code written back to it.
fn issue(fd: c_int, device: Device, argument: u64) -> Outcome {
    let mut command: SevIssueCmd = user::read(argument)?;
    // SAFETY: the descriptor belongs to the program, which keeps it open through its call; it is not closed here.
    let mut connection = ManuallyDrop::new(Connection::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    let result = {
        // One exchange at a time: two threads may use the device.
        let _exchange = locked(&DEVICES);
        carry_out(&mut connection, device, command.command, command.data)
    };
    let number = command.command;
    match &result {
        Err(failure @ (Failure::Connection(_) | Failure::Reply)) => {
            say!("platform command {number}: {failure}");
        }
        Err(failure) => trace!("platform command {number}: {failure}"),
        Ok(()) => trace!("platform command {number}"),
    }
    command.error = result.as_ref().map_or_else(Failure::status, |()| 0);
    user::write(argument, &command)?;
    result.map(|()| 0).map_err(|failure| failure.errno())
}

fn carry_out(connection: &mut Connection, device: Device, command: u32, data: u64) -> Result<(), Failure> {
    let needs_write = matches!(
        command,
        platform::FACTORY_RESET | platform::PEK_GEN | platform::PDH_GEN | platform::PEK_CERT_IMPORT
    );
    if needs_write && !device.writable {
        return Err(Errno::EPERM.into());
    }
    let mut call = |command: &Command| -> Result<Reply, Failure> { Ok(connection.call(command)??) };
    match command {
        platform::FACTORY_RESET => call(&Command::FactoryReset).map(drop),
        platform::PEK_GEN => call(&Command::PekGen).map(drop),
        platform::PDH_GEN => call(&Command::PdhGen).map(drop),
        platform::PLATFORM_STATUS => {
            let Reply::PlatformStatus(status) = call(&Command::PlatformStatus)? else {
                return Err(Failure::Reply);
            };
            let status = StatusData {
                api_major: status.api_major,
                api_minor: status.api_minor,
                state: status.state as u8,
                flags: status.flags,
                build: status.build,
                guest_count: status.guest_count,
            };
            Ok(user::write(data, &status)?)
        }
        platform::SNP_PLATFORM_STATUS => {
            let Reply::SnpPlatformStatus(status) = call(&Command::SnpPlatformStatus)? else {
                return Err(Failure::Reply);
            };
            let status = SnpStatusData {
                api_major: status.api_major,
                api_minor: status.api_minor,
                state: status.state as u8,
                flags: status.rmp_initialized.into(),
                build: status.build,
                mask: 0,
                guest_count: status.guest_count,
                current_tcb: status.current_tcb,
                reported_tcb: status.reported_tcb,
            };
            Ok(user::write(data, &status)?)
        }
        platform::PEK_CSR => {
            let Reply::Csr(csr) = call(&Command::PekCsr)? else { return Err(Failure::Reply) };
            give(data, &csr)
        }
        platform::GET_ID2 => {
            let Reply::Id(id) = call(&Command::GetId2)? else { return Err(Failure::Reply) };
            give(data, &id)
        }
        platform::GET_ID => {
            let Reply::Id(id) = call(&Command::GetId2)? else { return Err(Failure::Reply) };
            let mut both = [0; size_of::<GetIdData>()];
            both.iter_mut().zip(&id).for_each(|(to, from)| *to = *from);
            Ok(user::write_bytes(data, &both)?)
        }
        platform::PDH_CERT_EXPORT => {
            let Reply::PdhCertExport { pdh, chain } = call(&Command::PdhCertExport)? else {
                return Err(Failure::Reply);
            };
            export(data, &pdh, &chain)
        }
        platform::PEK_CERT_IMPORT => {
            let request: PekCertImportData = user::read(data)?;
            let pek = take(request.pek_address, request.pek_length)?;
            let oca = take(request.oca_address, request.oca_length)?;
            call(&Command::PekCertImport { pek, oca }).map(drop)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// A certificate that the program hands over.
fn take(address: u64, length: u32) -> Result<Vec<u8>, Errno> {
    if address == 0 || length == 0 || length > LONGEST_BLOB {
        return Err(Errno::EINVAL);
    }
    user::read_bytes(address, length.try_into().map_err(|_| Errno::EINVAL)?)
}

/// Fills the buffer that the structure at `data` describes. One that is too short learns the length it needs.
fn give(data: u64, bytes: &[u8]) -> Result<(), Failure> {
    let request: BufferData = user::read(data)?;
    let needed = u32::try_from(bytes.len()).map_err(|_| Failure::Reply)?;
    user::write(data, &BufferData { address: request.address, length: needed })?;
    if request.address == 0 || request.length < needed {
        return Err(FirmwareStatus::InvalidLength.into());
    }
    Ok(user::write_bytes(request.address, bytes)?)
}

/// Fills both buffers of `PDH_CERT_EXPORT`, or tells the lengths they need.
fn export(data: u64, pdh: &[u8], chain: &[u8]) -> Result<(), Failure> {
    let request: PdhCertExportData = user::read(data)?;
    let pdh_length = u32::try_from(pdh.len()).map_err(|_| Failure::Reply)?;
    let chain_length = u32::try_from(chain.len()).map_err(|_| Failure::Reply)?;
    if request.pdh_length > LONGEST_BLOB || request.chain_length > LONGEST_BLOB {
        return Err(Errno::EINVAL.into());
    }
    user::write(data, &PdhCertExportData { pdh_length, chain_length, ..request })?;
    let probe = request.pdh_address == 0 || request.chain_address == 0;
    if probe || request.pdh_length < pdh_length || request.chain_length < chain_length {
        return Err(FirmwareStatus::InvalidLength.into());
    }
    user::write_bytes(request.pdh_address, pdh)?;
    Ok(user::write_bytes(request.chain_address, chain)?)
}
