//! Calls about a domain's devices: consoles, what is plugged in and out, media, pictures, keys.

pub(crate) mod affect;
mod attach;
pub(crate) mod config;
mod console;
mod detach;
mod dirty_rate;
mod find;
mod fragment;
mod job;
mod judge;
mod keys;
mod launch_security;
mod live;
mod resize;
mod screenshot;
mod tap;
mod threshold;
mod update;
pub(crate) mod wait;

use std::path::PathBuf;

use domain::model::graphics::GraphicsKind;
use domain::model::interface::LinkState;
use qemu::qmp::device::{SetLink, SetPassword};

use crate::service::Failure;
use crate::vm::Guest;

pub(super) use attach::{attach, attach_flags};
pub(super) use console::{Consoles, open_channel, open_console};
pub(super) use detach::{detach, detach_alias, detach_flags};
pub(super) use dirty_rate::start_dirty_rate_calc;
pub(super) use job::{abort_job, block_job_info, control_info, job_info, job_stats};
pub(super) use keys::{inject_nmi, send_key};
pub(super) use launch_security::{info as launch_security_info, set_state as set_launch_security_state};
pub(super) use live::deleted;
pub(super) use live::image_number;
pub(super) use resize::block_resize;
pub(super) use screenshot::screenshot;
pub(super) use threshold::{exceeded as threshold_exceeded, set_block_threshold, storage as storage_node};
pub(super) use update::update_flags;

/// The directory in which QEMU may write.
pub(crate) fn qemu_dir(guest: &Guest) -> PathBuf {
    guest.run_dir().join(crate::vm::QEMU_DIR)
}

/// Unplugs the cables that the domain says are unplugged.
pub(super) async fn links_at_start(guest: &Guest) -> Result<(), Failure> {
    for interface in &guest.live().devices.interfaces {
        if interface.link == Some(LinkState::Down)
            && let Some(name) = interface.info.alias.clone()
        {
            guest.ask(SetLink { name, up: false }).await?;
        }
    }
    Ok(())
}

/// Gives displays their passwords: without one nobody can connect to a display that asks for it.
pub(super) async fn passwords_at_start(guest: &Guest) -> Result<(), Failure> {
    for graphics in &guest.live().devices.graphics {
        let (protocol, password) = match &graphics.kind {
            GraphicsKind::Vnc(vnc) => ("vnc", &vnc.auth.password),
            GraphicsKind::Spice(spice) => ("spice", &spice.auth.password),
            _ => continue,
        };
        if let Some(password) = password.clone() {
            guest.ask(SetPassword { protocol, password }).await?;
        }
    }
    Ok(())
}

/// The link's state as the guest sees it.
fn is_up(link: Option<LinkState>) -> bool {
    link != Some(LinkState::Down)
}
