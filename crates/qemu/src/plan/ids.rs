//! The ids by which QEMU knows a guest's devices: the user's own (`ua-…`) where there is one, else by kind and place.

use domain::{
    Domain,
    model::{
        Keyword,
        address::{Address, DeviceInfo},
        controller::{Controller, ControllerKind, ScsiModel},
        disk::{Disk, DiskBus},
        interface::Interface,
    },
};

use super::PlanError;

/// The id of a device that is known by its position among its kind.
pub(crate) fn numbered(kind: &str, index: usize, info: &DeviceInfo) -> String {
    info.alias.clone().unwrap_or_else(|| format!("{kind}{index}"))
}

/// The id of a controller.
pub(crate) fn controller(domain: &Domain, controller: &Controller) -> String {
    if let Some(alias) = &controller.info.alias {
        return alias.clone();
    }
    let index = controller.index.unwrap_or_default();
    match &controller.kind {
        ControllerKind::Pci(_) => format!("pci.{index}"),
        // The first USB controller is called as QEMU's own would be; companions share their master's index.
        ControllerKind::Usb { .. } if index == 0 => "usb".to_owned(),
        // The machine's own controllers have fixed bus names.
        ControllerKind::Ide { .. } if index == 0 && !is_q35(domain) => "ide".to_owned(),
        ControllerKind::Sata { .. } if index == 0 && is_q35(domain) => "ide".to_owned(),
        kind => format!("{}{index}", kind.name().word()),
    }
}

/// The id of a network interface: numbered among those that the user has not named.
pub(crate) fn interface(interfaces: &[Interface], index: usize) -> String {
    let named = |interface: &&Interface| interface.info.alias.is_some();
    let before = interfaces.iter().take(index).filter(|interface| !named(interface)).count();
    match interfaces.get(index).and_then(|interface| interface.info.alias.clone()) {
        Some(alias) => alias,
        None => format!("net{before}"),
    }
}

/// The id of a disk: by its place on the controller, or by its target's name where it has no such place.
pub(crate) fn disk(domain: &Domain, disk: &Disk) -> Result<String, PlanError> {
    if let Some(alias) = &disk.info.alias {
        return Ok(alias.clone());
    }
    let Some(bus) = disk.target.bus else {
        return Err(PlanError::NoAddress { device: disk.target.dev.clone() });
    };
    if let Some(Address::Drive(place)) = &disk.info.address {
        let (controller, bus_nr, target, unit) = (place.controller, place.bus, place.target, place.unit);
        let word = bus.word();
        return Ok(if bus == DiskBus::Scsi && !scsi_is_flat(domain, controller) {
            format!("{word}{controller}-{bus_nr}-{target}-{unit}")
        } else {
            format!("{word}{controller}-{bus_nr}-{unit}")
        });
    }
    let index = target_index(&disk.target.dev)
        .ok_or_else(|| PlanError::BadTarget { target: disk.target.dev.clone() })?;
    Ok(match bus {
        DiskBus::Virtio => format!("virtio-disk{index}"),
        DiskBus::Usb => format!("usb-disk{index}"),
        DiskBus::Ide | DiskBus::Sata | DiskBus::Scsi | DiskBus::Fdc => {
            return Err(PlanError::NoAddress { device: disk.target.dev.clone() });
        }
    })
}

/// Whether a SCSI controller has targets only, no buses and logical units.
pub(crate) fn scsi_is_flat(domain: &Domain, index: u32) -> bool {
    domain.devices.controllers.iter().any(|controller| {
        controller.index == Some(index)
            && matches!(controller.kind, ControllerKind::Scsi { model: Some(ScsiModel::Lsilogic) })
    })
}

/// The number of a target name: `vda` is 0, `vdz` 25, `vdaa` 26.
pub(crate) fn target_index(target: &str) -> Option<u32> {
    let letters = target.strip_prefix("ubd").or_else(|| target.get(2..))?;
    let letters = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    if letters.is_empty() {
        return None;
    }
    letters
        .bytes()
        .try_fold(0u32, |index, letter| {
            let digit = u32::from(letter.checked_sub(b'a').filter(|digit| *digit < 26)?);
            index.checked_mul(26)?.checked_add(digit + 1)
        })?
        .checked_sub(1)
}

/// Whether the machine is one of the Q35 kind.
pub(crate) fn is_q35(domain: &Domain) -> bool {
    let machine = domain.os.machine.as_deref().unwrap_or_default();
    machine == "q35" || machine.starts_with("pc-q35-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_numbered_like_spreadsheet_columns() {
        assert_eq!(target_index("vda"), Some(0));
        assert_eq!(target_index("vdz"), Some(25));
        assert_eq!(target_index("vdaa"), Some(26));
        assert_eq!(target_index("vdgb"), Some(183));
        assert_eq!(target_index("sda1"), Some(0));
        assert_eq!(target_index("vd"), None);
        assert_eq!(target_index("vdA"), None);
        assert_eq!(target_index(&format!("vd{}", "z".repeat(40))), None);
    }
}
