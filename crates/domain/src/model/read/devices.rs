//! Reads `<devices>`.

use super::{chardev, controller, disk, graphics, interface, reader::Reader, small_devices};
use crate::model::devices::Devices;

/// Reads `<devices>`.
pub(super) fn read_devices(reader: &Reader<'_, '_>) -> Devices {
    fn all<'d, 'p, T>(
        reader: &Reader<'d, 'p>,
        name: &'static str,
        read: impl Fn(&Reader<'d, 'p>) -> Option<T>,
    ) -> Vec<T> {
        reader.children(name).filter_map(|child| read(&child)).collect()
    }
    Devices {
        emulator: reader.child("emulator").and_then(|path| path.trimmed_text()),
        disks: all(reader, "disk", disk::read_disk),
        controllers: all(reader, "controller", controller::read_controller),
        interfaces: all(reader, "interface", |child| Some(interface::read_interface(child))),
        serials: all(reader, "serial", chardev::read_serial),
        consoles: all(reader, "console", chardev::read_console),
        channels: all(reader, "channel", chardev::read_channel),
        inputs: all(reader, "input", small_devices::read_input),
        tpms: all(reader, "tpm", small_devices::read_tpm),
        graphics: all(reader, "graphics", graphics::read_graphics),
        audios: all(reader, "audio", small_devices::read_audio),
        videos: all(reader, "video", graphics::read_video),
        hubs: all(reader, "hub", small_devices::read_hub),
        watchdogs: all(reader, "watchdog", small_devices::read_watchdog),
        memballoon: reader.child("memballoon").and_then(|child| small_devices::read_memballoon(&child)),
        rngs: all(reader, "rng", small_devices::read_rng),
        panics: all(reader, "panic", small_devices::read_panic),
        iommu: reader.child("iommu").and_then(|child| small_devices::read_iommu(&child)),
        vsock: reader.child("vsock").map(|child| small_devices::read_vsock(&child)),
    }
}
