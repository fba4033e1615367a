//! `memtune`: limits of the guest's memory on the host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::model::memory::{Kib, MemTune};
use rpc::error::RemoteError;
use rpc::remote::common::{DomNparams, DomParams16, Params16Reply};

use crate::service::device::affect::{self, View, affected, check, invalid, op_invalid, unsupported, view};
use crate::service::device::config::{self, alone};
use crate::service::params::{Given, Params};
use crate::service::{Failure, Service};
use crate::systemd::Systemd;
use crate::vm::Guest;

/// `VIR_TYPED_PARAM_STRING_OKAY`.
const STRINGS: u32 = 4;

const HARD: &str = "hard_limit";
const SOFT: &str = "soft_limit";
const SWAP: &str = "swap_hard_limit";

/// `DOMAIN_GET_MEMORY_PARAMETERS`.
pub(crate) fn get_memory_parameters(
    service: &Service,
    args: &DomNparams<'_>,
) -> Result<Params16Reply<'static>, Failure> {
    check(args.flags, affect::LIVE | affect::CONFIG | STRINGS, "virDomainGetMemoryParameters")?;
    let vm = service.domains.of(&args.dom)?;
    let mut params = Params::default();
    let view = view(&vm, args.flags)?;
    let tune = match &view {
        View::Config(domain) => domain.memtune,
        // How many there are is known without the guest's control group.
        View::Live(..) if args.nparams == 0 => MemTune::default(),
        View::Live(guest, _) => live(guest)?,
    };
    for (name, limit) in [(HARD, tune.hard_limit), (SOFT, tune.soft_limit), (SWAP, tune.swap_hard_limit)] {
        params.add(name, limit.unwrap_or(MemTune::UNLIMITED).min(MemTune::UNLIMITED).0);
    }
    let (params, nparams) = params.counted(args.nparams);
    Ok(Params16Reply { params, nparams })
}

/// `DOMAIN_SET_MEMORY_PARAMETERS`.
pub(crate) async fn set_memory_parameters(
    service: &Arc<Service>,
    args: &DomParams16<'_>,
) -> Result<(), Failure> {
    check(args.flags, affect::LIVE | affect::CONFIG, "virDomainSetMemoryParameters")?;
    let mut given = Given::new(&args.params)?;
    let wanted = [given.ullong(HARD)?, given.ullong(SOFT)?, given.ullong(SWAP)?].map(|limit| limit.map(Kib));
    if given.ullong("min_guarantee")?.is_some() {
        return Err(unsupported("min_guarantee: QEMU has no such limit; set hard_limit"));
    }
    given.finish()?;
    let [hard, soft, swap] = wanted;
    let vm = service.domains.of(&args.dom)?;
    let (service, flags, this) = (Arc::clone(service), args.flags, Arc::clone(&vm));
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if let Some(guest) = &affected.live {
            set_live(guest, hard, soft, swap)?;
            tell_systemd(guest, hard, soft, swap).await;
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                let tune = &mut domain.memtune;
                check_order(hard.or(tune.hard_limit), swap.or(tune.swap_hard_limit))?;
                take(tune, hard, soft, swap);
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// What is given takes the place of what was; what is unlimited is no limit.
fn take(tune: &mut MemTune, hard: Option<Kib>, soft: Option<Kib>, swap: Option<Kib>) {
    let bounded = |limit: Kib| Some(limit).filter(|limit| *limit < MemTune::UNLIMITED);
    if let Some(hard) = hard {
        tune.hard_limit = bounded(hard);
    }
    if let Some(soft) = soft {
        tune.soft_limit = bounded(soft);
    }
    if let Some(swap) = swap {
        tune.swap_hard_limit = bounded(swap);
    }
}

fn check_order(hard: Option<Kib>, swap: Option<Kib>) -> Result<(), Failure> {
    match (hard, swap) {
        (hard, Some(swap)) if hard.unwrap_or(MemTune::UNLIMITED) > swap => {
            Err(invalid("memory hard_limit tunable value must be lower than or equal to swap_hard_limit"))
        }
        _ => Ok(()),
    }
}

/// The files of a guest's own control group.
#[derive(Debug)]
enum Group {
    V1(PathBuf),
    V2(PathBuf),
}

impl Group {
    /// That of the guest; an error where it shares the daemon's, whose limits are not the guest's.
    fn of(guest: &Guest) -> Result<Self, Failure> {
        let own = crate::cgroup::of_process(guest.pid());
        let shared = crate::cgroup::of_process(std::process::id());
        let none = || op_invalid("cgroup memory controller is not mounted");
        let path = own.filter(|own| Some(own) != shared.as_ref()).ok_or_else(none)?;
        if path.join("memory.max").exists() {
            Ok(Self::V2(path))
        } else if path.join("memory.limit_in_bytes").exists() {
            Ok(Self::V1(path))
        } else {
            Err(none())
        }
    }

    fn limit(&self, name: &str) -> io::Result<Option<Kib>> {
        let read = |path: &Path, file: &str| fs::read_to_string(path.join(file)).map(|text| parse(&text));
        match (self, name) {
            (Self::V2(path), HARD) => read(path, "memory.max"),
            (Self::V2(path), SOFT) => read(path, "memory.high"),
            (Self::V2(path), _) => {
                let swap = read(path, "memory.swap.max").unwrap_or(None);
                let hard = read(path, "memory.max")?;
                // There the limit of swap is without that of memory.
                Ok(swap.zip(hard).map(|(swap, hard)| Kib(swap.0.saturating_add(hard.0))))
            }
            (Self::V1(path), HARD) => read(path, "memory.limit_in_bytes"),
            (Self::V1(path), SOFT) => read(path, "memory.soft_limit_in_bytes"),
            (Self::V1(path), _) => read(path, "memory.memsw.limit_in_bytes").or(Ok(None)),
        }
    }

    fn set(&self, name: &str, limit: Kib, hard: Option<Kib>) -> io::Result<()> {
        let unlimited = limit >= MemTune::UNLIMITED;
        match self {
            Self::V1(path) => {
                let file = match name {
                    HARD => "memory.limit_in_bytes",
                    SOFT => "memory.soft_limit_in_bytes",
                    _ => "memory.memsw.limit_in_bytes",
                };
                let text = if unlimited { "-1".to_owned() } else { limit.bytes().to_string() };
                fs::write(path.join(file), text)
            }
            Self::V2(path) => {
                let (file, limit) = match name {
                    HARD => ("memory.max", limit),
                    SOFT => ("memory.high", limit),
                    _ => ("memory.swap.max", Kib(limit.0.saturating_sub(hard.unwrap_or_default().0))),
                };
                let text = if unlimited { "max".to_owned() } else { limit.bytes().to_string() };
                fs::write(path.join(file), text)
            }
        }
    }
}

/// `max`, or bytes; what the kernel calls unlimited is a number near the largest.
fn parse(text: &str) -> Option<Kib> {
    let bytes: u64 = text.trim().parse().ok()?;
    Some(Kib(bytes / 1024)).filter(|limit| limit.0 < MemTune::UNLIMITED.0 / 2)
}

fn live(guest: &Guest) -> Result<MemTune, Failure> {
    let group = Group::of(guest)?;
    let limit = |name| group.limit(name).map_err(|error| group_failed("read", name, &error));
    Ok(MemTune {
        hard_limit: limit(HARD)?,
        soft_limit: limit(SOFT)?,
        min_guarantee: None,
        swap_hard_limit: limit(SWAP)?,
    })
}

fn group_failed(what: &str, name: &str, error: &io::Error) -> Failure {
    Box::new(RemoteError::system_error(format!("cannot {what} {name} of the guest's control group: {error}")))
}

/// Where the group is a scope of systemd's, that must know of its limits, or would set its own again.
async fn tell_systemd(guest: &Guest, hard: Option<Kib>, soft: Option<Kib>, swap: Option<Kib>) {
    let Ok(Group::V2(path)) = Group::of(guest) else { return };
    let unit = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".scope"));
    let (Some(unit), Some(systemd)) = (unit.map(str::to_owned), Systemd::find()) else { return };
    let bytes = |limit: Kib| if limit >= MemTune::UNLIMITED { u64::MAX } else { limit.bytes() };
    let hard_now = hard.or_else(|| live(guest).ok()?.hard_limit).unwrap_or_default();
    let swap = swap
        .map(|swap| if swap >= MemTune::UNLIMITED { swap } else { Kib(swap.0.saturating_sub(hard_now.0)) });
    let given = [("MemoryMax", hard), ("MemoryHigh", soft), ("MemorySwapMax", swap)];
    let limits: Vec<_> = given.into_iter().filter_map(|(name, limit)| Some((name, bytes(limit?)))).collect();
    let told = tokio::task::spawn_blocking(move || systemd.set_limits(&unit, &limits)).await;
    if let Ok(Err(error)) = told {
        tracing::warn!(error = crate::chain(&error), "systemd does not know of a guest's new limits");
    }
}

fn set_live(guest: &Guest, hard: Option<Kib>, soft: Option<Kib>, swap: Option<Kib>) -> Result<(), Failure> {
    let group = Group::of(guest)?;
    let before = live(guest)?;
    check_order(hard.or(before.hard_limit), swap.or(before.swap_hard_limit))?;
    refuse_too_little(guest, hard)?;
    let hard_now = hard.or(before.hard_limit);
    // The limit of both together is never below that of memory: which comes first depends on where they go.
    let grows = swap.is_some_and(|swap| swap >= before.swap_hard_limit.unwrap_or(MemTune::UNLIMITED));
    let mut steps = [(HARD, hard), (SOFT, soft), (SWAP, swap)];
    if grows {
        steps.reverse();
    }
    for (name, limit) in steps {
        if let Some(limit) = limit {
            group.set(name, limit, hard_now).map_err(|error| group_failed("set", name, &error))?;
        }
    }
    guest.note_live(|live| take(&mut live.memtune, hard, soft, swap));
    Ok(())
}

/// A confidential guest's memory is pinned: a limit below it does not shrink the guest, it kills it.
fn refuse_too_little(guest: &Guest, hard: Option<Kib>) -> Result<(), Failure> {
    let Some(technology) = guest.technology() else { return Ok(()) };
    let memory = guest.live().memory;
    match hard {
        Some(hard) if hard < memory => Err(unsupported(format!(
            "{technology} guests' memory is pinned: a hard_limit of {} KiB is below the {} KiB that the guest has, \
             and the kernel would kill it",
            hard.0, memory.0
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_either_version_are_read_and_set() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let file = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let v2 = Group::V2(path.clone());
        for (name, text) in
            [("memory.max", "2147483648\n"), ("memory.high", "max\n"), ("memory.swap.max", "1048576")]
        {
            fs::write(path.join(name), text).unwrap();
        }
        assert_eq!(v2.limit(HARD).unwrap(), Some(Kib(2 << 20)));
        assert_eq!(v2.limit(SOFT).unwrap(), None);
        assert_eq!(v2.limit(SWAP).unwrap(), Some(Kib((2 << 20) + 1024)));
        v2.set(HARD, Kib(1024), None).unwrap();
        v2.set(SOFT, MemTune::UNLIMITED, None).unwrap();
        v2.set(SWAP, Kib(4096), Some(Kib(1024))).unwrap();
        assert_eq!(file("memory.max"), "1048576");
        assert_eq!(file("memory.high"), "max");
        assert_eq!(file("memory.swap.max"), (3072 * 1024).to_string());
        let v1 = Group::V1(path.clone());
        fs::write(path.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!(v1.limit(HARD).unwrap(), None);
        assert_eq!(v1.limit(SWAP).unwrap(), None);
        v1.set(HARD, Kib(2), None).unwrap();
        assert_eq!(file("memory.limit_in_bytes"), "2048");
    }

    #[test]
    fn swap_is_not_less_than_memory() {
        assert!(check_order(Some(Kib(3)), Some(Kib(2))).is_err());
        assert!(check_order(None, Some(Kib(2))).is_err());
        assert!(check_order(Some(Kib(2)), Some(Kib(2))).is_ok());
        assert!(check_order(Some(Kib(2)), None).is_ok());
    }
}
