//! Measures the daemon beside libvirtd, in one run: starts and ends of a guest, its own start, memory, rates of calls.
//!
//! `scripts/private_libvirt.sh bench_daemon SEVIRT [RUNS]`: both daemons' state is empty and in memory. Starts alternate,
//! medians count, and the exit code says whether the targets hold.

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

mod guest;
mod server;
mod store;
mod wire;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use server::Kind;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RUNS: usize = 15;
/// libvirtd takes most of a second for one.
const PEER_RUNS: usize = 5;

const START_LIMIT: Duration = Duration::from_millis(30);
const END_LIMIT: Duration = Duration::from_millis(20);
const ANSWER_LIMIT: Duration = Duration::from_millis(50);
/// KiB.
const IDLE_LIMIT: u64 = 12 << 10;
const FULL_LIMIT: u64 = 25 << 10;
const RATE_LIMIT: f64 = 3.0;

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
    report.at_most("destroy, over a bare kill (at most 20 ms)", end, their_end, ms(END_LIMIT), "ms");
    Ok(())
}

/// Prints figures as they come, and whether all are within their targets.
pub(crate) struct Report {
    holds: bool,
}

impl Report {
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

/// Waits for nothing but the clock.
pub(crate) fn pause(time: Duration) -> Result<()> {
    let time = rustix::event::Timespec::try_from(time)?;
    rustix::event::poll(&mut [], Some(&time))?;
    Ok(())
}
