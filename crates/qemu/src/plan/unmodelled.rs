//! What a plan leaves out or decides by itself, in words: nothing is dropped in silence.

use domain::{
    Domain,
    model::{
        LifecycleAction, Switch,
        cpu::{CpuFeature, CpuMatch, CpuTune, FeaturePolicy, Placement, TimerName},
        devices::VirtioOptions,
        disk::{SnapshotMode, StartupPolicy, Tray},
        graphics::{GraphicsKind, VideoDriver},
        interface::{InterfaceSource, LinkState},
        launch_security::LaunchSecurity,
        sysinfo::SmbiosMode,
    },
};

use super::{Firmware, Network, Surroundings, ids};
use crate::argv::{interface::is_user_mode, memory::whole_mebibytes, rng::DEFAULT_RNG};

/// What the domain asks for and a start does not carry out.
pub(crate) fn unmodelled(domain: &Domain, here: &Surroundings) -> Vec<String> {
    let mut list = Vec::new();
    resources(domain, here, &mut list);
    processors(domain, here, &mut list);
    disks(domain, &mut list);
    interfaces(domain, here, &mut list);
    displays(domain, here, &mut list);
    let unused = domain.os.smbios != Some(SmbiosMode::Sysinfo)
        && domain.sysinfo.iter().any(|sysinfo| sysinfo.smbios().is_some());
    add(&mut list, unused, "sysinfo smbios: the guest gets it only with <smbios mode='sysinfo'/> in <os>");
    let features = &domain.features;
    let is_off = |switch: Option<Switch>| switch == Some(Switch::Off);
    add(&mut list, features.viridian, "feature viridian");
    add(&mut list, features.privnet, "feature privnet");
    add(&mut list, features.unknown_msrs.is_some(), "feature msrs");
    add(&mut list, is_off(features.hap), "feature hap: hardware-assisted paging is not turned off");
    add(&mut list, domain.os.bios.use_serial.is_some_and(Switch::is_on), "bios useserial");
    let reboot = domain.on_reboot.is_some_and(|action| action != LifecycleAction::Restart);
    // Who tunes a guest also sees to what becomes of it.
    add(&mut list, reboot && !here.is_tuned, "on_reboot: a guest that reboots is restarted");
    list
}

fn add(list: &mut Vec<String>, is_asked: bool, what: impl Into<String>) {
    if is_asked {
        list.push(what.into());
    }
}

/// What the host gives to the guest as a whole.
fn resources(domain: &Domain, here: &Surroundings, list: &mut Vec<String>) {
    let tune = &domain.memtune;
    add(list, tune.soft_limit.is_some(), "memtune soft_limit");
    add(list, tune.min_guarantee.is_some(), "memtune min_guarantee");
    add(list, tune.swap_hard_limit.is_some(), "memtune swap_hard_limit");
    if here.is_tuned {
        let pins = CpuTune {
            vcpu_pins: domain.cputune.vcpu_pins.clone(),
            emulator_pin: domain.cputune.emulator_pin.clone(),
            iothread_pins: domain.cputune.iothread_pins.clone(),
            ..CpuTune::default()
        };
        add(list, domain.cputune != pins, "cputune: no shares or quotas");
    } else {
        add(list, domain.cputune != CpuTune::default(), "cputune: no shares, quotas or pinning");
        add(list, domain.vcpu.cpuset.is_some(), "vcpu cpuset: no pinning");
    }
    add(list, domain.vcpu.placement == Some(Placement::Auto), "vcpu placement auto");
    let balloon =
        domain.current_memory.is_some_and(|now| whole_mebibytes(now) < whole_mebibytes(domain.memory));
    add(list, balloon && !here.is_tuned, "currentMemory: the guest starts with all of its memory");
    let pages = domain.memory_backing.hugepages.iter().flatten();
    add(
        list,
        pages.into_iter().any(|page| page.nodeset.is_some()),
        "hugepages nodeset: the guest has one node",
    );
}

fn processors(domain: &Domain, here: &Surroundings, list: &mut Vec<String>) {
    if let Some(cpu) = &domain.cpu {
        let matching = cpu.matching.filter(|matching| *matching != CpuMatch::Exact);
        list.extend(matching.map(|matching| format!("cpu match {matching}: the model is given as it is")));
        let vendor_id = cpu.model.as_ref().and_then(|model| model.vendor_id.as_ref());
        add(list, vendor_id.is_some(), "cpu model vendor_id");
        let optional = |feature: &&CpuFeature| feature.policy == Some(FeaturePolicy::Optional);
        for feature in cpu.features.iter().filter(optional).filter(|_| here.host_features.is_none()) {
            list.push(format!(
                "cpu feature {}: it is there if the model has it, not if the host has it",
                feature.name
            ));
        }
    }
    for timer in &domain.clock.timers {
        let name = timer.name;
        add(list, timer.catchup.is_some(), format!("timer {name}: the limits of catching up"));
        add(list, timer.mode.is_some(), format!("timer {name}: its mode"));
        add(list, name == TimerName::Platform, format!("timer {name}"));
    }
}

fn disks(domain: &Domain, list: &mut Vec<String>) {
    for disk in &domain.devices.disks {
        let name = &disk.target.dev;
        let internal = disk.snapshot == Some(SnapshotMode::Internal);
        let missing = disk.startup_policy.is_some_and(|policy| policy != StartupPolicy::Mandatory);
        add(list, disk.transient, format!("disk {name}: changes are not discarded (<transient/>)"));
        add(list, internal, format!("disk {name}: no internal snapshots are made"));
        add(list, missing, format!("disk {name}: it must be there, whatever its startupPolicy"));
        add(list, disk.target.tray == Some(Tray::Open), format!("disk {name}: its tray starts closed"));
    }
}

fn interfaces(domain: &Domain, here: &Surroundings, list: &mut Vec<String>) {
    for (position, interface) in domain.devices.interfaces.iter().enumerate() {
        let id = ids::interface(&domain.devices.interfaces, position);
        let is_on = |switch: Option<Switch>| switch.is_some_and(Switch::is_on);
        let down = interface.link == Some(LinkState::Down) && !here.is_tuned;
        add(list, interface.script.is_some(), format!("interface {id}: its script is not run"));
        add(list, down, format!("interface {id}: its link starts up, not down"));
        add(
            list,
            is_on(interface.trust_guest_rx_filters),
            format!("interface {id}: the guest's receive filters do not reach the host's device"),
        );
        add(
            list,
            interface.coalesce_rx_frames.is_some(),
            format!("interface {id}: received frames are not coalesced"),
        );
        add(
            list,
            is_on(interface.isolated_port),
            format!("interface {id}: its port is not isolated from others on the bridge"),
        );
    }
}

fn displays(domain: &Domain, here: &Surroundings, list: &mut Vec<String>) {
    for (index, graphics) in domain.devices.graphics.iter().enumerate() {
        add(
            list,
            graphics.listens.len() > 1,
            format!("graphics{index}: it listens at its first address only"),
        );
        let password = match &graphics.kind {
            GraphicsKind::Vnc(vnc) => vnc.auth.password.is_some(),
            GraphicsKind::Spice(spice) => {
                let encrypted = spice.ports.tls_port.is_some() && here.displays.spice_tls_dir.is_none();
                add(
                    list,
                    encrypted,
                    format!("graphics{index}: no TLS port, this host has no certificates for it"),
                );
                spice.auth.password.is_some()
            }
            _ => false,
        };
        add(
            list,
            password && !here.is_tuned,
            format!("graphics{index}: its password is not set, so that nobody can connect"),
        );
    }
    for (index, video) in domain.devices.videos.iter().enumerate() {
        let is_vga = video.primary.map_or(index == 0, Switch::is_on);
        let options = video.driver == Some(VideoDriver::Vhostuser) && is_vga;
        let id = ids::numbered("video", index, &video.info);
        let lost = options && video.virtio != VirtioOptions::default();
        add(list, lost, format!("{id}: a vhost-user VGA card takes no virtio options"));
    }
}

/// What was decided in the domain's place.
pub(crate) fn notes(domain: &Domain, here: &Surroundings, firmware: &Firmware) -> Vec<String> {
    let mut notes = Vec::new();
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
        add(
            &mut notes,
            domain.os.nvram.is_some(),
            "an SEV-SNP guest has no flash: the NVRAM file is not used",
        );
        let copied = "the firmware is copied to memory (-bios), as SEV-SNP needs it";
        add(&mut notes, firmware.code.is_some(), copied);
    }
    notes
}
