//! What the kernel tells of QEMU's process and its threads (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) user: u64,
    pub(crate) system: u64,
    /// Resident memory, KiB.
    pub(crate) rss: u64,
    /// The CPU that it ran on last.
    pub(crate) cpu: u32,
}

/// What a thread waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Time on a CPU, nanoseconds.
    pub(crate) ran: u64,
    /// Time in a run queue, nanoseconds.
    pub(crate) delay: u64,
}

/// A process's times, memory and processor.
pub(crate) fn process(pid: u32) -> io::Result<Usage> {
    read_stat(Path::new(&format!("/proc/{pid}/stat")))
}

/// The same of one thread.
pub(crate) fn thread(pid: u32, thread: u32) -> io::Result<Usage> {
    read_stat(Path::new(&format!("/proc/{pid}/task/{thread}/stat")))
}

/// A thread's times in the scheduler; nothing where the kernel does not count them.
pub(crate) fn waits(pid: u32, thread: u32) -> Waits {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).unwrap_or_default();
    parse_schedstat(&text).unwrap_or_default()
}

/// The host's numbers of a process's threads, by the numbers that they have in the process's own namespace.
pub(crate) fn threads(pid: u32) -> BTreeMap<u32, u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let numbers = tasks.filter_map(|task| {
        let ours = task.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        Some((inner_number(&status)?, ours))
    });
    numbers.collect()
}

/// The last of the numbers in `NSpid`, the innermost namespace's.
fn inner_number(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().next_back()?.parse().ok()
}

/// The user whom a process runs as.
pub(crate) fn owner(pid: u32) -> io::Result<(u32, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let id = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    match (id("Uid:"), id("Gid:")) {
        (Some(user), Some(group)) => Ok((user, group)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no owner in the process's status")),
    }
}

fn read_stat(path: &Path) -> io::Result<Usage> {
    let text = fs::read_to_string(path)?;
    let (tick, page) = (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1), page_kib());
    parse_stat(&text, tick, page)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} is odd", path.display())))
}

fn page_kib() -> u64 {
    u64::try_from(rustix::param::page_size() / 1024).unwrap_or(4)
}

/// `tick` is in nanoseconds, `page` in KiB. The second field is a name in parentheses, which may hold anything.
fn parse_stat(text: &str, tick: u64, page: u64) -> Option<Usage> {
    let (_, rest) = text.rsplit_once(')')?;
    // The first of these is the third of the file.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Usage {
        user: number(14)?.saturating_mul(tick),
        system: number(15)?.saturating_mul(tick),
        rss: number(24)?.saturating_mul(page),
        cpu: u32::try_from(number(39)?).ok()?,
    })
}

fn parse_schedstat(text: &str) -> Option<Waits> {
    let mut fields = text.split_whitespace();
    Some(Waits { ran: fields.next()?.parse().ok()?, delay: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (CPU 0/KVM) x) S 1 42 42 0 -1 4194624 9 0 0 0 11 7 0 0 20 0 5 0 100 200 300 \
            18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0";
        let usage = parse_stat(stat, 10_000_000, 4).unwrap();
        assert_eq!(usage, Usage { user: 110_000_000, system: 70_000_000, rss: 1200, cpu: 3 });
        assert_eq!(parse_stat("42 (x", 1, 1), None);
        assert_eq!(parse_stat("42 (x) S 1", 1, 1), None);
    }

    #[test]
    fn scheduler_times_are_read() {
        assert_eq!(parse_schedstat("123 456 7\n"), Some(Waits { ran: 123, delay: 456 }));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn threads_have_numbers_of_their_own_in_a_namespace() {
        assert_eq!(inner_number("Name:\tx\nNSpid:\t4711\t7\nx: 1\n"), Some(7));
        assert_eq!(inner_number("NSpid:\t4711\n"), Some(4711));
        let own = std::process::id();
        assert_eq!(threads(own).get(&own), Some(&own));
    }

    #[test]
    fn this_process_is_there() {
        let usage = process(std::process::id()).unwrap();
        assert!(usage.rss > 0);
        assert_eq!(owner(std::process::id()).unwrap().0, rustix::process::geteuid().as_raw());
    }
}
