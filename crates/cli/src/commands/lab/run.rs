//! `sevirt lab run FILE`: one domain, started in the lab by `sevirt run`, attested by its owner.
//!
//! This side is the owner's: it computes the launch digest that it expects from the firmware file, and names the root
//! that it trusts. What happens inside is what `sevirt run` does on real hardware.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::lab::disk::Disk;
use ::lab::image::{Afterwards, Format, Guest};
use ::lab::job::{Job, JobFile};
use ::lab::listen::{Ending, Input as JobInput};
use ::lab::machine::{Machine, Setup};
use ::lab::resolve::{DemoBoot, DiskSource, Installed, Resolution, Substitution, resolve, wants_demo_boot};
use ::lab::{CONSOLE, TRUST_ROOT, memory};
use anyhow::Context as _;
use attest::sev::digest::LaunchDigest;
use attest::sev::vmsa::Profile;
use domain::model::launch_security::LaunchSecurity;
use domain::{Document, Domain};

use super::tell::{self, Teller};
use super::{Bench, CANNOT_START, Common, exec, exit_code, image};
use crate::input::Input;
use crate::owner;
use crate::render::{Judged, text};
use crate::style::{self, Chain, Look};

/// A guest that hangs does not do so for ever.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(900);
/// What `sevirt run` exits with when the domain is not even XML.
const REFUSED: u8 = 3;

/// Start a domain in the lab, attested, and see it through to its end
///
/// What the domain names by path and is not here (emulator, firmware, one disk image) is replaced, and said. Disks are
/// layers over the images, thrown away at the end. Options after `--` are those of `sevirt run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sevirt lab run guest.xml
  sevirt lab run guest.xml --expect-digest $(sevirt digest -q --firmware OVMF_CODE.fd)
  sevirt lab run guest-es.xml -- --paused-only

Exit status: that of `sevirt run`: 0 the guest ended well, 2 usage or unreadable input, 3 refused by lint, 4 cannot
start, 5 attestation failed, 6 timed out, 7 QEMU or the guest died; stopped by a signal, 128 and its number.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,

    /// Domain XML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: String,

    /// Do not verify the launch before the guest runs
    #[arg(long)]
    no_attest: bool,

    /// The launch digest to accept, instead of the one of the files that are loaded
    #[arg(long, value_name = "HEX", conflicts_with = "no_attest")]
    expect_digest: Option<LaunchDigest>,

    /// How to report
    #[arg(long, value_enum, default_value = "text")]
    format: tell::Format,

    /// Further options for `sevirt run`
    #[arg(last = true, value_name = "RUN OPTIONS")]
    options: Vec<String>,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let input = Input::read(&args.file)?;
    let document = match input.parse() {
        Ok(document) => document,
        Err(error) => {
            let look = Look::of(&std::io::stderr());
            let shown = text::render(&Judged::ill_formed(input, &error), look);
            std::io::Write::write_all(&mut anstream::stderr().lock(), shown.as_bytes())?;
            return Ok(ExitCode::from(REFUSED));
        }
    };
    let (domain, _) = Domain::read(&document);
    if domain.launch_security.is_none() {
        anyhow::bail!(
            "`{}` has no <launchSecurity>, and the lab is for confidential guests; `sevirt run` runs others",
            input.name
        );
    }
    match start(args, &input.name, &document, &domain) {
        Ok(code) => Ok(code),
        Err(error) => {
            style::complain(&Chain(&error));
            Ok(ExitCode::from(CANNOT_START))
        }
    }
}

fn start(args: &RunArgs, name: &str, document: &Document, domain: &Domain) -> anyhow::Result<ExitCode> {
    let bench = args.common.bench()?;
    let memory_mib = memory::reserve(domain.memory.bytes().div_ceil(1 << 20))?;
    let loaders = host::probe(&host::Root::live()).firmware;
    let boot = if wants_demo_boot(domain) { Some(demo_boot(&bench)?) } else { None };
    let installed = Installed { qemu: &bench.tools.qemu, loaders: &loaders, boot: boot.as_ref() };
    let resolution = resolve(document, domain, &installed)?;
    let teller = Teller::new(args.format);
    for substitution in &resolution.substitutions {
        teller.substitution(substitution);
    }
    let fitted = document.apply(&resolution.edits).context("fit the domain to the lab")?;
    let digest = digest(args, name, &fitted, domain, &teller)?;
    let directory = bench.state.run_directory()?;
    let disks = disks(&bench, &resolution, directory.path(), &teller)?;
    let simulation = bench.simulation()?;
    let path = path_inside(&args.file)?;
    let job = Job {
        command: command(args, &bench, domain, &path, digest)?,
        directory: env::current_dir().unwrap_or_default(),
        environment: exec::environment(),
        files: vec![JobFile { path, content: fitted.text().to_owned() }],
        directories: variables_directory(domain).into_iter().collect(),
        simulation: Some(simulation),
        ..Job::default()
    };
    let outer_disks: Vec<Disk> = disks.iter().map(|disk| disk.disk.clone()).collect();
    let setup = Setup {
        tools: &bench.tools,
        state: &bench.state,
        accelerator: bench.accelerator,
        memory_mib,
        disks: &outer_disks,
        job: &job,
    };
    let started = Instant::now();
    let deadline = bench.deadline.unwrap_or(started + DEFAULT_TIMEOUT);
    let mut machine = Machine::start(&setup)?;
    let ending = machine.listen(JobInput::None, Some(deadline), &mut |event| teller.event(&event));
    // A guest that never ran, or did not end by itself, has left no report.
    let ran = matches!(ending, Ok(Ending::Exited(0)));
    for disk in disks.iter().filter(|disk| disk.is_demo && ran) {
        match image::report(&bench.tools, &disk.disk, directory.path()) {
            Ok(report) => teller.report(&report),
            Err(error) => teller.note(&format!("no report of the guest: {}", Chain(&error))),
        }
    }
    teller.ended(ending.as_ref().ok(), started.elapsed());
    Ok(exit_code(&ending?))
}

/// Where the domain is found inside: where it is here, so that messages name the user's own file.
fn path_inside(file: &str) -> anyhow::Result<PathBuf> {
    if file == crate::input::STDIN {
        return Ok(PathBuf::from("/run/sevirt/lab/domain.xml"));
    }
    let path = std::path::absolute(file).with_context(|| format!("find `{file}`"))?;
    Ok(path)
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
    if args.format == tell::Format::Json {
        option(&["--format", "json"]);
        if !(domain.devices.serials.is_empty() && domain.devices.consoles.is_empty()) {
            option(&["--console", CONSOLE]);
        }
    }
    // A SEV-SNP guest is attested from inside, by its own report.
    if !args.no_attest && is_attested_by_launch(domain) {
        option(&["--attest", "--trust-root", TRUST_ROOT]);
    }
    if let Some(digest) = digest {
        option(&["--expect-digest", &digest.to_string()]);
    }
    command.extend(args.options.iter().cloned());
    Ok(command)
}

/// Whether the guest's owner can verify the launch before the guest runs: SEV and SEV-ES.
fn is_attested_by_launch(domain: &Domain) -> bool {
    matches!(domain.launch_security, Some(LaunchSecurity::Sev(_)))
}

/// UEFI variables are kept where the domain says; that directory is libvirt's and may not be here.
fn variables_directory(domain: &Domain) -> Option<PathBuf> {
    let path = domain.os.nvram.as_ref()?.path.as_deref()?;
    Path::new(path).parent().map(Path::to_owned)
}

/// A disk of the outer machine.
struct RunDisk {
    disk: Disk,
    /// The demo guest's, on which there will be a report.
    is_demo: bool,
}

/// The outer machine's disks; the demo guest's takes the place of an image that is not here.
fn disks(
    bench: &Bench,
    resolution: &Resolution,
    directory: &Path,
    teller: &Teller,
) -> anyhow::Result<Vec<RunDisk>> {
    let mut disks = Vec::new();
    for (index, source) in resolution.disks.iter().enumerate() {
        let image = match &source.image {
            Some(image) => image.clone(),
            None => demo_image(bench, source, teller)?,
        };
        let disk = Disk::create(&bench.tools, directory, index, &image)?;
        teller.note(&format!(
            "disk `{}` is a layer over `{}`, thrown away at the end: the image is not changed",
            source.target,
            image.display()
        ));
        disks.push(RunDisk { disk, is_demo: source.image.is_none() });
    }
    Ok(disks)
}

/// The demo guest's kernel, and its initrd made anew.
fn demo_boot(bench: &Bench) -> anyhow::Result<DemoBoot> {
    let guest = Guest::find(Path::new("/"), &::lab::tools::busybox()?)?;
    let initrd = bench.state.demo_initrd();
    std::fs::write(&initrd, guest.initrd()?).with_context(|| format!("write `{}`", initrd.display()))?;
    Ok(DemoBoot { kernel: guest.kernel_path().to_owned(), initrd })
}

fn demo_image(bench: &Bench, source: &DiskSource, teller: &Teller) -> anyhow::Result<PathBuf> {
    let format = match source.format.as_str() {
        "raw" => Format::Raw,
        "qcow2" => Format::Qcow2,
        other => anyhow::bail!(
            "disk `{}`: image `{}` is not here, and there is no demo image of type `{other}`",
            source.target,
            source.wanted.display()
        ),
    };
    let image = bench.state.demo_image(&source.format);
    image::up_to_date(&image, format, Afterwards::PowersOff)?;
    teller.substitution(&Substitution {
        what: "disk image",
        wanted: source.wanted.display().to_string(),
        used: image.display().to_string(),
        by: "the demo guest, made of this machine's kernel".to_owned(),
    });
    Ok(image)
}

/// The owner's launch digest: given, or computed from the very files that will be loaded.
fn digest(
    args: &RunArgs,
    name: &str,
    fitted: &Document,
    domain: &Domain,
    teller: &Teller,
) -> anyhow::Result<Option<LaunchDigest>> {
    if args.no_attest || args.expect_digest.is_some() {
        return Ok(args.expect_digest);
    }
    if !is_attested_by_launch(domain) {
        teller.note("a SEV-SNP guest is attested from inside, by its own report, and not by its launch");
        return Ok(None);
    }
    if matches!(&domain.launch_security, Some(LaunchSecurity::Sev(sev)) if sev.is_es()) {
        teller.note(
            "a SEV-ES guest's digest covers the registers of its vCPUs, whose model is the lab's: it is computed there",
        );
        return Ok(None);
    }
    let source = owner::of_document(name, fitted, Profile::Legacy, 0)?;
    let digest = source.digest()?.digest;
    let firmware = source.firmware.display();
    teller.note(&format!("expected launch digest {digest}, computed by the owner's side from `{firmware}`"));
    Ok(Some(digest))
}
