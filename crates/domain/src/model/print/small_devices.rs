//! Prints the devices that have few settings of their own.

use super::{PrintForm, address::print_virtio_driver, chardev, node::Node};
use crate::model::{
    Keyword,
    devices::{
        Audio, Hub, Input, Iommu, MemBalloon, Panic, Rng, RngBackend, Tpm, TpmBackend, TpmEmulator,
        TpmProfile, TpmStorage, Vsock, Watchdog,
    },
};

pub(super) fn print_input(input: &Input, form: PrintForm) -> Node {
    Node::new("input")
        .attr("type", input.kind)
        .word("bus", input.bus)
        .word("model", input.model)
        .maybe(print_virtio_driver(input.virtio))
        .maybe(input.source.as_ref().map(|evdev| Node::new("source").attr("evdev", evdev)))
        .info(&input.info, form)
}

pub(super) fn print_hub(hub: &Hub, form: PrintForm) -> Node {
    Node::new("hub").attr("type", "usb").info(&hub.info, form)
}

pub(super) fn print_memballoon(balloon: &MemBalloon, form: PrintForm) -> Node {
    Node::new("memballoon")
        .attr("model", balloon.model.map_or("none", Keyword::word))
        .on_off("autodeflate", balloon.autodeflate)
        .on_off("freePageReporting", balloon.free_page_reporting)
        .maybe(balloon.stats_period.map(|period| Node::new("stats").attr("period", period)))
        .info(&balloon.info, form)
        .maybe(print_virtio_driver(balloon.virtio))
}

pub(super) fn print_rng(rng: &Rng, form: PrintForm) -> Node {
    let rate = rng.rate.map(|rate| Node::new("rate").attr("bytes", rate.bytes).opt("period", rate.period));
    let backend = Node::new("backend");
    let backend = rng.backend.as_ref().map(|kind| match kind {
        RngBackend::Random { path } => backend.attr("model", "random").text(path.as_ref()),
        RngBackend::Egd(source) => chardev::print_source(backend.attr("model", "egd"), source, form),
        RngBackend::Builtin => backend.attr("model", "builtin"),
    });
    Node::new("rng")
        .attr("model", rng.model)
        .maybe(rate)
        .maybe(backend)
        .maybe(print_virtio_driver(rng.virtio))
        .info(&rng.info, form)
}

pub(super) fn print_tpm(tpm: &Tpm, form: PrintForm) -> Node {
    let backend = Node::new("backend");
    let backend = match &tpm.backend {
        TpmBackend::Passthrough { path } => backend
            .attr("type", "passthrough")
            .maybe(path.as_ref().map(|path| Node::new("device").attr("path", path))),
        TpmBackend::Emulator(emulator) => print_tpm_emulator(backend.attr("type", "emulator"), emulator),
        TpmBackend::External(source) => {
            backend.attr("type", "external").maybe(chardev::print_typed_unix_source(source))
        }
    };
    Node::new("tpm").word("model", tpm.model).child(backend).info(&tpm.info, form)
}

fn print_tpm_emulator(backend: Node, emulator: &TpmEmulator) -> Node {
    let banks = emulator.active_pcr_banks.iter().map(|bank| Node::new(bank.word()));
    let source = emulator.source.as_ref().map(|storage| {
        let (kind, path) = match storage {
            TpmStorage::File { path } => ("file", path),
            TpmStorage::Dir { path } => ("dir", path),
        };
        Node::new("source").attr("type", kind).attr("path", path)
    });
    let print_profile = |profile: &TpmProfile| {
        Node::new("profile")
            .opt("source", profile.source.as_ref())
            .word("removeDisabled", profile.remove_disabled)
            .opt("name", profile.name.as_ref())
    };
    backend
        .word("version", emulator.version)
        .yes_no("persistent_state", emulator.persistent_state)
        .opt("debug", emulator.debug)
        .maybe(Node::new("active_pcr_banks").all(banks).unless_empty())
        .maybe(source)
        .maybe(emulator.profile.as_ref().map(print_profile))
}

pub(super) fn print_vsock(vsock: &Vsock, form: PrintForm) -> Node {
    Node::new("vsock")
        .word("model", vsock.model)
        .maybe(Node::new("cid").yes_no("auto", vsock.auto_cid).opt("address", vsock.cid).unless_empty())
        .maybe(print_virtio_driver(vsock.virtio))
        .info(&vsock.info, form)
}

pub(super) fn print_iommu(iommu: &Iommu, form: PrintForm) -> Node {
    let driver = Node::new("driver")
        .on_off("intremap", iommu.intremap)
        .on_off("caching_mode", iommu.caching_mode)
        .on_off("eim", iommu.eim)
        .on_off("iotlb", iommu.iotlb)
        .opt("aw_bits", iommu.aw_bits)
        .on_off("dma_translation", iommu.dma_translation);
    Node::new("iommu").attr("model", iommu.model).maybe(driver.unless_empty()).info(&iommu.info, form)
}

pub(super) fn print_watchdog(watchdog: &Watchdog, form: PrintForm) -> Node {
    Node::new("watchdog")
        .attr("model", watchdog.model)
        .attr("action", watchdog.action)
        .info(&watchdog.info, form)
}

pub(super) fn print_panic(panic: &Panic, form: PrintForm) -> Node {
    Node::new("panic").word("model", panic.model).info(&panic.info, form)
}

pub(super) fn print_audio(audio: &Audio) -> Node {
    Node::new("audio").opt("id", audio.id).attr("type", audio.kind)
}
