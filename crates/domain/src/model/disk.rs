//! `<disk>`.

use super::{
    Switch,
    address::DeviceInfo,
    devices::{VirtioModel, VirtioOptions},
    keyword::keywords,
};

/// `<disk>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub device: DiskDevice,
    pub model: Option<VirtioModel>,
    pub snapshot: Option<SnapshotMode>,
    /// `None`: an empty drive.
    pub source: Option<DiskSource>,
    pub startup_policy: Option<StartupPolicy>,
    pub driver: DiskDriver,
    pub virtio: VirtioOptions,
    pub backing_store: Option<BackingStore>,
    /// Of a disk of a running domain; none of an empty drive.
    pub run: Option<DiskRun>,
    pub target: DiskTarget,
    pub block_io: Option<BlockIo>,
    pub io_tune: Option<Box<IoTune>>,
    pub readonly: bool,
    pub shareable: bool,
    pub transient: bool,
    pub serial: Option<String>,
    pub wwn: Option<String>,
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub info: DeviceInfo,
}

/// What is known of a disk once QEMU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRun {
    /// `<source index=…>`: the number in the names of its block nodes.
    pub index: u32,
    /// Whether the image that is named last has no other below it, which an empty `<backingStore/>` says.
    pub ends: bool,
}

keywords! {
    /// `<disk device=…>`.
    #[derive(Default)]
    pub enum DiskDevice {
        #[default]
        Disk = "disk",
        Cdrom = "cdrom",
        Floppy = "floppy",
        Lun = "lun",
    }
}

keywords! {
    /// `<disk snapshot=…>`.
    pub enum SnapshotMode {
        No = "no",
        Internal = "internal",
        External = "external",
        Manual = "manual",
    }
}

/// `<disk type=…>` with its `<source>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskSource {
    File {
        path: String,
    },
    Block {
        dev: String,
    },
    /// `network`, `volume`, `nvme`, `vhostuser`, …: named as a problem.
    Other {
        kind: String,
    },
}

keywords! {
    /// `<source startupPolicy=…>`.
    pub enum StartupPolicy {
        Mandatory = "mandatory",
        Requisite = "requisite",
        Optional = "optional",
    }
}

/// `<driver>` of `<disk>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskDriver {
    /// `qemu`.
    pub name: Option<String>,
    pub format: Option<DiskFormat>,
    pub cache: Option<DiskCache>,
    pub error_policy: Option<ErrorPolicy>,
    pub rerror_policy: Option<ErrorPolicy>,
    pub io: Option<DiskIo>,
    pub ioeventfd: Option<Switch>,
    pub event_idx: Option<Switch>,
    pub copy_on_read: Option<Switch>,
    pub discard: Option<Discard>,
    pub detect_zeroes: Option<DetectZeroes>,
    pub discard_no_unref: Option<Switch>,
    pub queues: Option<u32>,
    pub queue_size: Option<u32>,
    /// `iothread=…`: the number of the I/O thread that serves the whole disk.
    pub iothread: Option<u32>,
    /// `<iothreads>`: those that share its queues.
    pub iothreads: Vec<DiskIoThread>,
}

/// `<iothread>` of a disk's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskIoThread {
    pub id: u32,
    /// The queues that it serves; none: they go round.
    pub queues: Vec<u32>,
}

keywords! {
    /// `<driver type=…>` of `<disk>`: formats that QEMU opens.
    pub enum DiskFormat {
        Raw = "raw",
        Bochs = "bochs",
        Cloop = "cloop",
        Dmg = "dmg",
        Iso = "iso",
        Vpc = "vpc",
        Vdi = "vdi",
        Fat = "fat",
        Vhd = "vhd",
        Ploop = "ploop",
        Luks = "luks",
        Qcow = "qcow",
        Qcow2 = "qcow2",
        Qed = "qed",
        Vmdk = "vmdk",
        Aio = "aio",
    }
}

keywords! {
    /// `<driver cache=…>`.
    pub enum DiskCache {
        Default = "default",
        None = "none",
        Writethrough = "writethrough",
        Writeback = "writeback",
        Directsync = "directsync",
        Unsafe = "unsafe",
    }
}

keywords! {
    /// `<driver error_policy=…>` and `rerror_policy`.
    pub enum ErrorPolicy {
        Default = "default",
        Stop = "stop",
        Report = "report",
        Ignore = "ignore",
        Enospace = "enospace",
    }
}

keywords! {
    /// `<driver io=…>`.
    pub enum DiskIo {
        Native = "native",
        Threads = "threads",
        IoUring = "io_uring",
    }
}

keywords! {
    /// `<driver discard=…>`.
    pub enum Discard {
        Unmap = "unmap",
        Ignore = "ignore",
    }
}

keywords! {
    /// `<driver detect_zeroes=…>`.
    pub enum DetectZeroes {
        Off = "off",
        On = "on",
        Unmap = "unmap",
    }
}

/// `<backingStore>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackingStore {
    /// An empty element: the chain ends here.
    End,
    Image(Box<BackingImage>),
}

/// An image below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackingImage {
    pub format: DiskFormat,
    pub source: DiskSource,
    pub backing_store: Option<BackingStore>,
}

/// `<target>` of `<disk>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskTarget {
    /// `sda`, `vdb`, …
    pub dev: String,
    /// `None` until it is derived from `dev` and `device`.
    pub bus: Option<DiskBus>,
    pub tray: Option<Tray>,
    pub removable: Option<Switch>,
    pub rotation_rate: Option<u32>,
}

keywords! {
    /// `<target bus=…>`.
    pub enum DiskBus {
        Ide = "ide",
        Fdc = "fdc",
        Scsi = "scsi",
        Virtio = "virtio",
        Usb = "usb",
        Sata = "sata",
    }
}

keywords! {
    /// `<target tray=…>`.
    pub enum Tray {
        Closed = "closed",
        Open = "open",
    }
}

/// `<blockio>`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    pub logical_block_size: Option<u32>,
    pub physical_block_size: Option<u32>,
    pub discard_granularity: Option<u32>,
}

/// `<iotune>`: how much a guest may do with a disk in a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoTune {
    /// What each of [`Self::NAMES`] is; 0 is no bound.
    pub values: [u64; 19],
    /// Disks with the same group share its rates.
    pub group: Option<String>,
}

impl IoTune {
    /// libvirt's names, in its order: averages, bursts, the size in bytes of what counts as one request, and how many
    /// seconds a burst may last.
    pub const NAMES: [&'static str; 19] = [
        "total_bytes_sec",
        "read_bytes_sec",
        "write_bytes_sec",
        "total_iops_sec",
        "read_iops_sec",
        "write_iops_sec",
        "total_bytes_sec_max",
        "read_bytes_sec_max",
        "write_bytes_sec_max",
        "total_iops_sec_max",
        "read_iops_sec_max",
        "write_iops_sec_max",
        "size_iops_sec",
        "total_bytes_sec_max_length",
        "read_bytes_sec_max_length",
        "write_bytes_sec_max_length",
        "total_iops_sec_max_length",
        "read_iops_sec_max_length",
        "write_iops_sec_max_length",
    ];
    /// How many of the names come before the group's, and how many of them are rates.
    pub const BEFORE_GROUP: usize = 13;
    pub const RATES: usize = 12;

    /// Names and values, in order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.into_iter().zip(self.values)
    }

    /// Whether something is bounded.
    pub fn is_bounding(&self) -> bool {
        self.values.iter().any(|value| *value > 0)
    }

    /// The rates that exclude each other and are both there, by what they have in common: a sum, and a part of it.
    pub fn contradiction(&self) -> Option<&'static str> {
        let kinds = ["bytes_sec", "iops_sec", "bytes_sec_max", "iops_sec_max"];
        let contradicts =
            |rates: &[u64]| matches!(rates, [all, read, write] if *all > 0 && (*read > 0 || *write > 0));
        let rates = self.values.chunks(3).zip(kinds);
        rates.filter(|(rates, _)| contradicts(rates)).map(|(_, kind)| kind).next()
    }
}
