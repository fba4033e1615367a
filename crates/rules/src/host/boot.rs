//! What is configured for `kvm_amd` and the IOMMU: on the running kernel's command line, on the next boot's, and in
//! modprobe.d.

use host::boot::command_line::{self, Parameter as Word, boolean, parameters};
use host::{BootLoader, Fact, Facts, ModuleOptions};

use crate::Technology;
use crate::version::Version;

use super::finding::Evidence;
use super::state::{Parameter, kernel, parameter};

/// A command line of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Running,
    NextBoot,
}

/// How a parameter of `kvm_amd` is configured, and by what.
#[derive(Debug, Clone)]
pub(super) struct Setting<'f> {
    pub(super) on: bool,
    /// Whose parameter it is.
    pub(super) technology: Technology,
    pub(super) origin: Origin<'f>,
}

#[derive(Debug, Clone)]
pub(super) enum Origin<'f> {
    /// A word on the kernel's command line.
    CommandLine(Line, &'f str),
    /// An `options` line in modprobe.d, and the word on it.
    Options(&'f ModuleOptions, &'f str),
    /// Nothing sets it.
    KernelDefault,
}

/// One of the kernel's command lines; `None` where it is not known. Where nobody knows of a boot loader the next boot's
/// line is the running one.
fn text(facts: &Facts, line: Line) -> Option<&str> {
    match (line, &facts.boot.command_line) {
        (Line::NextBoot, Fact::Known(text)) => Some(text),
        (Line::NextBoot, Fact::Unreadable { .. }) => None,
        (Line::Running, _) | (Line::NextBoot, Fact::Absent) => {
            facts.kernel_command_line.known().map(String::as_str)
        }
    }
}

/// The words for the kernel on one of its command lines, each as it is written and as the kernel reads it.
fn words(facts: &Facts, line: Line) -> Vec<(&str, Word)> {
    let text = text(facts, line).unwrap_or_default();
    let written = |word: Word| Some((text.get(word.span.clone())?, word));
    parameters(text).into_iter().filter_map(written).collect()
}

/// How a parameter is configured: the command line wins over modprobe.d, because modprobe reads it last; the last word
/// of each wins.
fn own_setting<'f>(facts: &'f Facts, line: Line, technology: Technology) -> Setting<'f> {
    let name = technology.parameter();
    let on_line = words(facts, line).into_iter().rev().find_map(|(written, word)| {
        let refuses = |value: &str| value.split(',').any(|it| it == "nosnp");
        if technology == Technology::SevSnp && word.is("sev") && word.value.as_deref().is_some_and(refuses) {
            return Some((written, false));
        }
        word.is(&format!("kvm_amd.{name}")).then(|| (written, truth(word.value.as_deref())))
    });
    if let Some((word, on)) = on_line {
        return Setting { on, technology, origin: Origin::CommandLine(line, word) };
    }
    let options = facts
        .boot
        .module_options
        .iter()
        .rev()
        .filter(|options| options.module.replace('-', "_") == "kvm_amd");
    let in_file = options.into_iter().find_map(|options| {
        let last = |written: &'f String| command_line::last(written, name).map(|word| (written, word));
        let (written, word) = options.options.iter().rev().find_map(last)?;
        Some((options, written.as_str(), truth(word.value.as_deref())))
    });
    match in_file {
        Some((options, word, on)) => Setting { on, technology, origin: Origin::Options(options, word) },
        None => Setting { on: default(facts, technology), technology, origin: Origin::KernelDefault },
    }
}

/// How a technology is configured: off where its own parameter is, or that of one that it builds upon.
pub(super) fn setting(facts: &Facts, line: Line, technology: Technology) -> Setting<'_> {
    let below = Technology::ALL.into_iter().filter(|other| *other < technology);
    below
        .map(|other| own_setting(facts, line, other))
        .find(|setting| !setting.on)
        .unwrap_or_else(|| own_setting(facts, line, technology))
}

/// The kernel's own default. Before 5.13 SEV and SEV-ES were on only in kernels built with
/// CONFIG_AMD_MEM_ENCRYPT_ACTIVE_BY_DEFAULT, which distributions leave out.
fn default(facts: &Facts, technology: Technology) -> bool {
    let first = match technology {
        Technology::Sev | Technology::SevEs => Version::new(5, 13, 0),
        Technology::SevSnp => Version::new(6, 11, 0),
    };
    kernel(facts).is_none_or(|kernel| kernel >= first) || default_shows(facts, technology)
}

/// A vendor's kernel that has the parameter of a later one has its default, too.
fn default_shows(facts: &Facts, technology: Technology) -> bool {
    technology == Technology::SevSnp && parameter(facts, technology) == Parameter::On
}

/// What the kernel makes of a switch; what it refuses leaves it as it is, which is on.
fn truth(value: Option<&str>) -> bool {
    boolean(value).unwrap_or(true)
}

/// Whether the next boot turns the technology on, which is off now: only where what is configured has changed since.
/// `None` where that cannot be told: the module may or may not have seen what modprobe.d says now.
pub(super) fn comes_on(facts: &Facts, technology: Technology) -> Option<bool> {
    text(facts, Line::NextBoot)?;
    let (running, next) =
        (setting(facts, Line::Running, technology), setting(facts, Line::NextBoot, technology));
    match running.origin {
        _ if !next.on => Some(false),
        _ if !running.on => Some(true),
        Origin::Options(..) => None,
        // It should be on and is not. Saying so once more may or may not help.
        Origin::KernelDefault if !matches!(next.origin, Origin::KernelDefault) => None,
        Origin::CommandLine(..) | Origin::KernelDefault => Some(false),
    }
}

/// The last word on a command line that decides about host memory's own encryption (SME).
pub(super) fn mem_encrypt(facts: &Facts, line: Line) -> Option<&str> {
    let decides = |word: &Word| word.is("mem_encrypt") && word.value.is_some();
    words(facts, line).into_iter().rfind(|(_, word)| decides(word)).map(|(written, _)| written)
}

/// The word on a command line that keeps the IOMMU from protecting SEV-SNP's tables.
pub(super) fn iommu_obstacle(facts: &Facts, line: Line) -> Option<&str> {
    let mut passthrough = None;
    let mut off = None;
    for (written, word) in words(facts, line) {
        for value in word.value.as_deref().unwrap_or_default().split(',') {
            match (word.name.replace('-', "_").as_str(), value) {
                ("iommu", "pt") => passthrough = Some(written),
                ("iommu.passthrough", value) => passthrough = truth(Some(value)).then_some(written),
                ("iommu", "nopt") => passthrough = None,
                ("iommu" | "amd_iommu", "off") | ("amd_iommu", "pgtbl_v2") => off = Some(written),
                _ => {}
            }
        }
    }
    off.or(passthrough)
}

impl Setting<'_> {
    /// What sets it, in words.
    pub(super) fn because(&self) -> String {
        match &self.origin {
            Origin::CommandLine(Line::Running, word) => format!("`{word}` on the kernel's command line"),
            Origin::CommandLine(Line::NextBoot, word) => {
                format!("`{word}` on the command line of the next boot")
            }
            Origin::Options(options, word) => {
                format!("`{word}` in {}, line {}", options.file.display(), options.line)
            }
            Origin::KernelDefault => "the default of this kernel".to_owned(),
        }
    }

    pub(super) fn evidence(&self, facts: &Facts) -> Evidence {
        match &self.origin {
            Origin::CommandLine(Line::Running, word) => running_line(word),
            Origin::CommandLine(Line::NextBoot, word) => {
                Evidence::new("boot.command_line", loader(facts), word)
            }
            Origin::Options(options, _) => {
                let place = format!("{}:{}", options.file.display(), options.line);
                let line = format!("options {} {}", options.module, options.options.join(" "));
                Evidence::new("boot.module_options", place, line)
            }
            Origin::KernelDefault => super::state::release(facts),
        }
    }
}

pub(super) fn running_line(words: &str) -> Evidence {
    Evidence::new("kernel_command_line", "/proc/cmdline", words)
}

/// Where the next boot's command line is configured.
pub(super) fn loader(facts: &Facts) -> String {
    match facts.boot.loader.known() {
        Some(BootLoader::Grub { defaults, .. }) => defaults.display().to_string(),
        Some(BootLoader::Bls { entry, .. }) => entry.display().to_string(),
        None => "boot loader".to_owned(),
    }
}

/// What takes a word off the kernel's command line.
pub(super) fn without_word(facts: &Facts, word: &str) -> Vec<String> {
    match facts.boot.loader.known() {
        Some(BootLoader::Bls { .. }) => vec![format!("grubby --update-kernel=ALL --remove-args='{word}'")],
        Some(BootLoader::Grub { defaults, config }) => {
            let config = config.display().to_string();
            let tool = if config.contains("grub2") { "grub2-mkconfig" } else { "grub-mkconfig" };
            let pattern = word.replace('.', "\\.");
            vec![
                format!("sed -i 's/\\b{pattern}\\b//' {}", defaults.display()),
                format!("{tool} -o {config}"),
            ]
        }
        None => Vec::new(),
    }
}
