//! CPU models by vendor. QEMU does not tell whose a model is, and libvirt offers only the models that it knows.

/// AMD, Hygon and Intel models, and those of no vendor: the name without a version, and the newest version.
const VENDORS: [(&str, &[(&str, u32)]); 4] = [
    (
        "AMD",
        &[
            ("EPYC", 4),
            ("EPYC-Genoa", 1),
            ("EPYC-Milan", 2),
            ("EPYC-Rome", 4),
            // libvirt 11.3 does not know it, nor does QEMU 10.0.
            ("EPYC-Turin", 1),
            ("Opteron_G1", 1),
            ("Opteron_G2", 1),
            ("Opteron_G3", 1),
            ("Opteron_G4", 1),
            ("Opteron_G5", 1),
            ("athlon", 1),
            ("phenom", 1),
        ],
    ),
    ("Hygon", &[("Dhyana", 2)]),
    (
        "Intel",
        &[
            ("Broadwell", 4),
            ("Cascadelake-Server", 5),
            ("Conroe", 1),
            ("Cooperlake", 2),
            ("Denverton", 3),
            ("GraniteRapids", 2),
            ("Haswell", 4),
            ("Icelake-Server", 7),
            ("IvyBridge", 2),
            ("KnightsMill", 1),
            ("Nehalem", 2),
            ("Penryn", 1),
            ("SandyBridge", 2),
            ("SapphireRapids", 3),
            ("SierraForest", 1),
            ("Skylake-Client", 4),
            ("Skylake-Server", 5),
            ("Snowridge", 4),
            ("Westmere", 2),
            ("core2duo", 1),
            ("coreduo", 1),
            ("n270", 1),
        ],
    ),
    (
        UNKNOWN,
        &[
            ("486", 1),
            ("kvm32", 1),
            ("kvm64", 1),
            ("pentium", 1),
            ("pentium2", 1),
            ("pentium3", 1),
            ("qemu32", 1),
            ("qemu64", 1),
        ],
    ),
];

/// What libvirt calls no vendor.
const UNKNOWN: &str = "unknown";

/// libvirt's names of features where they are not QEMU's.
const FEATURES: [(&str, &str); 12] = [
    ("cmp-legacy", "cmp_legacy"),
    ("ds-cpl", "ds_cpl"),
    ("fxsr-opt", "fxsr_opt"),
    ("kvm-pv-eoi", "kvm_pv_eoi"),
    ("kvm-pv-unhalt", "kvm_pv_unhalt"),
    ("lahf-lm", "lahf_lm"),
    ("nodeid-msr", "nodeid_msr"),
    ("pclmulqdq", "pclmuldq"),
    ("perfctr-core", "perfctr_core"),
    ("perfctr-nb", "perfctr_nb"),
    ("tsc-adjust", "tsc_adjust"),
    ("vmx-invept-single-context-noglobals", "vmx-invvpid-single-context-noglobals"),
];

/// Whose model it is, by its canonical name; `None` for a model that is not offered.
pub(super) fn vendor(canonical: &str) -> Option<&'static str> {
    let (name, version) = match canonical.rsplit_once("-v") {
        Some((name, version)) => (name, version.parse().ok()?),
        None => (canonical, 0),
    };
    VENDORS
        .iter()
        .find(|(_, models)| models.iter().any(|(known, newest)| *known == name && version <= *newest))
        .map(|(vendor, _)| *vendor)
}

/// libvirt's name of a feature, by QEMU's.
pub(super) fn feature(name: &str) -> String {
    let known = FEATURES.iter().find(|(qemu, _)| *qemu == name);
    known.map_or(name, |(_, libvirt)| *libvirt).to_owned()
}
