//! The page about the facts' JSON, made of the table of keys.

use std::fmt::Write as _;

use super::{KEYS, Key, Kind, Presence};

const HEAD: &str = "\
# The facts about a host

<!-- Made by `make docs` from crates/host/src/keys; do not edit. -->

`sevirt host facts --json` prints one JSON object. Its shape is stable: keys are added, never renamed or given another
meaning. `--facts FILE` of every command that judges by a host takes it back, whole or in part: a key that is missing
says nothing.

A *fact* is wrapped, so that what is not there can be told from what could not be looked at:

    \"cgroup\": {\"known\": {\"version\": \"v2\"}}
    \"cgroup\": \"absent\"
    \"cgroup\": {\"unreadable\": {\"path\": \"/sys/fs/cgroup\", \"errno\": 13, \"why\": \"Permission denied (os error 13)\"}}

`errno` is Linux's error number, 0 where there is none (a file that is not UTF-8, or longer than any such file is).
Numbers are decimal, also permission bits. No fact judges: whether it is good news, `sevirt host check` says.

## Assuming other facts

`--assume KEY=VALUE` sets one fact, after all others have been gathered. It may be given more than once, and one option
may hold several with commas between them. KEY is a key of the table below, without the wrapping; what is wrapped can be
set to `absent` too, and what can be null to `none`; an element of a list is named by its number
(`emulators.0.version=5.2.0`). Short names:

| name | sets |
|---|---|
| `qemu` | `version` of each of `emulators` |
| `kernel` | `kernel_release` |
| `guest_kernel` | `guest_kernel` |
| `libvirt` | `libvirt.version` |
| `cbitpos` | `cpu.memory_encryption.cbitpos` |
| `sev_es`, `sev_snp` | the parameter of `kvm_amd`; where it is set to true also what the processor and the kernel must have for it |
| `host` | `naples`, `rome`, `milan`, `genoa` or `turin`: processor, kernel, `kvm_amd`, devices, secure processor, ASIDs and QEMU of a host of that generation on which everything is right; `lab`: the host that `sevirt lab` makes |

## Another machine's facts

`--root DIR` reads the facts from files instead of this machine. DIR is one of two things:

- a copy of another machine's `/proc`, `/sys`, `/etc`, `/dev`, `/usr` and `/run`, as far as there is one;
- a *described host*: DIR has a file `host.toml`, and the tree is `DIR/root`. The file says what copies and git do not
  keep.

Nothing of this machine is looked at then: symbolic links in the tree lead to places in the tree, no CPUID is executed,
no ioctl sent, no program started. What neither tree nor `host.toml` says is absent.

    [uname]
    release = \"6.5.6-300.fc39.x86_64\"    # instead of /proc/sys/kernel/osrelease

    [path.\"/dev/sev\"]                     # any path, whether the tree has it or not
    kind = \"character\"                    # file, directory, character or block
    mode = 0o600
    uid = 0
    gid = 0
    modified = 1700000000                 # seconds since 1970, of the contents
    changed = 1700000000                  # of owner, mode and the like
    xattr.\"security.selinux\" = \"system_u:object_r:sev_device_t:s0\"
    xattr.\"system.posix_acl_access\" = \"0x0200000001000600ffffffff\"    # as getfattr prints it: text, or 0x and hex

    [path.\"/sys\"]
    errno = 13                            # it and all below it cannot be looked at

    [cpuid.0x8000001f]                    # a leaf; what is not said is 0
    eax = 0x0f
    ebx = 0x16f
    ecx = 15
    edx = 5

    [ioctl]                               # the keys of platform and snp_platform below, or errno = N
    platform_status = { api_major = 0, api_minor = 17, build = 6, state = \"initialised\", externally_owned = false, es = true, guests = 0 }
    snp_platform_status = { errno = 22 }

    [limits]
    memlock = { soft = 8388608, hard = 8388608 }    # bytes

    [selinux]
    svirt_may_use_sev = true
    policy_package = \"39.1\"

    [qmp.\"/usr/bin/qemu-system-x86_64\"]   # what the binary would answer
    version = \"8.1.1\"
    machines = [\"pc-q35-8.1\"]
    sev_objects = [\"sev-guest\"]
    sev_refusal = \"SEV is not enabled in KVM\"       # where query-sev-capabilities fails

A `host.toml` with a key that is not one of these is refused.

## The keys

`fact` in the column *type* says that the value is wrapped, `or null` that it may be null. `[]` stands for each element of
a list.

| key | type | meaning, unit, source |
|---|---|---|
";

/// The page `docs/facts.md`.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for key in KEYS {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{}` | {} | {} |", key.path, type_of(key), key.about.replace('|', "\\|"));
    }
    page
}

fn type_of(key: &Key) -> String {
    let of = match key.kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Number | Kind::Mode => "number".to_owned(),
        Kind::Text | Kind::Version => "text".to_owned(),
        Kind::Words => "list of texts".to_owned(),
        Kind::Numbers => "list of numbers".to_owned(),
        Kind::Object => "object".to_owned(),
        Kind::List => "list of objects".to_owned(),
        Kind::Map => "object of facts".to_owned(),
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" or ")
        }
        Kind::Other(shape) if shape.starts_with(['{', '"']) => format!("`{}`", shape.replace('|', "\\|")),
        Kind::Other(shape) => shape.to_owned(),
    };
    match key.presence {
        Presence::Fact => format!("fact: {of}"),
        Presence::Plain => of,
        Presence::Optional => format!("{of} or null"),
        Presence::Derived => format!("{of} or null, derived"),
    }
}
