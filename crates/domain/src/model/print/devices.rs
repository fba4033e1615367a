//! Prints `<devices>`, kind by kind in libvirt's order.

use super::{PrintForm, chardev, controller, disk, graphics, interface, node::Node, small_devices};
use crate::model::devices::Devices;

pub(super) fn print_devices(devices: &Devices, form: PrintForm) -> Node {
    Node::new("devices")
        .text_child("emulator", devices.emulator.as_ref())
        .all(devices.disks.iter().map(|disk| disk::print_disk(disk, form).keeping(&disk.info.kept)))
        .all(
            devices.controllers.iter().map(|controller| {
                controller::print_controller(controller, form).keeping(&controller.info.kept)
            }),
        )
        .all(
            devices
                .interfaces
                .iter()
                .map(|interface| interface::print_interface(interface, form).keeping(&interface.info.kept)),
        )
        .all(
            devices
                .serials
                .iter()
                .map(|serial| chardev::print_serial(serial, form).keeping(&serial.info.kept)),
        )
        .all(
            devices
                .consoles
                .iter()
                .map(|console| chardev::print_console(console, form).keeping(&console.info.kept)),
        )
        .all(
            devices
                .channels
                .iter()
                .map(|channel| chardev::print_channel(channel, form).keeping(&channel.info.kept)),
        )
        .all(
            devices
                .inputs
                .iter()
                .map(|input| small_devices::print_input(input, form).keeping(&input.info.kept)),
        )
        .all(devices.tpms.iter().map(|tpm| small_devices::print_tpm(tpm, form).keeping(&tpm.info.kept)))
        .all(devices.graphics.iter().map(|display| graphics::print_graphics(display, form)))
        .all(devices.audios.iter().map(small_devices::print_audio))
        .all(devices.videos.iter().map(|video| graphics::print_video(video, form).keeping(&video.info.kept)))
        .all(devices.hubs.iter().map(|hub| small_devices::print_hub(hub, form).keeping(&hub.info.kept)))
        .all(
            devices
                .watchdogs
                .iter()
                .map(|watchdog| small_devices::print_watchdog(watchdog, form).keeping(&watchdog.info.kept)),
        )
        .maybe(
            devices
                .memballoon
                .as_ref()
                .map(|balloon| small_devices::print_memballoon(balloon, form).keeping(&balloon.info.kept)),
        )
        .all(devices.rngs.iter().map(|rng| small_devices::print_rng(rng, form).keeping(&rng.info.kept)))
        .all(
            devices
                .panics
                .iter()
                .map(|panic| small_devices::print_panic(panic, form).keeping(&panic.info.kept)),
        )
        .maybe(
            devices
                .iommu
                .as_ref()
                .map(|iommu| small_devices::print_iommu(iommu, form).keeping(&iommu.info.kept)),
        )
        .maybe(
            devices
                .vsock
                .as_ref()
                .map(|vsock| small_devices::print_vsock(vsock, form).keeping(&vsock.info.kept)),
        )
}
