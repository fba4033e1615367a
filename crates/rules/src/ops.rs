//! What cannot be done to a confidential guest, as data: whoever is asked to do it refuses, with the reason.
//!
//! These are limits of the technology and of QEMU's support for it. What a domain's XML asks for of them is told by the
//! rules of the family OPS.

use crate::Technology;

/// Something that a user may ask to be done with a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Stop the guest and write its memory to a file.
    Save,
    /// The same, to a file that the next start reads.
    ManagedSave,
    /// Start a guest from such a file.
    Restore,
    /// A snapshot that holds the memory of a running guest.
    SnapshotWithMemory,
    /// Snapshot of the disks alone.
    SnapshotOfDisks,
    LiveMigration,
    /// Move the definition of a guest that does not run.
    OfflineMigration,
    /// Write the memory to a file for a debugger.
    Dump,
    /// Read memory through the host.
    PeekMemory,
    /// The reset button.
    Reset,
    /// Have the guest reboot.
    Reboot,
    /// Have the guest sleep (ACPI S3).
    SuspendToMemory,
    /// Have the guest hibernate (ACPI S4).
    SuspendToDisk,
    /// Stop the vCPUs for a while.
    Pause,
    PlugVcpu,
    /// Inject a launch secret by the host.
    InjectSecret,
}

impl Operation {
    pub const ALL: [Self; 16] = [
        Self::Save,
        Self::ManagedSave,
        Self::Restore,
        Self::SnapshotWithMemory,
        Self::SnapshotOfDisks,
        Self::LiveMigration,
        Self::OfflineMigration,
        Self::Dump,
        Self::PeekMemory,
        Self::Reset,
        Self::Reboot,
        Self::SuspendToMemory,
        Self::SuspendToDisk,
        Self::Pause,
        Self::PlugVcpu,
        Self::InjectSecret,
    ];
}

/// Why an operation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// A phrase without a full stop; it goes on after "SEV guests …".
    pub message: &'static str,
    /// What to do instead.
    pub help: &'static str,
    pub source: &'static str,
}

/// Why `operation` cannot be done to a guest of `technology`; `None` where it can.
#[must_use]
pub fn refused(operation: Operation, technology: Technology) -> Option<Reason> {
    let encrypted_state = technology >= Technology::SevEs;
    match operation {
        Operation::Save | Operation::ManagedSave | Operation::Restore => Some(SAVED),
        Operation::SnapshotWithMemory => Some(Reason { help: "snapshot the disks alone", ..SAVED }),
        Operation::LiveMigration => Some(Reason {
            message: "cannot be migrated while they run",
            help: "shut the guest down, and start it on the other host",
            ..SAVED
        }),
        Operation::Dump | Operation::PeekMemory => Some(UNREADABLE),
        Operation::Reset | Operation::Reboot => encrypted_state.then_some(NOT_RESETTABLE),
        Operation::SuspendToMemory => encrypted_state.then_some(ASLEEP),
        Operation::SuspendToDisk => Some(HIBERNATED),
        Operation::PlugVcpu => encrypted_state.then_some(LATE_VCPU),
        Operation::InjectSecret => (technology == Technology::SevSnp).then_some(NO_LAUNCH_SECRET),
        Operation::SnapshotOfDisks | Operation::OfflineMigration | Operation::Pause => None,
    }
}

const SAVED: Reason = Reason {
    message: "cannot be saved: their memory is encrypted with a key that does not leave the secure processor",
    help: "shut the guest down",
    source: "QEMU, target/i386/sev.c: \"SEV: Migration is not implemented\"",
};

const UNREADABLE: Reason = Reason {
    message: "cannot be dumped: the host sees nothing but ciphertext",
    help: "have the guest dump itself (kdump)",
    source: "AMD APM volume 2 §15.34",
};

const NOT_RESETTABLE: Reason = Reason {
    message: "cannot be reset: their registers are encrypted",
    help: "shut the guest down, launch it anew and attest it again",
    source: "QEMU, system/runstate.c: \"cpus are not resettable, terminating\"",
};

const ASLEEP: Reason = Reason {
    message: "cannot sleep: to wake up, their vCPUs would have to be reset",
    help: "pause the guest, or shut it down",
    source: "QEMU, system/runstate.c, cpus_are_resettable",
};

const HIBERNATED: Reason = Reason {
    message: "cannot hibernate: they would write their memory to the host's disk in the clear",
    help: "shut the guest down",
    source: "Linux, Documentation/power/swsusp.rst",
};

const LATE_VCPU: Reason = Reason {
    message: "take no further vCPUs: registers are encrypted and measured at launch only",
    help: "start the guest with all of its vCPUs",
    source: "AMD 55766 §6.4, LAUNCH_UPDATE_VMSA",
};

const NO_LAUNCH_SECRET: Reason = Reason {
    message: "take no launch secret from the host",
    help: "hand the secret to the guest once it has proved itself by an attestation report",
    source: "QEMU, target/i386/sev.c, sev_inject_launch_secret; AMD 56860",
};

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_technology_refuses_its_own() {
        let mut said = String::new();
        for operation in Operation::ALL {
            let by: Vec<String> = Technology::ALL
                .into_iter()
                .filter(|technology| refused(operation, *technology).is_some())
                .map(|technology| technology.to_string())
                .collect();
            let by = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") };
            said.push_str(&format!("{operation:?}: {by}\n"));
        }
        expect![[r#"
            Save: SEV, SEV-ES, SEV-SNP
            ManagedSave: SEV, SEV-ES, SEV-SNP
            Restore: SEV, SEV-ES, SEV-SNP
            SnapshotWithMemory: SEV, SEV-ES, SEV-SNP
            SnapshotOfDisks: nobody
            LiveMigration: SEV, SEV-ES, SEV-SNP
            OfflineMigration: nobody
            Dump: SEV, SEV-ES, SEV-SNP
            PeekMemory: SEV, SEV-ES, SEV-SNP
            Reset: SEV-ES, SEV-SNP
            Reboot: SEV-ES, SEV-SNP
            SuspendToMemory: SEV-ES, SEV-SNP
            SuspendToDisk: SEV, SEV-ES, SEV-SNP
            Pause: nobody
            PlugVcpu: SEV-ES, SEV-SNP
            InjectSecret: SEV-SNP
        "#]]
        .assert_eq(&said);
    }

    #[test]
    fn reasons_are_phrases() {
        for operation in Operation::ALL {
            for technology in Technology::ALL {
                let Some(reason) = refused(operation, technology) else { continue };
                for text in [reason.message, reason.help, reason.source] {
                    assert!(!text.is_empty() && !text.ends_with('.'), "{operation:?}: {text}");
                }
                assert!(reason.message.starts_with(char::is_lowercase), "{operation:?}");
            }
        }
    }
}
