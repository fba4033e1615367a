//! What a domain takes of the host's memory, as far as the facts tell: the sums of `qemu::memory`, and words for them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::model::memory::Kib;
use domain::model::os::{FirmwareFormat, LoaderKind};
use domain::{Edit, Element, NewElement};
use qemu::memory::{Demand, Sizes, Sum, Sums};
use qemu::plan::{Code, Firmware, Placement, Variables};

use crate::Technology;
use crate::subject::Subject;

const MIB: u64 = 1 << 20;

/// OVMF's images of 2 MiB are of these sizes; larger ones have the variables that `qemu::memory` takes as usual.
const SMALL_CODE: u64 = 1_966_080;
const SMALL_VARIABLES: u64 = 131_072;

impl Subject<'_> {
    /// What the guest takes.
    pub(crate) fn sums(&self) -> Sums {
        let mut files = BTreeMap::new();
        let in_flash = self.technology() != Some(Technology::SevSnp)
            && match &self.domain.os.loader {
                Some(loader) if loader.path.is_some() => loader.kind == Some(LoaderKind::Pflash),
                _ => true,
            };
        let found = self.firmware();
        let code = found.as_ref().map(|firmware| {
            let flash = Placement::Flash { format: FirmwareFormat::Raw, read_only: true };
            Code { path: firmware.path.clone(), placement: if in_flash { flash } else { Placement::Rom } }
        });
        let variables = code.as_ref().filter(|_| in_flash).map(|_| {
            let named = self.domain.os.nvram.as_ref().and_then(|nvram| nvram.path.as_ref());
            let path = named.map_or_else(|| PathBuf::from("variables"), PathBuf::from);
            Variables { path, format: FirmwareFormat::Raw, template: None }
        });
        if let Some(firmware) = &found
            && let Some(image) = firmware.known()
        {
            files.insert(firmware.path.clone(), image.size);
            if let Some(variables) = variables.as_ref().filter(|_| image.size == SMALL_CODE) {
                files.insert(variables.path.clone(), SMALL_VARIABLES);
            }
        }
        let firmware = Firmware { code, variables, ..Firmware::default() };
        let host_memory = self.facts.memory_bytes();
        Demand::of(self.domain, &firmware).sums(&Sizes { files, host_cpus: None, host_memory })
    }

    /// The limit that the domain sets, in bytes.
    pub(crate) fn hard_limit(&self) -> Option<u64> {
        self.domain.memtune.hard_limit_bytes()
    }

    /// Writes `<hard_limit>`, where the element may be, its parent, or neither.
    pub(crate) fn set_hard_limit(&self, bytes: u64) -> Vec<Edit> {
        let kib = bytes.div_ceil(1024).to_string();
        if let Some(limit) = self.element(&["memtune", "hard_limit"]) {
            return set_kib(limit, Kib(bytes.div_ceil(1024)));
        }
        let limit = NewElement::new("hard_limit").attribute("unit", "KiB").text(&kib);
        if let Some(tune) = self.element(&["memtune"]) {
            return vec![Edit::insert_child(tune, &limit)];
        }
        let tune = NewElement::new("memtune").child(limit);
        let before = ["currentMemory", "memory"].into_iter().find_map(|name| self.element(&[name]));
        vec![match before {
            Some(before) => Edit::insert_after(before, &tune),
            None => Edit::insert_child(self.document.root(), &tune),
        }]
    }
}

/// Gives an element that holds a size another one, in KiB.
pub(crate) fn set_kib(element: Element<'_>, size: Kib) -> Vec<Edit> {
    let mut edits = vec![Edit::set_text(element, &size.0.to_string())];
    if element.attribute("unit").is_some_and(|unit| unit.value() != "KiB") {
        edits.insert(0, Edit::set_attribute(element, "unit", "KiB"));
    }
    edits
}

/// A size for people, rounded up.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

/// A sum, item by item; what is below 1 MiB is told together.
pub(crate) fn told(sum: &Sum) -> String {
    let large = sum.items.iter().filter(|item| item.bytes >= MIB);
    let mut words: Vec<String> = large.map(|item| format!("{} {}", mib(item.bytes), item.what)).collect();
    let small = sum.items.iter().filter(|item| item.bytes < MIB);
    let small = small.fold(0, |total: u64, item| total.saturating_add(item.bytes));
    if small > 0 {
        words.push(format!("{} KiB in small blocks", small.div_ceil(1024)));
    }
    format!("{} = {}", words.join(" + "), mib(sum.total()))
}
