//! Domains that start with the host.

use std::path::Path;
use std::sync::Arc;

use super::start::{How, start};
use crate::locked;
use crate::service::Service;
use crate::store::Autostart;
use crate::vm::boot;

/// Says in the run directory that the domains of this boot were started.
const MARKER: &str = "autostarted";

/// How many guests start at a time.
const AT_ONCE: usize = 4;

/// Starts the domains that are to start with the host, once in each boot: a daemon that starts again does not bring back
/// what was shut down meanwhile.
pub(in crate::service) async fn autostart(service: &Arc<Service>) {
    let marker = service.paths.run.join(MARKER);
    if !is_first_of_boot(&marker) {
        return;
    }
    let vms = service.domains.all().into_iter();
    let wanted = vms.filter(|vm| {
        let state = locked(&vm.state);
        (state.autostart || state.autostart_once) && state.guest.is_none()
    });
    let gate = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    for vm in wanted {
        let (service, gate) = (Arc::clone(service), Arc::clone(&gate));
        tokio::spawn(async move {
            let _turn = gate.acquire().await;
            if locked(&vm.state).autostart_once {
                let name = vm.name();
                let cleared = service.store.set_autostart(&name, Autostart::Once, false);
                match cleared {
                    Ok(()) => locked(&vm.state).autostart_once = false,
                    Err(error) => tracing::warn!(domain = %name, error = crate::chain(&error), "autostart"),
                }
            }
            if let Err(error) = start(&service, &vm, How::default()).await {
                tracing::error!(domain = %vm.name(), %error, "autostart failed");
                locked(&vm.state).messages.push(format!("autostart failed: {error}"));
            }
        });
    }
}

fn is_first_of_boot(marker: &Path) -> bool {
    let now = boot();
    if std::fs::read_to_string(marker).is_ok_and(|before| before == now) {
        return false;
    }
    if let Err(error) = std::fs::write(marker, now) {
        // Better not at all than at every start of the daemon.
        tracing::error!(marker = %marker.display(), %error, "no domain is started with the host");
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_autostart() {
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join(MARKER);
        assert!(is_first_of_boot(&marker));
        assert!(!is_first_of_boot(&marker));
        std::fs::write(&marker, "another boot").unwrap();
        assert!(is_first_of_boot(&marker));
        assert!(!is_first_of_boot(&directory.path().join("missing/marker")));
    }
}
