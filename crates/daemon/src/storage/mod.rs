//! Directory pools and their volumes, for hosts on which no libvirt daemon serves storage.
//!
//! ```text
//!   state/storage/NAME.xml             ─ the pool's definition
//!   state/storage/autostart/NAME.xml   ─► ../NAME.xml: active from boot on
//!   run/storage/NAME.xml               ─ what the pool is while it is active
//! ```
//!
//! Volumes are whatever the directory holds at the moment of asking; nothing about them is remembered, so nothing can
//! be stale. No name and no link leads out of a pool's directory. All of this blocks: it is called on threads that may.

mod definition;
mod directory;
mod image;
mod make;
mod permissions;
mod qemu_img;
mod size;
mod table;
mod transfer;
mod volume;
mod wanted;

use std::io;

use domain::Element;
use rpc::error::{Code, Origin, RemoteError};

pub(crate) use definition::{Definition, Space};
pub(crate) use make::{Algorithm, CreateFlags, ResizeFlags};
pub(crate) use permissions::Permissions;
pub(crate) use table::{Pool, Pools};
pub(crate) use volume::Volume;
pub(crate) use wanted::Wanted;

use crate::service::Failure;

pub(crate) fn fault(code: Code, detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::new(code, Origin::STORAGE, detail))
}

fn xml_error(detail: impl Into<String>) -> Failure {
    fault(Code::XML_ERROR, detail)
}

fn unsupported(detail: impl Into<String>) -> Failure {
    fault(Code::CONFIG_UNSUPPORTED, detail)
}

/// What the system refused, and its words for why.
#[expect(clippy::needless_pass_by_value, reason = "an error is used up by being told")]
fn system(what: String, error: io::Error) -> Failure {
    let error = error.to_string();
    let why = error.split(" (os error").next().unwrap_or(&error);
    fault(Code::SYSTEM_ERROR, format!("{what}: {why}"))
}

/// Refuses an element whose children are not all among `known`: what is not understood is not ignored.
fn only(element: Element<'_>, known: &[&str]) -> Result<(), Failure> {
    match element.children().find(|child| !known.contains(&child.name())) {
        None => Ok(()),
        Some(other) => {
            Err(unsupported(format!("<{}> in <{}> cannot be honoured here", other.name(), element.name())))
        }
    }
}

#[cfg(test)]
mod tests;
