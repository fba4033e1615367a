//! What a plan leaves out or decides by itself, in words: nothing is dropped in silence.

use domain::{
    Domain,
    model::{
        Switch,
        devices::VirtioOptions,
        disk::SnapshotMode,
        graphics::VideoDriver,
        interface::{InterfaceSource, LinkState},
        launch_security::LaunchSecurity,
    },
};

use super::{Firmware, Network, Surroundings, ids};
use crate::argv::{interface::is_user_mode, rng::DEFAULT_RNG};

/// What the domain asks for and a start does not carry out.
pub(crate) fn unmodelled(domain: &Domain) -> Vec<String> {
    let mut list = Vec::new();
    let mut leave = |is_asked: bool, what: String| {
        if is_asked {
            list.push(what);
        }
    };
    for disk in &domain.devices.disks {
        let name = &disk.target.dev;
        leave(disk.transient, format!("disk {name}: changes are not discarded (<transient/>)"));
        leave(
            disk.snapshot == Some(SnapshotMode::Internal),
            format!("disk {name}: no internal snapshots are made"),
        );
    }
    for (position, interface) in domain.devices.interfaces.iter().enumerate() {
        let id = ids::interface(&domain.devices.interfaces, position);
        leave(interface.script.is_some(), format!("interface {id}: its script is not run"));
        leave(
            interface.link == Some(LinkState::Down),
            format!("interface {id}: its link starts up, not down"),
        );
        leave(
            interface.trust_guest_rx_filters.is_some_and(Switch::is_on),
            format!("interface {id}: the guest's receive filters are not applied to the host's device"),
        );
        leave(
            interface.coalesce_rx_frames.is_some(),
            format!("interface {id}: the coalescing of received frames is not set"),
        );
        leave(
            interface.isolated_port.is_some_and(Switch::is_on),
            format!("interface {id}: its port is not isolated from others on the bridge"),
        );
    }
    for (index, video) in domain.devices.videos.iter().enumerate() {
        let is_vga = video.primary.map_or(index == 0, Switch::is_on);
        leave(
            video.driver == Some(VideoDriver::Vhostuser)
                && is_vga
                && video.virtio != VirtioOptions::default(),
            format!(
                "{}: a vhost-user VGA card takes no virtio options",
                ids::numbered("video", index, &video.info)
            ),
        );
    }
    let features = &domain.features;
    leave(features.viridian, "feature viridian".to_owned());
    leave(features.privnet, "feature privnet".to_owned());
    leave(features.unknown_msrs.is_some(), "feature msrs".to_owned());
    list
}

/// What was decided in the domain's place.
pub(crate) fn notes(domain: &Domain, here: &Surroundings, firmware: &Firmware, notes: &mut Vec<String>) {
    for (index, rng) in domain.devices.rngs.iter().enumerate() {
        if rng.backend.is_none() {
            let id = ids::numbered("rng", index, &rng.info);
            notes.push(format!("{id} has no backend; it reads {DEFAULT_RNG}"));
        }
    }
    for (position, interface) in domain.devices.interfaces.iter().enumerate() {
        if let InterfaceSource::Network { network, .. } = &interface.source
            && is_user_mode(interface, here)
            && here.networks.get(network) != Some(&Network::User)
        {
            let id = ids::interface(&domain.devices.interfaces, position);
            notes.push(format!("{id}: network `{network}` is not known here; user-mode networking is used"));
        }
    }
    if matches!(domain.launch_security, Some(LaunchSecurity::SevSnp(_))) {
        if domain.os.nvram.is_some() {
            notes.push("an SEV-SNP guest has no flash: the NVRAM file is not used".to_owned());
        }
        if firmware.code.is_some() {
            notes.push("the firmware is copied to memory (-bios), as SEV-SNP needs it".to_owned());
        }
    }
}
