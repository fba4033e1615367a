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
