//! SNP_LAUNCH_UPDATE (56860 §8.17): measures pages of 4 KiB.

use attest::snp::digest::PAGE_LEN;

use crate::command::{Handle, PageType, PlatformState, Reply};
use crate::platform::Platform;
use crate::status::FirmwareStatus;
use crate::wire::MAX_DATA;

/// Guest-physical addresses have at most 52 bits.
const ADDRESS_END: u64 = 1 << 52;

pub(crate) fn run(
    platform: &mut Platform,
    handle: Handle,
    page_type: PageType,
    gpa: u64,
    length: u32,
    data: &[u8],
) -> Result<Reply, FirmwareStatus> {
    platform.require(&[PlatformState::Working])?;
    let hasher = platform.guest_mut(handle)?.snp_updating()?;
    let length_in_memory = usize::try_from(length).map_err(|_| FirmwareStatus::InvalidLength)?;
    let has_contents = match page_type {
        PageType::Normal | PageType::Vmsa => data.len() == length_in_memory,
        PageType::Unmeasured | PageType::Secrets | PageType::Cpuid => {
            data.is_empty() || data.len() == length_in_memory
        }
        PageType::Zero => data.is_empty(),
    };
    if length == 0
        || length_in_memory > MAX_DATA
        || !length_in_memory.is_multiple_of(PAGE_LEN)
        || !has_contents
    {
        return Err(FirmwareStatus::InvalidLength);
    }
    let end = gpa.checked_add(length.into()).filter(|end| *end <= ADDRESS_END);
    let pages = (gpa..end.ok_or(FirmwareStatus::InvalidAddress)?).step_by(PAGE_LEN);
    if !gpa.is_multiple_of(PAGE_LEN as u64) {
        return Err(FirmwareStatus::InvalidAddress);
    }
    let mut contents = data.as_chunks().0.iter();
    for page_gpa in pages {
        hasher.update(page_type, page_gpa, contents.next().unwrap_or(&[0; PAGE_LEN]));
    }
    Ok(Reply::Done)
}
