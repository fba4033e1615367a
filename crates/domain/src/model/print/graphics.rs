//! Prints `<graphics>` and `<video>`.

use super::{PrintForm, Secrets, node::Node};
use crate::model::{
    Switch,
    graphics::{Graphics, GraphicsAuth, GraphicsKind, Listen, Ports, Spice, Video, Vnc},
};

pub(super) fn print_graphics(graphics: &Graphics, form: PrintForm) -> Node {
    let node = Node::new("graphics");
    match &graphics.kind {
        GraphicsKind::Vnc(vnc) => print_vnc(node.attr("type", "vnc"), vnc, &graphics.listens, form),
        GraphicsKind::Spice(spice) => print_spice(node.attr("type", "spice"), spice, &graphics.listens, form),
        GraphicsKind::Sdl { display, xauth, fullscreen, gl } => node
            .attr("type", "sdl")
            .opt("display", display.as_ref())
            .opt("xauth", xauth.as_ref())
            .yes_no("fullscreen", *fullscreen)
            .maybe(Node::new("gl").yes_no("enable", *gl).unless_empty()),
        GraphicsKind::EglHeadless { rendernode } => node
            .attr("type", "egl-headless")
            .maybe(Node::new("gl").opt("rendernode", rendernode.as_ref()).unless_empty()),
        GraphicsKind::Dbus { p2p, address, gl, rendernode } => node
            .attr("type", "dbus")
            .yes_no("p2p", *p2p)
            .opt("address", address.as_ref())
            .maybe(print_gl(*gl, rendernode.as_ref())),
        GraphicsKind::Other { kind } => node.attr("type", kind),
    }
}

fn print_gl(enable: Option<Switch>, rendernode: Option<&String>) -> Option<Node> {
    Node::new("gl").yes_no("enable", enable).opt("rendernode", rendernode).unless_empty()
}

fn print_vnc(node: Node, vnc: &Vnc, listens: &[Listen], form: PrintForm) -> Node {
    let node = match listens.first() {
        Some(Listen::Socket { .. } | Listen::None) => node,
        _ => {
            let Ports { port, autoport, .. } = vnc.ports;
            let is_chosen = autoport.is_some_and(Switch::is_on);
            let port = port.filter(|_| form.is_live() || !is_chosen).map(i32::from);
            node.opt("port", port.or_else(|| is_chosen.then_some(-1)))
                .yes_no("autoport", autoport)
                .opt("websocket", vnc.websocket)
        }
    };
    let socket = match listens.first() {
        Some(Listen::Socket { socket }) => socket.as_ref(),
        _ => None,
    };
    print_first_address(node, listens)
        .opt("socket", socket)
        .opt("keymap", vnc.keymap.as_ref())
        .word("sharePolicy", vnc.share_policy)
        .yes_no("powerControl", vnc.power_control)
        .auth(&vnc.auth, form)
        .all(listens.iter().map(|listen| print_listen(listen, form)))
        .maybe(vnc.audio.map(|id| Node::new("audio").attr("id", id)))
}

fn print_spice(node: Node, spice: &Spice, listens: &[Listen], form: PrintForm) -> Node {
    let node = match listens.first() {
        Some(Listen::Socket { .. } | Listen::None) => node,
        _ => {
            let Ports { port, tls_port, autoport } = spice.ports;
            let is_printed = form.is_live() || !autoport.is_some_and(Switch::is_on);
            node.opt("port", port.filter(|_| is_printed))
                .opt("tlsPort", tls_port.filter(|_| is_printed))
                .yes_no("autoport", autoport)
        }
    };
    let compression = |name, word| Node::new(name).opt("compression", word).unless_empty();
    print_first_address(node, listens)
        .opt("keymap", spice.keymap.as_ref())
        .word("defaultMode", spice.default_mode)
        .auth(&spice.auth, form)
        .all(listens.iter().map(|listen| print_listen(listen, form)))
        .all(
            spice
                .channels
                .iter()
                .map(|channel| Node::new("channel").attr("name", channel.name).attr("mode", channel.mode)),
        )
        .maybe(compression("image", spice.image_compression.map(|word| word.to_string())))
        .maybe(compression("jpeg", spice.jpeg_compression.map(|word| word.to_string())))
        .maybe(compression("zlib", spice.zlib_compression.map(|word| word.to_string())))
        .maybe(compression("playback", spice.playback_compression.map(|state| state.on_off().to_owned())))
        .maybe(Node::new("streaming").word("mode", spice.streaming).unless_empty())
        .maybe(Node::new("mouse").word("mode", spice.mouse_mode).unless_empty())
        .maybe(Node::new("clipboard").yes_no("copypaste", spice.clipboard_copypaste).unless_empty())
        .maybe(Node::new("filetransfer").yes_no("enable", spice.file_transfer).unless_empty())
        .maybe(print_gl(spice.gl, spice.rendernode.as_ref()))
}

impl Node {
    fn auth(self, auth: &GraphicsAuth, form: PrintForm) -> Self {
        match form.secrets {
            Secrets::Hide => self,
            Secrets::Show => self
                .opt("passwd", auth.password.as_ref())
                .opt("passwdValidTo", auth.password_valid_to.as_ref())
                .word("connected", auth.connected),
        }
    }
}

/// The first listener's address, in the older form that stands in an attribute.
fn print_first_address(node: Node, listens: &[Listen]) -> Node {
    match listens.first() {
        Some(Listen::Address { address }) => node.opt("listen", address.as_ref()),
        _ => node,
    }
}

fn print_listen(listen: &Listen, form: PrintForm) -> Node {
    let node = Node::new("listen");
    match listen {
        Listen::Address { address } => node.attr("type", "address").opt("address", address.as_ref()),
        Listen::Network { network, address } => node
            .attr("type", "network")
            .opt("address", address.as_ref().filter(|_| form.is_live()))
            .opt("network", network.as_ref()),
        Listen::Socket { socket } => node.attr("type", "socket").opt("socket", socket.as_ref()),
        Listen::None => node.attr("type", "none"),
    }
}

pub(super) fn print_video(video: &Video, form: PrintForm) -> Node {
    let acceleration = Node::new("acceleration")
        .yes_no("accel3d", video.accel3d)
        .yes_no("accel2d", video.accel2d)
        .opt("rendernode", video.rendernode.as_ref());
    let model = Node::new("model")
        .word("type", video.model)
        .opt("ram", video.ram)
        .opt("vram", video.vram)
        .opt("vram64", video.vram64)
        .opt("vgamem", video.vgamem)
        .opt("heads", video.heads)
        .yes_no("primary", video.primary)
        .on_off("blob", video.blob)
        .maybe(acceleration.unless_empty())
        .maybe(video.resolution.map(|(x, y)| Node::new("resolution").attr("x", x).attr("y", y)));
    Node::new("video")
        .maybe(Node::new("driver").virtio(video.virtio).word("name", video.driver).unless_empty())
        .maybe(model.unless_empty())
        .info(&video.info, form)
}
