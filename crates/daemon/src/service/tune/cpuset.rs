//! Sets of host CPUs: as bits on the wire, as lists such as `0-3,^2` in XML, as threads have them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// More CPUs than this no host has.
const MOST: usize = CpuSet::MAX_CPU;

/// CPUs by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cpus(BTreeSet<usize>);

impl Cpus {
    /// The first `count` CPUs.
    pub(crate) fn first(count: usize) -> Self {
        Self((0..count.min(MOST)).collect())
    }

    /// These; numbers that no host has are left out.
    pub(crate) fn of(cpus: impl Iterator<Item = usize>) -> Self {
        Self(cpus.filter(|cpu| *cpu < MOST).collect())
    }

    /// A bit for each CPU, the lowest first.
    pub(crate) fn of_bits(bits: &[u8]) -> Self {
        let set = bits.iter().take(MOST / 8).enumerate().flat_map(|(at, byte)| {
            (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
        });
        Self(set.collect())
    }

    /// `length` bytes of bits.
    pub(crate) fn bits(&self, length: usize) -> Vec<u8> {
        let mut bits = vec![0u8; length];
        for cpu in &self.0 {
            if let Some(byte) = bits.get_mut(cpu / 8) {
                *byte |= 1 << (cpu % 8);
            }
        }
        bits
    }

    /// A list of numbers and ranges, from which those after `^` are taken.
    pub(crate) fn parse(list: &str) -> Option<Self> {
        let mut set = BTreeSet::new();
        for part in list.split(',').map(str::trim) {
            let (taken, part) = match part.strip_prefix('^') {
                Some(part) => (true, part),
                None => (false, part),
            };
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?;
            if range.is_empty() || *range.end() >= MOST {
                return None;
            }
            for cpu in range {
                if taken {
                    set.remove(&cpu);
                } else {
                    set.insert(cpu);
                }
            }
        }
        (!set.is_empty()).then_some(Self(set))
    }

    /// In their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As XML has it.
    pub(crate) fn list(&self) -> String {
        let mut list = String::new();
        let mut rest = self.0.iter().copied().peekable();
        while let Some(first) = rest.next() {
            let mut last = first;
            while rest.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            let comma = if list.is_empty() { "" } else { "," };
            // Writing to a string does not fail.
            let _ = if first == last {
                write!(list, "{comma}{first}")
            } else {
                write!(list, "{comma}{first}-{last}")
            };
        }
        list
    }

    /// Where a thread may run.
    pub(crate) fn of_thread(thread: u32) -> io::Result<Self> {
        let set = sched_getaffinity(thread_id(thread)?)?;
        Ok(Self((0..MOST).filter(|cpu| set.is_set(*cpu)).collect()))
    }

    /// Has a thread run here and nowhere else.
    pub(crate) fn confine(&self, thread: u32) -> io::Result<()> {
        let mut set = CpuSet::new();
        for cpu in &self.0 {
            set.set(*cpu);
        }
        Ok(sched_setaffinity(thread_id(thread)?, &set)?)
    }
}

fn thread_id(thread: u32) -> io::Result<Option<rustix::process::Pid>> {
    let id = i32::try_from(thread).ok().and_then(rustix::process::Pid::from_raw);
    id.map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// How many CPUs the host has, those that are off with them.
pub(crate) fn host_cpus() -> usize {
    let present = std::fs::read_to_string("/sys/devices/system/cpu/present").unwrap_or_default();
    let last = Cpus::parse(present.trim()).and_then(|cpus| cpus.0.last().copied());
    last.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_bits_say_the_same() {
        for (list, bits, printed) in [
            ("0-3,^2", &[0b1011u8][..], "0-1,3"),
            ("9", &[0, 2], "9"),
            ("0, 2 ,4-6", &[0b111_0101], "0,2,4-6"),
        ] {
            let cpus = Cpus::parse(list).unwrap();
            assert_eq!(cpus.bits(bits.len()), bits, "{list}");
            assert_eq!(Cpus::of_bits(bits), cpus);
            assert_eq!(cpus.list(), printed);
        }
        for odd in ["", "x", "3-1", "^0", "0,^0", "99999999", "-1"] {
            assert_eq!(Cpus::parse(odd), None, "{odd}");
        }
        assert_eq!(Cpus::of_bits(&[0xff; 8192]).bits(1), [0xff]);
    }

    #[test]
    fn this_thread_runs_somewhere() {
        let own = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let cpus = Cpus::of_thread(own).unwrap();
        assert!(!cpus.is_empty());
        cpus.confine(own).unwrap();
        assert!(host_cpus() >= 1);
    }
}
