//! `blkdeviotune`: how much a guest may do with a disk in a second. QEMU holds it to that.

use std::sync::Arc;

use domain::Domain;
use domain::model::disk::{Disk, IoTune};
use qemu::qmp::device::BlockSetIoThrottle;
use qemu::qmp::figures::QueryBlock;
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::block::{GetBlockIoTuneArgs, SetBlockIoTuneArgs};
use rpc::remote::common::Params32Reply;
use rpc::remote::typed_param::Value;

use crate::service::device::affect::{self, View, affected, check, config_unsupported, invalid, view};
use crate::service::device::config::{self, alone};
use crate::service::events::Happening;
use crate::service::params::{Given, Params};
use crate::service::{Failure, Service, stats};
use crate::vm::Guest;

const IMPACT: u32 = affect::LIVE | affect::CONFIG;
/// `VIR_TYPED_PARAM_STRING_OKAY`.
const STRINGS: u32 = 4;

const GROUP: &str = "group_name";

/// The most that QEMU takes.
const MOST: u64 = 1_000_000_000_000_000;

/// What is set together, by how many of [`IoTune::NAMES`], in their order: who sets one sets the others to nothing.
const TOGETHER: [usize; 7] = [3, 3, 3, 3, 1, 3, 3];

/// `DOMAIN_GET_BLOCK_IO_TUNE`.
pub(crate) fn get_block_io_tune(
    service: &Service,
    args: &GetBlockIoTuneArgs<'_>,
) -> Result<Params32Reply<'static>, Failure> {
    check(args.flags, IMPACT | STRINGS, "virDomainGetBlockIoTune")?;
    let vm = service.domains.of(&args.dom)?;
    let view = view(&vm, args.flags)?;
    let disk = match &args.disk {
        None => None,
        Some(name) => Some(stats::find_disk(view.domain(), name).ok_or_else(|| match view {
            View::Live(..) => not_found(name),
            View::Config(_) => invalid(format!("disk '{name}' was not found in the domain config")),
        })?),
    };
    let tune = disk.and_then(|disk| disk.io_tune.as_deref()).cloned().unwrap_or_default();
    let mut group = tune.group.clone().unwrap_or_default();
    if let (View::Live(..), Some(disk)) = (&view, disk) {
        if disk.source.is_none() {
            return Err(invalid(format!(
                "disk '{}' does not currently have a source assigned",
                disk.target.dev
            )));
        }
        group = if tune.is_bounding() { group_of(disk, &tune) } else { String::new() };
    }
    let mut params = Params::default();
    for (at, (name, value)) in tune.named().enumerate() {
        if at == IoTune::BEFORE_GROUP {
            params.add(GROUP, std::mem::take(&mut group));
        }
        params.add(name, value);
    }
    let (params, nparams) = params.counted(args.nparams);
    Ok(Params32Reply { params, nparams })
}

fn not_found(name: &str) -> Failure {
    invalid(format!("disk '{name}' not found in domain"))
}

/// A disk without a group is one of its own.
fn group_of(disk: &Disk, tune: &IoTune) -> String {
    tune.group.clone().or_else(|| disk.info.alias.clone()).unwrap_or_default()
}

/// What a client wants.
#[derive(Debug)]
struct Wanted {
    values: [Option<u64>; 19],
    group: Option<String>,
    /// What is told of it.
    tuned: Vec<(String, Value<'static>)>,
}

impl Wanted {
    fn read(args: &SetBlockIoTuneArgs<'_>) -> Result<Self, Failure> {
        let mut given = Given::new(&args.params)?;
        let mut values = [None; 19];
        for (value, name) in values.iter_mut().zip(IoTune::NAMES) {
            *value = given.ullong(name)?;
            if value.is_some_and(|value| value > MOST) {
                return Err(Box::new(RemoteError::new(
                    Code::ARGUMENT_UNSUPPORTED,
                    Origin::QEMU,
                    format!("block I/O throttle limit value must be no more than {MOST}"),
                )));
            }
        }
        let group = given.string(GROUP)?.map(str::to_owned);
        given.finish()?;
        let alone = IoTune { values: values.map(Option::unwrap_or_default), group: None };
        if let Some(kind) = alone.contradiction() {
            return Err(invalid(format!("total and read/write of {kind} cannot be set at the same time")));
        }
        let mut tuned = vec![("blkdeviotune.disk".to_owned(), args.disk.clone().into_owned().into())];
        for param in args.params.iter() {
            let value = match &param.value {
                Value::String(text) => Value::String(text.clone().into_owned().into()),
                Value::Ullong(number) => Value::Ullong(*number),
                _ => continue,
            };
            tuned.push((format!("blkdeviotune.{}", param.field), value));
        }
        Ok(Self { values, group, tuned })
    }

    /// What comes of it where something is set already.
    fn over(&self, before: &IoTune) -> IoTune {
        let mut values = Vec::with_capacity(self.values.len());
        let (mut wanted, mut old) = (self.values.as_slice(), before.values.as_slice());
        for count in TOGETHER {
            let (Some((these, more)), Some((those, rest))) =
                (wanted.split_at_checked(count), old.split_at_checked(count))
            else {
                break;
            };
            if these.iter().any(Option::is_some) {
                values.extend(these.iter().map(|value| value.unwrap_or_default()));
            } else {
                values.extend(those);
            }
            (wanted, old) = (more, rest);
        }
        let group = self.group.clone().filter(|group| !group.is_empty()).or_else(|| before.group.clone());
        IoTune { values: values.try_into().unwrap_or(before.values), group }
    }
}

/// QEMU's own rules, in libvirt's words.
fn check_bursts(before: &IoTune, after: &IoTune) -> Result<(), Failure> {
    let names = IoTune::NAMES.iter().zip(IoTune::NAMES.iter().skip(IoTune::RATES / 2));
    let averages = before.values.iter().zip(&after.values);
    let bursts = after.values.iter().skip(IoTune::RATES / 2);
    let all = names.zip(averages.zip(bursts)).take(IoTune::RATES / 2);
    for ((rate, burst), ((old, average), most)) in all {
        if *most == 0 {
            continue;
        }
        if *old > 0 && *average == 0 {
            return Err(config_unsupported(format!("cannot reset '{rate}' when '{burst}' is set")));
        }
        if most < average {
            return Err(config_unsupported(format!("value '{burst}' cannot be smaller than '{rate}'")));
        }
    }
    Ok(())
}

/// `DOMAIN_SET_BLOCK_IO_TUNE`.
pub(crate) async fn set_block_io_tune(
    service: &Arc<Service>,
    args: &SetBlockIoTuneArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, IMPACT, "virDomainSetBlockIoTune")?;
    let wanted = Wanted::read(args)?;
    let vm = service.domains.of(&args.dom)?;
    let (service, flags, this) = (Arc::clone(service), args.flags, Arc::clone(&vm));
    let name = args.disk.clone().into_owned();
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        if affected.config && stats::find_disk(&affect::defined(&this)?, &name).is_none() {
            return Err(invalid(format!("missing persistent configuration for disk '{name}'")));
        }
        if let Some(guest) = &affected.live {
            set_live(guest, &name, &wanted).await?;
            service.events.publish(&this.about(), &Happening::Tunable(wanted.tuned.clone()));
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                let missing = || not_found(&name);
                let before = stats::find_disk(domain, &name).ok_or_else(missing)?;
                let target = before.target.dev.clone();
                let tune = wanted.over(&before.io_tune.as_deref().cloned().unwrap_or_default());
                take(domain, &target, &tune);
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

async fn set_live(guest: &Guest, name: &str, wanted: &Wanted) -> Result<(), Failure> {
    let live = guest.live();
    let disk = stats::find_disk(&live, name).ok_or_else(|| not_found(name))?;
    let before = disk.io_tune.as_deref().cloned().unwrap_or_default();
    let tune = wanted.over(&before);
    check_bursts(&before, &tune)?;
    if disk.source.is_some() {
        ask(guest, disk, &tune).await?;
    }
    let target = disk.target.dev.clone();
    guest.note_live(|live| take(live, &target, &tune));
    Ok(())
}

/// Gives rates to a disk, and to those of its group.
fn take(domain: &mut Domain, target: &str, tune: &IoTune) {
    for disk in &mut domain.devices.disks {
        let group = disk.io_tune.as_ref().and_then(|tune| tune.group.as_ref());
        if disk.target.dev == target || (group.is_some() && group == tune.group.as_ref()) {
            disk.io_tune = Some(Box::new(tune.clone())).filter(|tune| **tune != IoTune::default());
        }
    }
}

async fn ask(guest: &Guest, disk: &Disk, tune: &IoTune) -> Result<(), Failure> {
    let alias = disk.info.alias.as_deref().unwrap_or_default();
    let drives = guest.ask(QueryBlock).await?;
    let drive = drives.iter().find(|drive| drive.is_of(alias)).and_then(|drive| drive.qdev.clone());
    let id = drive.unwrap_or_else(|| alias.to_owned());
    guest.ask(BlockSetIoThrottle { id, tune: tune.clone(), group: group_of(disk, tune) }).await?;
    Ok(())
}

/// Has QEMU hold a drive to what its domain says, once it has a medium.
pub(crate) async fn throttle(guest: &Guest, disk: &Disk) -> Result<(), Failure> {
    match &disk.io_tune {
        Some(tune) if tune.is_bounding() && disk.source.is_some() => ask(guest, disk, tune).await,
        _ => Ok(()),
    }
}

pub(super) async fn at_start(guest: &Guest) -> Result<(), Failure> {
    for disk in &guest.live().devices.disks {
        throttle(guest, disk).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rpc::remote::object;
    use rpc::remote::typed_param::TypedParam;
    use rpc::xdr::Uuid;

    use super::*;

    fn wanted(params: Vec<TypedParam<'static>>) -> Result<Wanted, String> {
        let dom = object::Domain { name: "a".into(), uuid: Uuid::default(), id: -1 };
        let args = SetBlockIoTuneArgs { dom, disk: "sda".into(), params: params.into(), flags: 0 };
        Wanted::read(&args).map_err(|error| error.to_string())
    }

    fn shown(tune: &IoTune) -> String {
        let values = tune.named().filter(|(_, value)| *value > 0);
        values.map(|(name, value)| format!("{name}={value} ")).collect::<String>()
            + tune.group.as_deref().unwrap_or("-")
    }

    #[test]
    fn what_is_set_takes_the_place_of_its_kind() {
        let first =
            wanted(vec![TypedParam::new("total_bytes_sec", 9u64), TypedParam::new("total_iops_sec", 7u64)]);
        let first = first.unwrap().over(&IoTune::default());
        assert_eq!(shown(&first), "total_bytes_sec=9 total_iops_sec=7 -");
        let next = wanted(vec![TypedParam::new("read_bytes_sec", 3u64), TypedParam::new("group_name", "g")])
            .unwrap();
        let second = next.over(&first);
        assert_eq!(shown(&second), "read_bytes_sec=3 total_iops_sec=7 g");
        let names: Vec<&str> = next.tuned.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["blkdeviotune.disk", "blkdeviotune.read_bytes_sec", "blkdeviotune.group_name"]);
        let third = wanted(vec![TypedParam::new("total_iops_sec_max", 5u64)]).unwrap().over(&second);
        assert_eq!(
            check_bursts(&second, &third).unwrap_err().to_string(),
            "unsupported configuration: value 'total_iops_sec_max' cannot be smaller than 'total_iops_sec'"
        );
        let burst = wanted(vec![TypedParam::new("total_iops_sec_max", 50u64)]).unwrap().over(&second);
        assert!(check_bursts(&second, &burst).is_ok());
        let none = wanted(vec![TypedParam::new("total_iops_sec", 0u64)]).unwrap().over(&burst);
        assert_eq!(
            check_bursts(&burst, &none).unwrap_err().to_string(),
            "unsupported configuration: cannot reset 'total_iops_sec' when 'total_iops_sec_max' is set"
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (params, said) in [
            (vec![("total_bytes_sec", 1u64), ("read_bytes_sec", 2)], "total and read/write of bytes_sec"),
            (vec![("total_bytes_sec", u64::MAX)], "must be no more than 1000000000000000"),
            (vec![("bytes", 1)], "parameter 'bytes' not supported"),
        ] {
            let params = params.into_iter().map(|(name, value)| TypedParam::new(name, value)).collect();
            let error = wanted(params).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_group_shares_its_rates() {
        let text = "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os><devices>
            <disk type='file'><source file='/a'/><target dev='vda'/><iotune><group_name>g</group_name></iotune></disk>
            <disk type='file'><source file='/b'/><target dev='vdb'/></disk>
            <disk type='file'><source file='/c'/><target dev='vdc'/></disk></devices></domain>";
        let (mut domain, _) = Domain::read(&domain::Document::parse(text).unwrap());
        let wanted =
            wanted(vec![TypedParam::new("total_iops_sec", 5u64), TypedParam::new("group_name", "g")])
                .unwrap();
        take(&mut domain, "vdb", &wanted.over(&IoTune::default()));
        let all: Vec<_> =
            domain.devices.disks.iter().map(|disk| disk.io_tune.as_deref().map(shown)).collect();
        let same = Some("total_iops_sec=5 g".to_owned());
        assert_eq!(all, [same.clone(), same, None]);
    }
}
