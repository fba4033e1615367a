//! The document as text, byte for byte as libvirt lays it out.

use std::fmt::{self, Write as _};

use domain::model::DomainKind;

use super::{CpuModes, CustomModel, DomainCaps, Enum, HostModel, Os, Section, Sev, Usable};
use crate::qmp::command::SgxCapabilities;

impl fmt::Display for DomainCaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Indented { to: f, depth: 0 };
        out.inside("domainCapabilities", |out| {
            out.line(format_args!("<path>{}</path>", Word(&self.emulator)))?;
            let kind = match self.kind {
                DomainKind::Kvm => "kvm",
                DomainKind::Qemu => "qemu",
            };
            out.line(format_args!("<domain>{kind}</domain>"))?;
            out.line(format_args!("<machine>{}</machine>", Word(&self.machine)))?;
            out.line(format_args!("<arch>{}</arch>", Word(&self.arch)))?;
            if self.max_vcpus > 0 {
                out.line(format_args!("<vcpu max='{}'/>", self.max_vcpus))?;
            }
            out.line(format_args!("<iothreads supported='yes'/>"))?;
            os(out, &self.os)?;
            out.inside("cpu", |out| cpu(out, &self.cpu))?;
            section(out, &self.memory_backing)?;
            out.inside("devices", |out| self.devices.iter().try_for_each(|device| section(out, device)))?;
            out.inside("features", |out| self.print_features(out))
        })
    }
}

impl DomainCaps {
    fn print_features(&self, out: &mut Indented<'_, '_>) -> fmt::Result {
        for (name, supported) in &self.features {
            out.line(format_args!("<{name} supported='{}'/>", yes_no(*supported)))?;
        }
        match &self.sev {
            Some(found) => sev(out, found)?,
            None => out.line(format_args!("<sev supported='no'/>"))?,
        }
        match &self.sgx {
            Some(found) => sgx(out, found)?,
            None => out.line(format_args!("<sgx supported='no'/>"))?,
        }
        if let Some(hyperv) = &self.hyperv {
            section(out, hyperv)?;
        }
        section(out, &self.launch_security)
    }
}

/// A word as it is written in text and between single quotes. Most have nothing that must not stand there.
struct Word<'w>(&'w str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().any(|byte| byte < b' ' || b"&<>'".contains(&byte)) {
            // In text an apostrophe may as well be escaped, and a greater-than sign between quotes need not be.
            return f.write_str(&domain::escape_attribute(self.0, '\''));
        }
        f.write_str(self.0)
    }
}

/// Lines, each as deep as it is nested.
struct Indented<'o, 'f> {
    to: &'o mut fmt::Formatter<'f>,
    depth: usize,
}

impl Indented<'_, '_> {
    fn line(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        const SPACES: &str = "                ";
        self.to.write_str(SPACES.get(..2 * self.depth).unwrap_or(SPACES))?;
        self.to.write_fmt(line)?;
        self.to.write_char('\n')
    }

    fn inside(&mut self, name: &str, content: impl FnOnce(&mut Self) -> fmt::Result) -> fmt::Result {
        self.opened(format_args!("<{name}>"), name, content)
    }

    fn opened(
        &mut self,
        tag: fmt::Arguments<'_>,
        name: &str,
        content: impl FnOnce(&mut Self) -> fmt::Result,
    ) -> fmt::Result {
        self.line(tag)?;
        self.depth += 1;
        content(self)?;
        self.depth -= 1;
        self.line(format_args!("</{name}>"))
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn choice(out: &mut Indented<'_, '_>, choice: &Enum) -> fmt::Result {
    if choice.values.is_empty() {
        return out.line(format_args!("<enum name='{}'/>", choice.name));
    }
    out.opened(format_args!("<enum name='{}'>", choice.name), "enum", |out| {
        choice.values.iter().try_for_each(|value| out.line(format_args!("<value>{value}</value>")))
    })
}

fn section(out: &mut Indented<'_, '_>, section: &Section) -> fmt::Result {
    let name = section.name;
    match &section.choices {
        None => out.line(format_args!("<{name} supported='no'/>")),
        Some(choices) => out.opened(format_args!("<{name} supported='yes'>"), name, |out| {
            choices.iter().try_for_each(|one| choice(out, one))
        }),
    }
}

fn os(out: &mut Indented<'_, '_>, os: &Os) -> fmt::Result {
    out.opened(format_args!("<os supported='yes'>"), "os", |out| {
        choice(out, &os.firmware)?;
        out.opened(format_args!("<loader supported='yes'>"), "loader", |out| {
            for loader in &os.loaders {
                out.line(format_args!("<value>{}</value>", Word(loader)))?;
            }
            os.choices.iter().try_for_each(|one| choice(out, one))
        })
    })
}

fn cpu(out: &mut Indented<'_, '_>, modes: &CpuModes) -> fmt::Result {
    mode(out, "host-passthrough", modes.host_passthrough.as_ref())?;
    mode(out, "maximum", modes.maximum.as_ref())?;
    host_model(out, modes.host_model.as_ref())?;
    if modes.custom.is_empty() {
        return out.line(format_args!("<mode name='custom' supported='no'/>"));
    }
    out.opened(format_args!("<mode name='custom' supported='yes'>"), "mode", |out| {
        modes.custom.iter().try_for_each(|model| custom(out, model))
    })
}

fn host_model(out: &mut Indented<'_, '_>, host: Option<&HostModel>) -> fmt::Result {
    let Some(host) = host else {
        return out.line(format_args!("<mode name='host-model' supported='no'/>"));
    };
    out.opened(format_args!("<mode name='host-model' supported='yes'>"), "mode", |out| {
        let model = Word(&host.model);
        out.line(format_args!("<model fallback='forbid'>{model}</model>"))?;
        out.line(format_args!("<vendor>{}</vendor>", host.vendor))?;
        if let Some(bits) = host.address_bits {
            out.line(format_args!("<maxphysaddr mode='passthrough' limit='{bits}'/>"))?;
        }
        host.features.iter().try_for_each(|(name, on)| {
            let policy = if *on { "require" } else { "disable" };
            let name = Word(name);
            out.line(format_args!("<feature policy='{policy}' name='{name}'/>"))
        })
    })
}

fn mode(out: &mut Indented<'_, '_>, name: &str, migratable: Option<&Enum>) -> fmt::Result {
    match migratable {
        None => out.line(format_args!("<mode name='{name}' supported='no'/>")),
        Some(migratable) => out.opened(format_args!("<mode name='{name}' supported='yes'>"), "mode", |out| {
            choice(out, migratable)
        }),
    }
}

fn custom(out: &mut Indented<'_, '_>, model: &CustomModel) -> fmt::Result {
    let usable = match &model.usable {
        Usable::Yes => "yes",
        Usable::No(_) => "no",
        Usable::Unknown => "unknown",
    };
    let deprecated = if model.deprecated { " deprecated='yes'" } else { "" };
    let canonical = model.canonical.as_ref().map(|name| format!(" canonical='{}'", Word(name)));
    let (canonical, vendor) = (canonical.unwrap_or_default(), model.vendor);
    let name = Word(&model.name);
    out.line(format_args!(
        "<model usable='{usable}'{deprecated} vendor='{vendor}'{canonical}>{name}</model>"
    ))?;
    let Usable::No(missing) = &model.usable else { return Ok(()) };
    let tag = format!("<blockers model='{}'>", Word(&model.name));
    out.opened(format_args!("{tag}"), "blockers", |out| {
        missing.iter().try_for_each(|name| out.line(format_args!("<feature name='{}'/>", Word(name))))
    })
}

fn sev(out: &mut Indented<'_, '_>, sev: &Sev) -> fmt::Result {
    out.opened(format_args!("<sev supported='yes'>"), "sev", |out| {
        out.line(format_args!("<cbitpos>{}</cbitpos>", sev.cbitpos))?;
        out.line(format_args!("<reducedPhysBits>{}</reducedPhysBits>", sev.reduced_phys_bits))?;
        out.line(format_args!("<maxGuests>{}</maxGuests>", sev.guests.sev))?;
        out.line(format_args!("<maxESGuests>{}</maxESGuests>", sev.guests.sev_es))?;
        match &sev.cpu0_id {
            Some(id) => out.line(format_args!("<cpu0Id>{}</cpu0Id>", Word(id))),
            None => Ok(()),
        }
    })
}

fn sgx(out: &mut Indented<'_, '_>, sgx: &SgxCapabilities) -> fmt::Result {
    out.opened(format_args!("<sgx supported='yes'>"), "sgx", |out| {
        for (name, has) in [("flc", sgx.flc), ("sgx1", sgx.sgx1), ("sgx2", sgx.sgx2)] {
            out.line(format_args!("<{name}>{}</{name}>", yes_no(has)))?;
        }
        let kib = |bytes: u64| bytes / 1024;
        let total: u64 = sgx.sections.iter().map(|section| kib(section.size)).sum();
        out.line(format_args!("<section_size unit='KiB'>{total}</section_size>"))?;
        if sgx.sections.is_empty() {
            return Ok(());
        }
        out.inside("sections", |out| {
            sgx.sections.iter().try_for_each(|section| {
                let (node, size) = (section.node, kib(section.size));
                out.line(format_args!("<section node='{node}' size='{size}' unit='KiB'/>"))
            })
        })
    })
}
