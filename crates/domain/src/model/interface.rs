//! `<interface>`.

use std::{fmt, str::FromStr};

use super::{
    Switch,
    address::DeviceInfo,
    devices::{VirtioModel, VirtioOptions},
    keyword::keywords,
};

/// `<interface>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub source: InterfaceSource,
    /// `None` until one is made.
    pub mac: Option<Mac>,
    pub model: Option<InterfaceModel>,
    pub driver: InterfaceDriver,
    pub virtio: VirtioOptions,
    /// `<target dev=…>`: the host's name of the tap.
    pub target: Option<String>,
    /// `<target managed=…>`, for `ethernet`.
    pub target_managed: Option<Switch>,
    pub script: Option<String>,
    pub backend: InterfaceBackend,
    pub mtu: Option<u32>,
    pub link: Option<LinkState>,
    pub isolated_port: Option<Switch>,
    pub trust_guest_rx_filters: Option<Switch>,
    /// `<tune><sndbuf>`, in bytes.
    pub sndbuf: Option<u64>,
    /// `<coalesce><rx><frames max=…>`.
    pub coalesce_rx_frames: Option<u32>,
    /// `<ip>` of a `user` interface.
    pub ips: Vec<InterfaceIp>,
    pub info: DeviceInfo,
}

/// `<interface type=…>` with its `<source>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceSource {
    User {
        /// `<source dev=…>`, for passt.
        dev: Option<String>,
    },
    Bridge {
        bridge: String,
    },
    Ethernet,
    Network {
        network: String,
        portgroup: Option<String>,
    },
    /// `direct`, `hostdev`, `vhostuser`, `vdpa`, …: named as a problem.
    Other {
        kind: String,
    },
}

/// Names of taps that are given afresh at each start, and so do not belong in a definition.
const GENERATED_TARGETS: [&str; 3] = ["vnet", "vif", "macvtap"];

impl Interface {
    /// The host's name of the device, unless it is one that was made up at a start.
    pub fn chosen_target(&self) -> Option<&str> {
        let target = self.target.as_deref()?;
        (!GENERATED_TARGETS.iter().any(|prefix| target.starts_with(prefix))).then_some(target)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it is many cards' address and so no card's own.
    pub fn is_multicast(self) -> bool {
        self.0.first().is_some_and(|byte| byte & 1 != 0)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is not six hexadecimal numbers between colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MAC address")]
pub struct MacError;

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacError)?;
            if part.is_empty() || part.len() > 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() { Err(MacError) } else { Ok(Self(bytes)) }
    }
}

/// `<model type=…>` of `<interface>`: an open set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceModel {
    Virtio(VirtioModel),
    /// `e1000`, `e1000e`, `rtl8139`, `igb`, …: QEMU's own name of the device.
    Other(String),
}

impl fmt::Display for InterfaceModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtio(model) => model.fmt(f),
            Self::Other(model) => model.fmt(f),
        }
    }
}

impl InterfaceModel {
    pub fn is_virtio(&self) -> bool {
        matches!(self, Self::Virtio(_))
    }
}

/// `<driver>` of `<interface>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceDriver {
    pub name: Option<InterfaceDriverName>,
    pub txmode: Option<TxMode>,
    pub ioeventfd: Option<Switch>,
    pub event_idx: Option<Switch>,
    pub queues: Option<u32>,
    pub rx_queue_size: Option<u32>,
    pub tx_queue_size: Option<u32>,
    pub rss: Option<Switch>,
    pub rss_hash_report: Option<Switch>,
    pub host: HostOffloads,
    pub guest: GuestOffloads,
}

keywords! {
    /// `<driver name=…>` of `<interface>`.
    pub enum InterfaceDriverName {
        Qemu = "qemu",
        Vhost = "vhost",
    }
}

keywords! {
    /// `<driver txmode=…>`.
    pub enum TxMode {
        Iothread = "iothread",
        Timer = "timer",
    }
}

/// `<host …>` of an interface's `<driver>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostOffloads {
    pub csum: Option<Switch>,
    pub gso: Option<Switch>,
    pub tso4: Option<Switch>,
    pub tso6: Option<Switch>,
    pub ecn: Option<Switch>,
    pub ufo: Option<Switch>,
    pub mrg_rxbuf: Option<Switch>,
}

/// `<guest …>` of an interface's `<driver>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestOffloads {
    pub csum: Option<Switch>,
    pub tso4: Option<Switch>,
    pub tso6: Option<Switch>,
    pub ecn: Option<Switch>,
    pub ufo: Option<Switch>,
}

/// `<backend>` of `<interface>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceBackend {
    pub kind: Option<BackendKind>,
    /// `tap=…`: the tun device to open.
    pub tap: Option<String>,
    /// `vhost=…`: the vhost device to open.
    pub vhost: Option<String>,
    pub log_file: Option<String>,
}

keywords! {
    /// `<backend type=…>`.
    pub enum BackendKind {
        Default = "default",
        Passt = "passt",
    }
}

keywords! {
    /// `<link state=…>`.
    pub enum LinkState {
        Up = "up",
        Down = "down",
    }
}

/// `<ip>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceIp {
    pub family: Option<IpFamily>,
    pub address: String,
    pub prefix: Option<u32>,
}

keywords! {
    /// `<ip family=…>`.
    pub enum IpFamily {
        Ipv4 = "ipv4",
        Ipv6 = "ipv6",
    }
}
