//! Firmware volumes, as far as to find the firmware's first code and tell for which mode of the processor it was built.
//!
//! Format: UEFI Platform Initialization specification, volume 3 (firmware volumes, files and sections).

use crate::bytes::{array_at, u16_at, u32_at};

const VOLUME_ALIGNMENT: usize = 4096;
const VOLUME_HEADER_LEN: usize = 56;
const VOLUME_SIGNATURE: &[u8; 4] = b"_FVH";
const FILE_HEADER_LEN: usize = 24;
const FILE_TYPE_SECURITY_CORE: u8 = 0x03;
const SECTION_HEADER_LEN: usize = 4;
const SECTION_PE32: u8 = 0x10;
const SECTION_TE: u8 = 0x12;
const MACHINE_IA32: u16 = 0x014c;
const MACHINE_X64: u16 = 0x8664;

/// For which mode of the processor a firmware's first phases were built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeWidth {
    /// Protected mode. Such a firmware has no page tables in its first phases, so it can not set the C-bit and can not
    /// run in an encrypted guest, whatever its tables and its descriptor say.
    Bits32,
    /// Long mode.
    Bits64,
}

/// For which mode the security phase (SEC) of a code image was built; `None` where the image has none that can be read.
#[must_use]
pub fn code_width(image: &[u8]) -> Option<CodeWidth> {
    let volume = (0..image.len() / VOLUME_ALIGNMENT)
        .rev()
        .filter_map(|page| image.get(page * VOLUME_ALIGNMENT..))
        .find(|volume| volume.len() >= VOLUME_HEADER_LEN && volume[40..44] == *VOLUME_SIGNATURE)?;
    match machine(security_core(volume)?)? {
        MACHINE_IA32 => Some(CodeWidth::Bits32),
        MACHINE_X64 => Some(CodeWidth::Bits64),
        _ => None,
    }
}

/// The sections of the volume's file that holds the security core.
fn security_core(volume: &[u8]) -> Option<&[u8]> {
    let extension = usize::from(u16_at(volume, 52));
    let mut at = match extension {
        0 => usize::from(u16_at(volume, 48)),
        extension => {
            let size = u32_at(volume.get(extension..extension + 20)?, 16);
            extension + usize::try_from(size).ok()?
        }
    };
    loop {
        at = at.checked_next_multiple_of(8)?;
        let header = volume.get(at..at.checked_add(FILE_HEADER_LEN)?)?;
        let length = length_at(header, 20);
        // What is not written in flash is all ones.
        if length < FILE_HEADER_LEN || length == 0x00ff_ffff {
            return None;
        }
        if header[18] == FILE_TYPE_SECURITY_CORE {
            return volume.get(at + FILE_HEADER_LEN..at + length);
        }
        at += length;
    }
}

/// The machine field of the first executable section.
fn machine(sections: &[u8]) -> Option<u16> {
    let mut at = 0;
    loop {
        let header = sections.get(at..at + SECTION_HEADER_LEN)?;
        let length = length_at(header, 0);
        let section = sections.get(at + SECTION_HEADER_LEN..at.checked_add(length)?)?;
        match header[3] {
            // A terse executable: signature, machine.
            SECTION_TE => return section.get(..4).map(|image| u16_at(image, 2)),
            // A whole one: the offset of "PE\0\0" stands at 0x3c, the machine behind it.
            SECTION_PE32 => {
                let signature = usize::try_from(u32_at(section.get(..0x40)?, 0x3c)).ok()?;
                return section.get(signature.checked_add(4)?..)?.get(..2).map(|field| u16_at(field, 0));
            }
            _ => at = (at + length.max(SECTION_HEADER_LEN)).next_multiple_of(4),
        }
    }
}

/// The 24-bit number at `at`.
fn length_at(bytes: &[u8], at: usize) -> usize {
    let [low, middle, high] = array_at(bytes, at);
    usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A volume of 8 KiB with a raw file before the security core, whose executable comes behind a raw section.
    fn volume(executable: u8, machine: u16) -> Vec<u8> {
        let mut image = vec![0xff; 8192];
        image[..VOLUME_HEADER_LEN].fill(0);
        image[40..44].copy_from_slice(VOLUME_SIGNATURE);
        image[48] = 72;
        let mut file = |at: usize, kind: u8, body: &[u8]| {
            let length = u32::try_from(FILE_HEADER_LEN + body.len()).unwrap().to_le_bytes();
            image[at..at + FILE_HEADER_LEN].fill(0);
            image[at + 18] = kind;
            image[at + 20..at + 23].copy_from_slice(&length[..3]);
            image[at + FILE_HEADER_LEN..at + FILE_HEADER_LEN + body.len()].copy_from_slice(body);
        };
        file(72, 0x01, &[0; 5]);
        let mut body = vec![7, 0, 0, 0x19, 1, 2, 3, 0];
        let mut section = vec![0; 0x60];
        match executable {
            SECTION_TE => section[..4].copy_from_slice(&[
                b'V',
                b'Z',
                machine.to_le_bytes()[0],
                machine.to_le_bytes()[1],
            ]),
            _ => {
                section[0x3c] = 0x40;
                section[0x40..0x44].copy_from_slice(b"PE\0\0");
                section[0x44..0x46].copy_from_slice(&machine.to_le_bytes());
            }
        }
        body.extend([0x64, 0, 0, executable]);
        body.extend(section);
        file(104, FILE_TYPE_SECURITY_CORE, &body);
        image
    }

    #[test]
    fn the_security_core_tells_the_width() {
        for executable in [SECTION_TE, SECTION_PE32] {
            assert_eq!(code_width(&volume(executable, MACHINE_IA32)), Some(CodeWidth::Bits32));
            assert_eq!(code_width(&volume(executable, MACHINE_X64)), Some(CodeWidth::Bits64));
            assert_eq!(code_width(&volume(executable, 0xaa64)), None);
        }
    }

    #[test]
    fn an_image_without_a_volume_tells_nothing() {
        assert_eq!(code_width(&[]), None);
        assert_eq!(code_width(&[0xff; 8192]), None);
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..400, value: u8, cut in 0usize..8192) {
            let mut image = volume(SECTION_PE32, MACHINE_X64);
            image[at] = value;
            let _ = code_width(&image);
            let _ = code_width(&image[..cut]);
        }
    }
}
