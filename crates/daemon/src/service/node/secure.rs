//! What the AMD secure processor shows of itself, for whoever opens sessions with it.

use std::path::Path;
use std::sync::Arc;

use qemu::domain_caps::Guests;
use rpc::error::RemoteError;
use rpc::remote::common::{Nparams, Params64Reply};
use rpc::remote::typed_param::TypedParam;

use super::no_flags;
use crate::service::{Failure, Service, blocking};
use crate::start::DEFAULT_EMULATOR;

/// What libvirt calls it when no security module labels guests.
pub(super) const NO_MODULE: &str = "none";

/// `VIR_TYPED_PARAM_STRING_OKAY`.
const STRINGS: u32 = 4;

/// Asked anew at every call: a platform's owner can renew its keys without a trace. The number of parameters that the
/// client has room for is not looked at, since libvirt's clients always say none.
pub(in crate::service) async fn sev_info(
    service: &Arc<Service>,
    args: &Nparams,
) -> Result<Params64Reply<'static>, Failure> {
    no_flags(args.flags, STRINGS, "qemuNodeGetSEVInfo")?;
    blocking(service, |service| {
        let emulator = Path::new(DEFAULT_EMULATOR);
        let known = service.host.caps(emulator)?;
        let refused = |reason: &str| {
            let words = format!("QEMU does not support SEV guest ({})", reason.trim_end_matches('.'));
            Box::new(RemoteError::operation_unsupported(words))
        };
        known.sev.as_ref().map_err(|reason| refused(reason))?;
        let sev = service.host.ask(emulator)?.sev.map_err(|reason| refused(&reason))?;
        let leaf = service.host.facts().cpu.memory_encryption.known().copied();
        let guests =
            leaf.map_or_else(Guests::default, |leaf| Guests::of_asids(leaf.asids, leaf.min_sev_asid));
        let mut params = vec![TypedParam::new("pdh", sev.pdh), TypedParam::new("cert-chain", sev.cert_chain)];
        params.extend(sev.cpu0_id.map(|id| TypedParam::new("cpu0-id", id)));
        params.extend([
            TypedParam::new("cbitpos", sev.cbitpos),
            TypedParam::new("reduced-phys-bits", sev.reduced_phys_bits),
            TypedParam::new("max-guests", guests.sev),
            TypedParam::new("max-es-guests", guests.sev_es),
        ]);
        let nparams = i32::try_from(params.len()).unwrap_or_default();
        Ok(Params64Reply { params: params.into(), nparams })
    })
    .await
}
