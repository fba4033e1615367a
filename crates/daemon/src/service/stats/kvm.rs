//! KVM's own figures of a guest and its vCPUs, as QEMU hands them on (since 7.1); an emulated guest has none.

use std::collections::BTreeMap;

use qemu::qmp::figures::{QueryCpusFast, QueryStats, QueryStatsSchemas, Stat, Stats};
use serde_json::Value;

use crate::service::params::Params;
use crate::vm::Guest;

/// How long KVM waited for interrupts of idle vCPUs, in nanoseconds: in vain or not.
pub(super) async fn halt_poll(guest: &Guest) -> [u64; 2] {
    let names = ["halt_poll_success_ns", "halt_poll_fail_ns"];
    let asked = QueryStats { target: "vcpu", names: Some(&names) };
    let all = guest.ask(asked).await.unwrap_or_default();
    let sum = |name| all.iter().map(|vcpu| vcpu.value(name)).fold(0u64, u64::saturating_add);
    names.map(sum)
}

/// The figures of vCPUs.
#[derive(Debug, Default)]
pub(super) struct Counted {
    kinds: Kinds,
    stats: Vec<Stats>,
    /// Where QEMU has each vCPU.
    paths: BTreeMap<u32, String>,
}

impl Counted {
    /// Those of one vCPU.
    pub(super) fn add(&self, params: &mut Params, index: u32) {
        let Some(path) = self.paths.get(&index) else { return };
        if let Some(found) = self.stats.iter().find(|stats| stats.qom_path.as_ref() == Some(path)) {
            self.kinds.add(params, &format!("vcpu.{index}"), &found.stats);
        }
    }
}

pub(super) async fn of_vcpus(guest: &Guest) -> Counted {
    let Some((kinds, stats)) = ask(guest, "vcpu").await else { return Counted::default() };
    let vcpus = guest.ask(QueryCpusFast).await.unwrap_or_default();
    let paths = vcpus.into_iter().map(|vcpu| (vcpu.cpu_index, vcpu.qom_path)).collect();
    Counted { kinds, stats, paths }
}

/// The figures of the guest as a whole.
pub(super) async fn of_guest(params: &mut Params, guest: &Guest) {
    let Some((kinds, stats)) = ask(guest, "vm").await else { return };
    for found in stats {
        kinds.add(params, "vm", &found.stats);
    }
}

async fn ask(guest: &Guest, target: &'static str) -> Option<(Kinds, Vec<Stats>)> {
    let schemas = guest.ask(QueryStatsSchemas).await.ok()?;
    let of_target = schemas.into_iter().filter(|schema| schema.target == target);
    let kinds = of_target.flat_map(|schema| schema.stats);
    let kinds: BTreeMap<_, _> = kinds.filter_map(|stat| Some((stat.name, ending(&stat.kind)?))).collect();
    if kinds.is_empty() {
        return None;
    }
    let stats = guest.ask(QueryStats { target, names: None }).await.ok()?;
    Some((Kinds(kinds), stats))
}

/// How a figure's name ends, by the kind that QEMU calls it. Histograms are not told.
fn ending(kind: &str) -> Option<&'static str> {
    match kind {
        "cumulative" => Some("sum"),
        "instant" => Some("cur"),
        "peak" => Some("max"),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Kinds(BTreeMap<String, &'static str>);

impl Kinds {
    fn add(&self, params: &mut Params, prefix: &str, figures: &[Stat]) {
        for figure in figures {
            let Some(ending) = self.0.get(&figure.name) else { continue };
            let name = format!("{prefix}.{}.{ending}", figure.name);
            match &figure.value {
                Value::Bool(value) => params.add(name, *value),
                value => params.add_some(name, value.as_u64()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rpc::remote::typed_param::{TypedParam, Value as Param};

    use super::*;

    #[test]
    fn figures_are_named_by_their_kind() {
        let kinds = [
            ("exits", "cumulative"),
            ("guest_mode", "instant"),
            ("rmap", "peak"),
            ("halts", "log2-histogram"),
        ];
        let kinds = kinds.into_iter().filter_map(|(name, kind)| Some((name.to_owned(), ending(kind)?)));
        let stat = |name: &str, value: Value| Stat { name: name.to_owned(), value };
        let figures = [
            stat("exits", 7.into()),
            stat("guest_mode", false.into()),
            stat("rmap", (-1).into()),
            stat("halts", vec![1, 2].into()),
            stat("unknown", 1.into()),
        ];
        let mut params = Params::default();
        Kinds(kinds.collect()).add(&mut params, "vcpu.0", &figures);
        let all: rpc::xdr::List<TypedParam<'static>, 16> = params.all();
        let shown: Vec<_> = all.iter().map(|param| (param.field.as_ref(), &param.value)).collect();
        assert_eq!(
            shown,
            [("vcpu.0.exits.sum", &Param::Ullong(7)), ("vcpu.0.guest_mode.cur", &Param::Boolean(false))]
        );
    }
}
