//! Reads the devices that have few settings of their own.

use super::{
    address::{read_info, read_virtio_driver},
    chardev,
    reader::Reader,
};
use crate::model::{
    Keyword,
    devices::{
        Audio, Hub, Input, Iommu, MemBalloon, Panic, PcrBank, Rng, RngBackend, RngRate, Tpm, TpmBackend,
        TpmEmulator, TpmProfile, TpmStorage, VirtioModel, Vsock, Watchdog,
    },
    keyword::keywords,
};

/// An attribute that may be missing but must be known; `Err` after the device was reported as a whole.
fn optional<K: Keyword>(reader: &Reader<'_, '_>, name: &'static str) -> Result<Option<K>, ()> {
    match reader.element().attribute(name) {
        None => Ok(None),
        Some(_) => reader.discriminator(name).map(Some).ok_or(()),
    }
}

pub(super) fn read_input(reader: &Reader<'_, '_>) -> Option<Input> {
    let kind = reader.discriminator("type")?;
    let bus = optional(reader, "bus").ok()?;
    Some(Input {
        kind,
        bus,
        model: reader.word("model"),
        virtio: read_virtio_driver(reader),
        source: reader.child("source").map(|source| source.required_string("evdev")),
        info: read_info(reader),
    })
}

pub(super) fn read_hub(reader: &Reader<'_, '_>) -> Option<Hub> {
    keywords! {
        /// `<hub type=…>`.
        enum HubKind {
            Usb = "usb",
        }
    }
    let _: HubKind = reader.discriminator("type")?;
    Some(Hub { info: read_info(reader) })
}

pub(super) fn read_memballoon(reader: &Reader<'_, '_>) -> Option<MemBalloon> {
    keywords! {
        /// `<memballoon model=…>`.
        enum BalloonModel {
            Virtio = "virtio",
            Transitional = "virtio-transitional",
            NonTransitional = "virtio-non-transitional",
            None = "none",
        }
    }
    let model = match reader.discriminator("model")? {
        BalloonModel::Virtio => Some(VirtioModel::Virtio),
        BalloonModel::Transitional => Some(VirtioModel::Transitional),
        BalloonModel::NonTransitional => Some(VirtioModel::NonTransitional),
        BalloonModel::None => None,
    };
    Some(MemBalloon {
        model,
        autodeflate: reader.on_off("autodeflate"),
        free_page_reporting: reader.on_off("freePageReporting"),
        stats_period: reader.child("stats").and_then(|stats| stats.number("period")),
        virtio: read_virtio_driver(reader),
        info: read_info(reader),
    })
}

pub(super) fn read_rng(reader: &Reader<'_, '_>) -> Option<Rng> {
    let model = reader.discriminator("model")?;
    let rate = reader.child("rate").and_then(|rate| {
        let period = rate.number("period");
        Some(RngRate { bytes: rate.number("bytes")?, period })
    });
    let backend = reader.child("backend").and_then(|backend| read_rng_backend(&backend));
    Some(Rng { model, rate, backend, virtio: read_virtio_driver(reader), info: read_info(reader) })
}

fn read_rng_backend(reader: &Reader<'_, '_>) -> Option<RngBackend> {
    keywords! {
        /// `<backend model=…>`.
        enum BackendModel {
            Random = "random",
            Egd = "egd",
            Builtin = "builtin",
        }
    }
    Some(match reader.discriminator("model")? {
        BackendModel::Random => RngBackend::Random { path: reader.trimmed_text() },
        BackendModel::Egd => RngBackend::Egd(chardev::read_source(reader)?),
        BackendModel::Builtin => RngBackend::Builtin,
    })
}

pub(super) fn read_tpm(reader: &Reader<'_, '_>) -> Option<Tpm> {
    let model = optional(reader, "model").ok()?;
    let Some(backend) = reader.child("backend") else {
        reader.settle();
        reader.missing("element `backend`");
        return None;
    };
    let Some(backend) = read_tpm_backend(&backend) else {
        reader.leave();
        return None;
    };
    Some(Tpm { model, backend, info: read_info(reader) })
}

fn read_tpm_backend(reader: &Reader<'_, '_>) -> Option<TpmBackend> {
    keywords! {
        /// `<backend type=…>`.
        enum BackendType {
            Passthrough = "passthrough",
            Emulator = "emulator",
            External = "external",
        }
    }
    Some(match reader.discriminator("type")? {
        BackendType::Passthrough => {
            TpmBackend::Passthrough { path: reader.child("device").and_then(|device| device.string("path")) }
        }
        BackendType::Emulator => TpmBackend::Emulator(read_tpm_emulator(reader)),
        BackendType::External => {
            let Some(source) = reader.child("source") else {
                reader.settle();
                reader.missing("element `source`");
                return None;
            };
            TpmBackend::External(chardev::read_typed_unix_source(&source)?)
        }
    })
}

fn read_tpm_emulator(reader: &Reader<'_, '_>) -> TpmEmulator {
    TpmEmulator {
        version: reader.word("version"),
        persistent_state: reader.yes_no("persistent_state"),
        debug: reader.number("debug"),
        active_pcr_banks: reader
            .child("active_pcr_banks")
            .map(|banks| PcrBank::ALL.iter().copied().filter(|bank| banks.has(bank.word())).collect())
            .unwrap_or_default(),
        source: reader.child("source").and_then(|source| read_tpm_storage(&source)),
        profile: reader.child("profile").map(|profile| TpmProfile {
            source: profile.string("source"),
            remove_disabled: profile.word("removeDisabled"),
            name: profile.string("name"),
        }),
    }
}

fn read_tpm_storage(reader: &Reader<'_, '_>) -> Option<TpmStorage> {
    keywords! {
        /// `<source type=…>`.
        enum StorageType {
            File = "file",
            Dir = "dir",
        }
    }
    Some(match reader.discriminator("type")? {
        StorageType::File => TpmStorage::File { path: reader.required_string("path") },
        StorageType::Dir => TpmStorage::Dir { path: reader.required_string("path") },
    })
}

pub(super) fn read_vsock(reader: &Reader<'_, '_>) -> Vsock {
    let cid = reader.child("cid");
    let cid = cid.as_ref();
    Vsock {
        model: reader.word("model"),
        auto_cid: cid.and_then(|cid| cid.yes_no("auto")),
        cid: cid.and_then(|cid| {
            cid.parsed("address", "a number from 3", |text| {
                super::values::parse_number::<u32>(text, 10).filter(|address| *address >= 3)
            })
        }),
        virtio: read_virtio_driver(reader),
        info: read_info(reader),
    }
}

pub(super) fn read_iommu(reader: &Reader<'_, '_>) -> Option<Iommu> {
    let model = reader.discriminator("model")?;
    let driver = reader.child("driver");
    let switch = |name| driver.as_ref().and_then(|driver| driver.on_off(name));
    Some(Iommu {
        model,
        intremap: switch("intremap"),
        caching_mode: switch("caching_mode"),
        eim: switch("eim"),
        iotlb: switch("iotlb"),
        aw_bits: driver.as_ref().and_then(|driver| driver.number("aw_bits")),
        dma_translation: switch("dma_translation"),
        info: read_info(reader),
    })
}

pub(super) fn read_watchdog(reader: &Reader<'_, '_>) -> Option<Watchdog> {
    let model = reader.discriminator("model")?;
    Some(Watchdog { model, action: reader.word("action").unwrap_or_default(), info: read_info(reader) })
}

pub(super) fn read_panic(reader: &Reader<'_, '_>) -> Option<Panic> {
    let model = optional(reader, "model").ok()?;
    Some(Panic { model, info: read_info(reader) })
}

pub(super) fn read_audio(reader: &Reader<'_, '_>) -> Option<Audio> {
    let kind = reader.discriminator("type")?;
    Some(Audio { kind, id: reader.number("id") })
}
