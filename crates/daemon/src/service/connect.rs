//! Calls about the connection itself.

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::connect::{OpenArgs, feature};

use super::{Failure, Service};

pub(super) fn open(service: &Service, args: &OpenArgs<'_>) -> Result<(), Failure> {
    let wanted = args.name.as_deref().map(|name| name.split('?').next().unwrap_or(name));
    match wanted {
        None => Ok(()),
        Some(name) if name == service.paths.uri() || name.is_empty() => Ok(()),
        Some(name) => Err(Box::new(RemoteError::new(
            Code::INVALID_ARG,
            Origin::QEMU,
            format!("this daemon serves {}, not {name}", service.paths.uri()),
        ))),
    }
}

/// What is answered to `CONNECT_SUPPORTS_FEATURE`.
pub(super) fn supports_feature(number: i32) -> i32 {
    i32::from(matches!(
        number,
        feature::TYPED_PARAM_STRING
            | feature::PROGRAM_KEEPALIVE
            | feature::REMOTE_EVENT_CALLBACK
            | feature::REMOTE_CLOSE_CALLBACK
            | feature::NETWORK_UPDATE_HAS_CORRECT_ORDER
    ))
}
