//! Reads `<graphics>` and `<video>`.

use super::{
    address::{read_info, read_virtio},
    reader::Reader,
    values::parse_number,
};
use crate::model::Switch;
use crate::model::graphics::{
    Graphics, GraphicsAuth, GraphicsKind, Listen, Ports, Spice, SpiceChannel, Video, Vnc,
};

/// Reads `<graphics>`.
pub(super) fn read_graphics(reader: &Reader<'_, '_>) -> Option<Graphics> {
    let kind = reader.string("type");
    let gl = || reader.child("gl").and_then(|gl| gl.yes_no("enable"));
    let kind = match kind.as_deref() {
        Some("vnc") => GraphicsKind::Vnc(Box::new(read_vnc(reader))),
        Some("spice") => GraphicsKind::Spice(Box::new(read_spice(reader))),
        Some("sdl") => GraphicsKind::Sdl {
            display: reader.string("display"),
            xauth: reader.string("xauth"),
            fullscreen: reader.yes_no("fullscreen"),
            gl: gl(),
        },
        Some("egl-headless") => GraphicsKind::EglHeadless {
            rendernode: reader.child("gl").and_then(|gl| gl.string("rendernode")),
        },
        Some("dbus") => {
            let gl = reader.child("gl");
            GraphicsKind::Dbus {
                p2p: reader.yes_no("p2p"),
                address: reader.string("address"),
                rendernode: gl.as_ref().and_then(|gl| gl.string("rendernode")),
                gl: gl.and_then(|gl| gl.yes_no("enable")),
            }
        }
        Some(kind) => {
            reader.stub(&format!("displays of the kind `{kind}` are not supported"));
            return Some(Graphics {
                kind: GraphicsKind::Other { kind: kind.to_owned() },
                listens: Vec::new(),
            });
        }
        None => {
            reader.settle();
            reader.missing("attribute `type`");
            return None;
        }
    };
    let listens = match kind {
        GraphicsKind::Vnc(_) | GraphicsKind::Spice(_) => read_listens(reader),
        _ => Vec::new(),
    };
    Some(Graphics { kind, listens })
}

/// The first listener can also stand in attributes of `<graphics>`, which must not contradict the element.
fn read_listens(reader: &Reader<'_, '_>) -> Vec<Listen> {
    let address = reader.string("listen").filter(|address| !address.is_empty());
    let socket = reader.string("socket").filter(|socket| !socket.is_empty());
    let mut listens: Vec<Listen> =
        reader.children("listen").filter_map(|listen| read_listen(&listen, address.as_deref())).collect();
    if let Some(address) = address {
        match listens.first() {
            None => listens.push(Listen::Address { address: Some(address) }),
            Some(Listen::Address { address: Some(same) }) if *same == address => {}
            Some(Listen::Network { .. }) => {}
            Some(_) => {
                reader.malformed_attribute("listen", "`listen` contradicts the first `<listen>`");
            }
        }
    }
    if let Some(socket) = socket
        && listens.is_empty()
    {
        listens.push(Listen::Socket { socket: Some(socket) });
    }
    listens
}

fn read_listen(reader: &Reader<'_, '_>, outer: Option<&str>) -> Option<Listen> {
    let address = reader.string("address").filter(|address| !address.is_empty());
    match reader.string("type").as_deref() {
        Some("address") => Some(Listen::Address { address: address.or_else(|| outer.map(str::to_owned)) }),
        Some("network") => Some(Listen::Network { network: reader.string("network"), address }),
        Some("socket") => {
            Some(Listen::Socket { socket: reader.string("socket").filter(|socket| !socket.is_empty()) })
        }
        Some("none") => Some(Listen::None),
        other => {
            reader.settle();
            reader.malformed_attribute(
                "type",
                &format!("`{}` is not a kind of listener", other.unwrap_or_default()),
            );
            None
        }
    }
}

/// Port −1 is libvirt's older way of saying `autoport='yes'`.
fn read_ports(reader: &Reader<'_, '_>, has_tls: bool) -> Ports {
    let read = |name| {
        reader.parsed(name, "a port, or -1 for any", |text| {
            parse_number::<i32>(text, 10).filter(|port| (-1..=65535).contains(port))
        })
    };
    let port = read("port");
    let tls_port = if has_tls { read("tlsPort") } else { None };
    let fixed = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let autoport = reader.yes_no("autoport");
    let is_any = port == Some(-1) && (!has_tls || tls_port.is_none_or(|port| port == -1));
    Ports {
        port: fixed(port),
        tls_port: fixed(tls_port),
        autoport: if is_any && autoport.is_none() { Some(Switch::On) } else { autoport },
    }
}

fn read_auth(reader: &Reader<'_, '_>) -> GraphicsAuth {
    GraphicsAuth {
        password: reader.string("passwd"),
        password_valid_to: reader.string("passwdValidTo"),
        connected: reader.word("connected"),
    }
}

fn read_vnc(reader: &Reader<'_, '_>) -> Vnc {
    Vnc {
        ports: read_ports(reader, false),
        websocket: reader.number("websocket"),
        keymap: reader.string("keymap"),
        share_policy: reader.word("sharePolicy"),
        power_control: reader.yes_no("powerControl"),
        auth: read_auth(reader),
        audio: reader.child("audio").and_then(|audio| audio.number("id")),
    }
}

fn read_spice(reader: &Reader<'_, '_>) -> Spice {
    let gl = reader.child("gl");
    Spice {
        ports: read_ports(reader, true),
        keymap: reader.string("keymap"),
        auth: read_auth(reader),
        default_mode: reader.word("defaultMode"),
        channels: reader
            .children("channel")
            .filter_map(|channel| {
                let mode = channel.word("mode");
                Some(SpiceChannel { name: channel.word("name")?, mode: mode? })
            })
            .collect(),
        image_compression: reader.child("image").and_then(|image| image.word("compression")),
        jpeg_compression: reader.child("jpeg").and_then(|jpeg| jpeg.word("compression")),
        zlib_compression: reader.child("zlib").and_then(|zlib| zlib.word("compression")),
        playback_compression: reader.child("playback").and_then(|playback| playback.on_off("compression")),
        streaming: reader.child("streaming").and_then(|streaming| streaming.word("mode")),
        clipboard_copypaste: reader.child("clipboard").and_then(|clipboard| clipboard.yes_no("copypaste")),
        mouse_mode: reader.child("mouse").and_then(|mouse| mouse.word("mode")),
        file_transfer: reader.child("filetransfer").and_then(|transfer| transfer.yes_no("enable")),
        rendernode: gl.as_ref().and_then(|gl| gl.string("rendernode")),
        gl: gl.and_then(|gl| gl.yes_no("enable")),
    }
}

/// Reads `<video>`.
pub(super) fn read_video(reader: &Reader<'_, '_>) -> Option<Video> {
    let mut video = Video { info: read_info(reader), ..Video::default() };
    if let Some(driver) = reader.child("driver") {
        video.driver = driver.word("name");
        video.virtio = read_virtio(&driver);
    }
    let Some(model) = reader.child("model") else {
        return Some(video);
    };
    if model.element().attribute("type").is_some() {
        let Some(kind) = model.discriminator("type") else {
            reader.leave();
            return None;
        };
        video.model = Some(kind);
    }
    video.ram = model.number("ram");
    video.vram = model.number("vram");
    video.vram64 = model.number("vram64");
    video.vgamem = model.number("vgamem");
    video.heads = model.number("heads");
    video.primary = model.yes_no("primary");
    video.blob = model.on_off("blob");
    if let Some(acceleration) = model.child("acceleration") {
        video.accel2d = acceleration.yes_no("accel2d");
        video.accel3d = acceleration.yes_no("accel3d");
        video.rendernode = acceleration.string("rendernode");
    }
    if let Some(resolution) = model.child("resolution") {
        video.resolution = resolution.number("x").zip(resolution.number("y"));
        if video.resolution.is_none() {
            resolution.missing("a width `x` or a height `y`");
        }
    }
    Some(video)
}
