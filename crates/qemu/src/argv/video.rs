//! Graphics cards: `-device qxl-vga`, `virtio-vga`, `VGA`, …

use domain::{
    Domain,
    model::{
        Switch,
        graphics::{Video, VideoDriver, VideoModel},
    },
};

use super::{
    Argument, KeyValues, Properties,
    address::{Buses, virtio_options},
};
use crate::plan::{Device, DeviceKind, PlanError, Surroundings, ids};

/// All graphics cards.
pub(crate) fn videos(domain: &Domain, here: &Surroundings) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, video) in domain.devices.videos.iter().enumerate() {
        let id = ids::numbered("video", index, &video.info);
        let primary = video.primary.map_or(index == 0, Switch::is_on);
        if video.driver == Some(VideoDriver::Vhostuser) {
            devices.push(vhost_user(domain, video, primary, id, here)?);
        } else if let Some(frontend) = frontend(domain, video, primary, &id)? {
            devices.push(Device::plain(DeviceKind::Video, id, frontend));
        }
    }
    Ok(devices)
}

fn frontend(
    domain: &Domain,
    video: &Video,
    primary: bool,
    id: &str,
) -> Result<Option<Properties>, PlanError> {
    let model = video.model.ok_or_else(|| PlanError::Incomplete { device: id.to_owned() })?;
    let named = |driver: &str| Properties::device(driver).with("id", id);
    let mebibytes = |kib: Option<u32>| kib.map(|kib| kib / 1024);
    let device = match model {
        VideoModel::None => return Ok(None),
        VideoModel::Vga => named("VGA").with_some("vgamem_mb", mebibytes(video.vram)),
        VideoModel::Cirrus => named("cirrus-vga"),
        VideoModel::Vmvga => named("vmware-svga").with_some("vgamem_mb", mebibytes(video.vram)),
        VideoModel::Bochs => {
            named("bochs-display").with_some("vgamem", video.vram.map(|kib| u64::from(kib) * 1024))
        }
        // A frame buffer in ordinary memory, found by its firmware configuration entry: no bus.
        VideoModel::Ramfb => return Ok(Some(named("ramfb"))),
        VideoModel::Qxl => qxl(video, primary, id),
        VideoModel::Virtio => {
            let gl = if video.accel3d.is_some_and(Switch::is_on) { "-gl" } else { "" };
            let driver = if primary { format!("virtio-vga{gl}") } else { format!("virtio-gpu{gl}-pci") };
            Properties::device(driver)
                .and(virtio_options(video.virtio))
                .with("id", id)
                .with_some("blob", video.blob.map(Switch::is_on))
                .with_some("max_outputs", video.heads)
        }
    };
    let (width, height) = video.resolution.unzip();
    let device = device.with_some("xres", width).with_some("yres", height);
    Ok(Some(device.and(Buses::new(domain).pci(&video.info, id)?)))
}

/// A card that another process draws for.
fn vhost_user(
    domain: &Domain,
    video: &Video,
    primary: bool,
    id: String,
    here: &Surroundings,
) -> Result<Device, PlanError> {
    let socket = here.fds.sockets.get(&id).ok_or_else(|| PlanError::NoVhostUser { device: id.clone() })?;
    let name = format!("chr-vu-{id}");
    let chardev = KeyValues::bare("socket").with("id", &name).with("fd", socket.to_string());
    let device = if primary {
        // The VGA variant is not a virtio device to its driver until it leaves VGA mode.
        Properties::device("vhost-user-vga")
    } else {
        Properties::device("vhost-user-gpu-pci").and(virtio_options(video.virtio))
    };
    let frontend = device
        .with("id", id.as_str())
        .with_some("max_outputs", video.heads)
        .with("chardev", name)
        .and(Buses::new(domain).pci(&video.info, &id)?);
    let backends = vec![Argument::pairs("-chardev", chardev)];
    Ok(Device { id, kind: DeviceKind::Video, backends, frontend: Some(frontend) })
}

fn qxl(video: &Video, primary: bool, id: &str) -> Properties {
    let bytes = |kib: Option<u32>| kib.map(|kib| u64::from(kib) * 1024);
    Properties::device(if primary { "qxl-vga" } else { "qxl" })
        .with("id", id)
        .with_some("max_outputs", video.heads)
        .with_some("ram_size", bytes(video.ram))
        .with_some("vram_size", bytes(video.vram))
        .with("vram64_size_mb", video.vram64.unwrap_or_default() / 1024)
        .with_some("vgamem_mb", video.vgamem.map(|kib| kib / 1024))
}
