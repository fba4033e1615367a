//! `<devices>`: the list of them, and the small ones.

use super::{
    Switch,
    address::{DeviceInfo, PciAddress},
    chardev::{Channel, CharSource, Console, Serial},
    controller::Controller,
    disk::Disk,
    graphics::{Graphics, Video},
    interface::Interface,
    keyword::keywords,
};

/// `<devices>`, each kind in the order it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    pub emulator: Option<String>,
    pub disks: Vec<Disk>,
    pub controllers: Vec<Controller>,
    pub interfaces: Vec<Interface>,
    pub serials: Vec<Serial>,
    pub consoles: Vec<Console>,
    pub channels: Vec<Channel>,
    pub inputs: Vec<Input>,
    pub tpms: Vec<Tpm>,
    pub graphics: Vec<Graphics>,
    pub audios: Vec<Audio>,
    pub videos: Vec<Video>,
    pub hubs: Vec<Hub>,
    pub watchdogs: Vec<Watchdog>,
    /// `None` until the usual one is filled in; `model='none'` for no balloon at all.
    pub memballoon: Option<MemBalloon>,
    pub rngs: Vec<Rng>,
    pub panics: Vec<Panic>,
    pub iommu: Option<Iommu>,
    pub vsock: Option<Vsock>,
    /// Where devices are that sevirt has no notion of; nothing else goes there.
    pub occupied: Vec<PciAddress>,
}

impl Devices {
    /// How many devices there are.
    pub fn count(&self) -> usize {
        self.disks.len()
            + self.controllers.len()
            + self.interfaces.len()
            + self.serials.len()
            + self.consoles.len()
            + self.channels.len()
            + self.inputs.len()
            + self.tpms.len()
            + self.graphics.len()
            + self.audios.len()
            + self.videos.len()
            + self.hubs.len()
            + self.watchdogs.len()
            + self.rngs.len()
            + self.panics.len()
            + usize::from(self.memballoon.is_some())
            + usize::from(self.iommu.is_some())
            + usize::from(self.vsock.is_some())
    }
}

/// The `<driver>` attributes that every virtio device has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioOptions {
    pub iommu: Option<Switch>,
    pub ats: Option<Switch>,
    pub packed: Option<Switch>,
    pub page_per_vq: Option<Switch>,
}

keywords! {
    /// The three kinds of a virtio device.
    pub enum VirtioModel {
        Virtio = "virtio",
        Transitional = "virtio-transitional",
        NonTransitional = "virtio-non-transitional",
    }
}

/// `<input>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub kind: InputKind,
    /// `None` until it is derived from the kind.
    pub bus: Option<InputBus>,
    pub model: Option<VirtioModel>,
    pub virtio: VirtioOptions,
    /// `<source evdev=…>` of a passthrough input.
    pub source: Option<String>,
    pub info: DeviceInfo,
}

keywords! {
    /// `<input type=…>`.
    pub enum InputKind {
        Mouse = "mouse",
        Tablet = "tablet",
        Keyboard = "keyboard",
        Passthrough = "passthrough",
    }
}

keywords! {
    /// `<input bus=…>`.
    pub enum InputBus {
        Ps2 = "ps2",
        Usb = "usb",
        Virtio = "virtio",
    }
}

/// `<hub>`: always USB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hub {
    pub info: DeviceInfo,
}

/// `<memballoon>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemBalloon {
    /// `None`: `model='none'`.
    pub model: Option<VirtioModel>,
    pub autodeflate: Option<Switch>,
    pub free_page_reporting: Option<Switch>,
    /// `<stats period=…>`, in seconds.
    pub stats_period: Option<u32>,
    pub virtio: VirtioOptions,
    pub info: DeviceInfo,
}

/// `<rng>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    pub model: VirtioModel,
    pub rate: Option<RngRate>,
    /// `None`: the element is missing, which libvirt refuses.
    pub backend: Option<RngBackend>,
    pub virtio: VirtioOptions,
    pub info: DeviceInfo,
}

/// `<rate>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngRate {
    pub bytes: u32,
    /// Milliseconds.
    pub period: Option<u32>,
}

/// `<backend model=…>` of `<rng>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RngBackend {
    /// A file; `None` for `/dev/random`, as libvirt prints it once filled in.
    Random {
        path: Option<String>,
    },
    Egd(CharSource),
    Builtin,
}

/// `<tpm>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpm {
    /// `None` until the usual one is filled in.
    pub model: Option<TpmModel>,
    pub backend: TpmBackend,
    pub info: DeviceInfo,
}

keywords! {
    /// `<tpm model=…>`.
    pub enum TpmModel {
        Tis = "tpm-tis",
        Crb = "tpm-crb",
    }
}

/// `<backend type=…>` of `<tpm>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmBackend {
    Passthrough { path: Option<String> },
    Emulator(TpmEmulator),
    External(CharSource),
}

/// A TPM emulator of the guest's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TpmEmulator {
    pub version: Option<TpmVersion>,
    pub persistent_state: Option<Switch>,
    /// `debug=…`: the log level.
    pub debug: Option<u32>,
    /// `<active_pcr_banks>`, in libvirt's order.
    pub active_pcr_banks: Vec<PcrBank>,
    pub source: Option<TpmStorage>,
    pub profile: Option<TpmProfile>,
}

keywords! {
    /// `<backend version=…>`.
    pub enum TpmVersion {
        V1_2 = "1.2",
        V2_0 = "2.0",
    }
}

keywords! {
    /// `<active_pcr_banks>`.
    pub enum PcrBank {
        Sha1 = "sha1",
        Sha256 = "sha256",
        Sha384 = "sha384",
        Sha512 = "sha512",
    }
}

/// `<source>` of an emulated TPM: where its state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmStorage {
    File { path: String },
    Dir { path: String },
}

/// `<profile>` of an emulated TPM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TpmProfile {
    pub source: Option<String>,
    pub remove_disabled: Option<TpmRemoveDisabled>,
    pub name: Option<String>,
}

keywords! {
    /// `<profile removeDisabled=…>`.
    pub enum TpmRemoveDisabled {
        Check = "check",
        FipsHost = "fips-host",
    }
}

/// `<vsock>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vsock {
    /// `None` until the usual one is filled in.
    pub model: Option<VirtioModel>,
    pub auto_cid: Option<Switch>,
    /// `<cid address=…>`, from 3.
    pub cid: Option<u32>,
    pub virtio: VirtioOptions,
    pub info: DeviceInfo,
}

/// `<iommu>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iommu {
    pub model: IommuModel,
    pub intremap: Option<Switch>,
    pub caching_mode: Option<Switch>,
    pub eim: Option<Switch>,
    pub iotlb: Option<Switch>,
    pub aw_bits: Option<u32>,
    pub dma_translation: Option<Switch>,
    pub info: DeviceInfo,
}

keywords! {
    /// `<iommu model=…>`.
    pub enum IommuModel {
        Intel = "intel",
        Virtio = "virtio",
    }
}

/// `<watchdog>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    pub model: WatchdogModel,
    pub action: WatchdogAction,
    pub info: DeviceInfo,
}

keywords! {
    /// `<watchdog model=…>`.
    pub enum WatchdogModel {
        I6300esb = "i6300esb",
        Ib700 = "ib700",
        Diag288 = "diag288",
        Itco = "itco",
    }
}

keywords! {
    /// `<watchdog action=…>`.
    #[derive(Default)]
    pub enum WatchdogAction {
        #[default]
        Reset = "reset",
        Shutdown = "shutdown",
        Poweroff = "poweroff",
        Pause = "pause",
        Dump = "dump",
        None = "none",
        InjectNmi = "inject-nmi",
    }
}

/// `<panic>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panic {
    /// `None` until the usual one is filled in.
    pub model: Option<PanicModel>,
    pub info: DeviceInfo,
}

keywords! {
    /// `<panic model=…>`.
    pub enum PanicModel {
        Isa = "isa",
        Hyperv = "hyperv",
        Pvpanic = "pvpanic",
    }
}

/// `<audio>`: where a guest's sound goes; sevirt models only those without settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// `None` until the next free one is given; from 1.
    pub id: Option<u32>,
    pub kind: AudioKind,
}

keywords! {
    /// `<audio type=…>`.
    pub enum AudioKind {
        None = "none",
        Alsa = "alsa",
        Coreaudio = "coreaudio",
        Jack = "jack",
        Oss = "oss",
        Pulseaudio = "pulseaudio",
        Sdl = "sdl",
        Spice = "spice",
        File = "file",
        Dbus = "dbus",
        Pipewire = "pipewire",
    }
}
