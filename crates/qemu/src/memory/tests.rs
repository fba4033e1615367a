//! What the sums are made of, and what they say of domains that no QEMU of this machine runs.

use domain::Document;
use expect_test::{Expect, expect};

use super::*;
use crate::plan::{Code, Variables};

fn sums(security: &str, memory: &str, devices: &str) -> Sums {
    let xml = format!(
        "<domain type='kvm'><name>guest</name><memory unit='GiB'>4</memory>{memory}<vcpu current='2'>4</vcpu>\
         <os><type arch='x86_64' machine='pc-q35-8.2'>hvm</type></os><features><acpi/></features>\
         <devices>{devices}</devices>{security}</domain>"
    );
    let (domain, _) = Domain::read(&Document::parse(&xml).unwrap());
    let placement = match domain.launch_security {
        Some(LaunchSecurity::SevSnp(_)) => Placement::Rom,
        _ => Placement::Flash { format: domain::model::os::FirmwareFormat::Raw, read_only: true },
    };
    let variables = (placement != Placement::Rom).then(|| Variables {
        path: "/vars.fd".into(),
        format: domain::model::os::FirmwareFormat::Raw,
        template: None,
    });
    let code = Some(Code { path: "/code.fd".into(), placement });
    Demand::of(&domain, &Firmware { code, variables, ..Firmware::default() }).sums(&Sizes {
        files: BTreeMap::from([("/code.fd".into(), 4_000_001), ("efi-virtio.rom".into(), 300_000)]),
        host_cpus: Some(1),
        host_memory: None,
    })
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "an expectation is written where it is used")]
fn check(sum: &Sum, expect: Expect) {
    let lines = sum.items.iter().map(|item| format!("{:>10} {}: {}\n", item.bytes, item.what, item.why));
    expect.assert_eq(&format!("total {}\n{}", sum.total(), lines.collect::<String>()));
}

const SEV: &str = "<launchSecurity type='sev'><policy>1</policy></launchSecurity>";
const SNP: &str = "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>";
const LOCKED: &str = "<memoryBacking><locked/></memoryBacking>";

#[test]
fn every_item_is_named_and_has_a_reason() {
    let devices = "<graphics type='spice'/><interface type='user'><model type='virtio'/></interface>\
        <video><model type='qxl'/></video>\
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>";
    let sums = sums(SEV, LOCKED, devices);
    check(
        &sums.pinned,
        expect![[r#"
        total 4436754432
        4294967296 guest RAM: what <memory> says, in whole MiB
           4001792 firmware: the image, in flash (pflash0)
            131072 copy of the firmware's end: machines before QEMU 9.1 copy the image's end below 1 MiB
            540672 UEFI variables: the variable store, in flash (pflash1)
            131072 option ROM area: the PC's window for option ROMs (pc.rom)
           2166784 ACPI tables: they may grow; QEMU reserves, and SEV pins, the most
          67108864 video0: ram: frame buffer and commands, at least twice vgamem
          67108864 video0: vram: surfaces, a power of two
              8192 video0: modes: the table of a QXL card's modes
             65536 video0: ROM: its BIOS, rounded up to a power of two
            524288 net0: option ROM: for booting from the network, rounded up to a power of two; <rom enabled='no'/> leaves it out
    "#]],
    );
    check(
        &sums.address_space,
        expect![[r#"
        total 5145591808
        4436754432 QEMU's memory blocks: those of the sum that SEV pins
          79691776 QEMU's program and libraries: what they map
          25165824 QEMU's heap: what it allocates to run the devices
          67108864 stacks of threads: 8 MiB for each vCPU and each other thread
         536870912 heaps of threads: the C library reserves 64 MiB for each thread, at most 8 times for each host processor
    "#]],
    );
    check(
        &sums.charge,
        expect![[r#"
        total 4677926912
        4436754432 QEMU's memory blocks: those of the sum that SEV pins
          79691776 QEMU's program and libraries: what they map
          25165824 QEMU's heap: what it allocates to run the devices
          67108864 stacks of threads: locked, so that all of them is in memory
          35651584 the kernel's tables: page tables, KVM's tables and vCPUs, SEV's list of pages
          33554432 vda: cached tables: the most that QEMU caches of a qcow2 image's tables
    "#]],
    );
    check(
        &sums.later,
        expect![[r#"
        total 803016704
          18874368 room for vCPUs: a stack for each vCPU that may be plugged
           4001792 the firmware, once more: it is pinned a second time while it is encrypted
         780140544 more threads for images: the workers that read and write images, usually 64 at most; some get heaps
    "#]],
    );
    assert_eq!(sums.needed(), (Largest::AddressSpace, sums.address_space.total()));
    assert_eq!(sums.limit() % (1 << 20), 0);
    assert!(sums.limit() >= sums.needed().1 + sums.later.total());
}

#[test]
fn what_applies_depends_on_how_memory_is_kept() {
    let largest = |security, memory| sums(security, memory, "").needed().0;
    assert_eq!(largest(SEV, ""), Largest::Charge);
    assert_eq!(largest(SEV, LOCKED), Largest::AddressSpace);
    assert_eq!(largest(SNP, ""), Largest::Charge);
    // Huge pages are not charged, but they are pinned.
    let huge = "<memoryBacking><hugepages/></memoryBacking>";
    assert_eq!(largest(SEV, huge), Largest::Pinned);
    assert_eq!(largest(SNP, huge), Largest::Charge);
}

#[test]
fn sizes_that_no_machine_has_do_not_overflow() {
    let huge = "<maxMemory unit='KiB'>9007199254740991</maxMemory>";
    let video = "<video><model type='qxl' ram='4294967295' vram='4294967295' vram64='4294967295' vgamem='4294967295'/></video>\
        <video><model type='vga' vram='4294967295'/></video><video><model type='bochs' vram='4294967295'/></video>";
    let sums = sums(SEV, huge, video);
    assert!(sums.limit() > 1 << 62, "{}", sums.limit());
}
