//! `sevirt lab run FILE`: one domain, started in the lab by `sevirt run`, attested by its owner.
//!
//! This side is the owner's: it computes the launch digest that it expects from the firmware file, and names the root
//! that it trusts. What happens inside is what `sevirt run` does on real hardware.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ::lab::disk::Disk;
use ::lab::job::{Job, JobFile};
use ::lab::listen::{Ending, Event, Input};
use ::lab::machine::{Machine, Setup};
use ::lab::resolve::{Resolution, resolve};
use ::lab::{CONSOLE, memory};
use attest::sev::digest::{LaunchDigest, LaunchHasher};
use clap::ValueEnum;
use domain::model::launch_security::LaunchSecurity;
use domain::{Document, Domain};

use super::progress::{Progress, Style};
use super::{Bench, CANNOT_START, Common, exit_code, exec};

/// A guest that hangs does not do so for ever.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(900);
/// No domain is larger.
const DOMAIN_LIMIT: u64 = domain::MAX_SIZE as u64;

/// Start a domain in the lab, attested, and see it through to its end
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What the domain names by path and is not here (emulator, firmware, one disk image) is replaced, and said. \
        Disks are layers over the images, thrown away at the end. The exit code is that of `sevirt run`: 0 the guest ended \
        well, 2 usage, 3 refused by lint, 4 cannot start, 5 attestation failed, 6 timed out, 7 QEMU died.\n\n\
        Examples:\n  sevirt lab run q35.xml\n  sevirt lab run q35.xml -- --allow SEV004"
)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,

    /// The domain's XML
    file: PathBuf,

    /// Do not verify the launch before the guest runs
    #[arg(long)]
    no_attest: bool,

    /// The launch digest to expect, instead of one computed from the firmware file
    #[arg(long, value_name = "HEX", conflicts_with = "no_attest")]
    expect_digest: Option<LaunchDigest>,

    /// How to tell what happens
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// Further options for `sevirt run`
    #[arg(last = true, value_name = "RUN OPTIONS")]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    /// One JSON object a line on standard output.
    Json,
}

/// What this command tells beside what `sevirt run` tells.
struct Teller {
    format: Format,
    progress: Progress,
    /// What `sevirt run` has written of a line, so that no object of ours lands in the middle of one of its own.
    line: RefCell<Vec<u8>>,
}

/// No object that `sevirt run` writes is longer; whatever is, is passed on in pieces.
const LINE_LIMIT: usize = 1 << 20;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let text = read_domain(&args.file)?;
    let document = Document::parse(&text).map_err(|error| {
        let position = domain_position(&text, error.span.start);
        anyhow::anyhow!("{}:{position}: {error}", args.file.display())
    })?;
    let (domain, _) = Domain::read(&document);
    if domain.launch_security.is_none() {
        crate::style::complain(&format_args!(
            "{}: the domain has no <launchSecurity>; the lab is for confidential guests, and `sevirt run` runs others",
            args.file.display()
        ));
        return Ok(ExitCode::from(CANNOT_START));
    }
    let bench = args.common.bench()?;
    let memory_mib = memory::reserve(domain.memory.bytes().div_ceil(1 << 20))?;
    let loaders = host::probe(&host::Root::live()).firmware;
    let resolution = resolve(&document, &domain, &bench.tools.qemu, &loaders)?;
    let teller =
        Teller { format: args.format, progress: Progress::new(Style::Lines), line: RefCell::default() };
    teller.resolved(&resolution);

    let directory = bench.state.run_directory()?;
    let disks = disks(&bench, &resolution, directory.path(), &teller)?;
    let digest = digest(args, &domain, &resolution, &teller)?;
    let simulation = bench.simulation()?;
    let fitted = document.apply(&resolution.edits).context("fit the domain to the lab")?;
    let path = std::path::absolute(&args.file)?;
    let job = Job {
        command: command(args, &bench, &domain, &path, digest)?,
        directory: env::current_dir().unwrap_or_default(),
        environment: exec::environment(),
        files: vec![JobFile { path, content: fitted.text().to_owned() }],
        directories: variables_directory(&domain).into_iter().collect(),
        simulation: Some(simulation),
        ..Job::default()
    };
    let setup = Setup {
        tools: &bench.tools,
        state: &bench.state,
        accelerator: bench.accelerator,
        memory_mib,
        disks: &disks,
        job: &job,
    };
    let started = Instant::now();
    let deadline = bench.deadline.unwrap_or(started + DEFAULT_TIMEOUT);
    let ended = Machine::start(&setup).map_err(anyhow::Error::new).and_then(|mut machine| {
        Ok(machine.listen(Input::None, Some(deadline), &mut |event| teller.event(&event))?)
    });
    teller.progress.hide();
    let ending = match ended {
        Ok(ending) => ending,
        Err(error) => {
            crate::style::complain(&crate::style::Chain(&error));
            return Ok(ExitCode::from(CANNOT_START));
        }
    };
    teller.ended(&ending, started.elapsed());
    Ok(exit_code(&ending))
}

fn read_domain(path: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let read = || -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(path)?.take(DOMAIN_LIMIT + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    read().with_context(|| format!("read domain file `{}`", path.display()))
}

/// The inner `sevirt run`.
fn command(
    args: &RunArgs,
    bench: &Bench,
    domain: &Domain,
    file: &Path,
    digest: Option<LaunchDigest>,
) -> anyhow::Result<Vec<String>> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).with_context(|| format!("`{}` is not UTF-8", path.display()))
    };
    let mut command = vec![text(&bench.tools.sevirt)?, "run".to_owned(), text(file)?];
    let mut option = |words: &[&str]| command.extend(words.iter().map(|word| (*word).to_owned()));
    if args.format == Format::Json {
        option(&["--format", "json"]);
        let devices = &domain.devices;
        if !(devices.serials.is_empty() && devices.consoles.is_empty()) {
            option(&["--console", CONSOLE]);
        }
    }
    if !args.no_attest {
        option(&["--attest", "--trust-root", ::lab::TRUST_ROOT]);
    }
    if let Some(digest) = digest {
        option(&["--expect-digest", &digest.to_string()]);
    }
    command.extend(args.options.iter().cloned());
    Ok(command)
}

/// UEFI variables are kept where the domain says; that directory is libvirt's and may not be here.
fn variables_directory(domain: &Domain) -> Option<PathBuf> {
    let path = domain.os.nvram.as_ref()?.path.as_deref()?;
    Path::new(path).parent().map(Path::to_owned)
}

/// The outer machine's disks.
fn disks(bench: &Bench, resolution: &Resolution, directory: &Path, teller: &Teller) -> anyhow::Result<Vec<Disk>> {
    let mut disks = Vec::new();
    for (index, source) in resolution.disks.iter().enumerate() {
        let Some(image) = &source.image else {
            anyhow::bail!("disk `{}`: image `{}` is not here", source.target, source.wanted.display());
        };
        disks.push(Disk::create(&bench.tools, directory, index, image)?);
        teller.note(&format!(
            "disk `{}` is a layer over `{}` that is thrown away at the end; the image is not changed",
            source.target,
            image.display()
        ));
    }
    Ok(disks)
}

/// The owner's launch digest: given, or computed from the very file that will be loaded.
fn digest(
    args: &RunArgs,
    domain: &Domain,
    resolution: &Resolution,
    teller: &Teller,
) -> anyhow::Result<Option<LaunchDigest>> {
    if args.no_attest || args.expect_digest.is_some() {
        return Ok(args.expect_digest);
    }
    let plain = match &domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => {
            !sev.is_es() && !sev.kernel_hashes.is_some_and(domain::model::Switch::is_on)
        }
        _ => false,
    };
    let Some(firmware) = resolution.firmware.as_ref().filter(|_| plain) else {
        return Ok(None);
    };
    let bytes = fs::read(firmware).with_context(|| format!("read firmware `{}`", firmware.display()))?;
    let mut hasher = LaunchHasher::new();
    hasher.update(&bytes);
    let digest = hasher.finish();
    teller.note(&format!("expected launch digest {digest}, computed here from `{}`", firmware.display()));
    Ok(Some(digest))
}

/// `LINE:COLUMN` of a byte offset in a text that is not well-formed.
fn domain_position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

impl Teller {
    fn resolved(&self, resolution: &Resolution) {
        for substitution in &resolution.substitutions {
            let (what, wanted) = (substitution.what, &substitution.wanted);
            let (used, by) = (&substitution.used, &substitution.by);
            self.note(&format!("{what} `{wanted}` is not here; `{used}` takes its place (found {by})"));
        }
    }

    fn note(&self, text: &str) {
        match self.format {
            Format::Text => self.progress.suspend(|| crate::style::note(&text)),
            Format::Json => self.json(&serde_json::json!({ "event": "note", "text": text })),
        }
    }

    fn event(&self, event: &Event<'_>) -> io::Result<()> {
        match (event, self.format) {
            (Event::Stage { name, took }, Format::Text) => self.progress.stage(name, *took),
            (Event::Stage { name, took }, Format::Json) => {
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.json(&serde_json::json!({ "event": "lab-stage", "stage": name, "ms": ms }));
            }
            (Event::Stdout(bytes), Format::Text) => {
                self.progress.hide();
                write_out(bytes)?;
            }
            (Event::Stdout(bytes), Format::Json) => {
                let mut line = self.line.borrow_mut();
                line.extend_from_slice(bytes);
                let whole = match line.iter().rposition(|&byte| byte == b'\n') {
                    Some(end) => end + 1,
                    None if line.len() > LINE_LIMIT => line.len(),
                    None => 0,
                };
                write_out(&line.drain(..whole).collect::<Vec<u8>>())?;
            }
            (Event::Stderr(bytes), _) => {
                self.progress.hide();
                io::stderr().write_all(bytes)?;
            }
            (Event::Console(bytes), Format::Json) => {
                let text = String::from_utf8_lossy(bytes);
                self.json(&serde_json::json!({ "event": "console", "text": text }));
            }
            (Event::Console(bytes), Format::Text) => write_out(bytes)?,
        }
        Ok(())
    }

    fn ended(&self, ending: &Ending, took: Duration) {
        // An object that was cut off by the end is no object, but it is not kept back either.
        let _ = write_out(&self.line.take());
        let seconds = took.as_secs_f64();
        match (self.format, ending) {
            (Format::Text, Ending::TimedOut) => {
                crate::style::complain(&format_args!("the time was up after {seconds:.1} s"));
            }
            (Format::Text, _) => self.note(&format!("the lab ran for {seconds:.1} s")),
            (Format::Json, _) => {
                let code = match ending {
                    Ending::Exited(code) => serde_json::json!(code),
                    Ending::TimedOut => serde_json::json!(super::TIMED_OUT),
                    Ending::Interrupted(signal) => serde_json::json!(128 + signal),
                };
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.json(&serde_json::json!({ "event": "lab-ended", "exit": code, "ms": ms }));
            }
        }
    }

    /// When standard output is closed there is nobody to tell; the next write of the job's own output fails.
    fn json(&self, value: &serde_json::Value) {
        let _ = write_out(format!("{value}\n").as_bytes());
    }
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
