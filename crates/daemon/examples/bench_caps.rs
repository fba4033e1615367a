//! Measures `sevirt caps` beside a bare exchange of the same questions with QEMU, and beside `virsh domcapabilities`.
//!
//! `scripts/private_libvirt.sh bench_caps SEVIRT [RUNS]`; without that script's namespaces libvirt is left out. Runs
//! alternate, medians count, and the exit code says whether the targets hold: with nothing remembered at most 1.3 times
//! the bare exchange, and with everything remembered at most 5 ms, each as a whole process.

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use daemon::probe::{Accelerator, cache_directory};
use qemu::caps::{Part, Queries};
use qemu::qmp::Codec;
use qemu::qmp::command::{QmpCapabilities, Quit};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const RUNS: usize = 15;
/// libvirtd is started for each.
const PEER_RUNS: usize = 3;
const COLD_PERCENT: u32 = 130;
const WARM_LIMIT: Duration = Duration::from_millis(5);
/// How long libvirtd may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let sevirt = PathBuf::from(arguments.next().ok_or("usage: bench_caps SEVIRT [RUNS]")?);
    let runs = arguments.next().map_or(Ok(RUNS), |text| text.parse())?;
    let home = tempfile::tempdir()?;
    let cache = cache_directory(None, Some(home.path())).ok_or("no cache directory")?;
    let ours = || timed(Command::new(&sevirt).arg("caps").env("XDG_CACHE_HOME", home.path()));

    // Fills the page cache.
    bare()?;
    ours()?;
    let (mut cold, mut warm, mut exchange) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        exchange.push(bare()?);
        forget(&cache)?;
        cold.push(ours()?);
        for _ in 0..3 {
            warm.push(ours()?);
        }
    }
    let (cold, warm, exchange) = (median(cold), median(warm), median(exchange));
    let allowed = exchange * COLD_PERCENT / 100;
    println!("medians of {runs} alternating runs, whole processes");
    println!("  the same questions, bare client     {}", ms(exchange));
    println!(
        "  sevirt caps, nothing remembered     {} (at most 1.3 times that, {}: {:.2})",
        ms(cold),
        ms(allowed),
        cold.as_secs_f64() / exchange.as_secs_f64()
    );
    println!("  sevirt caps, all remembered         {} (at most {})", ms(warm), ms(WARM_LIMIT));
    if std::env::var_os("SEVIRT_PRIVATE_LIBVIRT").is_some() {
        peer(cold, warm)?;
    } else {
        println!("  virsh domcapabilities               not measured (scripts/private_libvirt.sh, as root)");
    }
    let holds = cold <= allowed && warm <= WARM_LIMIT;
    println!("{}", if holds { "within the targets" } else { "NOT within the targets" });
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was remembered of this emulator, and nothing else.
fn forget(cache: &Path) -> Result<()> {
    for entry in std::fs::read_dir(cache)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("qemu-system-x86_64-")) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// One start of QEMU that answers the questions and quits. The answers are told apart and not read.
fn bare() -> Result<Duration> {
    let mut codec = Codec::new();
    let (_, mut bytes) = codec.encode(&QmpCapabilities);
    let (queries, rest) = Queries::encode(&mut codec, &[Part::Extent]);
    bytes.extend(rest);
    let start = Instant::now();
    let mut qemu = Command::new(QEMU)
        .args(Accelerator::Kvm.arguments())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = qemu.stdin.take().ok_or("no standard input")?;
    let mut stdout = BufReader::with_capacity(1 << 16, qemu.stdout.take().ok_or("no standard output")?);
    stdin.write_all(&bytes)?;
    // The greeting, and a line for each reply.
    let mut line = Vec::new();
    for _ in 0..queries.count() + 2 {
        line.clear();
        if stdout.read_until(b'\n', &mut line)? == 0 {
            return Err("QEMU ended instead of answering".into());
        }
    }
    stdin.write_all(&codec.encode(&Quit).1)?;
    qemu.wait()?;
    Ok(start.elapsed())
}

/// The same document from libvirt: a fresh libvirtd with an empty cache, then the same one again.
fn peer(ours_cold: Duration, ours_warm: Duration) -> Result<()> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..PEER_RUNS {
        let _ = std::fs::remove_dir_all("/var/cache/libvirt/qemu");
        let _libvirtd = Libvirtd::start()?;
        cold.push(timed(&mut virsh("domcapabilities"))?);
        for _ in 0..10 {
            warm.push(timed(&mut virsh("domcapabilities"))?);
        }
    }
    let (cold, warm) = (median(cold), median(warm));
    let times = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "  virsh domcapabilities, cold         {} ({:.1} times sevirt's)",
        ms(cold),
        times(cold, ours_cold)
    );
    println!(
        "  virsh domcapabilities, warm         {} ({:.1} times sevirt's)",
        ms(warm),
        times(warm, ours_warm)
    );
    Ok(())
}

struct Libvirtd(Child);

impl Libvirtd {
    /// Starts it and waits until it answers.
    fn start() -> Result<Self> {
        let mut libvirtd = Command::new("libvirtd");
        let started =
            Self(libvirtd.args(["--timeout", "0"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let begin = Instant::now();
        while timed(&mut virsh("uri")).is_err() {
            if begin.elapsed() > PATIENCE {
                return Err("libvirtd does not listen".into());
            }
        }
        Ok(started)
    }
}

impl Drop for Libvirtd {
    fn drop(&mut self) {
        // It holds nothing that would be lost.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn virsh(verb: &str) -> Command {
    let mut command = Command::new("virsh");
    command.args(["--quiet", "--connect", "qemu:///system", verb]);
    command
}

/// How long it takes as a whole process.
fn timed(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?}: {status}").into()) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
