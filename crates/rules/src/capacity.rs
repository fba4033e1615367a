//! Whether guests fit a host all at once: what they take against its RAM, the ceiling of machine.slice, and the
//! encryption keys that the processor has.

use domain::Document;
use domain::Domain;
use host::{Facts, Slice};
use qemu::memory::Sums;
use serde::Serialize;

use crate::Technology;
use crate::memory::mib;
use crate::subject::Subject;

const MIB: u64 = 1 << 20;

/// What is left to the host itself: so much, and a 32nd of its RAM.
const HOST: u64 = 512 * MIB;
const HOST_SHARE: u64 = 32;

/// A guest with what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guest {
    pub name: String,
    pub technology: Option<Technology>,
    /// `<hard_limit>`, bytes.
    pub hard_limit: Option<u64>,
    pub sums: Sums,
}

/// Keys of one kind: an ASID is one guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Keys {
    pub wanted: u64,
    /// How many there are; `None` where that is not known.
    pub capacity: Option<u64>,
    pub used: Option<u64>,
}

/// Guests against a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capacity {
    pub guests: Vec<Guest>,
    /// What all of them need, bytes.
    pub needed: u64,
    /// What all of them may take, bytes.
    pub limits: u64,
    /// RAM, bytes.
    pub memory: Option<u64>,
    /// The ceiling of machine.slice, bytes; `None` where there is none.
    pub ceiling: Option<u64>,
    pub sev: Keys,
    /// SEV-ES and SEV-SNP.
    pub sev_es: Keys,
    /// Whether all can run at once; `None` where too little is known to tell.
    pub fits: Option<bool>,
    /// Why they do not fit, or why that cannot be told.
    pub reasons: Vec<String>,
    /// The ceiling to set, bytes; `None` where the host's RAM is not known.
    pub proposed: Option<u64>,
}

impl Guest {
    /// What a document's guest takes on a host.
    pub fn read(document: &Document, facts: &Facts) -> Self {
        let (domain, problems) = Domain::read(document);
        let subject = Subject { document, domain: &domain, problems: &problems, facts };
        Self {
            name: domain.name.clone(),
            technology: subject.technology(),
            hard_limit: subject.hard_limit(),
            sums: subject.sums(),
        }
    }

    /// What it may take, bytes: its own limit, or the one that a start computes.
    pub fn limit(&self) -> u64 {
        self.hard_limit.unwrap_or_else(|| self.sums.start_limit())
    }
}

impl Capacity {
    pub fn of(guests: Vec<Guest>, facts: &Facts) -> Self {
        let total =
            |of: fn(&Guest) -> u64| guests.iter().fold(0, |sum: u64, guest| sum.saturating_add(of(guest)));
        let needed = total(|guest| guest.sums.needed().1);
        let limits = total(Guest::limit);
        let memory = facts.memory_bytes();
        let slice = facts.machine_slice.known();
        let ceiling = slice.and_then(Slice::ceiling);
        let (sev, sev_es) = keys(&guests, facts);
        let mut capacity = Self {
            guests,
            needed,
            limits,
            memory,
            ceiling,
            sev,
            sev_es,
            fits: None,
            reasons: Vec::new(),
            proposed: memory.map(|memory| proposed(memory, limits, slice.and_then(|slice| slice.memory_max))),
        };
        capacity.judge();
        capacity
    }

    fn judge(&mut self) {
        let mut reasons = Vec::new();
        match self.memory {
            Some(memory) if self.needed > memory => {
                reasons.push(format!("the guests need {}, the host has {}", mib(self.needed), mib(memory)));
            }
            _ => {}
        }
        match self.ceiling {
            Some(ceiling) if self.needed > ceiling => {
                let needed = mib(self.needed);
                reasons.push(format!("the guests need {needed}, machine.slice allows {}", mib(ceiling)));
            }
            _ => {}
        }
        for (what, keys) in [("SEV", self.sev), ("SEV-ES and SEV-SNP", self.sev_es)] {
            match keys.capacity {
                Some(capacity) if keys.wanted > capacity => reasons.push(format!(
                    "{} {what} guests want an ASID each, the host has {capacity} for them",
                    keys.wanted
                )),
                _ => {}
            }
        }
        if !reasons.is_empty() {
            self.fits = Some(false);
        } else if self.memory.is_none() {
            reasons.push("the host's RAM is not known".to_owned());
        } else if [self.sev, self.sev_es].iter().any(|keys| keys.wanted > 0 && keys.capacity.is_none()) {
            reasons.push("how many ASIDs the host has is not known".to_owned());
        } else {
            self.fits = Some(true);
        }
        self.reasons = reasons;
    }
}

/// What the guests may take, or what the host can spare where that is less. A ceiling that is neither too low nor too
/// high is good as it is.
fn proposed(memory: u64, limits: u64, now: Option<u64>) -> u64 {
    let most = memory.saturating_sub(HOST.saturating_add(memory / HOST_SHARE)).max(MIB) / MIB * MIB;
    let least = limits.div_ceil(MIB).saturating_mul(MIB).min(most);
    match now {
        Some(now) if (least.max(MIB)..=most).contains(&now) => now,
        _ if limits == 0 => most,
        _ => least,
    }
}

fn keys(guests: &[Guest], facts: &Facts) -> (Keys, Keys) {
    let wanted = |of: fn(Technology) -> bool| {
        let count = guests.iter().filter(|guest| guest.technology.is_some_and(of)).count();
        count.try_into().unwrap_or(u64::MAX)
    };
    let sev = wanted(|technology| technology == Technology::Sev);
    let sev_es = wanted(|technology| technology != Technology::Sev);
    if let Some(asids) = facts.asids.known() {
        let of = |wanted, count: host::Count| Keys {
            wanted,
            capacity: Some(count.capacity),
            used: Some(count.used),
        };
        return (of(sev, asids.sev), of(sev_es, asids.sev_es));
    }
    // Below the first ASID for SEV are those for the others (APM volume 3, CPUID 8000_001F ECX and EDX).
    let cpu = facts.cpu.memory_encryption.known();
    let of = |wanted, capacity: Option<u32>| Keys { wanted, capacity: capacity.map(u64::from), used: None };
    (
        of(sev, cpu.map(|cpu| (cpu.asids + 1).saturating_sub(cpu.min_sev_asid.max(1)))),
        of(sev_es, cpu.map(|cpu| cpu.min_sev_asid.saturating_sub(1))),
    )
}

#[cfg(test)]
mod tests {
    use host::{Asids, Count, Fact, Slice};

    use super::*;

    const GIB: u64 = 1 << 30;

    fn facts(gib: u64, slice: Option<u64>, asids: Option<(u64, u64)>) -> Facts {
        let count = |capacity| Count { capacity, used: 0 };
        Facts {
            memory: Fact::Known(gib << 20),
            machine_slice: Fact::Known(Slice { memory_max: slice, ..Slice::default() }),
            asids: asids
                .map_or(Fact::Absent, |(sev, es)| Fact::Known(Asids { sev: count(sev), sev_es: count(es) })),
            ..Facts::default()
        }
    }

    fn guests(policies: &[u32]) -> Vec<Guest> {
        let guest = |policy: &u32| {
            let text = format!(
                "<domain type='kvm'><name>a</name><memory unit='GiB'>4</memory><os><type machine='q35'>hvm</type></os>\
                 <launchSecurity type='sev'><policy>{policy:#x}</policy></launchSecurity></domain>"
            );
            Guest::read(&Document::parse(&text).unwrap(), &Facts::default())
        };
        policies.iter().map(guest).collect()
    }

    #[track_caller]
    fn check(policies: &[u32], facts: &Facts, fits: Option<bool>, reason: &str) -> Capacity {
        let capacity = Capacity::of(guests(policies), facts);
        assert_eq!(capacity.fits, fits, "{:?}", capacity.reasons);
        assert_eq!(capacity.reasons.join("; "), reason);
        capacity
    }

    #[test]
    fn memory_ceiling_and_keys_are_each_told() {
        check(&[1, 1], &facts(16, None, Some((10, 0))), Some(true), "");
        let small = "the guests need 8425 MiB, the host has 8192 MiB";
        check(&[1, 1], &facts(8, None, Some((10, 0))), Some(false), small);
        let low = "the guests need 8425 MiB, machine.slice allows 8192 MiB";
        check(&[1, 1], &facts(16, Some(8 * GIB), Some((10, 0))), Some(false), low);
        let keys = "1 SEV-ES and SEV-SNP guests want an ASID each, the host has 0 for them";
        check(&[1, 5], &facts(16, None, Some((10, 0))), Some(false), keys);
        check(&[1], &facts(16, None, None), None, "how many ASIDs the host has is not known");
        check(&[], &facts(16, None, None), Some(true), "");
        check(&[1], &Facts::default(), None, "the host's RAM is not known");
    }

    #[test]
    fn a_good_ceiling_is_left_alone() {
        let first = check(&[1, 1], &facts(16, None, Some((10, 0))), Some(true), "").proposed.unwrap();
        assert!(first > 8 * GIB && first < 10 * GIB, "{first}");
        let again = check(&[1, 1], &facts(16, Some(first), Some((10, 0))), Some(true), "");
        assert_eq!(again.proposed, Some(first));
        let higher = check(&[1, 1], &facts(16, Some(12 * GIB), Some((10, 0))), Some(true), "");
        assert_eq!(higher.proposed, Some(12 * GIB));
        // One that is as good as none is not.
        let none = check(&[1, 1], &facts(16, Some(64 * GIB), Some((10, 0))), Some(true), "");
        assert_eq!(none.proposed, Some(first));
        // Never more than the host can spare.
        let most = check(&[], &facts(16, None, None), Some(true), "").proposed;
        assert_eq!(most, Some(15 * GIB));
    }

    #[test]
    fn keys_are_counted_by_the_processor_where_the_kernel_does_not() {
        let mut facts = facts(16, None, None);
        facts.cpu.memory_encryption = Fact::Known(host::MemoryEncryption {
            sme: true,
            sev: true,
            sev_es: true,
            sev_snp: false,
            cbitpos: 47,
            reduced_phys_bits: 1,
            asids: 15,
            min_sev_asid: 5,
        });
        let capacity = check(&[1, 5], &facts, Some(true), "");
        assert_eq!((capacity.sev.capacity, capacity.sev_es.capacity), (Some(11), Some(4)));
    }
}
