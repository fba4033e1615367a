//! Prints `<devices>`, kind by kind in libvirt's order.

use super::{PrintForm, chardev, controller, disk, graphics, interface, node::Node, small_devices};
use crate::model::devices::Devices;

pub(super) fn print_devices(devices: &Devices, form: PrintForm) -> Node {
    Node::new("devices")
        .text_child("emulator", devices.emulator.as_ref())
        .all(devices.disks.iter().map(|disk| disk::print_disk(disk, form)))
        .all(devices.controllers.iter().map(|controller| controller::print_controller(controller, form)))
        .all(devices.interfaces.iter().map(|interface| interface::print_interface(interface, form)))
        .all(devices.serials.iter().map(|serial| chardev::print_serial(serial, form)))
        .all(devices.consoles.iter().map(|console| chardev::print_console(console, form)))
        .all(devices.channels.iter().map(|channel| chardev::print_channel(channel, form)))
        .all(devices.inputs.iter().map(|input| small_devices::print_input(input, form)))
        .all(devices.tpms.iter().map(|tpm| small_devices::print_tpm(tpm, form)))
        .all(devices.graphics.iter().map(|display| graphics::print_graphics(display, form)))
        .all(devices.audios.iter().map(small_devices::print_audio))
        .all(devices.videos.iter().map(|video| graphics::print_video(video, form)))
        .all(devices.hubs.iter().map(|hub| small_devices::print_hub(hub, form)))
        .all(devices.watchdogs.iter().map(|watchdog| small_devices::print_watchdog(watchdog, form)))
        .maybe(devices.memballoon.as_ref().map(|balloon| small_devices::print_memballoon(balloon, form)))
        .all(devices.rngs.iter().map(|rng| small_devices::print_rng(rng, form)))
        .all(devices.panics.iter().map(|panic| small_devices::print_panic(panic, form)))
        .maybe(devices.iommu.as_ref().map(|iommu| small_devices::print_iommu(iommu, form)))
        .maybe(devices.vsock.as_ref().map(|vsock| small_devices::print_vsock(vsock, form)))
}
