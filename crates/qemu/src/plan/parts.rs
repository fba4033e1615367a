//! The parts of a command line, in the order in which QEMU gets them.

use domain::{Domain, model::cpu::ClockOffset};

use super::{Device, Firmware, Part, PlanError, Surroundings, boot_order::BootOrder};
use crate::argv::{
    Argument, KeyValues, Properties, balloon, boot, chardev::FdSets, clock, console, controller, disk,
    graphics, input, interface, iommu, iothread, machine, memory, notifier, rng, sysinfo, tpm, video, vsock,
    watchdog,
};

/// The guest's name, and the machine: firmware, processors, memory.
pub(super) fn machine_parts(
    domain: &Domain,
    here: &Surroundings,
    firmware: &Firmware,
    cpu: Argument,
    parts: &mut Vec<Part>,
) -> Result<(), PlanError> {
    let mut add = |argument: Argument| parts.push(argument.into());
    add(Argument::pairs(
        "-name",
        KeyValues::default().with("guest", &domain.name).switch("debug-threads", true),
    ));
    add(Argument::Flag("-S"));
    if let Some(file) = &here.master_key {
        let secret = Properties::object("secret", "masterKey0").with("format", "raw");
        add(Argument::object(secret.with("file", file.display().to_string())));
    }
    firmware.nodes().into_iter().for_each(&mut add);
    add(machine::machine(domain, firmware)?);
    add(machine::accelerator(domain));
    add(cpu);
    firmware.options().into_iter().for_each(&mut add);
    memory::memory(domain, here)?.into_iter().for_each(&mut add);
    add(machine::processors(domain)?);
    iothread::objects(domain).into_iter().for_each(&mut add);
    if let Some(uuid) = domain.uuid {
        add(Argument::Text("-uuid", uuid.to_string()));
    }
    sysinfo::tables(domain, here)?.into_iter().for_each(&mut add);
    sysinfo::files(domain).into_iter().for_each(&mut add);
    parts.extend(notifier::generation_id(domain, here)?.map(Part::from));
    Ok(())
}

/// What QEMU does with itself: no configuration but this, the monitor, the clock, how to boot.
pub(super) fn set_up_parts(
    domain: &Domain,
    here: &Surroundings,
    parts: &mut Vec<Part>,
) -> Result<(), PlanError> {
    let mut add = |argument: Argument| parts.push(argument.into());
    if domain.devices.graphics.is_empty() {
        add(Argument::Text("-display", "none".to_owned()));
    }
    add(Argument::Flag("-no-user-config"));
    add(Argument::Flag("-nodefaults"));
    let socket = KeyValues::bare("socket").with("id", "charmonitor").with("fd", here.fds.monitor.to_string());
    add(Argument::pairs("-chardev", socket.switch("server", true).switch("wait", false)));
    let monitor = KeyValues::default().with("chardev", "charmonitor").with("id", "monitor");
    add(Argument::pairs("-mon", monitor.with("mode", "control")));
    clock::clock(domain, here.clock)?.into_iter().for_each(&mut add);
    add(Argument::Flag("-no-shutdown"));
    machine::power_management(domain).into_iter().for_each(&mut add);
    boot::boot(domain).into_iter().for_each(&mut add);
    controller::globals(domain).into_iter().for_each(&mut add);
    Ok(())
}

pub(super) fn devices(domain: &Domain, here: &Surroundings) -> Result<Vec<Device>, PlanError> {
    let order = BootOrder::of(domain);
    let mut sets = FdSets::default();
    let mut devices = Vec::new();
    devices.extend(iommu::iommu(domain)?);
    devices.extend(controller::controllers(domain, order.floppies(domain))?);
    devices.extend(input::hubs(domain)?);
    let is_cdrom_drive = |path: &str| here.cdrom_drives.contains(path);
    devices.extend(disk::disks(domain, |disk| order.disk(disk), is_cdrom_drive)?);
    devices.extend(interface::interfaces(domain, here, |interface| order.interface(interface))?);
    devices.extend(console::serials(domain, here, &mut sets)?);
    devices.extend(console::channels(domain, here, &mut sets)?);
    devices.extend(console::consoles(domain, here, &mut sets)?);
    devices.extend(tpm::tpms(domain, here, &mut sets)?);
    devices.extend(input::inputs(domain)?);
    devices.extend(graphics::audios(domain));
    devices.extend(graphics::displays(domain, here)?);
    devices.extend(video::videos(domain, here)?);
    devices.extend(watchdog::watchdogs(domain)?);
    devices.extend(balloon::balloon(domain)?);
    devices.extend(rng::rngs(domain, here, &mut sets)?);
    devices.extend(notifier::vm_core_info(domain));
    devices.extend(vsock::vsock(domain, here)?);
    Ok(devices)
}

/// How QEMU is confined, and what comes last.
pub(super) fn end_parts(domain: &Domain, parts: &mut Vec<Part>) -> Result<(), PlanError> {
    let sandbox = KeyValues::bare("on")
        .with("obsolete", "deny")
        .with("elevateprivileges", "deny")
        .with("spawn", "deny")
        .with("resourcecontrol", "deny");
    parts.push(Argument::pairs("-sandbox", sandbox).into());
    parts.extend(notifier::panics(domain)?.into_iter().map(Part::from));
    if let Some(state) = domain.features.async_teardown {
        let value = KeyValues::default().with("async-teardown", state.on_off());
        parts.push(Argument::pairs("-run-with", value).into());
    }
    parts.push(Argument::pairs("-msg", KeyValues::default().switch("timestamp", true)).into());
    Ok(())
}

/// A clean environment: nothing of the service that starts QEMU leaks into it.
pub(super) fn environment(domain: &Domain, here: &Surroundings) -> Vec<(&'static str, String)> {
    let home = here.domain_dir.display().to_string();
    let below_home = |name: &str| here.domain_dir.join(name).display().to_string();
    let mut environment = vec![
        ("LC_ALL", "C".to_owned()),
        ("PATH", here.path.clone()),
        ("HOME", home),
        ("USER", here.user.clone()),
        ("LOGNAME", here.user.clone()),
        ("XDG_DATA_HOME", below_home(".local/share")),
        ("XDG_CACHE_HOME", below_home(".cache")),
        ("XDG_CONFIG_HOME", below_home(".config")),
    ];
    if let ClockOffset::Timezone { timezone } = &domain.clock.offset {
        environment.push(("TZ", timezone.clone()));
    }
    environment.extend(graphics::environment(domain, here));
    environment
}
