//! Reads `<os>`.

use super::reader::Reader;
use crate::model::{
    Switch,
    os::{Bios, BootMenu, FirmwareFeature, Loader, Nvram, Os},
};

/// Reads `<os>` of the domain.
pub(super) fn read_os(domain: &Reader<'_, '_>) -> Os {
    let Some(reader) = domain.child("os") else {
        domain.missing("element `os`");
        return Os::default();
    };
    let mut os = Os {
        firmware: reader.word("firmware"),
        firmware_features: reader.child("firmware").map(|list| read_features(&list)).unwrap_or_default(),
        loader: reader.child("loader").map(|loader| Loader {
            path: loader.trimmed_text(),
            readonly: loader.yes_no("readonly"),
            kind: loader.word("type"),
            secure: loader.yes_no("secure"),
            stateless: loader.yes_no("stateless"),
            format: loader.word("format"),
        }),
        nvram: reader.child("nvram").map(|nvram| read_nvram(&nvram)),
        kernel: reader.child_text("kernel"),
        initrd: reader.child_text("initrd"),
        cmdline: reader.child_text("cmdline"),
        dtb: reader.child_text("dtb"),
        boot: reader.children("boot").filter_map(|boot| boot.word("dev")).collect(),
        boot_menu: reader
            .child("bootmenu")
            .map(|menu| BootMenu { enable: menu.yes_no("enable"), timeout: menu.number("timeout") })
            .unwrap_or_default(),
        bios: reader.child("bios").map(|bios| read_bios(&bios)).unwrap_or_default(),
        smbios: reader.child("smbios").and_then(|smbios| smbios.word("mode")),
        ..Os::default()
    };
    match reader.child("type") {
        Some(kind) => {
            os.arch = kind.string("arch");
            os.machine = kind.string("machine");
            let is_hvm = kind.element().text().trim() == "hvm";
            if !is_hvm {
                kind.malformed(kind.element().text_span(), "only `hvm` guests can run here");
            }
        }
        None => reader.missing("element `type`"),
    }
    os
}

fn read_features(reader: &Reader<'_, '_>) -> Vec<FirmwareFeature> {
    let read = |feature: Reader<'_, '_>| {
        Some(FirmwareFeature { enabled: feature.yes_no("enabled")?, name: feature.word("name")? })
    };
    reader.children("feature").filter_map(read).collect()
}

/// The path is the element's text or, in the newer form, `<source file=…>`.
fn read_nvram(reader: &Reader<'_, '_>) -> Nvram {
    let kind = reader.string("type");
    let mut nvram = Nvram {
        path: None,
        template: reader.string("template"),
        template_format: reader.word("templateFormat"),
        format: reader.word("format"),
    };
    match kind.as_deref() {
        None => nvram.path = reader.trimmed_text(),
        Some("file") => {
            nvram.path = reader.child("source").map(|source| source.required_string("file"));
        }
        Some(kind) => {
            reader.stub(&format!("variables on a `{kind}` source are not supported"));
        }
    }
    nvram
}

fn read_bios(reader: &Reader<'_, '_>) -> Bios {
    let reboot_timeout = reader.parsed("rebootTimeout", "a number from -1 to 65535", |text| {
        let value: i32 = super::values::parse_number(text, 10)?;
        (-1..=65535).contains(&value).then_some(value)
    });
    let use_serial: Option<Switch> = reader.yes_no("useserial");
    Bios { use_serial, reboot_timeout }
}
