//! Names of CPU models.

use std::path::Path;
use std::sync::Arc;

use qemu::domain_caps::is_offered_model;
use rpc::error::RemoteError;
use rpc::remote::connect::CpuModelNamesReply;

use super::no_flags;
use crate::service::{Failure, Service, blocking};
use crate::start::DEFAULT_EMULATOR;

/// Architectures by libvirt's names (`virArch`).
pub(super) const ARCHITECTURES: [&str; 35] = [
    "alpha",
    "armv6l",
    "armv7l",
    "armv7b",
    "aarch64",
    "cris",
    "i686",
    "ia64",
    "lm32",
    "loongarch64",
    "m68k",
    "microblaze",
    "microblazeel",
    "mips",
    "mipsel",
    "mips64",
    "mips64el",
    "or32",
    "parisc",
    "parisc64",
    "ppc",
    "ppc64",
    "ppc64le",
    "ppcemb",
    "riscv32",
    "riscv64",
    "s390",
    "s390x",
    "sh4",
    "sh4eb",
    "sparc",
    "sparc64",
    "unicore32",
    "x86_64",
    "xtensa",
];

/// The models that the emulator has and that domains can name.
pub(in crate::service) async fn cpu_model_names(
    service: &Arc<Service>,
    arch: String,
    need_results: bool,
    flags: u32,
) -> Result<CpuModelNamesReply<'static>, Failure> {
    no_flags(flags, 0, "qemuConnectGetCPUModelNames")?;
    if !ARCHITECTURES.contains(&arch.as_str()) {
        return Err(Box::new(RemoteError::invalid_arg(format!("cannot find architecture {arch}"))));
    }
    blocking(service, move |service| {
        let mut names: Vec<String> = Vec::new();
        if matches!(arch.as_str(), "x86_64" | "i686") {
            let caps = service.host.caps(Path::new(DEFAULT_EMULATOR))?;
            let offered = caps.cpu_models.iter().filter(|model| is_offered_model(model));
            names.extend(offered.map(|model| model.name.clone()));
        }
        let ret = i32::try_from(names.len()).unwrap_or(i32::MAX);
        let wanted = names.into_iter().filter(|_| need_results);
        Ok(CpuModelNamesReply { models: wanted.map(Into::into).collect(), ret })
    })
    .await
}
