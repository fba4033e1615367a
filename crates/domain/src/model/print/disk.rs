//! Prints `<disk>`.

use super::{PrintForm, iothreads, node::Node};
use crate::model::disk::{
    BackingStore, BlockIo, Disk, DiskBus, DiskCache, DiskSource, ErrorPolicy, IoTune, SnapshotMode,
    StartupPolicy, Tray,
};

pub(super) fn print_disk(disk: &Disk, form: PrintForm) -> Node {
    let run = disk.run.filter(|_| form.is_live());
    let below =
        disk.backing_store.as_ref().or_else(|| run.filter(|run| run.ends).map(|_| &BackingStore::End));
    Node::new("disk")
        .attr("type", disk.source.as_ref().map_or("file", type_name))
        .attr("device", disk.device)
        .word("model", disk.model)
        .word("snapshot", disk.snapshot.filter(|mode| !(disk.readonly && *mode == SnapshotMode::No)))
        .maybe(print_driver(disk, form))
        .maybe(disk.source.as_ref().and_then(|source| {
            let node = print_source(source, disk.startup_policy)?;
            Some(node.opt("index", run.map(|run| run.index)))
        }))
        .maybe(below.map(print_backing_store))
        .child(
            Node::new("target")
                .attr("dev", &disk.target.dev)
                .word("bus", disk.target.bus)
                .word("tray", disk.target.tray.filter(|tray| *tray == Tray::Open))
                .on_off("removable", disk.target.removable.filter(|_| disk.target.bus == Some(DiskBus::Usb)))
                .opt("rotation_rate", disk.target.rotation_rate),
        )
        .maybe(disk.block_io.and_then(print_block_io))
        .maybe(disk.io_tune.as_deref().and_then(print_io_tune))
        .flag("readonly", disk.readonly)
        .flag("shareable", disk.shareable)
        .flag("transient", disk.transient)
        .text_child("serial", disk.serial.as_ref())
        .text_child("wwn", disk.wwn.as_ref())
        .text_child("vendor", disk.vendor.as_ref())
        .text_child("product", disk.product.as_ref())
        .info(&disk.info, form)
}

fn print_driver(disk: &Disk, form: PrintForm) -> Option<Node> {
    let driver = &disk.driver;
    let is_said = |policy: &ErrorPolicy| *policy != ErrorPolicy::Default;
    Node::new("driver")
        .opt("name", driver.name.as_ref())
        // A running guest's empty drive has no image to be of a format.
        .word("type", driver.format.filter(|_| disk.source.is_some() || !form.is_live()))
        .word("cache", driver.cache.filter(|cache| *cache != DiskCache::Default))
        .word("error_policy", driver.error_policy.filter(is_said))
        .word("rerror_policy", driver.rerror_policy.filter(is_said))
        .word("io", driver.io)
        .on_off("ioeventfd", driver.ioeventfd)
        .on_off("event_idx", driver.event_idx)
        .on_off("copy_on_read", driver.copy_on_read)
        .opt("iothread", driver.iothread)
        .word("discard", driver.discard)
        .word("detect_zeroes", driver.detect_zeroes)
        .opt("queues", driver.queues)
        .opt("queue_size", driver.queue_size)
        .on_off("discard_no_unref", driver.discard_no_unref)
        .virtio(disk.virtio)
        .maybe(iothreads::print_of_disk(&driver.iothreads))
        .unless_empty()
}

fn type_name(source: &DiskSource) -> &str {
    match source {
        DiskSource::File { .. } => "file",
        DiskSource::Block { .. } => "block",
        DiskSource::Other { kind } => kind,
    }
}

fn print_source(source: &DiskSource, policy: Option<StartupPolicy>) -> Option<Node> {
    let node = match source {
        DiskSource::File { path } => Node::new("source").attr("file", path),
        DiskSource::Block { dev } => Node::new("source").attr("dev", dev),
        DiskSource::Other { .. } => return None,
    };
    Some(node.word("startupPolicy", policy))
}

fn print_backing_store(store: &BackingStore) -> Node {
    let node = Node::new("backingStore");
    match store {
        BackingStore::End => node,
        BackingStore::Image(image) => node
            .attr("type", type_name(&image.source))
            .child(Node::new("format").attr("type", image.format))
            .maybe(print_source(&image.source, None))
            .maybe(image.backing_store.as_ref().map(print_backing_store)),
    }
}

fn print_block_io(io: BlockIo) -> Option<Node> {
    Node::new("blockio")
        .opt("logical_block_size", io.logical_block_size)
        .opt("physical_block_size", io.physical_block_size)
        .opt("discard_granularity", io.discard_granularity)
        .unless_empty()
}

fn print_io_tune(tune: &IoTune) -> Option<Node> {
    let bounds = |value: &(&'static str, u64)| value.1 > 0;
    let nodes = |(name, value)| Node::of_text(name, value);
    Node::new("iotune")
        .all(tune.named().take(IoTune::BEFORE_GROUP).filter(bounds).map(nodes))
        .text_child("group_name", tune.group.as_ref())
        .all(tune.named().skip(IoTune::BEFORE_GROUP).filter(bounds).map(nodes))
        .unless_empty()
}
