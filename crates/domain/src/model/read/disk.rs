//! Reads `<disk>`.

use super::{
    address::{read_info, read_virtio},
    iothreads,
    reader::Reader,
};
use crate::model::{
    Keyword,
    devices::VirtioOptions,
    disk::{
        BackingImage, BackingStore, BlockIo, Disk, DiskDriver, DiskRun, DiskSource, DiskTarget, IoTune,
        StartupPolicy,
    },
    keyword::keywords,
};

keywords! {
    /// The kinds of `<disk type=…>` that sevirt opens.
    enum SourceKind {
        File = "file",
        Block = "block",
    }
}

/// Reads `<disk>`; `None` where sevirt has no notion of its device or bus.
pub(super) fn read_disk(reader: &Reader<'_, '_>) -> Option<Disk> {
    let device = match reader.element().attribute("device") {
        None => Default::default(),
        Some(_) => reader.discriminator("device")?,
    };
    let target = read_target(reader)?;
    let (driver, virtio) = reader.child("driver").map(|driver| read_driver(&driver)).unwrap_or_default();
    let (source, startup_policy) = read_source(reader);
    let source_is_there = source.is_some();
    let written = reader.element().child("source").and_then(|source| source.attribute("index"));
    let index = written.and_then(|index| index.value().parse().ok());
    Some(Disk {
        device,
        model: reader.word("model"),
        snapshot: reader.word("snapshot"),
        source,
        startup_policy,
        driver,
        virtio,
        backing_store: reader.child("backingStore").map(|store| read_backing_store(&store)),
        run: index.filter(|_| source_is_there).map(|index| DiskRun { index, ends: false }),
        target,
        block_io: reader.child("blockio").map(|io| BlockIo {
            logical_block_size: io.number("logical_block_size"),
            physical_block_size: io.number("physical_block_size"),
            discard_granularity: io.number("discard_granularity"),
        }),
        io_tune: reader.child("iotune").and_then(|tune| read_io_tune(&tune)),
        readonly: reader.has("readonly"),
        shareable: reader.has("shareable"),
        transient: reader.has("transient"),
        serial: reader.child_text("serial"),
        wwn: reader.child_text("wwn"),
        vendor: reader.child_text("vendor"),
        product: reader.child_text("product"),
        info: read_info(reader),
    })
}

fn read_io_tune(reader: &Reader<'_, '_>) -> Option<Box<IoTune>> {
    let number = |name| reader.child(name).and_then(|value| value.text_number(10)).unwrap_or_default();
    let tune = IoTune {
        values: IoTune::NAMES.map(number),
        group: reader.child_text("group_name").filter(|name| !name.is_empty()),
    };
    if let Some(kind) = tune.contradiction() {
        let message = format!("total and read/write {kind} cannot be set at the same time");
        reader.malformed(reader.element().span(), &message);
    }
    Some(Box::new(tune)).filter(|tune| **tune != IoTune::default())
}

fn read_target(disk: &Reader<'_, '_>) -> Option<DiskTarget> {
    let Some(reader) = disk.child("target") else {
        disk.settle();
        disk.missing("element `target`");
        return None;
    };
    let bus = match reader.element().attribute("bus") {
        None => None,
        Some(_) => match reader.discriminator("bus") {
            Some(bus) => Some(bus),
            None => {
                disk.leave();
                return None;
            }
        },
    };
    let dev = reader.required_string("dev");
    Some(DiskTarget {
        dev,
        bus,
        tray: reader.word("tray"),
        removable: reader.on_off("removable"),
        rotation_rate: reader.number("rotation_rate"),
    })
}

/// Reads `type` and `<source>` of a disk or of an image below it; there is no source in an empty drive.
fn read_source(reader: &Reader<'_, '_>) -> (Option<DiskSource>, Option<StartupPolicy>) {
    let kind = reader.string("type").unwrap_or_else(|| "file".to_owned());
    let source = reader.child("source");
    let Some(known) = SourceKind::from_word(&kind) else {
        if let Some(source) = source {
            source.not_modelled(&format!("sources of the kind `{kind}` are not supported"));
        }
        return (Some(DiskSource::Other { kind }), None);
    };
    let Some(source) = source else {
        return (None, None);
    };
    let startup_policy = source.word("startupPolicy");
    // What a definition says of it means nothing.
    source.ignore("index");
    let named = |name| source.string(name).filter(|path| !path.is_empty());
    let source = match known {
        SourceKind::File => named("file").map(|path| DiskSource::File { path }),
        SourceKind::Block => named("dev").map(|dev| DiskSource::Block { dev }),
    };
    (source, startup_policy)
}

fn read_driver(reader: &Reader<'_, '_>) -> (DiskDriver, VirtioOptions) {
    let driver = DiskDriver {
        name: reader.string("name"),
        format: reader.word("type"),
        cache: reader.word("cache"),
        error_policy: reader.word("error_policy"),
        rerror_policy: reader.word("rerror_policy"),
        io: reader.word("io"),
        ioeventfd: reader.on_off("ioeventfd"),
        event_idx: reader.on_off("event_idx"),
        copy_on_read: reader.on_off("copy_on_read"),
        discard: reader.word("discard"),
        detect_zeroes: reader.word("detect_zeroes"),
        discard_no_unref: reader.on_off("discard_no_unref"),
        queues: reader.number("queues"),
        queue_size: reader.number("queue_size"),
        iothread: iothreads::read_number(reader, "iothread"),
        iothreads: iothreads::read_of_disk(reader),
    };
    (driver, read_virtio(reader))
}

/// The document's depth is bounded, so this recursion is.
fn read_backing_store(reader: &Reader<'_, '_>) -> BackingStore {
    let is_end =
        reader.element().attributes().next().is_none() && reader.element().children().next().is_none();
    if is_end {
        return BackingStore::End;
    }
    let Some(format) = reader.child("format").and_then(|format| format.discriminator("type")) else {
        reader.settle();
        reader.missing("the format of a backing image");
        return BackingStore::End;
    };
    let (Some(source), _) = read_source(reader) else {
        reader.settle();
        reader.missing("the source of a backing image");
        return BackingStore::End;
    };
    reader.ignore("index");
    let backing_store = reader.child("backingStore").map(|store| read_backing_store(&store));
    BackingStore::Image(Box::new(BackingImage { format, source, backing_store }))
}
