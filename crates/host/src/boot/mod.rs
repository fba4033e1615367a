//! What the next boot will do: the boot loader's configuration and modprobe's, read as their own programs read them.
//!
//! What it deliberately does not do: change any of it. That is `settings`, which shares these parsers.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub mod bls;
pub mod command_line;
pub mod grub;
pub mod modprobe;
pub mod shell;
pub mod value;

use crate::facts::{Boot, BootLoader, Fact};
use crate::root::Root;
use value::Scripts;

/// How a system's boot is configured.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) defaults: Fact<Scripts>,
    /// Made from the defaults; the text.
    pub(crate) generated: Vec<(PathBuf, String)>,
    /// The directory of entries and the entries, where the boot loader reads them.
    pub(crate) entries: Option<(PathBuf, Vec<PathBuf>)>,
    /// GRUB's environment block.
    pub(crate) environment: Option<PathBuf>,
}

impl Layout {
    pub(crate) fn find(root: &Root) -> Self {
        let defaults = grub::defaults(root);
        let generated = grub::generated(root);
        let entries = bls::entries(root).filter(|_| {
            let asked = defaults.known().and_then(|defaults| defaults.value("GRUB_ENABLE_BLSCFG"));
            let read = |text: &String| text.lines().any(|line| line.trim() == "blscfg");
            asked.is_some_and(|value| value.bytes.trim_ascii() == b"true")
                || generated.iter().any(|(_, text)| read(text))
                || (generated.is_empty() && matches!(defaults, Fact::Absent))
        });
        Self { defaults, generated, entries, environment: grub::environment_place(root) }
    }

    /// Variables that entries refer to.
    pub(crate) fn variables(&self, root: &Root) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (_, text) in &self.generated {
            found
                .extend(grub::set_variable(text, "kernelopts").map(|value| ("kernelopts".to_owned(), value)));
        }
        let block = self.environment.as_ref().map(|place| root.text(&place.to_string_lossy()));
        if let Some(Fact::Known(block)) = block {
            let values = grub::environment(block.as_bytes());
            let text = |span: std::ops::Range<usize>| block.get(span).unwrap_or_default().to_owned();
            found.extend(values.into_iter().map(|(name, span)| (name, text(span))));
        }
        found
    }

    /// The entry that was saved as the default, or is named as such.
    fn wanted_entry(&self, variables: &BTreeMap<String, String>) -> Option<String> {
        let named = self
            .defaults
            .known()
            .and_then(|defaults| defaults.value("GRUB_DEFAULT"))
            .map(|value| value.text());
        match named.as_deref().map(str::trim) {
            Some("saved") => variables.get("saved_entry").cloned(),
            // Entries are numbered from the newest, as without a saved one.
            None if self.entries.is_some() => variables.get("saved_entry").cloned(),
            _ => named,
        }
    }
}

/// The configuration that the next boot reads.
#[must_use]
pub fn read(root: &Root) -> Boot {
    let layout = Layout::find(root);
    let variables = layout.variables(root);
    let wanted = layout.wanted_entry(&variables);
    let module_options = modprobe::read(root);
    if let Some((directory, files)) = &layout.entries {
        let entry = bls::default_entry(root, files, wanted.as_deref()).or_else(|| files.first());
        if let Some(entry) = entry {
            let command_line =
                root.text(&entry.to_string_lossy()).map(|text| bls::command_line(&text, &variables));
            let loader = BootLoader::Bls { entries: directory.clone(), entry: entry.clone() };
            return Boot { loader: Fact::Known(loader), command_line, module_options, ..Boot::default() };
        }
    }
    let configured = match &layout.defaults {
        Fact::Known(defaults) => {
            let value = grub::ordinary_entry(defaults);
            match &value.doubt {
                None => Fact::Known(value.text().trim().to_owned()),
                Some(doubt) => Fact::Unreadable {
                    path: doubt.path.display().to_string(),
                    errno: 0,
                    why: format!("line {}: {}", doubt.line, doubt.why),
                },
            }
        }
        Fact::Absent => Fact::Absent,
        Fact::Unreadable { path, errno, why } => {
            Fact::Unreadable { path: path.clone(), errno: *errno, why: why.clone() }
        }
    };
    let booted =
        layout.generated.iter().find_map(|(_, text)| grub::default_command_line(text, wanted.as_deref()));
    let loader = if matches!(layout.defaults, Fact::Absent) && layout.generated.is_empty() {
        Fact::Absent
    } else {
        Fact::Known(BootLoader::Grub {
            defaults: PathBuf::from(grub::DEFAULTS),
            config: grub::config_place(root),
        })
    };
    let command_line = booted.map_or_else(|| configured.clone(), Fact::Known);
    Boot { loader, command_line, configured, module_options }
}
