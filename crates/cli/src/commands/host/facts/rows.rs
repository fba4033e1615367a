//! The facts as people read them: what each is called, and its value, in columns.

use std::fmt::{Display, Write as _};

use host::{
    AclEntry, AclTag, Area, BootLoader, CgroupVersion, Cpu, Device, Emulator, Fact, Facts, FirmwareImage,
    Libvirt, Loader, PlatformState, Slice, Tables,
};

/// Names and values; a section has a name only.
#[derive(Default)]
struct Rows(Vec<(String, Option<String>)>);

impl Rows {
    fn section(&mut self, name: &str) {
        self.0.push((name.to_owned(), None));
    }

    fn row(&mut self, name: impl Into<String>, value: impl Display) {
        self.0.push((name.into(), Some(value.to_string())));
    }

    fn fact<T>(&mut self, name: &str, fact: &Fact<T>, show: impl FnOnce(&T) -> String) {
        self.row(name, shown(fact, show));
    }
}

fn shown<T>(fact: &Fact<T>, show: impl FnOnce(&T) -> String) -> String {
    match fact {
        Fact::Known(value) => show(value),
        Fact::Absent => "absent".to_owned(),
        Fact::Unreadable { path, why, .. } => format!("unreadable: {path}: {why}"),
    }
}

/// All facts in two columns.
pub(super) fn table(facts: &Facts) -> String {
    let mut rows = Rows::default();
    if let Some(simulated) = &facts.simulated {
        rows.row("SIMULATED", simulated);
    }
    processor(&mut rows, &facts.cpu);
    kernel(&mut rows, facts);
    secure_processor(&mut rows, facts);
    limits(&mut rows, facts);
    access(&mut rows, facts);
    software(&mut rows, facts);
    firmware(&mut rows, &facts.firmware);
    let width =
        rows.0.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0).min(40);
    let mut text = String::new();
    for (name, value) in rows.0 {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = match value {
            None => writeln!(text, "{gap}{name}"),
            Some(value) => writeln!(text, "  {name:width$}  {}", printable(&value)),
        };
    }
    text
}

/// Nothing that a file of the host says reaches the terminal as a command to it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn words(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Bytes in the largest unit that leaves no fraction.
fn bytes(count: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = units.into_iter().find(|(shift, _)| count > 0 && count.is_multiple_of(1 << shift));
    fits.map_or_else(|| format!("{count} bytes"), |(shift, unit)| format!("{} {unit}", count >> shift))
}

fn limit(count: Option<u64>) -> String {
    count.map_or_else(|| "no limit".to_owned(), bytes)
}

fn processor(rows: &mut Rows, cpu: &Cpu) {
    rows.section("Processor");
    rows.fact("vendor", &cpu.vendor, Clone::clone);
    let generation = cpu.generation().map_or_else(String::new, |name| format!(" (EPYC {name})"));
    let (family, model, stepping) = (cpu.family, cpu.model, cpu.stepping);
    rows.row("family, model, stepping", format!("{family:#x}, {model:#x}, {stepping}{generation}"));
    rows.fact("microcode", &cpu.microcode, Clone::clone);
    rows.fact("flags of the kernel", &cpu.kernel_flags, |flags| words(flags));
    rows.fact("CPUID 0x8000001f", &cpu.memory_encryption, |leaf| {
        let all = [("SME", leaf.sme), ("SEV", leaf.sev), ("SEV-ES", leaf.sev_es), ("SEV-SNP", leaf.sev_snp)];
        let has: Vec<_> = all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
        let has = if has.is_empty() { "nothing".to_owned() } else { has.join(" ") };
        format!("{has}; C-bit {}, {} physical bits less", leaf.cbitpos, leaf.reduced_phys_bits)
    });
    rows.fact("ASIDs", &cpu.memory_encryption, |leaf| {
        format!("{}, those of SEV from {}", leaf.asids, leaf.min_sev_asid)
    });
}

fn kernel(rows: &mut Rows, facts: &Facts) {
    rows.section("Kernel");
    rows.fact("release", &facts.kernel_release, Clone::clone);
    rows.fact("command line", &facts.kernel_command_line, Clone::clone);
    rows.fact("kvm_amd", &facts.kvm_amd, |module| {
        let parameters = [("sev", module.sev), ("sev_es", module.sev_es), ("sev_snp", module.sev_snp)];
        let show = |(name, value): (&str, Option<bool>)| match value {
            Some(on) => format!("{name}={}", if on { "Y" } else { "N" }),
            None => format!("no {name}"),
        };
        parameters.map(show).join(", ")
    });
    rows.fact("IOMMUs", &facts.iommu, |names| words(names));
    rows.fact("boot loader", &facts.boot.loader, |loader| match loader {
        BootLoader::Grub { defaults, config } => {
            format!("GRUB: {} makes {}", defaults.display(), config.display())
        }
        BootLoader::Bls { entry, .. } => format!("entry {}", entry.display()),
    });
    rows.fact("next boot's command line", &facts.boot.command_line, Clone::clone);
    for options in &facts.boot.module_options {
        let place = format!("{}:{}", options.file.display(), options.line);
        rows.row("options for modules", format!("{} {} ({place})", options.module, words(&options.options)));
    }
}

fn secure_processor(rows: &mut Rows, facts: &Facts) {
    rows.section("Secure processor");
    rows.fact("/dev/sev", &facts.sev_device, device);
    rows.fact("firmware", &facts.platform, |platform| {
        let state = match platform.state {
            PlatformState::Uninitialised => "uninitialised".to_owned(),
            PlatformState::Initialised => "initialised".to_owned(),
            PlatformState::Working => "working".to_owned(),
            PlatformState::Unknown(state) => format!("state {state}"),
        };
        let (major, minor, build, guests) =
            (platform.api_major, platform.api_minor, platform.build, platform.guests);
        let owner = if platform.externally_owned { "owned by someone else" } else { "self-owned" };
        format!("API {major}.{minor}, build {build}; {state}, {owner}, {guests} guests")
    });
    rows.fact("initialised for SEV-ES", &facts.platform, |platform| yes(platform.es).to_owned());
    rows.fact("SEV-SNP", &facts.snp_platform, |snp| {
        let (major, minor, build) = (snp.api_major, snp.api_minor, snp.build);
        let (init, rmp) = (yes(snp.initialised), yes(snp.rmp_initialised));
        format!("API {major}.{minor}, build {build}; initialised: {init}, RMP: {rmp}, {} guests", snp.guests)
    });
}

fn limits(rows: &mut Rows, facts: &Facts) {
    rows.section("Resources");
    rows.fact("memory", &facts.memory, |kib| {
        let tenths = kib.saturating_mul(10) >> 20;
        format!("{}.{} GiB", tenths / 10, tenths % 10)
    });
    rows.fact("locked memory", &facts.locked_memory, |locked| {
        format!("soft {}, hard {}", limit(locked.soft), limit(locked.hard))
    });
    rows.fact("encrypted guests", &facts.asids, |asids| {
        let (sev, es) = (asids.sev, asids.sev_es);
        format!("SEV {} of {}, SEV-ES and SEV-SNP {} of {}", sev.used, sev.capacity, es.used, es.capacity)
    });
    rows.fact("control groups", &facts.cgroup, |cgroup| {
        let version = match cgroup.version {
            CgroupVersion::V1 => "version 1",
            CgroupVersion::V2 => "version 2",
            CgroupVersion::Hybrid => "version 1 with a tree of version 2",
        };
        version.to_owned()
    });
    rows.fact("machine.slice", &facts.machine_slice, slice);
}

fn slice(slice: &Slice) -> String {
    let runs =
        slice.memory_current.map_or_else(|| "not running".to_owned(), |used| format!("uses {}", bytes(used)));
    format!("MemoryHigh {}, MemoryMax {}; {runs}", limit(slice.memory_high), limit(slice.memory_max))
}

fn access(rows: &mut Rows, facts: &Facts) {
    rows.section("Access");
    rows.fact("/dev/kvm", &facts.kvm, device);
    rows.fact("user of QEMU", &facts.qemu_user, |user| {
        let gids: Vec<String> = user.gids.iter().map(u32::to_string).collect();
        format!("{} ({}), groups {}", user.name, user.uid, gids.join(" "))
    });
    rows.fact("SELinux", &facts.selinux, |selinux| {
        let mode = if selinux.enforcing { "enforcing" } else { "permissive" };
        let may = shown(&selinux.svirt_may_use_sev, |may| yes(*may).to_owned());
        format!("{mode}; svirt_t may use sev_device_t: {may}; policy {}", selinux.policy_package)
    });
    rows.fact("AppArmor", &facts.apparmor, |apparmor| {
        let allows = shown(&apparmor.profile_allows_sev, |allows| yes(*allows).to_owned());
        format!("runs; libvirt's profiles name /dev/sev: {allows}")
    });
}

fn device(device: &Device) -> String {
    let mut text = format!("{:04o}, user {}, group {}", device.mode, device.uid, device.gid);
    if let Fact::Known(acl) = &device.acl {
        let _ = write!(text, "; {}", acl.iter().map(acl_entry).collect::<Vec<_>>().join(","));
    }
    if let Fact::Known(label) = &device.label {
        let _ = write!(text, "; {label}");
    }
    text
}

/// As getfacl's short form.
fn acl_entry(entry: &AclEntry) -> String {
    let who = match entry.who {
        AclTag::Owner => "user:".to_owned(),
        AclTag::User(uid) => format!("user:{uid}"),
        AclTag::OwningGroup => "group:".to_owned(),
        AclTag::Group(gid) => format!("group:{gid}"),
        AclTag::Mask => "mask:".to_owned(),
        AclTag::Other => "other:".to_owned(),
    };
    let letter = |bit: u32, letter: char| if entry.permissions & bit == 0 { '-' } else { letter };
    format!("{who}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'))
}

fn software(rows: &mut Rows, facts: &Facts) {
    rows.section("Software");
    for emulator in &facts.emulators {
        rows.row(emulator.path.display().to_string(), qemu(emulator));
    }
    if facts.emulators.is_empty() {
        rows.row("QEMU", "absent");
    }
    rows.fact("libvirt", &facts.libvirt, |libvirt: &Libvirt| libvirt.version.to_string());
    for cache in facts.libvirt.known().into_iter().flat_map(|libvirt| &libvirt.caches) {
        let older: Vec<_> = cache.older_than.iter().map(|dependency| dependency.what.as_str()).collect();
        let age = if older.is_empty() {
            "newer than all it depends on".to_owned()
        } else {
            format!("older than {}", older.join(", "))
        };
        let of = cache.emulator.as_ref().unwrap_or(&cache.path);
        rows.row("its remembered answers", format!("{}: {age}", of.display()));
    }
}

fn qemu(emulator: &Emulator) -> String {
    shown(&emulator.version, |version| {
        let sev = match &emulator.sev_refusal {
            Some(refusal) => format!("no SEV: {refusal}"),
            None => "SEV can be used".to_owned(),
        };
        let (machines, objects) = (emulator.machines.len(), words(&emulator.sev_objects));
        format!("{version}, {machines} machine types, objects {objects}; {sev}")
    })
}

fn firmware(rows: &mut Rows, loaders: &[Loader]) {
    rows.section("Firmware");
    if loaders.is_empty() {
        rows.row("descriptors", "none");
    }
    for loader in loaders {
        rows.row("descriptor", loader.path.display());
        rows.row("  says", words(&loader.descriptor.features));
        rows.row("  image", loader.descriptor.executable());
        rows.row("  has", shown(&loader.image, image));
    }
}

fn image(image: &FirmwareImage) -> String {
    let code = image.code_bits.map_or_else(String::new, |bits| format!(", code of {bits} bits"));
    let tables = match &image.tables {
        Ok(tables) => entries(tables),
        Err(why) => why.clone(),
    };
    format!("{}{code}; {tables}", bytes(image.size))
}

fn entries(tables: &Tables) -> String {
    let area = |area: Area| match area {
        Area::Absent => "no".to_owned(),
        Area::Empty => "empty".to_owned(),
        Area::At { base, .. } => format!("at {base:#x}"),
    };
    let es = tables.sev_es_reset.map_or_else(|| "no".to_owned(), |address| format!("{address:#x}"));
    let (hashes, secret) = (area(tables.hash_table), area(tables.secret_area));
    format!(
        "SEV-ES reset: {es}, hash table: {hashes}, secret area: {secret}, SNP metadata: {}",
        yes(tables.snp_metadata)
    )
}
