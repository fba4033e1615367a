//! Where a command gets the host's facts from: this machine, another machine's files, or a file of facts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use daemon::probe::{self, ProbeError};
use domain::{Document, Domain};
use host::{AssumeError, Fact, Facts, Root, User};

/// The options of every command that judges a domain against a host.
#[derive(Debug, clap::Args)]
pub(crate) struct FactsArgs {
    /// Judge by these facts (JSON of `sevirt host facts`) instead of this machine's
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    facts: Option<PathBuf>,
    /// Read the facts from another machine's /proc, /sys, /etc, /dev and /usr, copied to this directory
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Assume another fact than what was found: a key of `sevirt host facts --json`, or qemu, kernel, guest_kernel,
    /// libvirt, cbitpos, sev_es, sev_snp, host=naples|rome|milan|genoa|turin|lab; docs/facts.md names them all
    #[arg(long, value_name = "KEY=VALUE")]
    assume: Vec<String>,
}

/// A host's facts, and where to look for the files that a domain adds to them.
#[derive(Debug)]
pub(crate) struct HostFacts {
    facts: Facts,
    /// None where all facts came from a file: nothing is looked up then.
    root: Option<Root>,
    /// Said again whenever something was added, so that they always come last.
    assumptions: Vec<String>,
}

impl FactsArgs {
    /// The tree that is looked at; this machine where the facts come from a file.
    pub(crate) fn root(&self) -> anyhow::Result<Root> {
        root(self.root.as_deref())
    }

    pub(crate) fn gather(&self) -> anyhow::Result<HostFacts> {
        let (facts, root) = match &self.facts {
            Some(path) => (read(path)?, None),
            None => of(self.root()?),
        };
        let assumptions =
            self.assume.iter().flat_map(|text| host::assumptions(text)).map(str::to_owned).collect();
        let mut gathered = HostFacts { facts, root, assumptions };
        gathered.assume()?;
        Ok(gathered)
    }
}

/// The tree that `--root` names: a copy, or that of a described host; this machine without it.
pub(crate) fn root(directory: Option<&Path>) -> anyhow::Result<Root> {
    Ok(directory.map_or_else(|| Ok(Root::live()), Root::open)?)
}

fn of(root: Root) -> (Facts, Option<Root>) {
    (host::probe(&root), Some(root))
}

fn read(path: &Path) -> anyhow::Result<Facts> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("read facts file `{shown}`"))?;
    Facts::of_json(&text).with_context(|| format!("understand facts file `{shown}`"))
}

impl HostFacts {
    /// Of this machine.
    pub(crate) fn live() -> Self {
        let (facts, root) = of(Root::live());
        Self { facts, root, assumptions: Vec::new() }
    }

    /// Of this machine, for guests that run as who calls this program.
    pub(crate) fn of_own_guests() -> Self {
        let mut live = Self::live();
        live.facts.qemu_user = Fact::Known(User::of_this_process());
        live
    }

    fn assume(&mut self) -> Result<(), AssumeError> {
        self.assumptions.iter().try_for_each(|text| self.facts.assume(text))
    }

    pub(crate) fn into_facts(self) -> Facts {
        self.facts
    }

    /// The facts with those about the QEMU binaries of this host's distribution, which have to be started to answer.
    pub(crate) fn with_emulators(mut self) -> anyhow::Result<Self> {
        let found = self.root.as_ref().map(Root::emulators).unwrap_or_default();
        for path in found {
            self.add_emulator(path);
        }
        self.assume()?;
        Ok(self)
    }

    /// The facts with those about the files that the domain names.
    pub(crate) fn about(&mut self, document: &Document) -> &Facts {
        let (domain, _) = Domain::read(document);
        self.about_domain(&domain)
    }

    /// The same for a domain that has been read already.
    pub(crate) fn about_domain<'f>(&'f mut self, domain: &Domain) -> &'f Facts {
        if let Some(root) = &self.root {
            for path in rules::images(domain) {
                self.facts.images.entry(path.to_owned()).or_insert_with(|| root.firmware_image(path));
            }
        }
        self.add_emulator(daemon::start::emulator(domain));
        // They were understood when the facts were gathered, and mean the same now.
        let _ = self.assume();
        &self.facts
    }

    fn add_emulator(&mut self, path: PathBuf) {
        self.add_emulator_by(path, |path| cached_caps(path).map(Arc::new));
    }

    /// What is known of a QEMU binary, by `ask` where it is this machine's.
    pub(crate) fn add_emulator_by(
        &mut self,
        path: PathBuf,
        ask: impl FnOnce(&Path) -> Result<Arc<qemu::Caps>, ProbeError>,
    ) {
        if self.facts.emulators.iter().any(|emulator| emulator.path == path) {
            return;
        }
        match &self.root {
            Some(root) => {
                let emulator = root.emulator(&path).unwrap_or_else(|| daemon::emulator::facts(&path, ask));
                self.facts.emulators.push(emulator);
            }
            // Nobody asked it, so there is nothing to say; but what is assumed of QEMU holds for this one too.
            None if self
                .assumptions
                .iter()
                .any(|text| text.starts_with("qemu=") || text.starts_with("host=")) =>
            {
                self.facts.emulators.push(host::Emulator { path, ..host::Emulator::default() });
            }
            None => {}
        }
    }
}

/// Where QEMU's answers are remembered from one run to the next.
pub(crate) fn cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    probe::cache_directory(variable("HOME").as_deref(), variable("XDG_CACHE_HOME").as_deref())
}

/// What the emulator can do, remembered from an earlier start where that still holds.
pub(crate) fn cached_caps(emulator: &Path) -> Result<qemu::Caps, ProbeError> {
    probe::caps(emulator, cache().as_deref())
}
