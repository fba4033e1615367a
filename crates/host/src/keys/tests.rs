//! The table says all that [`Facts`] says, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use qemu::firmware::Descriptor;
use serde_json::Value;

use super::*;
use crate::facts::*;

fn full() -> Facts {
    let image = FirmwareImage {
        size: 1,
        tables: Ok(Tables {
            sev_es_reset: Some(1),
            hash_table: Area::Empty,
            secret_area: Area::Absent,
            snp_metadata: true,
        }),
        code_bits: Some(64),
    };
    let device = Device {
        uid: 0,
        gid: 0,
        mode: 0,
        acl: Fact::Known(vec![AclEntry { who: AclTag::Mask, permissions: 6 }]),
        label: Fact::Known(String::new()),
    };
    let count = Count { capacity: 1, used: 1 };
    let text = || Fact::Known(String::new());
    let descriptor = r#"{"interface-types": [], "targets": [], "features": [],
                         "mapping": {"device": "memory", "filename": "/fw"}}"#;
    Facts {
        cpu: Cpu {
            vendor: text(),
            family: 1,
            model: 1,
            stepping: 1,
            kernel_flags: Fact::Known(vec![]),
            microcode: text(),
            memory_encryption: Fact::Known(MemoryEncryption {
                sme: true,
                sev: true,
                sev_es: true,
                sev_snp: true,
                cbitpos: 1,
                reduced_phys_bits: 1,
                asids: 1,
                min_sev_asid: 1,
            }),
        },
        kernel_release: text(),
        kernel_command_line: text(),
        boot: Boot {
            loader: Fact::Known(BootLoader::Grub { defaults: PathBuf::new(), config: PathBuf::new() }),
            command_line: text(),
            configured: text(),
            module_options: vec![ModuleOptions {
                file: PathBuf::new(),
                line: 1,
                module: String::new(),
                options: vec![],
            }],
        },
        kvm: Fact::Known(device.clone()),
        kvm_amd: Fact::Known(KvmAmd { sev: Some(true), sev_es: Some(true), sev_snp: Some(true) }),
        sev_device: Fact::Known(device),
        platform: Fact::Known(Platform {
            api_major: 0,
            api_minor: 0,
            build: 0,
            state: PlatformState::Working,
            externally_owned: false,
            es: false,
            guests: 0,
        }),
        snp_platform: Fact::Known(SnpPlatform {
            api_major: 0,
            api_minor: 0,
            build: 0,
            initialised: true,
            rmp_initialised: true,
            guests: 0,
            current_tcb: 0,
            reported_tcb: 0,
        }),
        iommu: Fact::Known(vec![]),
        simulated: Some(String::new()),
        memory: Fact::Known(1),
        locked_memory: Fact::Known(LockedMemory { soft: Some(1), hard: Some(1) }),
        asids: Fact::Known(Asids { sev: count, sev_es: count }),
        cgroup: Fact::Known(Cgroup { version: CgroupVersion::V2 }),
        machine_slice: Fact::Known(Slice {
            memory_high: Some(1),
            memory_max: Some(1),
            memory_current: Some(1),
        }),
        qemu_user: Fact::Known(User { name: String::new(), uid: 1, gids: vec![1] }),
        selinux: Fact::Known(Selinux {
            enforcing: true,
            svirt_may_use_sev: Fact::Known(true),
            policy_package: text(),
        }),
        apparmor: Fact::Known(AppArmor { profile_allows_sev: Fact::Known(true) }),
        libvirt: Fact::Known(Libvirt {
            version: text(),
            caches: vec![CapabilityCache {
                path: PathBuf::new(),
                emulator: Some(PathBuf::new()),
                modified: 1,
                older_than: vec![Dependency { what: String::new(), changed: 1 }],
            }],
        }),
        guest_kernel: text(),
        firmware: vec![Loader {
            path: PathBuf::new(),
            descriptor: Descriptor::parse(descriptor).unwrap(),
            image: Fact::Known(image.clone()),
        }],
        images: [(PathBuf::from("/fw"), Fact::Known(image))].into(),
        emulators: vec![Emulator {
            path: PathBuf::new(),
            version: text(),
            machines: vec![],
            sev_objects: vec![],
            sev_refusal: Some(String::new()),
        }],
        unsaid: BTreeSet::new(),
    }
}

/// All paths of `value`, as the table writes them.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    if key(path).is_some_and(|key| matches!(key.kind, Kind::Map)) {
        return;
    }
    match value {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("known") => {
            paths(&fields["known"], path, found);
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                paths(field, &path, found);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                paths(element, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

/// What the shape of a value is said in words for.
fn is_in_words(path: &str) -> bool {
    KEYS.iter().any(|key| {
        matches!(key.kind, Kind::Other(_))
            && path
                .strip_prefix(key.path)
                .is_some_and(|rest| rest.starts_with(['.', '[']) && !rest.starts_with(".Ok."))
    })
}

#[test]
fn every_key_of_the_facts_has_a_row_and_every_row_a_key() {
    let mut found = BTreeSet::new();
    paths(&full().to_json(), "", &mut found);
    found.retain(|path| !is_in_words(path));
    let rows: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(rows.len(), KEYS.len(), "a key has two rows");
    assert_eq!(found, rows);
}

#[test]
fn rows_say_truly_what_is_a_fact_and_what_may_be_null() {
    fn walk(value: &Value, path: &str) {
        let row = key(path);
        let wrapped =
            value.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("known"));
        if let Some(row) = row {
            assert_eq!(row.presence == Presence::Fact, wrapped, "{path}");
        }
        let value = if wrapped { &value["known"] } else { value };
        if let Some(row) = row {
            let fits = match row.kind {
                Kind::Bool => value.is_boolean(),
                Kind::Number | Kind::Mode => value.is_number(),
                Kind::Text | Kind::Version | Kind::Choice(_) => {
                    value.is_string() || row.presence == Presence::Derived
                }
                Kind::Words | Kind::Numbers | Kind::List => value.is_array(),
                Kind::Object | Kind::Map => value.is_object(),
                Kind::Other(_) => true,
            };
            assert!(fits, "{path}: {value}");
        }
        match value {
            Value::Object(_) if row.is_some_and(|row| matches!(row.kind, Kind::Map)) => {}
            Value::Object(fields) => {
                for (name, field) in fields {
                    walk(field, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") });
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| walk(element, &format!("{path}[]"))),
            _ => {}
        }
    }
    walk(&full().to_json(), "");

    // What may be null is what reads back from null.
    for row in KEYS.iter().filter(|row| !row.path.contains(['[', '{'])) {
        if matches!(row.presence, Presence::Plain | Presence::Optional) {
            let mut json = serde_json::to_value(full()).unwrap();
            let mut at = &mut json;
            for name in row.path.split('.') {
                at = &mut at[name];
                if at.get("known").is_some() {
                    at = &mut at["known"];
                }
            }
            *at = Value::Null;
            let reads = serde_json::from_value::<Facts>(json).is_ok();
            assert_eq!(reads, row.presence == Presence::Optional, "{}", row.path);
        }
    }
}

#[test]
fn a_blank_of_every_object_reads_back() {
    for row in KEYS.iter().filter(|row| matches!(row.kind, Kind::Object) && !row.path.contains('[')) {
        // A state has no blank; whoever assumes anything of the secure processor says all of it.
        if row.path != "platform" {
            let mut facts = Facts::default();
            facts.assume(&format!("{}={}", row.path, blank(row.path))).unwrap();
        }
    }
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/facts.md");
    expect_file![path].assert_eq(&page());
}

#[test]
fn derived_keys_are_printed_and_not_read() {
    let mut facts = Facts::default();
    (facts.cpu.family, facts.cpu.model) = (0x19, 0x11);
    let json = facts.to_json();
    assert_eq!(json["cpu"]["generation"], "genoa");
    assert_eq!(serde_json::from_value::<Facts>(json).unwrap(), facts);
}
