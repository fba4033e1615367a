//! Prints `<interface>`.

use super::{PrintForm, PrintState, node::Node};
use crate::model::{
    Keyword,
    interface::{GuestOffloads, HostOffloads, Interface, InterfaceModel, InterfaceSource},
};

pub(super) fn print_interface(interface: &Interface, form: PrintForm) -> Node {
    let (kind, source) = print_source(&interface.source);
    let model = interface.model.as_ref().map(|model| match model {
        InterfaceModel::Virtio(model) => model.word(),
        InterfaceModel::Other(model) => model,
    });
    let ips = interface.ips.iter().map(|ip| {
        Node::new("ip").attr("address", &ip.address).word("family", ip.family).opt("prefix", ip.prefix)
    });
    let backend = &interface.backend;
    Node::new("interface")
        .attr("type", kind)
        .yes_no("trustGuestRxFilters", interface.trust_guest_rx_filters)
        .maybe(interface.mac.map(|mac| Node::new("mac").attr("address", mac)))
        .maybe(source)
        .maybe(interface.isolated_port.map(|isolated| Node::new("port").attr("isolated", isolated.yes_no())))
        .all(ips)
        .maybe(interface.script.as_ref().map(|path| Node::new("script").attr("path", path)))
        .maybe(print_target(interface, form))
        .maybe(model.map(|model| Node::new("model").attr("type", model)))
        .maybe(print_driver(interface))
        .maybe(
            Node::new("backend")
                .word("type", backend.kind)
                .opt("tap", backend.tap.as_ref())
                .opt("vhost", backend.vhost.as_ref())
                .opt("logFile", backend.log_file.as_ref())
                .unless_empty(),
        )
        .maybe(interface.link.map(|state| Node::new("link").attr("state", state)))
        .maybe(interface.sndbuf.map(|size| Node::new("tune").child(Node::of_text("sndbuf", size))))
        .maybe(interface.mtu.map(|size| Node::new("mtu").attr("size", size)))
        .maybe(interface.coalesce_rx_frames.map(|max| {
            Node::new("coalesce").child(Node::new("rx").child(Node::new("frames").attr("max", max)))
        }))
        .info(&interface.info, form)
}

fn print_source(source: &InterfaceSource) -> (&str, Option<Node>) {
    let node = Node::new("source");
    match source {
        InterfaceSource::User { dev } => ("user", node.opt("dev", dev.as_ref()).unless_empty()),
        InterfaceSource::Bridge { bridge } => ("bridge", Some(node.attr("bridge", bridge))),
        InterfaceSource::Ethernet => ("ethernet", None),
        InterfaceSource::Network { network, portgroup } => {
            ("network", Some(node.attr("network", network).opt("portgroup", portgroup.as_ref())))
        }
        InterfaceSource::Other { kind } => (kind, None),
    }
}

fn print_target(interface: &Interface, form: PrintForm) -> Option<Node> {
    let dev = match form.state {
        PrintState::Live => interface.target.as_deref(),
        _ => interface.chosen_target(),
    };
    Node::new("target").opt("dev", dev).yes_no("managed", interface.target_managed).unless_empty()
}

fn print_driver(interface: &Interface) -> Option<Node> {
    let driver = &interface.driver;
    Node::new("driver")
        .word("name", driver.name)
        .word("txmode", driver.txmode)
        .on_off("ioeventfd", driver.ioeventfd)
        .on_off("event_idx", driver.event_idx)
        .opt("queues", driver.queues)
        .opt("rx_queue_size", driver.rx_queue_size)
        .opt("tx_queue_size", driver.tx_queue_size)
        .on_off("rss", driver.rss)
        .on_off("rss_hash_report", driver.rss_hash_report)
        .virtio(interface.virtio)
        .maybe(print_host(driver.host).unless_empty())
        .maybe(print_guest(driver.guest).unless_empty())
        .unless_empty()
}

fn print_host(host: HostOffloads) -> Node {
    Node::new("host")
        .on_off("csum", host.csum)
        .on_off("gso", host.gso)
        .on_off("tso4", host.tso4)
        .on_off("tso6", host.tso6)
        .on_off("ecn", host.ecn)
        .on_off("ufo", host.ufo)
        .on_off("mrg_rxbuf", host.mrg_rxbuf)
}

fn print_guest(guest: GuestOffloads) -> Node {
    Node::new("guest")
        .on_off("csum", guest.csum)
        .on_off("tso4", guest.tso4)
        .on_off("tso6", guest.tso6)
        .on_off("ecn", guest.ecn)
        .on_off("ufo", guest.ufo)
}
