//! Character devices: what carries the bytes, and the serial ports, consoles and channels that use it.

use super::{Switch, address::DeviceInfo, keyword::keywords};

/// The host's side of a character device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharSource {
    pub kind: CharKind,
    /// `<log>`: a copy of the output.
    pub log: Option<CharLog>,
}

/// `<log>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharLog {
    pub file: String,
    pub append: Option<Switch>,
}

/// `type=…` of a character device, with its `<source>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CharKind {
    #[default]
    Null,
    Vc,
    Pty {
        /// Known only while the domain runs.
        path: Option<String>,
    },
    Dev {
        path: String,
    },
    File {
        path: String,
        append: Option<Switch>,
    },
    Pipe {
        path: String,
    },
    Stdio,
    Udp {
        /// Where to send to.
        connect: Endpoint,
        /// Where to receive.
        bind: Endpoint,
    },
    Tcp {
        mode: SocketMode,
        endpoint: Endpoint,
        protocol: TcpProtocol,
        tls: Option<Switch>,
        reconnect: Option<Reconnect>,
    },
    Unix {
        mode: SocketMode,
        /// `None` where it is chosen at start.
        path: Option<String>,
        reconnect: Option<Reconnect>,
    },
    SpiceVmc,
    SpicePort {
        channel: String,
    },
    QemuVdagent {
        clipboard_copypaste: Option<Switch>,
        mouse_mode: Option<MouseMode>,
    },
    Dbus {
        channel: String,
    },
}

/// A network endpoint of a character device; the service is a port or a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub host: Option<String>,
    pub service: Option<String>,
}

keywords! {
    /// `<source mode=…>` of a socket.
    #[derive(Default)]
    pub enum SocketMode {
        #[default]
        Connect = "connect",
        Bind = "bind",
    }
}

keywords! {
    /// `<protocol type=…>` of a TCP character device.
    #[derive(Default)]
    pub enum TcpProtocol {
        #[default]
        Raw = "raw",
        Telnet = "telnet",
        Telnets = "telnets",
        Tls = "tls",
    }
}

/// `<reconnect>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    pub enabled: Switch,
    /// Seconds.
    pub timeout: Option<u32>,
}

keywords! {
    /// `<mouse mode=…>`.
    pub enum MouseMode {
        Server = "server",
        Client = "client",
    }
}

/// `<serial>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serial {
    pub source: CharSource,
    /// `None` until the machine's usual one is filled in.
    pub target: Option<SerialTarget>,
    pub model: Option<SerialModel>,
    pub port: Option<u32>,
    pub info: DeviceInfo,
}

keywords! {
    /// `<target type=…>` of `<serial>`.
    pub enum SerialTarget {
        IsaSerial = "isa-serial",
        UsbSerial = "usb-serial",
        PciSerial = "pci-serial",
        IsaDebug = "isa-debug",
    }
}

keywords! {
    /// `<model name=…>` of `<serial>`.
    pub enum SerialModel {
        IsaSerial = "isa-serial",
        UsbSerial = "usb-serial",
        PciSerial = "pci-serial",
        IsaDebugcon = "isa-debugcon",
    }
}

/// `<console>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Console {
    pub source: CharSource,
    pub target: ConsoleTarget,
    pub port: Option<u32>,
    pub info: DeviceInfo,
}

keywords! {
    /// `<target type=…>` of `<console>`.
    #[derive(Default)]
    pub enum ConsoleTarget {
        #[default]
        Serial = "serial",
        Virtio = "virtio",
    }
}

/// `<channel>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub source: CharSource,
    pub target: ChannelTarget,
    pub info: DeviceInfo,
}

/// `<target type=…>` of `<channel>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelTarget {
    Virtio {
        name: Option<String>,
        /// Known only while the domain runs.
        state: Option<ChannelState>,
    },
    Guestfwd {
        address: String,
        port: u16,
    },
}

keywords! {
    /// `<target state=…>` of a virtio channel.
    pub enum ChannelState {
        Connected = "connected",
        Disconnected = "disconnected",
    }
}
