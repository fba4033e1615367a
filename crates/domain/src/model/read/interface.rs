//! Reads `<interface>`.

use super::{
    address::{read_info, read_virtio},
    reader::Reader,
    values::from_str,
};
use crate::model::{
    Keyword,
    devices::{VirtioModel, VirtioOptions},
    interface::{
        GuestOffloads, HostOffloads, Interface, InterfaceBackend, InterfaceDriver, InterfaceIp,
        InterfaceModel, InterfaceSource, Mac,
    },
};

fn read_mac(reader: &Reader<'_, '_>) -> Option<Mac> {
    let mac: Mac = reader.parsed("address", "a MAC address", from_str)?;
    if mac.is_multicast() {
        let message = format!("expected unicast mac address, found multicast '{mac}'");
        reader.malformed_attribute("address", &message);
    }
    Some(mac)
}

/// Reads `<interface>`.
pub(super) fn read_interface(reader: &Reader<'_, '_>) -> Interface {
    let (driver, virtio) = reader.child("driver").map(|driver| read_driver(&driver)).unwrap_or_default();
    let target = reader.child("target");
    let target = target.as_ref();
    let model = reader.child("model").and_then(|model| model.string("type")).map(read_model);
    Interface {
        source: read_source(reader),
        mac: reader.child("mac").and_then(|mac| read_mac(&mac)),
        model,
        driver,
        virtio,
        target: target.and_then(|target| target.string("dev")).filter(|dev| !dev.is_empty()),
        target_managed: target.and_then(|target| target.yes_no("managed")),
        script: reader.child("script").map(|script| script.required_string("path")),
        backend: reader
            .child("backend")
            .map(|backend| InterfaceBackend {
                kind: backend.known_word("type"),
                tap: backend.string("tap"),
                vhost: backend.string("vhost"),
                log_file: backend.string("logFile"),
            })
            .unwrap_or_default(),
        mtu: reader.child("mtu").and_then(|mtu| mtu.number("size")),
        link: reader.child("link").and_then(|link| link.word("state")),
        isolated_port: reader.child("port").and_then(|port| port.yes_no("isolated")),
        trust_guest_rx_filters: reader.yes_no("trustGuestRxFilters"),
        sndbuf: reader
            .child("tune")
            .and_then(|tune| tune.child("sndbuf"))
            .and_then(|sndbuf| sndbuf.text_number(10)),
        coalesce_rx_frames: reader
            .child("coalesce")
            .and_then(|coalesce| coalesce.child("rx"))
            .and_then(|rx| rx.child("frames"))
            .and_then(|frames| frames.number("max")),
        ips: reader
            .children("ip")
            .map(|ip| InterfaceIp {
                family: ip.word("family"),
                address: ip.required_string("address"),
                prefix: ip.number("prefix"),
            })
            .collect(),
        info: read_info(reader),
    }
}

/// libvirt takes the names that it knows in upper case as well.
fn read_model(name: String) -> InterfaceModel {
    const KNOWN: [&str; 6] = ["rtl8139", "e1000", "e1000e", "igb", "usb-net", "vmxnet3"];
    let lower = name.to_ascii_lowercase();
    match VirtioModel::from_word(&lower) {
        Some(model) => InterfaceModel::Virtio(model),
        None if KNOWN.contains(&lower.as_str()) => InterfaceModel::Other(lower),
        None => InterfaceModel::Other(name),
    }
}

fn read_source(reader: &Reader<'_, '_>) -> InterfaceSource {
    let source = reader.child("source");
    let required = |name| match &source {
        Some(source) => source.required_string(name),
        None => {
            reader.missing("element `source`");
            String::new()
        }
    };
    if let Some(source) = &source {
        source.ignore("portid");
    }
    match reader.string("type").as_deref() {
        Some("user") => {
            InterfaceSource::User { dev: source.as_ref().and_then(|source| source.string("dev")) }
        }
        Some("bridge") => InterfaceSource::Bridge { bridge: required("bridge") },
        Some("ethernet") => InterfaceSource::Ethernet,
        Some("network") => {
            if let Some(source) = &source {
                source.ignore("bridge");
            }
            InterfaceSource::Network {
                network: required("network"),
                portgroup: source.as_ref().and_then(|source| source.string("portgroup")),
            }
        }
        Some(kind) => {
            reader.partly_modelled(&format!("interfaces of the kind `{kind}` are not supported"));
            if let Some(source) = &source {
                source.leave();
            }
            InterfaceSource::Other { kind: kind.to_owned() }
        }
        None => {
            reader.missing("attribute `type`");
            InterfaceSource::Other { kind: String::new() }
        }
    }
}

fn read_driver(reader: &Reader<'_, '_>) -> (InterfaceDriver, VirtioOptions) {
    let host = reader.child("host");
    let guest = reader.child("guest");
    let driver = InterfaceDriver {
        name: reader.word("name"),
        txmode: reader.word("txmode"),
        ioeventfd: reader.on_off("ioeventfd"),
        event_idx: reader.on_off("event_idx"),
        queues: reader.number("queues"),
        rx_queue_size: reader.number("rx_queue_size"),
        tx_queue_size: reader.number("tx_queue_size"),
        rss: reader.on_off("rss"),
        rss_hash_report: reader.on_off("rss_hash_report"),
        host: host
            .map(|host| HostOffloads {
                csum: host.on_off("csum"),
                gso: host.on_off("gso"),
                tso4: host.on_off("tso4"),
                tso6: host.on_off("tso6"),
                ecn: host.on_off("ecn"),
                ufo: host.on_off("ufo"),
                mrg_rxbuf: host.on_off("mrg_rxbuf"),
            })
            .unwrap_or_default(),
        guest: guest
            .map(|guest| GuestOffloads {
                csum: guest.on_off("csum"),
                tso4: guest.on_off("tso4"),
                tso6: guest.on_off("tso6"),
                ecn: guest.on_off("ecn"),
                ufo: guest.on_off("ufo"),
            })
            .unwrap_or_default(),
    };
    (driver, read_virtio(reader))
}
