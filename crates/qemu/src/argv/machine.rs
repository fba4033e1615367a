//! The machine: `-machine`, `-accel`, `-smp`, power management.

use domain::{
    Domain,
    model::{DomainKind, Switch, cpu::TimerName, features::IoapicDriver},
};

use super::{Argument, KeyValues};
use crate::plan::{PlanError, firmware::Firmware, ids};

/// `-machine`.
pub(crate) fn machine(domain: &Domain, firmware: &Firmware) -> Result<Argument, PlanError> {
    let features = &domain.features;
    let kind = domain.os.machine.as_deref().ok_or(PlanError::NoMachine)?;
    let smm = features.smm.map(|smm| smm.state.on_off()).or_else(|| firmware.requires_smm.then_some("on"));
    let irqchip = features.ioapic.map(|driver| match driver {
        IoapicDriver::Kvm => "on",
        IoapicDriver::Qemu => "split",
    });
    let hpet = domain.clock.timers.iter().find(|timer| timer.name == TimerName::Hpet);
    let value = KeyValues::bare(kind)
        .with("usb", "off")
        .with_some("vmport", features.vmport.map(Switch::on_off))
        .with_some("smm", smm)
        .with_some("kernel_irqchip", irqchip)
        .with_some("i8042", features.ps2.map(Switch::on_off))
        .switch("dump-guest-core", domain.dump_core.is_some_and(Switch::is_on))
        .with_some("mem-merge", domain.memory_backing.nosharepages.then_some("off"))
        .with("memory-backend", "pc.ram")
        .with_some("confidential-guest-support", domain.launch_security.as_ref().map(|_| super::sev::ID))
        .with_some("pflash0", firmware.code_node())
        .with_some("pflash1", firmware.variables_node())
        .with_some("hpet", hpet.and_then(|timer| timer.present).map(Switch::on_off))
        .switch("acpi", features.acpi);
    Ok(Argument::pairs("-machine", value))
}

/// `-accel`.
pub(crate) fn accelerator(domain: &Domain) -> Argument {
    let value = match domain.kind {
        DomainKind::Qemu => KeyValues::bare("tcg"),
        DomainKind::Kvm => {
            let ring = domain.features.kvm.as_ref().and_then(|kvm| kvm.dirty_ring);
            let size = ring.filter(|ring| ring.state.is_on()).and_then(|ring| ring.size);
            KeyValues::bare("kvm").with_some("dirty-ring-size", size.map(|size| size.to_string()))
        }
    };
    Argument::pairs("-accel", value)
}

/// `-smp`.
pub(crate) fn processors(domain: &Domain) -> Result<Argument, PlanError> {
    let most = domain.vcpu.count;
    let present = domain.vcpu.current.unwrap_or(most);
    if present == 0 || present > most {
        return Err(PlanError::BadVcpus { present, most });
    }
    let value = KeyValues::bare(present.to_string())
        .with_some("maxcpus", (present != most).then(|| most.to_string()));
    let value = match domain.cpu.as_ref().and_then(|cpu| cpu.topology) {
        None => value.with("sockets", most.to_string()).with("cores", "1").with("threads", "1"),
        Some(topology) => value
            .with("sockets", topology.sockets.to_string())
            .with("dies", topology.dies.to_string())
            .with("clusters", topology.clusters.to_string())
            .with("cores", topology.cores.to_string())
            .with("threads", topology.threads.to_string()),
    };
    Ok(Argument::pairs("-smp", value))
}

/// Whether the guest may be suspended, `-global ICH9-LPC.disable_s3=1`.
pub(crate) fn power_management(domain: &Domain) -> Vec<Argument> {
    let bridge = if ids::is_q35(domain) { "ICH9-LPC" } else { "PIIX4_PM" };
    let states = [("s3", domain.pm.suspend_to_mem), ("s4", domain.pm.suspend_to_disk)];
    let globals = states.into_iter().filter_map(|(state, enabled)| {
        let disable = u8::from(!enabled?.is_on());
        Some(Argument::Text("-global", format!("{bridge}.disable_{state}={disable}")))
    });
    globals.collect()
}
