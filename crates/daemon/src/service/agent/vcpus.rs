//! Which vCPUs a guest uses, by its agent.

use std::collections::BTreeMap;

use rpc::remote::common::DomFlags;
use rpc::remote::tune::SetVcpuArgs;
use rpc::remote::typed_param;
use serde_json::{Value, json};

use super::ask;
use super::calls::malformed;
use crate::service::device::affect::{check, internal, invalid};
use crate::service::domains::Vm;
use crate::service::params::Params;
use crate::service::tune::Cpus;
use crate::service::{Failure, Service};

/// A vCPU as the guest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vcpu {
    online: bool,
    can_offline: bool,
}

/// The guest's vCPUs by their numbers in the guest.
type Vcpus = BTreeMap<usize, Vcpu>;

async fn vcpus(service: &Service, vm: &Vm) -> Result<Vcpus, Failure> {
    let told = ask(service, vm, "guest-get-vcpus", None).await?;
    let all = told.as_array().ok_or_else(|| malformed("guest-get-vcpus"))?;
    Ok(all.iter().filter_map(vcpu).collect())
}

fn vcpu(told: &Value) -> Option<(usize, Vcpu)> {
    let is = |key: &str| told.get(key).and_then(Value::as_bool).unwrap_or_default();
    let id = usize::try_from(told.get("logical-id")?.as_u64()?).ok()?;
    Some((id, Vcpu { online: is("online"), can_offline: is("can-offline") }))
}

/// Has the guest use a vCPU, or no more, as `wanted` says.
///
/// The agent may do a part of it and say how much (qga-schema, `guest-set-vcpus`): the rest is asked for again.
async fn set(service: &Service, vm: &Vm, wanted: &[(usize, bool)]) -> Result<(), Failure> {
    let mut rest = wanted;
    while !rest.is_empty() {
        let list: Vec<Value> =
            rest.iter().map(|(id, online)| json!({ "logical-id": id, "online": online })).collect();
        let told = ask(service, vm, "guest-set-vcpus", Some(json!({ "vcpus": list }))).await?;
        let done = told.as_u64().and_then(|done| usize::try_from(done).ok());
        rest = match done.filter(|done| *done > 0).and_then(|done| rest.get(done..)) {
            Some(rest) => rest,
            None => return Err(internal("guest agent failed to set the online state of its vCPUs")),
        };
    }
    Ok(())
}

/// `DOMAIN_SET_VCPUS_FLAGS` with `VIR_DOMAIN_VCPU_GUEST`: the guest uses that many of those that it has.
pub(crate) async fn set_vcpu_count(service: &Service, vm: &Vm, count: u32) -> Result<(), Failure> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let wanted = towards(&vcpus(service, vm).await?, count)?;
    set(service, vm, &wanted).await
}

/// What to change so that `count` vCPUs are online: the first that are not, or the last that can be done without.
fn towards(vcpus: &Vcpus, count: usize) -> Result<Vec<(usize, bool)>, Failure> {
    let online = vcpus.values().filter(|vcpu| vcpu.online).count();
    if count > vcpus.len() {
        return Err(invalid(format!(
            "requested vcpu count is greater than the count of enabled vcpus in the domain: {count} > {}",
            vcpus.len()
        )));
    }
    let (wanted, missing): (Vec<_>, usize) = if count >= online {
        let off = vcpus.iter().filter(|(_, vcpu)| !vcpu.online);
        (off.map(|(id, _)| (*id, true)).collect(), count - online)
    } else {
        let spare = vcpus.iter().rev().filter(|(_, vcpu)| vcpu.online && vcpu.can_offline);
        (spare.map(|(id, _)| (*id, false)).collect(), online - count)
    };
    match wanted.get(..missing) {
        Some(wanted) => Ok(wanted.to_vec()),
        None => Err(internal("Cannot offline enough CPUs")),
    }
}

/// `DOMAIN_GET_GUEST_VCPUS`: lists of those that the guest has, uses, and could stop using.
pub(crate) async fn guest_vcpus(
    service: &Service,
    args: &DomFlags<'_>,
) -> Result<typed_param::Params<'static, 64>, Failure> {
    check(args.flags, 0, "virDomainGetGuestVcpus")?;
    let vm = service.domains.of(&args.dom)?;
    let all = vcpus(service, &vm).await?;
    let list = |is_in: fn(&Vcpu) -> bool| {
        Cpus::of(all.iter().filter(|(_, vcpu)| is_in(vcpu)).map(|(id, _)| *id)).list()
    };
    let mut params = Params::default();
    params.add("vcpus", list(|_| true));
    params.add("online", list(|vcpu| vcpu.online));
    params.add("offlinable", list(|vcpu| vcpu.can_offline));
    Ok(params.all())
}

/// `DOMAIN_SET_GUEST_VCPUS`: has the guest use those of a list, or no more.
pub(crate) async fn set_guest_vcpus(service: &Service, args: &SetVcpuArgs<'_>) -> Result<(), Failure> {
    check(args.flags, 0, "virDomainSetGuestVcpus")?;
    let online = match args.state {
        0 => false,
        1 => true,
        state => return Err(invalid(format!("unsupported state value {state}"))),
    };
    let list = Cpus::parse(&args.cpumap)
        .ok_or_else(|| invalid(format!("failed to parse the list of vCPUs '{}'", args.cpumap)))?;
    let vm = service.domains.of(&args.dom)?;
    let wanted = switched(&vcpus(service, &vm).await?, &list, online)?;
    set(service, &vm, &wanted).await
}

/// What to change so that all of a list are online, or none.
fn switched(vcpus: &Vcpus, list: &Cpus, online: bool) -> Result<Vec<(usize, bool)>, Failure> {
    let missing: Vec<usize> = list.iter().filter(|id| !vcpus.contains_key(id)).collect();
    if !missing.is_empty() {
        return Err(invalid(format!("guest is missing vCPUs '{}'", Cpus::of(missing.into_iter()).list())));
    }
    let mut wanted = Vec::new();
    for (id, vcpu) in vcpus.iter().filter(|(id, vcpu)| list.contains(**id) && vcpu.online != online) {
        if !online && !vcpu.can_offline {
            return Err(invalid(format!("vCPU '{id}' is not offlinable")));
        }
        wanted.push((*id, online));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Vcpus {
        let told = json!([
            {"logical-id": 0, "online": true, "can-offline": false},
            {"logical-id": 1, "online": true, "can-offline": true},
            {"logical-id": 2, "online": false, "can-offline": true},
            {"logical-id": 3, "online": true, "can-offline": true},
            {"online": true}]);
        told.as_array().unwrap().iter().filter_map(vcpu).collect()
    }

    #[test]
    fn a_count_is_reached_from_either_side() {
        let towards = |count| towards(&four(), count).map_err(|error| error.to_string());
        assert_eq!(towards(4), Ok(vec![(2, true)]));
        assert_eq!(towards(3), Ok(vec![]));
        assert_eq!(towards(1), Ok(vec![(3, false), (1, false)]));
        assert_eq!(towards(0).unwrap_err(), "internal error: Cannot offline enough CPUs");
        assert!(towards(5).unwrap_err().ends_with("5 > 4"));
    }

    #[test]
    fn a_list_is_switched_where_it_is_not_yet_so() {
        let switched = |list: &str, online| {
            switched(&four(), &Cpus::parse(list).unwrap(), online).map_err(|error| error.to_string())
        };
        assert_eq!(switched("1-3", true), Ok(vec![(2, true)]));
        assert_eq!(switched("1-2", false), Ok(vec![(1, false)]));
        assert_eq!(switched("0", false).unwrap_err(), "invalid argument: vCPU '0' is not offlinable");
        assert_eq!(switched("2,7-8", true).unwrap_err(), "invalid argument: guest is missing vCPUs '7-8'");
    }
}
