//! The table of keys, in the order of the JSON.

use super::Key;
use super::Kind::{Bool, Choice, List, Map, Mode, Number, Numbers, Object, Other, Text, Version, Words};
use super::Presence;

const fn fact(path: &'static str, kind: super::Kind, about: &'static str) -> Key {
    Key { path, kind, presence: Presence::Fact, about }
}

const fn plain(path: &'static str, kind: super::Kind, about: &'static str) -> Key {
    Key { path, kind, presence: Presence::Plain, about }
}

const fn optional(path: &'static str, kind: super::Kind, about: &'static str) -> Key {
    Key { path, kind, presence: Presence::Optional, about }
}

const fn derived(path: &'static str, kind: super::Kind, about: &'static str) -> Key {
    Key { path, kind, presence: Presence::Derived, about }
}

const AREA: super::Kind = Other(r#""absent", "empty" or {"at": {"base": N, "size": N}}"#);

pub(crate) const KEYS: &[Key] = &[
    plain("cpu", Object, "The processor."),
    fact("cpu.vendor", Text, "`vendor_id` of `/proc/cpuinfo`: `AuthenticAMD`, `GenuineIntel`, …"),
    plain("cpu.family", Number, "`cpu family` of `/proc/cpuinfo`; 0 where it is not known."),
    plain("cpu.model", Number, "`model` of `/proc/cpuinfo`; 0 where it is not known."),
    plain("cpu.stepping", Number, "`stepping` of `/proc/cpuinfo`; 0 where it is not known."),
    derived(
        "cpu.generation",
        Text,
        "AMD's name of the EPYC generation, by family and model: `naples`, `rome`, `milan`, `genoa`, `turin`; null for others.",
    ),
    fact(
        "cpu.kernel_flags",
        Words,
        "Those of `sme`, `sev`, `sev_es` and `sev_snp` among the `flags` of `/proc/cpuinfo`, in the kernel's order.",
    ),
    fact("cpu.microcode", Text, "`microcode` of `/proc/cpuinfo`, as it stands there."),
    fact(
        "cpu.memory_encryption",
        Object,
        "CPUID leaf 0x8000001F, where the highest extended leaf reaches that far.",
    ),
    plain("cpu.memory_encryption.sme", Bool, "EAX bit 0: the processor encrypts memory."),
    plain("cpu.memory_encryption.sev", Bool, "EAX bit 1: SEV."),
    plain("cpu.memory_encryption.sev_es", Bool, "EAX bit 3: SEV-ES."),
    plain("cpu.memory_encryption.sev_snp", Bool, "EAX bit 4: SEV-SNP."),
    plain(
        "cpu.memory_encryption.cbitpos",
        Number,
        "EBX bits 5 to 0: the bit of a guest physical address that asks for encryption.",
    ),
    plain(
        "cpu.memory_encryption.reduced_phys_bits",
        Number,
        "EBX bits 11 to 6: by how many bits physical addresses shrink when encryption is on.",
    ),
    plain("cpu.memory_encryption.asids", Number, "ECX: how many guests can be encrypted at the same time."),
    plain(
        "cpu.memory_encryption.min_sev_asid",
        Number,
        "EDX: the lowest ASID of a guest without encrypted state; those below are for SEV-ES and SEV-SNP.",
    ),
    fact("kernel_release", Text, "`/proc/sys/kernel/osrelease`, as `uname -r` prints it."),
    fact("kernel_command_line", Text, "`/proc/cmdline`."),
    plain("boot", Object, "What the next boot will do."),
    fact(
        "boot.loader",
        Other(r#"{"grub": {"defaults": PATH, "config": PATH}} or {"bls": {"entries": PATH, "entry": PATH}}"#),
        "Where the kernel's command line is configured.",
    ),
    fact(
        "boot.command_line",
        Text,
        "The command line of the entry that boots by default, as the boot loader will pass it.",
    ),
    fact(
        "boot.configured",
        Text,
        "What GRUB's defaults give that entry the next time `grub.cfg` is made, without what `grub-mkconfig` adds.",
    ),
    plain(
        "boot.module_options",
        List,
        "`options` lines for `kvm_amd` and `ccp` in modprobe.d, in the order in which modprobe reads them.",
    ),
    plain("boot.module_options[].file", Text, "The file."),
    plain("boot.module_options[].line", Number, "Its line, from 1."),
    plain("boot.module_options[].module", Text, "The module."),
    plain("boot.module_options[].options", Words, "`PARAMETER=VALUE` words as they stand."),
    fact("kvm", Object, "`/dev/kvm`."),
    plain("kvm.uid", Number, "Its owner."),
    plain("kvm.gid", Number, "Its group."),
    plain("kvm.mode", Mode, "Its permission bits."),
    fact("kvm.acl", List, "Its POSIX access control list (`system.posix_acl_access`)."),
    plain(
        "kvm.acl[].who",
        Other(r#""owner", {"user": UID}, "owning_group", {"group": GID}, "mask" or "other""#),
        "Whom the entry is for (acl(5)).",
    ),
    plain("kvm.acl[].permissions", Number, "Read 4, write 2, execute 1."),
    fact("kvm.label", Text, "Its SELinux context (`security.selinux`)."),
    fact("kvm_amd", Object, "`/sys/module/kvm_amd/parameters`; absent where the module is not loaded."),
    optional("kvm_amd.sev", Bool, "`sev`; null where the kernel has no such parameter."),
    optional("kvm_amd.sev_es", Bool, "`sev_es`, likewise."),
    optional("kvm_amd.sev_snp", Bool, "`sev_snp`, likewise."),
    fact("sev_device", Object, "`/dev/sev`."),
    plain("sev_device.uid", Number, "Its owner."),
    plain("sev_device.gid", Number, "Its group."),
    plain("sev_device.mode", Mode, "Its permission bits."),
    fact("sev_device.acl", List, "Its POSIX access control list (`system.posix_acl_access`)."),
    plain(
        "sev_device.acl[].who",
        Other(r#""owner", {"user": UID}, "owning_group", {"group": GID}, "mask" or "other""#),
        "Whom the entry is for (acl(5)).",
    ),
    plain("sev_device.acl[].permissions", Number, "Read 4, write 2, execute 1."),
    fact("sev_device.label", Text, "Its SELinux context (`security.selinux`)."),
    fact(
        "platform",
        Object,
        "PLATFORM_STATUS of the AMD secure processor (AMD 55766, §5.6), asked through `/dev/sev`.",
    ),
    plain("platform.api_major", Number, "Major version of the firmware's API."),
    plain("platform.api_minor", Number, "Minor version of the firmware's API."),
    plain("platform.build", Number, "Build number of the firmware."),
    plain(
        "platform.state",
        Other(r#""uninitialised", "initialised", "working" or {"unknown": N}"#),
        "State of the platform (AMD 55766, §5.1.2).",
    ),
    plain(
        "platform.externally_owned",
        Bool,
        "Whether someone else than the platform itself has signed its PEK.",
    ),
    plain("platform.es", Bool, "Whether the platform was initialised for SEV-ES."),
    plain("platform.guests", Number, "Guests that the firmware knows of."),
    fact(
        "snp_platform",
        Object,
        "SNP_PLATFORM_STATUS of the AMD secure processor (AMD 56860), asked through `/dev/sev`; absent where the kernel cannot ask that, or not before SNP is initialised.",
    ),
    plain("snp_platform.api_major", Number, "Major version of the firmware's SNP API."),
    plain("snp_platform.api_minor", Number, "Minor version of the firmware's SNP API."),
    plain("snp_platform.build", Number, "Build number of the firmware."),
    plain("snp_platform.initialised", Bool, "Whether SNP_INIT has been done."),
    plain("snp_platform.rmp_initialised", Bool, "Whether the reverse map table is initialised."),
    plain("snp_platform.guests", Number, "SNP guests that the firmware knows of."),
    plain(
        "snp_platform.current_tcb",
        Number,
        "Security versions of the firmware that runs, as CURRENT_TCB of a report.",
    ),
    plain("snp_platform.reported_tcb", Number, "Security versions that attestation reports show."),
    fact("iommu", Words, "IOMMUs that the kernel drives: the names in `/sys/class/iommu`."),
    optional(
        "simulated",
        Text,
        "Names the simulator where the secure processor is a simulated one (`/run/sevirt/simulated`).",
    ),
    fact("memory", Number, "`MemTotal` of `/proc/meminfo`, KiB."),
    fact("locked_memory", Object, "RLIMIT_MEMLOCK of the process that gathers the facts (setrlimit(2))."),
    optional("locked_memory.soft", Number, "Bytes; null where there is no limit."),
    optional("locked_memory.hard", Number, "Bytes; null where there is no limit."),
    fact(
        "asids",
        Object,
        "The kernel's misc controller: `misc.capacity` and `misc.current` of the root cgroup. Absent where it does not count encrypted guests.",
    ),
    plain("asids.sev", Object, "SEV guests without encrypted state."),
    plain("asids.sev.capacity", Number, "How many can run."),
    plain("asids.sev.used", Number, "How many run."),
    plain("asids.sev_es", Object, "SEV-ES and SEV-SNP guests."),
    plain("asids.sev_es.capacity", Number, "How many can run."),
    plain("asids.sev_es.used", Number, "How many run."),
    fact("cgroup", Object, "Control groups, by what is mounted below `/sys/fs/cgroup`."),
    plain(
        "cgroup.version",
        Choice(&["v1", "v2", "hybrid"]),
        "`hybrid`: controllers of version 1 with a tree of version 2 beside them.",
    ),
    fact(
        "machine_slice",
        Object,
        "Limits of `machine.slice`: of its cgroup where it runs, else as systemd's unit files and drop-ins configure them.",
    ),
    optional(
        "machine_slice.memory_high",
        Number,
        "`memory.high` or `MemoryHigh=`, bytes; null where there is no limit.",
    ),
    optional(
        "machine_slice.memory_max",
        Number,
        "`memory.max` or `MemoryMax=`, bytes; null where there is no limit.",
    ),
    optional(
        "machine_slice.memory_current",
        Number,
        "`memory.current`, bytes; null where the slice does not run.",
    ),
    fact(
        "qemu_user",
        Object,
        "The user that QEMU runs as: the first of `sevirt-qemu`, `libvirt-qemu` and `qemu` in `/etc/passwd`.",
    ),
    plain("qemu_user.name", Text, "Its name."),
    plain("qemu_user.uid", Number, "Its number."),
    plain(
        "qemu_user.gids",
        Numbers,
        "Its groups, the primary one first (`/etc/passwd`, `/etc/group`); for `sevirt-qemu` also those of /dev/kvm and /dev/sev, which sevirt gives it.",
    ),
    fact("selinux", Object, "SELinux, where `/sys/fs/selinux` is mounted."),
    plain("selinux.enforcing", Bool, "`/sys/fs/selinux/enforce`."),
    fact(
        "selinux.svirt_may_use_sev",
        Bool,
        "Whether the loaded policy lets `svirt_t` open, read, write and control a `sev_device_t` node (`/sys/fs/selinux/access`); absent where nobody can be asked.",
    ),
    fact(
        "selinux.policy_package",
        Text,
        "Version of the package with the policy: evidence only, and known only where a described host says it.",
    ),
    fact("apparmor", Object, "AppArmor, where `/sys/module/apparmor/parameters/enabled` says that it runs."),
    fact(
        "apparmor.profile_allows_sev",
        Bool,
        "Whether a rule that libvirt's profiles of virtual machines include names `/dev/sev` (`/etc/apparmor.d/abstractions/libvirt-qemu` and what is beside it, or virt-aa-helper); absent where libvirt's profiles are not installed.",
    ),
    fact("libvirt", Object, "libvirt's QEMU daemon (libvirtd or virtqemud), where it is installed."),
    fact("libvirt.version", Version, "By the name of libvirt's library."),
    plain("libvirt.caches", List, "The files of `/var/cache/libvirt/qemu/capabilities`."),
    plain("libvirt.caches[].path", Text, "The file."),
    optional(
        "libvirt.caches[].emulator",
        Text,
        "The QEMU binary that the answers are of, where the file names it.",
    ),
    plain("libvirt.caches[].modified", Number, "When it was written, seconds since 1970."),
    plain(
        "libvirt.caches[].older_than",
        List,
        "What its answers depend on and that changed later; empty where there is no such thing.",
    ),
    plain(
        "libvirt.caches[].older_than[].what",
        Text,
        "`kernel boot`, or the path of a file, directory or device node.",
    ),
    plain("libvirt.caches[].older_than[].changed", Number, "When, seconds since 1970."),
    fact(
        "guest_kernel",
        Text,
        "The release of the kernel that guests run. No host knows it: it is there only where it is assumed.",
    ),
    plain(
        "firmware",
        List,
        "Firmware images by descriptor (`/usr/share/qemu/firmware`, `/etc/qemu/firmware`), in their order of precedence; then images that stand where distributions put them and that no descriptor names.",
    ),
    plain("firmware[].path", Text, "The descriptor; the image where no descriptor names it."),
    plain(
        "firmware[].descriptor",
        Other("a firmware descriptor (QEMU, docs/interop/firmware.json)"),
        "The descriptor as it stands, or what one would say.",
    ),
    fact("firmware[].image", Object, "What the image says of itself."),
    plain("firmware[].image.size", Number, "Bytes."),
    plain(
        "firmware[].image.tables",
        Other(r#"{"Ok": {…}} or {"Err": TEXT}"#),
        "The entries for SEV guests in the GUID table at the image's end, or why it cannot be read.",
    ),
    optional(
        "firmware[].image.tables.Ok.sev_es_reset",
        Number,
        "The reset vector of further processors, which SEV-ES needs; null where the image has none.",
    ),
    plain(
        "firmware[].image.tables.Ok.hash_table",
        AREA,
        "Where the hashes of kernel, initrd and command line go. `empty`: the entry has base or size 0.",
    ),
    plain("firmware[].image.tables.Ok.secret_area", AREA, "Where a launch secret goes, likewise."),
    plain("firmware[].image.tables.Ok.snp_metadata", Bool, "Whether there are sections for SEV-SNP."),
    optional(
        "firmware[].image.code_bits",
        Number,
        "For which mode of the processor its first code was built, 32 or 64; null where that cannot be told.",
    ),
    plain(
        "images",
        Map,
        "Firmware images that a domain names, by path: there only while a domain is judged. The values are facts of the shape of `firmware[].image`.",
    ),
    plain(
        "emulators",
        List,
        "QEMU binaries: those of distributions that are there (`/usr/bin/qemu-system-x86_64`, `/usr/libexec/qemu-kvm`, `/usr/bin/qemu-kvm`), and the one that a judged domain names.",
    ),
    plain("emulators[].path", Text, "The binary."),
    fact(
        "emulators[].version",
        Version,
        "`query-version`. Absent: there is no such binary. Unreadable: it could not be asked.",
    ),
    plain("emulators[].machines", Words, "Canonical names of its machine types (`query-machines`)."),
    plain(
        "emulators[].sev_objects",
        Words,
        "Those of `sev-guest` and `sev-snp-guest` that it has (`qom-list-types`).",
    ),
    optional(
        "emulators[].sev_refusal",
        Text,
        "Why `query-sev-capabilities` fails, in QEMU's words; null where it does not.",
    ),
];
