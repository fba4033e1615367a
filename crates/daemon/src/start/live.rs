//! The running domain: the definition with everything that was chosen at this start.

use domain::Domain;
use domain::model::graphics::{GraphicsKind, Ports};
use domain::model::launch_security::LaunchSecurity;
use qemu::plan::{Plan, PlanError, Surroundings, name_devices};

/// What of a domain is decided before QEMU runs; pseudo terminals are known only afterwards.
pub(super) fn running(domain: &Domain, plan: &Plan, here: &Surroundings) -> Result<Domain, PlanError> {
    let mut live = domain.clone();
    name_devices(&mut live)?;
    for graphics in &mut live.devices.graphics {
        match &mut graphics.kind {
            GraphicsKind::Vnc(vnc) => choose(&mut vnc.ports, here.displays.vnc_port.or(Some(5900))),
            GraphicsKind::Spice(spice) => choose(&mut spice.ports, here.displays.spice_port),
            _ => {}
        }
    }
    if let (Some(LaunchSecurity::Sev(sev)), Some(found)) = (&mut live.launch_security, here.sev) {
        sev.cbitpos.get_or_insert(found.cbitpos);
        sev.reduced_phys_bits.get_or_insert(found.reduced_phys_bits);
    }
    if let Some(variables) = &plan.firmware().variables
        && let Some(nvram) = &mut live.os.nvram
        && nvram.path.is_none()
    {
        nvram.path = variables.path.to_str().map(str::to_owned);
    }
    Ok(live)
}

fn choose(ports: &mut Ports, chosen: Option<u16>) {
    if ports.port.is_none_or(|port| port == 0) {
        ports.port = chosen;
    }
}
