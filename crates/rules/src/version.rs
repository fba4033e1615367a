//! Versions of QEMU, libvirt and kernels, and which of them a domain meets.
//!
//! What a rule says holds of certain versions only, and a version that is not known is taken as a current one: not
//! knowing must never make an error.

use std::fmt;

use host::Fact;

use crate::subject::Subject;

/// `major.minor.micro`; parts that are not said are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub micro: u32,
}

/// The emulator of domains that name none.
pub(crate) const DEFAULT_EMULATOR: &str = "/usr/bin/qemu-system-x86_64";

impl Version {
    pub const fn new(major: u32, minor: u32, micro: u32) -> Self {
        Self { major, minor, micro }
    }

    /// Reads `10.0.2`, `5.2`, and what begins so: a kernel's release `6.1.0-56-amd64`, `10.0.2 (Debian …)`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = text.get(..end)?.trim_end_matches('.').split('.');
        let major = parts.next()?.parse().ok()?;
        let mut next = || parts.next().map_or(Some(0), |part| part.parse().ok());
        let (minor, micro) = (next()?, next()?);
        Some(Self { major, minor, micro })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Whether a version is known to be older than another.
pub(crate) fn older(version: Option<Version>, than: Version) -> bool {
    version.is_some_and(|version| version < than)
}

fn of(fact: &Fact<String>) -> Option<Version> {
    Version::parse(fact.known()?)
}

impl Subject<'_> {
    /// Of the QEMU that would run the domain: the one that it names or, where nobody has asked that, what all those of
    /// this host are.
    pub fn qemu(&self) -> Option<Version> {
        let path = self.domain.devices.emulator.as_deref().unwrap_or(DEFAULT_EMULATOR);
        let emulators = &self.facts.emulators;
        let named = emulators.iter().find(|emulator| emulator.path.as_os_str() == path);
        named.and_then(|emulator| of(&emulator.version)).or_else(|| {
            let mut versions = emulators.iter().filter_map(|emulator| of(&emulator.version));
            let first = versions.next()?;
            versions.all(|version| version == first).then_some(first)
        })
    }

    /// Of the host's kernel.
    pub fn kernel(&self) -> Option<Version> {
        of(&self.facts.kernel_release)
    }

    /// Of the kernel inside the guest, which is known only where it is assumed.
    pub fn guest_kernel(&self) -> Option<Version> {
        of(&self.facts.guest_kernel)
    }

    /// Of libvirt, where it is installed.
    pub fn libvirt(&self) -> Option<Version> {
        of(&self.facts.libvirt.known()?.version)
    }
}

#[cfg(test)]
mod tests {
    use domain::{Document, Domain};
    use host::{Emulator, Facts, Libvirt};

    use super::*;

    #[test]
    fn versions_are_read_from_what_begins_with_one() {
        let cases: &[(&str, Option<&str>)] = &[
            ("10.0.2", Some("10.0.2")),
            ("5.2", Some("5.2.0")),
            ("6", Some("6.0.0")),
            ("6.1.0-56-amd64", Some("6.1.0")),
            ("6.8-rc3", Some("6.8.0")),
            ("4.18.0-553.el8_10.x86_64", Some("4.18.0")),
            ("6.12.41+deb13-amd64", Some("6.12.41")),
            ("10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)", Some("10.0.2")),
            ("9.2.50.1", Some("9.2.50")),
            ("", None),
            ("QEMU", None),
            (".5", None),
            ("5..2", None),
            ("99999999999.0", None),
        ];
        for (text, expected) in cases {
            let version = Version::parse(text).map(|version| version.to_string());
            assert_eq!(version.as_deref(), *expected, "{text}");
        }
        assert!(Version::new(5, 2, 90) < Version::new(6, 0, 0));
        assert!(Version::new(10, 0, 0) > Version::new(9, 2, 4));
    }

    #[test]
    fn the_unknown_is_never_older() {
        let six = Version::new(6, 0, 0);
        assert!(!older(None, six));
        assert!(!older(Some(six), six));
        assert!(older(Version::parse("5.2.0"), six));
    }

    #[test]
    fn the_emulator_of_the_domain_counts() {
        #[track_caller]
        fn check(emulator: &str, facts: &[(&str, &str)], expected: Option<&str>) {
            let text = format!("<domain type='kvm'><name>a</name><devices>{emulator}</devices></domain>");
            let document = Document::parse(&text).unwrap();
            let (domain, problems) = Domain::read(&document);
            let emulators = facts.iter().map(|(path, version)| Emulator {
                path: path.into(),
                version: Fact::Known((*version).to_owned()),
                ..Emulator::default()
            });
            let facts = Facts { emulators: emulators.collect(), ..Facts::default() };
            let subject =
                Subject { document: &document, domain: &domain, problems: &problems, facts: &facts };
            assert_eq!(subject.qemu().map(|version| version.to_string()).as_deref(), expected);
        }
        let both = [("/usr/bin/qemu-kvm", "5.2.0"), (DEFAULT_EMULATOR, "10.0.2")];
        check("<emulator>/usr/bin/qemu-kvm</emulator>", &both, Some("5.2.0"));
        check("", &both, Some("10.0.2"));
        check("<emulator>/opt/qemu</emulator>", &both, None);
        check("<emulator>/opt/qemu</emulator>", &both[..1], Some("5.2.0"));
        check("<emulator>/opt/qemu</emulator>", &[], None);
    }

    #[test]
    fn kernels_and_libvirt_come_from_the_facts() {
        let document = Document::parse("<domain/>").unwrap();
        let (domain, problems) = Domain::read(&document);
        let facts = Facts {
            kernel_release: Fact::Known("6.1.0-56-amd64".to_owned()),
            guest_kernel: Fact::Known("5.0".to_owned()),
            libvirt: Fact::Known(Libvirt { version: Fact::Known("4.9.0".to_owned()), ..Libvirt::default() }),
            ..Facts::default()
        };
        let subject = Subject { document: &document, domain: &domain, problems: &problems, facts: &facts };
        assert_eq!(subject.kernel(), Some(Version::new(6, 1, 0)));
        assert_eq!(subject.guest_kernel(), Some(Version::new(5, 0, 0)));
        assert_eq!(subject.libvirt(), Some(Version::new(4, 9, 0)));
        let nothing = Facts::default();
        let subject = Subject { facts: &nothing, ..subject };
        assert_eq!((subject.kernel(), subject.guest_kernel(), subject.libvirt()), (None, None, None));
    }
}
