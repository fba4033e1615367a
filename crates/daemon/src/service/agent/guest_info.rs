//! `guestinfo`: what the agent says of its guest, as typed parameters by libvirt's names.

use domain::Domain;
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::common::DomNumberFlags;
use rpc::remote::typed_param;
use serde_json::Value;

use super::ask;
use super::calls::{target, text};
use crate::service::device::affect::check;
use crate::service::params::Params;
use crate::service::{Failure, Service};

/// `virDomainGuestInfoTypes` with the command of each.
const KINDS: [(u32, &str); 8] = [
    (1, "guest-get-users"),
    (2, "guest-get-osinfo"),
    (4, "guest-get-timezone"),
    (8, "guest-get-host-name"),
    (16, "guest-get-fsinfo"),
    (32, "guest-get-disks"),
    (64, "guest-network-get-interfaces"),
    (128, "guest-get-load"),
];

/// More of one kind than this is not told.
const MOST: usize = 256;

/// `DOMAIN_GET_GUEST_INFO`. Where nobody says what is wanted, what the agent cannot tell is left out.
pub(crate) async fn guest_info(
    service: &Service,
    args: &DomNumberFlags<'_>,
) -> Result<typed_param::Params<'static, 2048>, Failure> {
    check(args.flags, 0, "virDomainGetGuestInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let live = vm.running()?.live();
    let known = KINDS.iter().fold(0, |all, (bit, _)| all | bit);
    if args.number & !known != 0 {
        let detail = format!("guest info types bits {:#x} are not supported", args.number & !known);
        return Err(Box::new(RemoteError::new(Code::ARGUMENT_UNSUPPORTED, Origin::QEMU, detail)));
    }
    let wanted = if args.number == 0 { known } else { args.number };
    let mut params = Params::default();
    for (bit, command) in KINDS.into_iter().filter(|(bit, _)| wanted & bit != 0) {
        match ask(service, &vm, command, None).await {
            Ok(told) => add(&mut params, bit, &told, &live),
            Err(error) if args.number == 0 && error.code == Code::OPERATION_UNSUPPORTED => {}
            Err(error) => return Err(error),
        }
    }
    Ok(params.all())
}

fn add(params: &mut Params, kind: u32, told: &Value, live: &Domain) {
    match kind {
        1 => each(params, "user", told.as_array(), |params, prefix, user| {
            params.add_some(format!("{prefix}.name"), text(user, "user"));
            params.add_some(format!("{prefix}.domain"), text(user, "domain"));
            let seconds = user.get("login-time").and_then(Value::as_f64);
            params.add_some(format!("{prefix}.login-time"), seconds.and_then(milliseconds));
        }),
        2 => {
            for name in [
                "id",
                "name",
                "pretty-name",
                "version",
                "version-id",
                "machine",
                "variant",
                "variant-id",
                "kernel-release",
                "kernel-version",
            ] {
                params.add_some(format!("os.{name}"), text(told, name));
            }
        }
        4 => {
            params.add_some("timezone.name", text(told, "zone"));
            params.add_some("timezone.offset", told.get("offset").and_then(Value::as_i64).and_then(small));
        }
        8 => params.add_some("hostname", text(told, "host-name")),
        16 => each(params, "fs", told.as_array(), |params, prefix, system| {
            params.add_some(format!("{prefix}.name"), text(system, "name"));
            params.add_some(format!("{prefix}.mountpoint"), text(system, "mountpoint"));
            params.add_some(format!("{prefix}.fstype"), text(system, "type"));
            let bytes = |key: &str| system.get(key).and_then(Value::as_u64);
            params.add_some(format!("{prefix}.total-bytes"), bytes("total-bytes"));
            params.add_some(format!("{prefix}.used-bytes"), bytes("used-bytes"));
            let disks = system.get("disk").and_then(Value::as_array);
            each(params, &format!("{prefix}.disk"), disks, |params, prefix, disk| {
                params.add_some(format!("{prefix}.alias"), target(live, disk));
                params.add_some(format!("{prefix}.serial"), text(disk, "serial"));
                params.add_some(format!("{prefix}.device"), text(disk, "dev"));
            });
        }),
        32 => each(params, "disk", told.as_array(), |params, prefix, disk| {
            params.add_some(format!("{prefix}.name"), text(disk, "name"));
            params.add_some(format!("{prefix}.partition"), disk.get("partition").and_then(Value::as_bool));
            if let Some(address) = disk.get("address") {
                params.add_some(format!("{prefix}.serial"), text(address, "serial"));
                params.add_some(format!("{prefix}.alias"), target(live, address));
            }
            params.add_some(format!("{prefix}.guest_alias"), text(disk, "alias"));
        }),
        64 => each(params, "if", told.as_array(), |params, prefix, found| {
            params.add_some(format!("{prefix}.name"), text(found, "name"));
            params.add_some(format!("{prefix}.hwaddr"), text(found, "hardware-address"));
            let addresses = found.get("ip-addresses").and_then(Value::as_array);
            each(params, &format!("{prefix}.addr"), addresses, |params, prefix, address| {
                params.add_some(format!("{prefix}.type"), text(address, "ip-address-type"));
                params.add_some(format!("{prefix}.addr"), text(address, "ip-address"));
                let length = address.get("prefix").and_then(Value::as_u64);
                let length = length.and_then(|length| u32::try_from(length).ok());
                params.add_some(format!("{prefix}.prefix"), length);
            });
        }),
        _ => {
            for (name, key) in [("load.1m", "load1m"), ("load.5m", "load5m"), ("load.15m", "load15m")] {
                params.add_some(name, told.get(key).and_then(Value::as_f64));
            }
        }
    }
}

/// How many there are, and of each what `one` says.
fn each(
    params: &mut Params,
    prefix: &str,
    all: Option<&Vec<Value>>,
    mut one: impl FnMut(&mut Params, &str, &Value),
) {
    let Some(all) = all else { return };
    let all = all.get(..MOST.min(all.len())).unwrap_or_default();
    params.add(format!("{prefix}.count"), u32::try_from(all.len()).unwrap_or(u32::MAX));
    for (index, value) in all.iter().enumerate() {
        one(params, &format!("{prefix}.{index}"), value);
    }
}

fn small(number: i64) -> Option<i32> {
    i32::try_from(number).ok()
}

/// Seconds since 1970, as the agent tells them, in milliseconds.
fn milliseconds(seconds: f64) -> Option<u64> {
    let whole = std::time::Duration::try_from_secs_f64(seconds).ok()?.as_millis();
    u64::try_from(whole).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: u32, told: &Value, expected: &[&str]) {
        let mut params = Params::default();
        add(&mut params, kind, told, &Domain::default());
        let all: typed_param::Params<'_, 2048> = params.all();
        let said: Vec<String> =
            all.iter().map(|param| format!("{}={:?}", param.field, param.value)).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn each_kind_has_libvirts_names() {
        check(
            1,
            &json!([{"user": "root", "login-time": 1_700_000_000.25}]),
            &[
                "user.count=Uint(1)",
                "user.0.name=String(\"root\")",
                "user.0.login-time=Ullong(1700000000250)",
            ],
        );
        check(
            4,
            &json!({"zone": "UTC", "offset": 0}),
            &["timezone.name=String(\"UTC\")", "timezone.offset=Int(0)"],
        );
        check(
            64,
            &json!([{"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1",
                "prefix": 8}]}]),
            &[
                "if.count=Uint(1)",
                "if.0.name=String(\"lo\")",
                "if.0.addr.count=Uint(1)",
                "if.0.addr.0.type=String(\"ipv4\")",
                "if.0.addr.0.addr=String(\"127.0.0.1\")",
                "if.0.addr.0.prefix=Uint(8)",
            ],
        );
    }

    #[test]
    fn what_a_hostile_agent_says_is_bounded() {
        let many: Vec<Value> = (0..5000).map(|_| json!({"user": "x".repeat(9000)})).collect();
        let mut params = Params::default();
        add(&mut params, 1, &Value::from(many), &Domain::default());
        let all: typed_param::Params<'_, 2048> = params.all();
        assert_eq!(all.len(), 257);
        check(1, &json!({"not": "a list"}), &[]);
        check(1, &json!([{"login-time": -1.0}, 7]), &["user.count=Uint(2)"]);
    }
}
