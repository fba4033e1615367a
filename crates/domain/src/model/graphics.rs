//! `<graphics>` and `<video>`.

use super::{Switch, address::DeviceInfo, devices::VirtioOptions, keyword::keywords};

/// `<graphics>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graphics {
    pub kind: GraphicsKind,
    /// `<listen>`, for the kinds that listen.
    pub listens: Vec<Listen>,
}

/// `<graphics type=…>` with what belongs to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphicsKind {
    Vnc(Box<Vnc>),
    Spice(Box<Spice>),
    Sdl {
        display: Option<String>,
        xauth: Option<String>,
        fullscreen: Option<Switch>,
        gl: Option<Switch>,
    },
    EglHeadless {
        rendernode: Option<String>,
    },
    Dbus {
        p2p: Option<Switch>,
        address: Option<String>,
        gl: Option<Switch>,
        rendernode: Option<String>,
    },
    /// `rdp`, `desktop`: named as a problem.
    Other {
        kind: String,
    },
}

/// `<listen type=…>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Address { address: Option<String> },
    Network { network: Option<String>, address: Option<String> },
    Socket { socket: Option<String> },
    None,
}

/// A port that is fixed or chosen at start. While the domain runs, a chosen port is printed as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    pub port: Option<u16>,
    pub tls_port: Option<u16>,
    pub autoport: Option<Switch>,
}

/// `type='vnc'`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vnc {
    pub ports: Ports,
    pub websocket: Option<i32>,
    pub keymap: Option<String>,
    pub share_policy: Option<SharePolicy>,
    pub power_control: Option<Switch>,
    pub auth: GraphicsAuth,
    /// `<audio id=…>`.
    pub audio: Option<u32>,
}

keywords! {
    /// `sharePolicy=…`.
    pub enum SharePolicy {
        AllowExclusive = "allow-exclusive",
        ForceShared = "force-shared",
        Ignore = "ignore",
    }
}

/// The password of a display. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GraphicsAuth {
    pub password: Option<String>,
    /// As written: `2030-12-31T23:59:59`.
    pub password_valid_to: Option<String>,
    pub connected: Option<ConnectedAction>,
}

impl std::fmt::Debug for GraphicsAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphicsAuth")
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("password_valid_to", &self.password_valid_to)
            .field("connected", &self.connected)
            .finish()
    }
}

keywords! {
    /// `connected=…`: what a new client does to those already there.
    pub enum ConnectedAction {
        Keep = "keep",
        Disconnect = "disconnect",
        Fail = "fail",
    }
}

/// `type='spice'`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spice {
    pub ports: Ports,
    pub keymap: Option<String>,
    pub auth: GraphicsAuth,
    pub default_mode: Option<SpiceChannelMode>,
    pub channels: Vec<SpiceChannel>,
    pub image_compression: Option<ImageCompression>,
    pub jpeg_compression: Option<WanCompression>,
    pub zlib_compression: Option<WanCompression>,
    pub playback_compression: Option<Switch>,
    pub streaming: Option<StreamingMode>,
    pub clipboard_copypaste: Option<Switch>,
    pub mouse_mode: Option<super::chardev::MouseMode>,
    pub file_transfer: Option<Switch>,
    pub gl: Option<Switch>,
    pub rendernode: Option<String>,
}

/// `<channel>` of a Spice display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiceChannel {
    pub name: SpiceChannelName,
    pub mode: SpiceChannelMode,
}

keywords! {
    /// `<channel name=…>`.
    pub enum SpiceChannelName {
        Main = "main",
        Display = "display",
        Inputs = "inputs",
        Cursor = "cursor",
        Playback = "playback",
        Record = "record",
        Smartcard = "smartcard",
        Usbredir = "usbredir",
    }
}

keywords! {
    /// `<channel mode=…>` and `defaultMode`.
    pub enum SpiceChannelMode {
        Any = "any",
        Secure = "secure",
        Insecure = "insecure",
    }
}

keywords! {
    /// `<image compression=…>`.
    pub enum ImageCompression {
        AutoGlz = "auto_glz",
        AutoLz = "auto_lz",
        Quic = "quic",
        Glz = "glz",
        Lz = "lz",
        Off = "off",
    }
}

keywords! {
    /// `<jpeg compression=…>` and `<zlib compression=…>`.
    pub enum WanCompression {
        Auto = "auto",
        Never = "never",
        Always = "always",
    }
}

keywords! {
    /// `<streaming mode=…>`.
    pub enum StreamingMode {
        Filter = "filter",
        All = "all",
        Off = "off",
    }
}

/// `<video>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Video {
    /// `None` until the machine's usual one is filled in.
    pub model: Option<VideoModel>,
    /// KiB, each.
    pub ram: Option<u32>,
    pub vram: Option<u32>,
    pub vram64: Option<u32>,
    pub vgamem: Option<u32>,
    pub heads: Option<u32>,
    pub primary: Option<Switch>,
    pub blob: Option<Switch>,
    pub accel2d: Option<Switch>,
    pub accel3d: Option<Switch>,
    pub rendernode: Option<String>,
    /// Width and height in pixels.
    pub resolution: Option<(u32, u32)>,
    /// `<driver name=…>`.
    pub driver: Option<VideoDriver>,
    pub virtio: VirtioOptions,
    pub info: DeviceInfo,
}

keywords! {
    /// `<model type=…>` of `<video>`.
    pub enum VideoModel {
        Vga = "vga",
        Cirrus = "cirrus",
        Vmvga = "vmvga",
        Qxl = "qxl",
        Virtio = "virtio",
        None = "none",
        Bochs = "bochs",
        Ramfb = "ramfb",
    }
}

keywords! {
    /// `<driver name=…>` of `<video>`.
    pub enum VideoDriver {
        Qemu = "qemu",
        Vhostuser = "vhostuser",
    }
}
