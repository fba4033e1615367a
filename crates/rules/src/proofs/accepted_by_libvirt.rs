//! What libvirt 11.3 takes although it is broken or unsafe: twenty-one configurations, each tried with `virsh define`.
//! Each one breaks a rule here.

use domain::Document;
use expect_test::expect;

use crate::fixtures::facts;
use crate::{Allowed, lint};

const DOMAIN: &str = "<domain type='kvm'>
  <name>guest</name>
  <memory unit='GiB'>4</memory>
  <memoryBacking>
    <locked/>
  </memoryBacking>
  <vcpu>4</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
  </os>
  <cpu mode='custom'>
    <model>EPYC</model>
  </cpu>
  <devices>
    <memballoon model='none'/>
  </devices>
  <launchSecurity type='sev'>
    <policy>0x0003</policy>
  </launchSecurity>
</domain>
";

/// What is tried: its name, and what is put for what in the domain above.
struct Case {
    name: &'static str,
    changes: &'static [(&'static str, &'static str)],
}

const SNP: (&str, &str) = (
    "<launchSecurity type='sev'>\n    <policy>0x0003",
    "<launchSecurity type='sev-snp'>\n    <policy>0x30000",
);
const ROM: (&str, &str) = ("readonly='yes' type='pflash'", "type='rom'");
const AFTER_POLICY: &str = "</policy>\n";
const BALLOON: &str = "<memballoon model='none'/>";

const CASES: [Case; 22] = [
    Case { name: "type='qemu' with sev", changes: &[("type='kvm'", "type='qemu'")] },
    Case { name: "type='qemu' with sev-snp", changes: &[SNP, ROM, ("type='kvm'", "type='qemu'")] },
    Case {
        name: "SeaBIOS",
        changes: &[(
            "    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>\n",
            "",
        )],
    },
    Case { name: "no locked, no hard_limit", changes: &[("    <locked/>\n", "")] },
    Case { name: "wrong cbitpos", changes: &[(AFTER_POLICY, "</policy>\n    <cbitpos>47</cbitpos>\n")] },
    Case { name: "policy 0xFFFFFFFF", changes: &[("0x0003", "0xFFFFFFFF")] },
    Case {
        name: "SEV-ES with firmware without amd-sev-es",
        changes: &[("0x0003", "0x0007"), ("OVMF_CODE_4M", "OVMF_2019")],
    },
    Case {
        name: "dhCert and session garbage",
        changes: &[(
            AFTER_POLICY,
            "</policy>\n    <dhCert>garbage</dhCert>\n    <session>garbage</session>\n",
        )],
    },
    Case {
        name: "dhCert without session",
        changes: &[(AFTER_POLICY, "</policy>\n    <dhCert>AAAA</dhCert>\n")],
    },
    Case { name: "kernelHashes without kernel", changes: &[("type='sev'", "type='sev' kernelHashes='yes'")] },
    Case {
        name: "i440fx, transitional virtio-blk without iommu",
        changes: &[
            ("machine='q35'", "machine='pc'"),
            (
                BALLOON,
                "<disk type='file' device='disk' model='virtio-transitional'><source file='/a'/><target dev='vda'/></disk>",
            ),
        ],
    },
    Case {
        name: "virtio-net with option ROM",
        changes: &[(BALLOON, "<interface type='user'><model type='virtio'/></interface>")],
    },
    Case {
        name: "maxMemory",
        changes: &[(
            "  <memoryBacking>",
            "  <maxMemory slots='4' unit='GiB'>16</maxMemory>\n  <memoryBacking>",
        )],
    },
    Case {
        name: "secure loader and smm",
        changes: &[
            ("readonly='yes' type", "readonly='yes' secure='yes' type"),
            ("  <cpu", "  <features>\n    <smm state='on'/>\n  </features>\n  <cpu"),
        ],
    },
    Case {
        name: "sev-snp with pflash and nvram",
        changes: &[
            SNP,
            ("</loader>\n", "</loader>\n    <nvram>/var/lib/libvirt/qemu/nvram/guest_VARS.fd</nvram>\n"),
        ],
    },
    Case { name: "sev-snp policy without bit 17", changes: &[SNP, ROM, ("0x30000", "0x10000")] },
    Case { name: "sev-snp reserved policy bits", changes: &[SNP, ROM, ("0x30000", "0xffff000000030000")] },
    Case {
        name: "sev-snp with smm",
        changes: &[SNP, ROM, ("  <cpu", "  <features>\n    <smm state='on'/>\n  </features>\n  <cpu")],
    },
    Case {
        name: "idBlock without idAuth",
        changes: &[SNP, ROM, (AFTER_POLICY, "</policy>\n    <idBlock>AAAA</idBlock>\n")],
    },
    Case {
        name: "authorKey without idAuth",
        changes: &[SNP, ROM, ("type='sev-snp'", "type='sev-snp' authorKey='yes'")],
    },
    Case { name: "sev-snp with hugepages", changes: &[SNP, ROM, ("<locked/>", "<hugepages/>")] },
    Case { name: "the domain as it is, which is good", changes: &[] },
];

#[test]
fn each_breaks_a_rule() {
    let facts = facts("accepted");
    let mut table = String::new();
    for case in &CASES {
        let text = case.changes.iter().fold(DOMAIN.to_owned(), |text, (old, new)| {
            assert!(text.contains(old), "{}: {old}", case.name);
            text.replacen(old, new, 1)
        });
        let document = Document::parse(&text).unwrap();
        let findings = lint(&document, &facts, &Allowed::default()).findings;
        let codes: Vec<String> =
            findings.iter().map(|finding| format!("{} {}", finding.code, finding.severity)).collect();
        // What only says that the host sees the registers of a guest without SEV-ES is true of all of them.
        let told = codes.iter().any(|code| !code.starts_with("SEV026"));
        assert_eq!(told, !case.changes.is_empty(), "{}: {codes:?}", case.name);
        let codes = if codes.is_empty() { "nothing".to_owned() } else { codes.join(", ") };
        table.push_str(&format!("{}: {codes}\n", case.name));
    }
    expect![[r#"
        type='qemu' with sev: SEV010 error, SEV026 note
        type='qemu' with sev-snp: SEV010 error, FW018 note
        SeaBIOS: FW002 error, SEV026 note
        no locked, no hard_limit: MEM001 warning, SEV026 note
        wrong cbitpos: SEV026 note, SEV004 error
        policy 0xFFFFFFFF: FW018 note, SEV006 error, SEV009 error, SEV024 warning
        SEV-ES with firmware without amd-sev-es: FW007 error, SEV024 warning
        dhCert and session garbage: SEV026 note, SEV013 error, FW016 note, SEV013 error
        dhCert without session: SEV026 note, SEV014 error, SEV013 error
        kernelHashes without kernel: FW010 warning, SEV026 note
        i440fx, transitional virtio-blk without iommu: FW001 warning, DEV002 note, DEV004 error, SEV026 note
        virtio-net with option ROM: DEV007 warning, DEV002 note, SEV026 note
        maxMemory: MEM008 warning, SEV026 note
        secure loader and smm: FW015 warning, SEV026 note
        sev-snp with pflash and nvram: FW006 warning, FW018 note
        sev-snp policy without bit 17: FW018 note, SEV006 error
        sev-snp reserved policy bits: FW018 note, SEV006 error
        sev-snp with smm: FW018 note, SEV020 error
        idBlock without idAuth: FW018 note, SEV016 error, SEV015 error
        authorKey without idAuth: FW018 note, SEV017 warning
        sev-snp with hugepages: SEV021 warning, FW018 note
        the domain as it is, which is good: SEV026 note
    "#]]
    .assert_eq(&table);
}
