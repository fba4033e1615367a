//! From a document to the model, one file for each area of the XML.
//!
//! Reading never fails: what is odd becomes a [`Problem`] with its span, and the model has the rest.

mod address;
mod chardev;
mod controller;
mod cpu;
mod devices;
mod disk;
mod features;
mod graphics;
mod interface;
mod iothreads;
mod launch_security;
mod leftovers;
mod memory;
mod os;
mod reader;
mod small_devices;
mod sysinfo;
mod values;

use super::{Domain, GenId, Kept, PowerManagement, Problem, laid_out};
use crate::Document;

use reader::{Problems, Reader};
use values::from_str;

impl Domain {
    /// What the document says, and what in it is wrong or unknown, in the order of the document.
    pub fn read(document: &Document) -> (Self, Vec<Problem>) {
        let problems = Problems::default();
        let mut domain = read_domain(&Reader::new(document.root(), &problems));
        leftovers::keep(&mut domain, problems.take_leftovers());
        (domain, problems.into_sorted())
    }
}

fn read_domain(reader: &Reader<'_, '_>) -> Domain {
    if reader.element().name() != "domain" {
        reader.settle();
        reader.malformed(reader.element().name_span(), "the root element is not `domain`");
        return Domain::default();
    }
    let kind = match reader.known_word("type") {
        Some(kind) => kind,
        None => {
            if reader.element().attribute("type").is_none() {
                reader.missing("attribute `type`");
            }
            Default::default()
        }
    };
    let memory = memory::read_memory(reader);
    let launch_security = reader.child("launchSecurity");
    let mut domain = Domain {
        kind,
        id: reader.number("id").filter(|id: &i64| *id >= 0).and_then(|id| u32::try_from(id).ok()),
        name: read_name(reader),
        uuid: reader.child("uuid").and_then(|uuid| uuid.parsed_text("a UUID", from_str)),
        genid: reader.child("genid").and_then(|genid| read_genid(&genid)),
        title: reader.child_text("title"),
        description: reader.child_text("description"),
        metadata: reader.child("metadata").map(|metadata| {
            metadata.settle();
            laid_out(metadata.element())
        }),
        max_memory: reader.child("maxMemory").and_then(|max| memory::read_max_memory(&max)),
        memory: memory.size,
        dump_core: memory.dump_core,
        current_memory: reader.child("currentMemory").and_then(|current| current.size()),
        memory_backing: reader
            .child("memoryBacking")
            .map(|backing| memory::read_backing(&backing))
            .unwrap_or_default(),
        memtune: reader.child("memtune").map(|tune| memory::read_tune(&tune)).unwrap_or_default(),
        iothreads: iothreads::read_iothreads(reader),
        vcpu: reader.child("vcpu").map(|vcpu| cpu::read_vcpu(&vcpu)).unwrap_or_default(),
        cputune: reader.child("cputune").map(|tune| cpu::read_tune(&tune)).unwrap_or_default(),
        sysinfo: Vec::new(),
        os: os::read_os(reader),
        features: reader.child("features").map(|list| features::read_features(&list)).unwrap_or_default(),
        cpu: reader.child("cpu").map(|cpu| cpu::read_cpu(&cpu)),
        clock: reader.child("clock").map(|clock| cpu::read_clock(&clock)).unwrap_or_default(),
        on_poweroff: reader.child("on_poweroff").and_then(|action| action.text_word()),
        on_reboot: reader.child("on_reboot").and_then(|action| action.text_word()),
        on_crash: reader.child("on_crash").and_then(|action| action.text_word()),
        pm: reader.child("pm").map(|pm| read_power_management(&pm)).unwrap_or_default(),
        devices: reader.child("devices").map(|list| devices::read_devices(&list)).unwrap_or_default(),
        launch_security: launch_security
            .and_then(|security| launch_security::read_launch_security(&security)),
        kept: Kept::default(),
    };
    sysinfo::read_sysinfo(reader, &mut domain);
    domain
}

fn read_name(reader: &Reader<'_, '_>) -> String {
    let Some(child) = reader.child("name") else {
        reader.missing("element `name`");
        return String::new();
    };
    let name = child.text().unwrap_or_default();
    if name.trim().is_empty() {
        child.malformed(child.element().span(), "a domain needs a name");
    } else if name.contains(['/', '\n', '\0']) {
        let message = "a name has neither a slash nor a line break".to_owned();
        child.malformed(child.element().text_span(), &message);
    }
    name
}

fn read_genid(reader: &Reader<'_, '_>) -> Option<GenId> {
    match reader.text() {
        None => Some(GenId::Generate),
        Some(_) => reader.parsed_text("a UUID", from_str).map(GenId::Fixed),
    }
}

fn read_power_management(reader: &Reader<'_, '_>) -> PowerManagement {
    let enabled = |name| reader.child(name).and_then(|child| child.yes_no("enabled"));
    PowerManagement { suspend_to_mem: enabled("suspend-to-mem"), suspend_to_disk: enabled("suspend-to-disk") }
}

#[cfg(test)]
mod tests;
