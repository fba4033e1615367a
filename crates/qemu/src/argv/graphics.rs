//! Displays and the sound that goes to them: `-audiodev`, `-vnc`, `-spice`, `-display`.

use domain::{
    Domain,
    model::{
        Switch,
        devices::{Audio, AudioKind},
        graphics::{Graphics, GraphicsKind, Listen, Spice, SpiceChannelMode, Vnc},
    },
};

use super::{Argument, KeyValues, Properties};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings};

/// The lowest TCP port of VNC: a display's number counts from here.
const VNC_BASE: u16 = 5900;
/// Where displays listen that name no address.
const LOCAL: &str = "127.0.0.1";

/// Where a guest's sound goes.
pub(crate) fn audios(domain: &Domain) -> Vec<Device> {
    let audios = domain.devices.audios.iter();
    audios
        .map(|audio| {
            let id = audio_id(audio);
            let properties =
                Properties::default().with("id", id.as_str()).with("driver", audio_driver(audio.kind));
            Device::host_side(DeviceKind::Audio, id, vec![Argument::Json("-audiodev", properties)])
        })
        .collect()
}

fn audio_id(audio: &Audio) -> String {
    format!("audio{}", audio.id.unwrap_or(1))
}

fn audio_driver(kind: AudioKind) -> &'static str {
    match kind {
        AudioKind::None => "none",
        AudioKind::Alsa => "alsa",
        AudioKind::Coreaudio => "coreaudio",
        AudioKind::Jack => "jack",
        AudioKind::Oss => "oss",
        AudioKind::Pulseaudio => "pa",
        AudioKind::Sdl => "sdl",
        AudioKind::Spice => "spice",
        AudioKind::File => "wav",
        AudioKind::Dbus => "dbus",
        AudioKind::Pipewire => "pipewire",
    }
}

/// All displays.
pub(crate) fn displays(domain: &Domain, here: &Surroundings) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, graphics) in domain.devices.graphics.iter().enumerate() {
        let id = format!("graphics{index}");
        let arguments = match &graphics.kind {
            GraphicsKind::Vnc(vnc) => vnc_display(domain, graphics, vnc, here),
            GraphicsKind::Spice(spice) => spice_display(graphics, spice, here),
            GraphicsKind::Sdl { fullscreen, gl, .. } => {
                let value = KeyValues::bare("sdl").with_some("gl", gl.map(Switch::on_off));
                let full = fullscreen.is_some_and(Switch::is_on).then_some(Argument::Flag("-full-screen"));
                full.into_iter().chain([Argument::pairs("-display", value)]).collect()
            }
            GraphicsKind::EglHeadless { rendernode } => {
                let value = KeyValues::bare("egl-headless").with_some("rendernode", rendernode.as_ref());
                vec![Argument::pairs("-display", value)]
            }
            GraphicsKind::Dbus { p2p, address, gl, rendernode } => {
                let address = address.as_ref().or(here.displays.dbus_address.as_ref());
                vec![dbus_display(*p2p, address, *gl, rendernode.as_ref(), &id)?]
            }
            GraphicsKind::Other { kind } => {
                return Err(PlanError::Unsupported { device: id, what: format!("a display of type {kind}") });
            }
        };
        devices.push(Device::host_side(DeviceKind::Graphics, id, arguments));
    }
    Ok(devices)
}

/// Where a display listens, as far as it is the same for VNC and Spice.
enum Socket {
    Tcp { address: Option<String> },
    Unix { path: String },
    None,
}

fn socket(graphics: &Graphics, name: &str, here: &Surroundings) -> Socket {
    let own_socket = || Socket::Unix { path: here.domain_dir.join(name).display().to_string() };
    match graphics.listens.first() {
        _ if here.displays.prefer_unix_sockets && is_unsaid(graphics) => own_socket(),
        Some(Listen::Socket { socket: Some(path) }) => Socket::Unix { path: path.clone() },
        Some(Listen::Socket { socket: None }) => own_socket(),
        Some(Listen::None) => Socket::None,
        Some(Listen::Address { address } | Listen::Network { address, .. }) => {
            Socket::Tcp { address: address.clone() }
        }
        None => Socket::Tcp { address: None },
    }
}

/// Whether nothing is said of where the display listens.
fn is_unsaid(graphics: &Graphics) -> bool {
    matches!(graphics.listens.as_slice(), [] | [Listen::Address { address: None }])
}

fn vnc_display(domain: &Domain, graphics: &Graphics, vnc: &Vnc, here: &Surroundings) -> Vec<Argument> {
    let value = match socket(graphics, "vnc.sock", here) {
        Socket::Unix { path } => KeyValues::default().with("vnc", format!("unix:{path}")),
        Socket::None => KeyValues::bare("none"),
        Socket::Tcp { address } => {
            let address = address.as_deref().unwrap_or(LOCAL);
            let chosen = here.displays.vnc_port.unwrap_or(VNC_BASE);
            let port = vnc.ports.port.filter(|port| *port != 0).unwrap_or(chosen);
            // A port below the first display's cannot be named; the display number would be negative.
            let display = i32::from(port) - i32::from(VNC_BASE);
            KeyValues::bare(if address.contains(':') {
                format!("[{address}]:{display}")
            } else {
                format!("{address}:{display}")
            })
        }
    };
    let websocket = vnc.websocket.map(|port| if port < 0 { "on".to_owned() } else { port.to_string() });
    let audio = vnc.audio.or_else(|| domain.devices.audios.first().and_then(|audio| audio.id));
    let value = value
        .with_some("websocket", websocket)
        .with_some("share", vnc.share_policy.map(|policy| policy.to_string()))
        .with_some("power-control", vnc.power_control.map(Switch::on_off))
        .with_some("password", vnc.auth.password.as_ref().map(|_| "on"))
        .with_some("audiodev", audio.map(|id| format!("audio{id}")));
    let mut arguments = vec![Argument::pairs("-vnc", value)];
    arguments.extend(vnc.keymap.as_ref().map(|keymap| Argument::Text("-k", keymap.clone())));
    arguments
}

fn spice_display(graphics: &Graphics, spice: &Spice, here: &Surroundings) -> Vec<Argument> {
    let tls_dir = here.displays.spice_tls_dir.as_ref().map(|dir| dir.display().to_string());
    let mut tls = false;
    let mut value = match socket(graphics, "spice.sock", here) {
        Socket::Unix { path } => KeyValues::default().switch("unix", true).with("addr", path),
        Socket::None => KeyValues::default().with("port", "0"),
        Socket::Tcp { address } => {
            let port = spice.ports.port.filter(|port| *port != 0).or(here.displays.spice_port).unwrap_or(0);
            let tls_port = spice.ports.tls_port.filter(|port| *port != 0 && tls_dir.is_some());
            tls = tls_port.is_some();
            let port = (port != 0 || tls_port.is_none()).then(|| port.to_string());
            let listening = port.as_deref() != Some("0") || tls;
            KeyValues::default()
                .with_some("port", port)
                .with_some("tls-port", tls_port.map(|port| port.to_string()))
                .with_some("addr", listening.then(|| address.unwrap_or_else(|| LOCAL.to_owned())))
        }
    };
    if tls {
        value = value.with_some("x509-dir", tls_dir);
    }
    if spice.auth.password.is_none() && !here.displays.spice_password {
        value = value.switch("disable-ticketing", true);
    }
    let channel_key = |mode| match mode {
        SpiceChannelMode::Secure => Some("tls-channel"),
        SpiceChannelMode::Insecure => Some("plaintext-channel"),
        SpiceChannelMode::Any => None,
    };
    if let Some(key) = spice.default_mode.and_then(channel_key) {
        value = value.with(key, "default");
    }
    for channel in &spice.channels {
        if let Some(key) = channel_key(channel.mode) {
            value = value.with(key, channel.name.to_string());
        }
    }
    let off = |switch: Option<Switch>| switch.filter(|switch| !switch.is_on()).map(|_| "on");
    let value = value
        .with_some("image-compression", spice.image_compression.map(|mode| mode.to_string()))
        .with_some("jpeg-wan-compression", spice.jpeg_compression.map(|mode| mode.to_string()))
        .with_some("zlib-glz-wan-compression", spice.zlib_compression.map(|mode| mode.to_string()))
        .with_some("playback-compression", spice.playback_compression.map(Switch::on_off))
        .with_some("streaming-video", spice.streaming.map(|mode| mode.to_string()))
        .with_some("agent-mouse", spice.mouse_mode.map(agent_mouse))
        .with_some("disable-copy-paste", off(spice.clipboard_copypaste))
        .with_some("disable-agent-file-xfer", off(spice.file_transfer))
        .with_some("gl", spice.gl.filter(|gl| gl.is_on()).map(Switch::on_off))
        .with_some("rendernode", spice.rendernode.as_ref().filter(|_| spice.gl.is_some_and(Switch::is_on)))
        .switch("seamless-migration", true);
    let mut arguments = vec![Argument::pairs("-spice", value)];
    arguments.extend(spice.keymap.as_ref().map(|keymap| Argument::Text("-k", keymap.clone())));
    arguments
}

fn agent_mouse(mode: domain::model::chardev::MouseMode) -> &'static str {
    super::on_off(mode == domain::model::chardev::MouseMode::Client)
}

fn dbus_display(
    p2p: Option<Switch>,
    address: Option<&String>,
    gl: Option<Switch>,
    rendernode: Option<&String>,
    id: &str,
) -> Result<Argument, PlanError> {
    let value = KeyValues::bare("dbus");
    let value = match (p2p, address) {
        (Some(Switch::On), _) => value.switch("p2p", true),
        (_, Some(address)) => value.with("addr", address),
        (_, None) => {
            return Err(PlanError::Unsupported {
                device: id.to_owned(),
                what: "a D-Bus display that is neither peer-to-peer nor has an address".into(),
            });
        }
    };
    let value = value.with_some("gl", gl.map(Switch::on_off)).with_some("rendernode", rendernode);
    Ok(Argument::pairs("-display", value))
}

/// What displays and sound need in QEMU's environment.
pub(crate) fn environment(domain: &Domain, here: &Surroundings) -> Vec<(&'static str, String)> {
    let mut variables = Vec::new();
    if let Some(directory) = &here.displays.pipewire_dir
        && domain.devices.audios.iter().any(|audio| audio.kind == AudioKind::Pipewire)
    {
        variables.push(("PIPEWIRE_RUNTIME_DIR", directory.display().to_string()));
    }
    for graphics in &domain.devices.graphics {
        if let GraphicsKind::Sdl { display, xauth, .. } = &graphics.kind {
            variables.extend(xauth.iter().map(|path| ("XAUTHORITY", path.clone())));
            variables.extend(display.iter().map(|display| ("DISPLAY", display.clone())));
        }
    }
    variables
}
