//! The names that a running domain's devices have in its XML: the ids by which QEMU knows them.

use domain::Domain;

use super::PlanError;
use super::ids;

/// Gives every device of a complete domain its alias, as a plan of that domain names it.
///
/// # Errors
/// A disk has neither an address nor a target that tells its place.
pub fn name_devices(domain: &mut Domain) -> Result<(), PlanError> {
    let disks: Vec<String> =
        domain.devices.disks.iter().map(|disk| ids::disk(domain, disk)).collect::<Result<_, _>>()?;
    let controllers: Vec<String> =
        domain.devices.controllers.iter().map(|controller| ids::controller(domain, controller)).collect();
    let interfaces: Vec<String> = (0..domain.devices.interfaces.len())
        .map(|index| ids::interface(&domain.devices.interfaces, index))
        .collect();
    let devices = &mut domain.devices;
    for (disk, id) in devices.disks.iter_mut().zip(disks) {
        disk.info.alias = Some(id);
    }
    for (controller, id) in devices.controllers.iter_mut().zip(controllers) {
        controller.info.alias = Some(id);
    }
    for (interface, id) in devices.interfaces.iter_mut().zip(interfaces) {
        interface.info.alias = Some(id);
    }
    macro_rules! name {
        ($($kind:literal $devices:expr;)*) => {$(
            for (index, device) in $devices.iter_mut().enumerate() {
                device.info.alias = Some(ids::numbered($kind, index, &device.info));
            }
        )*};
    }
    name! {
        "serial" devices.serials;
        "channel" devices.channels;
        "input" devices.inputs;
        "tpm" devices.tpms;
        "video" devices.videos;
        "hub" devices.hubs;
        "watchdog" devices.watchdogs;
        "balloon" devices.memballoon;
        "rng" devices.rngs;
        "panic" devices.panics;
        "iommu" devices.iommu;
        "vsock" devices.vsock;
    }
    for (index, console) in devices.consoles.iter_mut().enumerate() {
        // The first console is the first serial port under another name.
        let own = match console.target {
            domain::model::chardev::ConsoleTarget::Serial if index == 0 => devices.serials.first(),
            _ => None,
        };
        let shared = own.and_then(|serial| serial.info.alias.clone());
        console.info.alias = Some(shared.unwrap_or_else(|| ids::numbered("console", index, &console.info)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    #[test]
    fn every_kind_of_device_is_named_as_qemu_knows_it() {
        let text =
            "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os>
            <devices>
              <disk type='file' device='disk'><target dev='vdb' bus='virtio'/></disk>
              <disk type='file' device='disk'><target dev='sda' bus='sata'/>
                <address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>
              <controller type='pci' index='0' model='pcie-root'/>
              <controller type='sata' index='0'/>
              <interface type='user'/>
              <interface type='user'><alias name='ua-mine'/></interface>
              <serial type='pty'/><console type='pty'/>
              <memballoon model='virtio'/>
              <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
            </devices></domain>";
        let (mut domain, _) = Domain::read(&Document::parse(text).unwrap());
        name_devices(&mut domain).unwrap();
        let devices = &domain.devices;
        let infos = (devices.disks.iter().map(|disk| &disk.info))
            .chain(devices.controllers.iter().map(|controller| &controller.info))
            .chain(devices.interfaces.iter().map(|interface| &interface.info))
            .chain(devices.serials.iter().map(|serial| &serial.info))
            .chain(devices.consoles.iter().map(|console| &console.info))
            .chain(devices.memballoon.iter().map(|balloon| &balloon.info))
            .chain(devices.rngs.iter().map(|rng| &rng.info));
        let names: Vec<&str> = infos.map(|info| info.alias.as_deref().unwrap()).collect();
        assert_eq!(
            names,
            [
                "virtio-disk1",
                "sata0-0-0",
                "pci.0",
                "ide",
                "net0",
                "ua-mine",
                "serial0",
                "serial0",
                "balloon0",
                "rng0"
            ]
        );
    }
}
