//! QEMU's memory blocks (`info ramblock`): guest RAM, and what firmware, video and network cards and ACPI bring.

use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::Switch;
use domain::model::address::Rom;
use domain::model::devices::TpmModel;
use domain::model::graphics::{Video, VideoDriver, VideoModel};
use domain::model::interface::{Interface, InterfaceModel};

use super::{Item, Sizes, sums::MIB};
use crate::argv::memory::whole_mebibytes;
use crate::plan::{Firmware, Placement, ids};

const KIB: u64 = 1024;
/// The unit in which memory is mapped.
const PAGE: u64 = 4 * KIB;
/// OVMF's code of its 4 MiB builds, and the variables beside it.
const USUAL_CODE: u64 = 3_653_632;
const USUAL_VARIABLES: u64 = 540_672;
/// SeaBIOS, which QEMU loads where nothing is said.
const BIOS: &str = "bios-256k.bin";

/// A block of QEMU's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    what: String,
    size: Size,
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Size {
    Bytes(u64),
    /// As long as a file is.
    File {
        path: PathBuf,
        usual: u64,
    },
    /// An option ROM: as long as the file, rounded up to a power of two, as PCI has it.
    Rom {
        path: PathBuf,
        usual: u64,
    },
}

impl Block {
    fn new(what: impl Into<String>, bytes: u64, why: &'static str) -> Self {
        Self { what: what.into(), size: Size::Bytes(bytes), why }
    }

    /// The file that decides its size.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.size {
            Size::Bytes(_) => None,
            Size::File { path, .. } | Size::Rom { path, .. } => Some(path),
        }
    }

    /// The block with its size.
    pub(super) fn item(&self, sizes: &Sizes) -> Item {
        let of = |path: &PathBuf, usual: u64| sizes.files.get(path).copied().unwrap_or(usual);
        let bytes = match &self.size {
            Size::Bytes(bytes) => *bytes,
            Size::File { path, usual } => of(path, *usual).div_ceil(PAGE).saturating_mul(PAGE),
            Size::Rom { path, usual } => power_of_two(of(path, *usual)).max(PAGE),
        };
        Item { what: self.what.clone(), bytes, why: self.why }
    }
}

/// All blocks of a guest.
pub(super) fn of(domain: &Domain, firmware: &Firmware) -> Vec<Block> {
    let ram = whole_mebibytes(domain.memory).saturating_mul(KIB);
    let mut blocks = vec![Block::new("guest RAM", ram, "what <memory> says, in whole MiB")];
    blocks.extend(firmware_blocks(domain, firmware));
    if domain.features.acpi {
        let tables = 2 * MIB + 64 * KIB + PAGE;
        blocks.push(Block::new(
            "ACPI tables",
            tables,
            "they may grow; QEMU reserves, and SEV pins, the most",
        ));
    }
    for (index, video) in videos(domain).iter().enumerate() {
        let primary = video.primary.map_or(index == 0, Switch::is_on);
        blocks.extend(video_blocks(video, primary, &ids::numbered("video", index, &video.info)));
    }
    for (position, interface) in domain.devices.interfaces.iter().enumerate() {
        blocks.extend(rom(interface, &ids::interface(&domain.devices.interfaces, position)));
    }
    for (index, tpm) in domain.devices.tpms.iter().enumerate() {
        let id = ids::numbered("tpm", index, &tpm.info);
        let pages = if tpm.model == Some(TpmModel::Crb) { 2 } else { 1 };
        blocks.push(Block::new(
            format!("{id}: buffers"),
            pages * PAGE,
            "its command buffer and presence interface",
        ));
    }
    blocks
}

fn firmware_blocks(domain: &Domain, firmware: &Firmware) -> Vec<Block> {
    let mut blocks = Vec::new();
    let named = |what: &str, path: &Path, usual, why| Block {
        what: what.to_owned(),
        size: Size::File { path: path.to_owned(), usual },
        why,
    };
    match &firmware.code {
        Some(code) if code.placement == Placement::Rom => {
            blocks.push(named(
                "firmware",
                &code.path,
                USUAL_CODE + USUAL_VARIABLES,
                "the image, in memory (-bios)",
            ));
        }
        Some(code) => {
            blocks.push(named("firmware", &code.path, USUAL_CODE, "the image, in flash (pflash0)"));
            if !shows_bios_by_alias(domain.os.machine.as_deref()) {
                let why = "machines before QEMU 9.1 copy the image's end below 1 MiB";
                blocks.push(Block::new("copy of the firmware's end", 128 * KIB, why));
            }
        }
        None => blocks.push(named("BIOS", Path::new(BIOS), 256 * KIB, "QEMU's own BIOS")),
    }
    if let Some(variables) = &firmware.variables {
        blocks.push(named(
            "UEFI variables",
            &variables.path,
            USUAL_VARIABLES,
            "the variable store, in flash (pflash1)",
        ));
    }
    blocks.push(Block::new("option ROM area", 128 * KIB, "the PC's window for option ROMs (pc.rom)"));
    blocks
}

/// Whether the BIOS below 1 MiB is a window on the flash, as from the machines of QEMU 9.1 on.
fn shows_bios_by_alias(machine: Option<&str>) -> bool {
    let Some(version) = machine.and_then(|name| name.rsplit_once('-')).map(|(_, version)| version) else {
        return true;
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
    let (major, minor) = (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0));
    (major, minor) >= (9, 1)
}

/// The graphics cards, with the one that libvirt adds for a display without any.
fn videos(domain: &Domain) -> Vec<Video> {
    let devices = &domain.devices;
    if devices.videos.is_empty() && !devices.graphics.is_empty() {
        vec![Video::default()]
    } else {
        devices.videos.clone()
    }
}

fn video_blocks(video: &Video, primary: bool, id: &str) -> Vec<Block> {
    let memory = |bytes: u64, why| Block::new(format!("{id}: video memory"), bytes, why);
    let rom = |file: &str, usual| Block {
        what: format!("{id}: ROM"),
        size: Size::Rom { path: file.into(), usual },
        why: "its BIOS, rounded up to a power of two",
    };
    let usual = |kib: Option<u32>, usual: u32| u64::from(kib.filter(|kib| *kib > 0).unwrap_or(usual)) * KIB;
    let mebibytes = |bytes: u64| power_of_two((bytes / MIB).clamp(1, 512)) * MIB;
    if video.driver == Some(VideoDriver::Vhostuser) {
        let card = [memory(8 * MIB, "what a VGA card of virtio has"), rom("vgabios-virtio.bin", 64 * KIB)];
        return if primary { card.into() } else { Vec::new() };
    }
    match video.model.unwrap_or(VideoModel::Cirrus) {
        VideoModel::None | VideoModel::Ramfb => Vec::new(),
        VideoModel::Vga => vec![
            memory(mebibytes(usual(video.vram, 16 * 1024)), "vram, a power of two"),
            rom("vgabios-stdvga.bin", 64 * KIB),
        ],
        VideoModel::Cirrus => {
            vec![memory(4 * MIB, "a Cirrus card has 4 MiB"), rom("vgabios-cirrus.bin", 64 * KIB)]
        }
        VideoModel::Vmvga => vec![
            memory(mebibytes(usual(video.vram, 16 * 1024)), "vram, a power of two"),
            Block::new(format!("{id}: command queue"), 64 * KIB, "what a VMware card has"),
            rom("vgabios-vmware.bin", 64 * KIB),
        ],
        VideoModel::Bochs => vec![
            memory(power_of_two(usual(video.vram, 16 * 1024)).max(4 * MIB), "vram, a power of two"),
            rom("vgabios-bochs-display.bin", 32 * KIB),
        ],
        // Only the VGA variant has memory of its own; the frames of others lie in the guest's RAM.
        VideoModel::Virtio if !primary => Vec::new(),
        VideoModel::Virtio => {
            vec![memory(8 * MIB, "what a VGA card of virtio has"), rom("vgabios-virtio.bin", 64 * KIB)]
        }
        VideoModel::Qxl => {
            let frame = (usual(video.vgamem, 16 * 1024) / MIB).clamp(8, 256) * MIB;
            let ram = power_of_two(usual(video.ram, 64 * 1024).max(frame * 2));
            let surfaces = usual(video.vram, 64 * 1024).max(u64::from(video.vram64.unwrap_or(0)) * KIB);
            let mut blocks = vec![
                Block::new(format!("{id}: ram"), ram, "frame buffer and commands, at least twice vgamem"),
                Block::new(format!("{id}: vram"), power_of_two(surfaces), "surfaces, a power of two"),
                Block::new(format!("{id}: modes"), 8 * KIB, "the table of a QXL card's modes"),
            ];
            if primary {
                blocks.push(rom("vgabios-qxl.bin", 64 * KIB));
            }
            blocks
        }
    }
}

/// The option ROM of a network card: the usual one of its kind, unless the domain names another or none.
fn rom(interface: &Interface, id: &str) -> Option<Block> {
    let (file, usual) = match &interface.info.rom {
        Some(Rom { enabled: Some(Switch::Off), .. } | Rom { bar: Some(Switch::Off), .. }) => return None,
        Some(Rom { file: Some(file), .. }) => (file.as_str(), 256 * KIB),
        _ => match interface.model.as_ref() {
            Some(InterfaceModel::Virtio(_)) => ("efi-virtio.rom", 256 * KIB),
            None => ("efi-rtl8139.rom", 256 * KIB),
            Some(InterfaceModel::Other(name)) => match name.as_str() {
                "rtl8139" => ("efi-rtl8139.rom", 256 * KIB),
                "e1000" | "e1000-82540em" | "e1000-82544gc" | "e1000-82545em" => ("efi-e1000.rom", 256 * KIB),
                "e1000e" => ("efi-e1000e.rom", 256 * KIB),
                "ne2k_pci" => ("efi-ne2k_pci.rom", 256 * KIB),
                "pcnet" => ("efi-pcnet.rom", 256 * KIB),
                "vmxnet3" => ("efi-vmxnet3.rom", 256 * KIB),
                name if name.starts_with("i825") => ("pxe-eepro100.rom", 128 * KIB),
                _ => return None,
            },
        },
    };
    Some(Block {
        what: format!("{id}: option ROM"),
        size: Size::Rom { path: file.into(), usual },
        why: "for booting from the network, rounded up to a power of two; <rom enabled='no'/> leaves it out",
    })
}

fn power_of_two(bytes: u64) -> u64 {
    bytes.checked_next_power_of_two().unwrap_or(u64::MAX)
}
