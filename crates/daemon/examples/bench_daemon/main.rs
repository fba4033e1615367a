//! Measures the daemon beside libvirtd, in one run: starts and ends of a guest, its own start, memory, rates of calls.
//!
//! `scripts/private_libvirt.sh bench_daemon SEVIRT [RUNS]`: both daemons' state is empty and in memory. Starts alternate,
//! medians count, and the exit code says whether the targets hold.

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

mod guest;
mod server;
mod store;
mod stream;
mod wire;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use server::Kind;
use stream::Port;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The daemon's configuration, of which there is none otherwise.
const CONFIG: &str = "/etc/sevirt/sevirtd.toml";

const RUNS: usize = 15;
/// libvirtd takes most of a second for one.
const PEER_RUNS: usize = 5;

const START_LIMIT: Duration = Duration::from_millis(30);
const APART_LIMIT: Duration = Duration::from_millis(5);
const END_LIMIT: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_millis(50);
/// KiB.
const IDLE_LIMIT: u64 = 12 << 10;
const FULL_LIMIT: u64 = 25 << 10;
const RATE_LIMIT: f64 = 3.0;
/// Both read the same terminal, which is the narrowest place: what one has more of than the other is chance.
const CONSOLE_LIMIT: f64 = 0.8;
const ROUNDS: usize = 3;

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let sevirt = Kind::Sevirt(PathBuf::from(arguments.next().ok_or("usage: bench_daemon SEVIRT [RUNS]")?));
    let runs = arguments.next().map_or(Ok(RUNS), |text| text.parse())?;
    if std::env::var_os("SEVIRT_PRIVATE_LIBVIRT").is_none() {
        return Err("run it by scripts/private_libvirt.sh: it defines and removes domains".into());
    }
    let mut report = Report { holds: true };

    let ours = store::measure(&sevirt)?;
    let theirs = store::measure(&Kind::Libvirtd)?;
    println!("{:52} {:>12} {:>12} {:>8}", "", "sevirt", "libvirtd", "ratio");
    report.at_most("resident, idle (at most 12 MB)", mb(ours.idle), mb(theirs.idle), mb(IDLE_LIMIT), "MB");
    report.at_most(
        "resident, 1,000 domains (at most 25 MB)",
        mb(ours.full.max(ours.restarted)),
        mb(theirs.full.max(theirs.restarted)),
        mb(FULL_LIMIT),
        "MB",
    );
    report.at_most(
        "start to first answer, 1,000 domains (at most 50 ms)",
        ms(ours.first_answer),
        ms(theirs.first_answer),
        ms(ANSWER_LIMIT),
        "ms",
    );
    report.rate("define a domain (at least 3 times)", ours.define, theirs.define);
    report.rate("list all of 1,000 (at least 3 times)", ours.list, theirs.list);
    report.rate("dumpxml (at least 3 times)", ours.dump, theirs.dump);
    starts(&sevirt, runs, &mut report)?;
    streams(&sevirt, &mut report)?;

    println!("{}", if report.holds { "within the targets" } else { "NOT within the targets" });
    Ok(if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts and ends beside those of QEMU alone.
fn starts(sevirt: &Kind, runs: usize, report: &mut Report) -> Result<()> {
    let (mut bare, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    {
        let server = sevirt.start()?;
        let mut connection = server.connect()?;
        let mut arguments = Vec::new();
        let look = || guest::command_line().map(|found| arguments = found);
        // Fills the page cache, and the daemon learns what QEMU can do.
        guest::by_daemon(&mut connection, look)?;
        guest::bare(&arguments)?;
        for _ in 0..runs {
            bare.push(guest::bare(&arguments)?);
            ours.push(guest::by_daemon(&mut connection, || Ok(()))?);
        }
    }
    let mut together = Vec::new();
    {
        // The same as the daemon's user, in the daemon's namespaces: what keeping guests apart takes is the rest.
        std::fs::write(CONFIG, "[isolation]\nuser = \"root\"\nnamespaces = false\n")?;
        let server = sevirt.start()?;
        let mut connection = server.connect()?;
        guest::by_daemon(&mut connection, || Ok(()))?;
        for _ in 0..runs {
            together.push(guest::by_daemon(&mut connection, || Ok(()))?);
        }
        std::fs::remove_file(CONFIG)?;
    }
    let server = Kind::Libvirtd.start()?;
    let mut connection = server.connect()?;
    guest::by_daemon(&mut connection, || Ok(()))?;
    for _ in 0..PEER_RUNS {
        theirs.push(guest::by_daemon(&mut connection, || Ok(()))?);
    }
    let of = |lives: &[guest::Life], part: fn(&guest::Life) -> Duration| {
        median(lives.iter().map(part).collect::<Vec<_>>())
    };
    let (start, end) = (of(&bare, |life| life.start), of(&bare, |life| life.end));
    println!("a paused guest, bare: {:.1} ms until QEMU says so, {:.1} ms from the kill", ms(start), ms(end));
    let over = |lives: &[guest::Life]| {
        let start = ms(of(lives, |life| life.start)) - ms(start);
        (start, ms(of(lives, |life| life.end)) - ms(end))
    };
    let ((start, end), (their_start, their_end)) = (over(&ours), over(&theirs));
    report.at_most("start, over bare QEMU (at most 30 ms)", start, their_start, ms(START_LIMIT), "ms");
    let apart = ms(of(&ours, |life| life.start)) - ms(of(&together, |life| life.start));
    report.own("of which isolation takes (at most 5 ms)", apart, ms(APART_LIMIT), "ms");
    report.at_most("destroy, over a bare kill (at most 20 ms)", end, their_end, ms(END_LIMIT), "ms");
    Ok(())
}

/// Consoles and a volume, beside libvirtd and beside what there is to be read.
fn streams(sevirt: &Kind, report: &mut Report) -> Result<()> {
    for (port, name) in [(Port::Serial, "serial port"), (Port::Virtio, "virtio console")] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(stream::console(sevirt, port)?);
            theirs.push(stream::console(&Kind::Libvirtd, port)?);
        }
        let direct: Vec<f64> = ours.iter().chain(&theirs).map(|figures| figures.direct).collect();
        println!("a {name}, its terminal read directly: {:.2} MB/s", mega(middle(direct)));
        let of = |all: &[stream::Console], part: fn(&stream::Console) -> f64| {
            middle(all.iter().map(part).collect())
        };
        for (how, part) in [
            ("as a stream", (|figures| figures.stream) as fn(&stream::Console) -> f64),
            ("by virsh console", |figures| figures.virsh),
        ] {
            let what = format!("{name}, {how} (at least {CONSOLE_LIMIT} times)");
            report.bytes(&what, of(&ours, part), of(&theirs, part), CONSOLE_LIMIT);
        }
    }
    let (ours, theirs) = (stream::volume(sevirt)?, stream::volume(&Kind::Libvirtd)?);
    report.bytes("vol-download of 512 MiB (at least once)", ours.download, theirs.download, 1.0);
    report.bytes("vol-upload of 512 MiB (at least once)", ours.upload, theirs.upload, 1.0);
    Ok(())
}

/// Prints figures as they come, and whether all are within their targets.
pub(crate) struct Report {
    holds: bool,
}

impl Report {
    /// The same where the other one has nothing like it.
    pub(crate) fn own(&mut self, what: &str, ours: f64, limit: f64, unit: &str) {
        let fails = if ours <= limit { "" } else { "  FAILS" };
        self.holds &= ours <= limit;
        println!("{what:52} {:>12} {:>12}{fails}", format!("{ours:.1} {unit}"), "");
    }

    /// Less is better.
    pub(crate) fn at_most(&mut self, what: &str, ours: f64, theirs: f64, limit: f64, unit: &str) {
        let fails = if ours <= limit { "" } else { "  FAILS" };
        self.holds &= ours <= limit;
        let ratio = theirs / ours;
        println!("{what:52} {ours:9.1} {unit} {theirs:9.1} {unit} {ratio:7.1}x{fails}");
    }

    /// More is better; times a second.
    pub(crate) fn rate(&mut self, what: &str, ours: f64, theirs: f64) {
        let ratio = ours / theirs;
        let fails = if ratio >= RATE_LIMIT { "" } else { "  FAILS" };
        self.holds &= ratio >= RATE_LIMIT;
        println!("{what:52} {ours:10.0}/s {theirs:10.0}/s {ratio:7.1}x{fails}");
    }

    /// Bytes a second, as many as `limit` times libvirtd's.
    pub(crate) fn bytes(&mut self, what: &str, ours: f64, theirs: f64, limit: f64) {
        let ratio = ours / theirs;
        let fails = if ratio >= limit { "" } else { "  FAILS" };
        self.holds &= ratio >= limit;
        println!("{what:52} {:7.1} MB/s {:7.1} MB/s {ratio:7.2}x{fails}", mega(ours), mega(theirs));
    }
}

fn mega(bytes: f64) -> f64 {
    bytes / 1e6
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// As people count memory.
fn mb(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Waits for nothing but the clock.
pub(crate) fn pause(time: Duration) -> Result<()> {
    let time = rustix::event::Timespec::try_from(time)?;
    rustix::event::poll(&mut [], Some(&time))?;
    Ok(())
}
