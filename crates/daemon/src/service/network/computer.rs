//! The one node device that there is: the host itself. Devices are assigned to guests by their addresses, which need no
//! list of them.

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::common::ListAll;
use rpc::remote::connect::ListAllNodeDevicesReply;
use rpc::remote::node::ListCapsArgs;
use rpc::remote::object::NodeDevice;
use rpc::xdr::{List, Text};

use super::super::Failure;

/// As libvirt calls it.
const NAME: &str = "computer";
/// The kind of device that it is.
const CAPABILITY: &str = "system";

/// `virConnectListAllNodeDeviceFlags`: a bit for each kind, of which `system` is the first, and two for states.
const CAP_SYSTEM: u32 = 1;
const INACTIVE: u32 = 1 << 30;
const ACTIVE: u32 = 1 << 31;

fn object() -> NodeDevice<'static> {
    NodeDevice { name: NAME.into() }
}

fn is_wanted(capability: Option<&str>) -> bool {
    capability.is_none_or(|capability| capability == CAPABILITY)
}

pub(crate) fn count(capability: Option<&str>) -> i32 {
    i32::from(is_wanted(capability))
}

pub(crate) fn names(capability: Option<&str>, most: i32) -> List<Text<'static>, 65536> {
    (is_wanted(capability) && most > 0).then(|| Text::from(NAME)).into_iter().collect()
}

pub(crate) fn list(args: &ListAll) -> ListAllNodeDevicesReply<'static> {
    let kinds = args.flags & !(ACTIVE | INACTIVE);
    let kind = kinds == 0 || kinds & CAP_SYSTEM != 0;
    let state = args.flags & (ACTIVE | INACTIVE) != INACTIVE;
    let found: Vec<_> = (kind && state).then(object).into_iter().collect();
    let ret = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let devices = if args.need_results == 0 { Vec::new() } else { found };
    ListAllNodeDevicesReply { devices: devices.into(), ret }
}

pub(crate) fn by_name(name: &str) -> Result<NodeDevice<'static>, Failure> {
    if name == NAME {
        return Ok(object());
    }
    let words = format!("no node device with matching name '{name}'");
    Err(Box::new(RemoteError::new(Code::NO_NODE_DEVICE, Origin::NODEDEV, words)))
}

pub(crate) fn xml(name: &str) -> Result<Text<'static>, Failure> {
    by_name(name)?;
    Ok("<device>\n  <name>computer</name>\n  <capability type='system'>\n    <hardware/>\n    <firmware/>\n  \
        </capability>\n</device>\n"
        .into())
}

pub(crate) fn capabilities(args: &ListCapsArgs<'_>) -> Result<List<Text<'static>, 65536>, Failure> {
    by_name(&args.name)?;
    Ok((args.maxnames > 0).then(|| Text::from(CAPABILITY)).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_listed_where_its_kind_is_wanted() {
        let check = |flags: u32| list(&ListAll { need_results: 1, flags }).devices.len();
        assert_eq!([0, CAP_SYSTEM, 2, ACTIVE, INACTIVE, ACTIVE | CAP_SYSTEM].map(check), [1, 1, 0, 1, 0, 1]);
        assert_eq!((count(None), count(Some("pci")), names(Some("system"), 0).len()), (1, 0, 0));
        assert_eq!(by_name("x").unwrap_err().code, Code::NO_NODE_DEVICE);
    }
}
