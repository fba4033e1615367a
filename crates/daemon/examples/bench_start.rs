//! Measures sevirt's own share of a start, beside QEMU started bare with the same command line.
//!
//! `cargo run --release -p daemon --example bench_start -- [SEVIRT] [RUNS]`, once `sevirt` is built. Runs alternate,
//! medians count, and the exit code says whether the targets hold: at most 15 ms from sevirt's own start to QEMU's exec
//! with probing cached, and from exec to QMP's greeting at most the bare start and the larger of 10 % and 3 ms.

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use daemon::vm::RunDir;
use domain::{Document, Domain};

const RUNS: usize = 50;
const SHARE_LIMIT: Duration = Duration::from_millis(15);
const GREETING_SLACK: Duration = Duration::from_millis(3);

const DOMAIN: &str = "<domain type='qemu'>
  <name>bench</name>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash' stateless='yes'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='scsi' model='virtio-scsi'/>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
";

struct Sample {
    /// From the start of sevirt's process to QEMU's exec.
    share: Duration,
    /// From exec to the greeting.
    greeting: Duration,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let sevirt = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => beside_this_program()?,
    };
    let runs = arguments.next().map_or(Ok(RUNS), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("bench.xml");
    std::fs::write(&file, DOMAIN)?;
    let base = directory.path().join("guests");

    // Fills the page cache and the cache of capabilities.
    supervised(&sevirt, &file)?;
    bare(&base)?;
    let (mut share, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let sample = supervised(&sevirt, &file)?;
        share.push(sample.share);
        ours.push(sample.greeting);
        theirs.push(bare(&base)?);
    }
    let (share, ours, theirs) = (median(share), median(ours), median(theirs));
    let allowed = theirs + (theirs / 10).max(GREETING_SLACK);
    println!("medians of {runs} alternating runs");
    println!("  sevirt's own share, start to exec   {} (at most {})", ms(share), ms(SHARE_LIMIT));
    println!("  exec to greeting, bare QEMU         {}", ms(theirs));
    println!("  exec to greeting, under sevirt      {} (at most {})", ms(ours), ms(allowed));
    let holds = share <= SHARE_LIMIT && ours <= allowed;
    println!("{}", if holds { "within the targets" } else { "NOT within the targets" });
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn beside_this_program() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let directory = program.parent().and_then(Path::parent).ok_or("no directory")?;
    Ok(directory.join("sevirt"))
}

/// `sevirt run`, timed by when its events arrive.
fn supervised(sevirt: &Path, file: &Path) -> Result<Sample, Box<dyn Error>> {
    let started = Instant::now();
    let mut child = Command::new(sevirt)
        .arg("run")
        .arg(file)
        .args(["--paused-only", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let (mut spawned, mut greeted) = (None, None);
    for line in BufReader::new(output).lines() {
        let (line, now) = (line?, Instant::now());
        if line.contains(r#""stage":"spawn""#) {
            spawned = Some(now);
        } else if line.contains(r#""stage":"qmp""#) {
            greeted = Some(now);
        }
    }
    if !child.wait()?.success() {
        return Err("sevirt failed".into());
    }
    let (spawned, greeted) = (spawned.ok_or("no start")?, greeted.ok_or("no greeting")?);
    Ok(Sample { share: spawned - started, greeting: greeted - spawned })
}

/// The same QEMU with the same arguments, by fork and exec alone.
fn bare(base: &Path) -> Result<Duration, Box<dyn Error>> {
    let (domain, _) = Domain::read(&Document::parse(DOMAIN)?);
    let emulator = daemon::start::emulator(&domain);
    let cache = base.with_extension("caps");
    let caps = daemon::probe::caps(&emulator, Some(&cache))?;
    let run_dir = RunDir::create(base, "bare")?;
    let listener = run_dir.listen()?;
    let facts = host::Facts::default();
    let plan = daemon::start::plan(domain, &caps, &facts, run_dir.path(), listener.as_raw_fd())?;
    let argv = plan.argv();
    let (program, arguments) = argv.split_first().ok_or("no command line")?;
    rustix::io::fcntl_setfd(listener.as_fd(), rustix::io::FdFlags::empty())?;
    let stream = UnixStream::connect(run_dir.monitor())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let spawned = Instant::now();
    let mut greeting = String::new();
    let read = BufReader::new(&stream).read_line(&mut greeting);
    let took = spawned.elapsed();
    child.kill()?;
    child.wait()?;
    read?;
    if greeting.contains("QMP") { Ok(took) } else { Err("QEMU did not greet".into()) }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> String {
    format!("{:6.2} ms", duration.as_secs_f64() * 1000.0)
}
