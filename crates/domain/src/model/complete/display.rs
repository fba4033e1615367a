//! Displays and what belongs to them: listeners, ports, video devices, sound backends.

use std::collections::BTreeSet;

use crate::model::{
    Switch,
    devices::{Audio, AudioKind, Devices},
    graphics::{Graphics, GraphicsKind, Listen, Ports, Video, VideoModel},
};

pub(super) fn complete(devices: &mut Devices) {
    devices.graphics.iter_mut().for_each(complete_graphics);
    if !devices.graphics.is_empty() && devices.videos.is_empty() {
        devices.videos.push(Video::default());
    }
    complete_videos(&mut devices.videos);
    complete_audio(devices);
}

fn complete_graphics(graphics: &mut Graphics) {
    let listens = &mut graphics.listens;
    match &mut graphics.kind {
        GraphicsKind::Vnc(vnc) => {
            if listens.is_empty() {
                listens.push(Listen::Address { address: None });
            }
            complete_ports(&mut vnc.ports, listens, true);
        }
        GraphicsKind::Spice(spice) => {
            let Ports { port, tls_port, autoport } = spice.ports;
            if listens.is_empty() {
                let has_port = port.is_some() || tls_port.is_some() || autoport == Some(Switch::On);
                listens.push(if has_port { Listen::Address { address: None } } else { Listen::None });
            }
            complete_ports(&mut spice.ports, listens, false);
        }
        _ => {}
    }
}

/// Displays that listen on the network choose their port or do not; others have none.
fn complete_ports(ports: &mut Ports, listens: &[Listen], is_chosen_by_default: bool) {
    match listens.first() {
        Some(Listen::Socket { .. } | Listen::None) => *ports = Ports::default(),
        _ => {
            let is_chosen = ports.port.is_none() && ports.tls_port.is_none() && is_chosen_by_default;
            let autoport = if is_chosen { Switch::On } else { Switch::Off };
            ports.autoport.get_or_insert(autoport);
        }
    }
}

fn complete_videos(videos: &mut Vec<Video>) {
    if let Some(at) = videos.iter().position(|video| video.primary == Some(Switch::On)) {
        let primary = videos.remove(at);
        videos.insert(0, primary);
    }
    for (at, video) in videos.iter_mut().enumerate() {
        let model = *video.model.get_or_insert(VideoModel::Cirrus);
        if model == VideoModel::None {
            continue;
        }
        video.heads.get_or_insert(1);
        video.primary = (at == 0).then_some(Switch::On);
        match model {
            VideoModel::Vga | VideoModel::Cirrus | VideoModel::Vmvga | VideoModel::Bochs => {
                video.vram.get_or_insert(16 * 1024);
            }
            VideoModel::Qxl => {
                complete_memory(&mut video.ram, 64 * 1024);
                complete_memory(&mut video.vram, 64 * 1024);
                complete_memory(&mut video.vgamem, 16 * 1024);
            }
            VideoModel::Virtio | VideoModel::None | VideoModel::Ramfb => {}
        }
    }
}

/// QXL's memories are powers of two.
fn complete_memory(size: &mut Option<u32>, usual: u32) {
    let wanted = size.filter(|size| *size > 0).unwrap_or(usual);
    *size = Some(wanted.checked_next_power_of_two().unwrap_or(wanted));
}

fn complete_audio(devices: &mut Devices) {
    let taken: BTreeSet<u32> = devices.audios.iter().filter_map(|audio| audio.id).collect();
    let mut free = (1..=u32::MAX).filter(|id| !taken.contains(id));
    for audio in devices.audios.iter_mut().filter(|audio| audio.id.is_none()) {
        audio.id = free.next();
    }
    if !devices.audios.is_empty() {
        return;
    }
    let has =
        |wanted: fn(&GraphicsKind) -> bool| devices.graphics.iter().any(|display| wanted(&display.kind));
    let kind = if has(|kind| matches!(kind, GraphicsKind::Spice(_))) {
        Some(AudioKind::Spice)
    } else if devices.graphics.is_empty() || has(|kind| matches!(kind, GraphicsKind::Vnc(_))) {
        Some(AudioKind::None)
    } else {
        None
    };
    devices.audios.extend(kind.map(|kind| Audio { id: Some(1), kind }));
}
