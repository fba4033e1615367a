//! Whole launches as the kernel drives them, with the owner's half done by `attest`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end at what they do not expect")]

use attest::ovmf::{Firmware, SnpSectionKind};
use attest::sev::certs::{Certificate, certificate};
use attest::sev::digest::LaunchHasher;
use attest::sev::measurement::{Launch, Measurement};
use attest::sev::policy::Policy;
use attest::sev::report::AttestationReport;
use attest::sev::secret::{DISK_PASSPHRASE, Entry, Packet, parse_table, table};
use attest::sev::session::{Entropy, Session};
use attest::sev::vmsa::{Profile, VcpuSignature, Vcpus};
use sim::command::{GuestKind, GuestState, PageType};
use sim::keys::{Chip, Identity, NoRandomness, Random};
use sim::platform::FIRMWARE;
use sim::{Command, FirmwareStatus, Handle, Platform, Reply, kernel};

struct System;

impl Random for System {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|_| NoRandomness)
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    System.fill(&mut bytes).unwrap();
    bytes
}

/// A platform and the commands of its kernel.
struct Host(Platform);

impl Host {
    fn new() -> Self {
        let chip = Chip::generate(FIRMWARE.api, &mut System).unwrap();
        let identity = Identity::generate(&chip, FIRMWARE.api, &mut System).unwrap();
        Self(Platform::new(chip, identity, Box::new(System)))
    }

    fn run(&mut self, command: Command) -> Result<Reply, FirmwareStatus> {
        kernel::run(&mut self.0, command)
    }

    fn guest(&mut self, kind: GuestKind) -> Handle {
        match self.run(Command::GuestInit { kind }).unwrap() {
            Reply::Guest(guest) => guest,
            other => panic!("{other:?}"),
        }
    }

    /// PDH, PEK, OCA, CEK.
    fn certificates(&mut self) -> [Certificate; 4] {
        let Reply::PdhCertExport { pdh, chain } = self.run(Command::PdhCertExport).unwrap() else {
            panic!("no certificates")
        };
        let parsed: Vec<_> =
            chain.chunks(certificate::LEN).map(|bytes| Certificate::parse(bytes).unwrap()).collect();
        let [pek, oca, cek] = parsed.try_into().unwrap();
        [Certificate::parse(&pdh).unwrap(), pek, oca, cek]
    }

    fn measure(&mut self, guest: Handle) -> Measurement {
        match self.run(Command::LaunchMeasure { guest }).unwrap() {
            Reply::Measurement(bytes) => Measurement::parse(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, guest: Handle) -> GuestState {
        match self.run(Command::GuestStatus { guest }).unwrap() {
            Reply::GuestStatus(status) => status.state,
            other => panic!("{other:?}"),
        }
    }
}

fn session(pdh: &Certificate, policy: Policy) -> Session {
    Session::create(&pdh.public_key().unwrap(), pdh.api(), policy, &Entropy::new(random())).unwrap()
}

fn start(guest: Handle, policy: Policy, session: &Session) -> Command {
    Command::LaunchStart {
        guest,
        policy: policy.0,
        dh_cert: session.godh.as_bytes().to_vec(),
        session: session.blob.as_bytes().to_vec(),
    }
}

const FIRMWARE_IMAGE: [u8; 8192] = [0xa5; 8192];

#[test]
fn an_owner_launches_measures_and_injects() {
    let mut host = Host::new();
    let [pdh, pek, ..] = host.certificates();
    let policy = Policy(0x1);
    let owner = session(&pdh, policy);
    let guest = host.guest(GuestKind::Sev);
    host.run(start(guest, policy, &owner)).unwrap();
    // What goes in as two pieces measures as one.
    for piece in FIRMWARE_IMAGE.chunks(4096) {
        host.run(Command::LaunchUpdateData { guest, data: piece.to_vec() }).unwrap();
    }
    let measurement = host.measure(guest);
    assert_eq!(host.state(guest), GuestState::LaunchSecret);

    let mut hasher = LaunchHasher::new();
    hasher.update(&FIRMWARE_IMAGE);
    let launch = Launch { firmware: FIRMWARE, policy, digest: hasher.finish() };
    measurement.verify(&launch, &owner.keys.tik).unwrap();

    let secret = Entry { guid: DISK_PASSPHRASE, data: b"open sesame\0".to_vec().into() };
    let payload = table(&[secret]).unwrap();
    let packet = Packet::seal(&owner.keys, FIRMWARE.api, &measurement, &random(), &payload).unwrap();
    let guest_len = u32::try_from(payload.len()).unwrap();
    let inject = |header: &[u8], packet: &[u8]| Command::LaunchSecret {
        guest,
        header: header.to_vec(),
        packet: packet.to_vec(),
        guest_len,
    };
    let Reply::Secret(plaintext) = host.run(inject(&packet.header, &packet.ciphertext)).unwrap() else {
        panic!("no secret")
    };
    assert_eq!(parse_table(&plaintext).unwrap().first().unwrap().data.as_slice(), b"open sesame\0");
    let mut changed = packet.ciphertext.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(host.run(inject(&packet.header, &changed)), Err(FirmwareStatus::BadMeasurement));
    assert_eq!(host.run(inject(&packet.header[1..], &packet.ciphertext)), Err(FirmwareStatus::InvalidLength));

    host.run(Command::LaunchFinish { guest }).unwrap();
    assert_eq!(host.state(guest), GuestState::Running);
    let mnonce = random();
    let Reply::Report(report) = host.run(Command::AttestationReport { guest, mnonce }).unwrap() else {
        panic!("no report")
    };
    let report = AttestationReport::parse(&report).unwrap();
    report.verify(&mnonce, &pek).unwrap();
    assert_eq!((report.digest(), report.policy()), (launch.digest, policy));
}

#[test]
fn one_changed_byte_of_firmware_fails_the_measurement() {
    let mut host = Host::new();
    let [pdh, ..] = host.certificates();
    let policy = Policy(0x1);
    let owner = session(&pdh, policy);
    let guest = host.guest(GuestKind::Sev);
    host.run(start(guest, policy, &owner)).unwrap();
    let mut image = FIRMWARE_IMAGE;
    image[4711] ^= 1;
    host.run(Command::LaunchUpdateData { guest, data: image.to_vec() }).unwrap();
    let mut hasher = LaunchHasher::new();
    hasher.update(&FIRMWARE_IMAGE);
    let launch = Launch { firmware: FIRMWARE, policy, digest: hasher.finish() };
    assert!(host.measure(guest).verify(&launch, &owner.keys.tik).is_err());
}

#[test]
fn sessions_are_bound_to_platform_and_policy() {
    let mut host = Host::new();
    let [pdh, ..] = host.certificates();
    let policy = Policy(0x3);
    let owner = session(&pdh, policy);
    let guest = host.guest(GuestKind::Sev);
    assert_eq!(host.run(start(guest, Policy(0x2), &owner)), Err(FirmwareStatus::BadMeasurement));

    let mut no_session = start(guest, policy, &owner);
    if let Command::LaunchStart { session, .. } = &mut no_session {
        session.clear();
    }
    assert_eq!(host.run(no_session), Err(FirmwareStatus::InvalidParam));
    let mut short = start(guest, policy, &owner);
    if let Command::LaunchStart { session, .. } = &mut short {
        session.pop();
    }
    assert_eq!(host.run(short), Err(FirmwareStatus::InvalidLength));
    let mut not_a_certificate = start(guest, policy, &owner);
    if let Command::LaunchStart { dh_cert, .. } = &mut not_a_certificate {
        dh_cert.pop();
    }
    assert_eq!(host.run(not_a_certificate), Err(FirmwareStatus::InvalidCertificate));

    host.run(Command::PdhGen).unwrap();
    assert_eq!(host.run(start(guest, policy, &owner)), Err(FirmwareStatus::BadMeasurement));
    assert_eq!(host.state(guest), GuestState::Uninit);
    let [pdh, ..] = host.certificates();
    host.run(start(guest, policy, &session(&pdh, policy))).unwrap();
}

#[test]
fn an_es_launch_measures_the_registers() {
    let mut host = Host::new();
    let [pdh, ..] = host.certificates();
    let policy = Policy(0x5);
    let owner = session(&pdh, policy);
    let guest = host.guest(GuestKind::SevEs);
    let vcpus = Vcpus {
        count: 4,
        signature: VcpuSignature::new(25, 1, 1),
        ap_reset_address: 0x80_b004,
        sev_features: 0,
        profile: Profile::Legacy,
    };
    host.run(start(guest, policy, &owner)).unwrap();
    host.run(Command::LaunchUpdateData { guest, data: FIRMWARE_IMAGE.to_vec() }).unwrap();
    host.run(Command::LaunchUpdateVmsa { guest, vcpus }).unwrap();
    let measurement = host.measure(guest);
    let digest = |vcpus: Vcpus| {
        let mut hasher = LaunchHasher::new();
        hasher.update(&FIRMWARE_IMAGE);
        vcpus.states().for_each(|vmsa| hasher.update_vmsa(&vmsa));
        hasher.finish()
    };
    let verify = |vcpus| {
        let launch = Launch { firmware: FIRMWARE, policy, digest: digest(vcpus) };
        measurement.verify(&launch, &owner.keys.tik)
    };
    assert!(verify(vcpus).is_ok());
    assert!(verify(Vcpus { profile: Profile::Fpu, ..vcpus }).is_err());
    assert!(verify(Vcpus { count: 3, ..vcpus }).is_err());
}

#[test]
fn without_a_session_nobody_can_verify() {
    let mut host = Host::new();
    let guest = host.guest(GuestKind::Sev);
    host.run(Command::LaunchStart { guest, policy: 1, dh_cert: Vec::new(), session: Vec::new() }).unwrap();
    host.run(Command::LaunchUpdateData { guest, data: FIRMWARE_IMAGE.to_vec() }).unwrap();
    let first = host.measure(guest);
    host.run(Command::LaunchFinish { guest }).unwrap();
    let guest = host.guest(GuestKind::Sev);
    host.run(Command::LaunchStart { guest, policy: 1, dh_cert: Vec::new(), session: Vec::new() }).unwrap();
    host.run(Command::LaunchUpdateData { guest, data: FIRMWARE_IMAGE.to_vec() }).unwrap();
    assert_ne!(host.measure(guest), first);
}

/// A firmware image of two pages that says of itself what OVMF does: where application processors start, and which pages an
/// SNP guest needs. (Debian 12's own image does not know SNP.)
fn snp_firmware() -> Vec<u8> {
    let sections: [[u32; 3]; 4] =
        [[0x80_0000, 0x3000, 1], [0x80_d000, 0x1000, 2], [0x80_e000, 0x1000, 3], [0x81_0000, 0x2000, 1]];
    let metadata_from_end = 0x200_u32;
    let metadata = [
        b"ASEV".to_vec(),
        (16 + 12 * u32::try_from(sections.len()).unwrap()).to_le_bytes().to_vec(),
        1_u32.to_le_bytes().to_vec(),
        u32::try_from(sections.len()).unwrap().to_le_bytes().to_vec(),
        sections.as_flattened().iter().flat_map(|field| field.to_le_bytes()).collect(),
    ]
    .concat();
    let entry = |data: u32, guid: &str| {
        [
            &data.to_le_bytes()[..],
            &22_u16.to_le_bytes(),
            uuid::Uuid::parse_str(guid).unwrap().to_bytes_le().as_slice(),
        ]
        .concat()
    };
    let entries = [
        entry(metadata_from_end, "dc886566-984a-4798-a75e-5585a7bf67cc"),
        entry(0x80_b004, "00f771de-1a7e-4fcb-890e-68c77e2fb44e"),
    ]
    .concat();
    let footer = uuid::uuid!("96b582de-1fb2-45f7-baea-a366c55a082d").to_bytes_le();
    let length = u16::try_from(entries.len() + 18).unwrap();
    let table = [&entries[..], &length.to_le_bytes(), &footer].concat();

    let mut image: Vec<u8> = (0..8192_u32).map(|at| at.to_le_bytes()[0]).collect();
    let mut put = |from_end: usize, bytes: &[u8]| {
        let at = 8192 - from_end;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(usize::try_from(metadata_from_end).unwrap(), &metadata);
    put(32 + table.len(), &table);
    image
}

/// The digest of an independent implementation, for the pages that QEMU loads.
fn oracle(vcpus: u32) -> Vec<u8> {
    use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
    use sev::measurement::vcpu_types::CpuType;
    use sev::measurement::vmsa::GuestFeatures;

    let image = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(image.path(), snp_firmware()).unwrap();
    let digest = snp_calc_launch_digest(SnpMeasurementArgs {
        vcpus,
        vcpu_type: CpuType::EpycMilan,
        ovmf_file: image.path().into(),
        guest_features: GuestFeatures(1),
        kernel_file: None,
        initrd_file: None,
        append: None,
        ovmf_hash_str: None,
        vmm_type: None,
    });
    digest.unwrap().try_into().unwrap()
}

/// Loads what QEMU loads: the image, the firmware's pages in its table's order, and the kernel's VMSAs at finish.
fn load_snp(host: &mut Host, guest: Handle, vcpus: u32) {
    let image = snp_firmware();
    let firmware = Firmware::parse(&image).unwrap();
    let update = |page_type, gpa: u64, length: usize, data: Vec<u8>| Command::SnpLaunchUpdate {
        guest,
        page_type,
        gpa,
        length: u32::try_from(length).unwrap(),
        data,
    };
    host.run(Command::SnpLaunchStart { guest, policy: 0x3_0000 }).unwrap();
    let base = (1 << 32) - u64::try_from(image.len()).unwrap();
    host.run(update(PageType::Normal, base, image.len(), image)).unwrap();
    for section in firmware.snp_sections.unwrap() {
        let page_type = match section.kind {
            SnpSectionKind::Secrets => PageType::Secrets,
            SnpSectionKind::Cpuid => PageType::Cpuid,
            _ => PageType::Zero,
        };
        host.run(update(page_type, section.base.into(), usize::try_from(section.size).unwrap(), Vec::new()))
            .unwrap();
    }
    let vcpus = Vcpus {
        count: vcpus,
        signature: VcpuSignature::new(25, 1, 1),
        ap_reset_address: firmware.sev_es_reset.unwrap(),
        sev_features: 1,
        profile: Profile::Fpu,
    };
    host.run(Command::SnpLaunchUpdateVmsa { guest, vcpus }).unwrap();
}

#[test]
fn an_snp_launch_has_the_digest_that_others_compute() {
    let mut host = Host::new();
    let guest = host.guest(GuestKind::SevSnp);
    load_snp(&mut host, guest, 2);
    let finish =
        Command::SnpLaunchFinish { guest, id_block: Vec::new(), id_auth: Vec::new(), author_key: false };
    let Reply::SnpDigest(digest) = host.run(finish).unwrap() else { panic!("no digest") };
    assert_eq!(digest.as_slice(), oracle(2));
}

#[test]
fn an_identity_block_is_for_one_launch() {
    use attest::sev::ec::{Hash, PrivateKey};

    let (id_key, author_key) =
        (PrivateKey::from_bytes(&[3; 48]).unwrap(), PrivateKey::from_bytes(&[4; 48]).unwrap());
    let block = |digest: &[u8], policy: u64| {
        let mut block = [digest, &[0; 32], &1_u32.to_le_bytes(), &7_u32.to_le_bytes()].concat();
        block.extend(policy.to_le_bytes());
        block
    };
    let authentication = |block: &[u8]| {
        let mut auth = vec![0; 4096];
        auth[0] = 1;
        auth[4] = 1;
        auth[0x40..0x40 + 144].copy_from_slice(&id_key.sign(Hash::Sha384, block));
        auth[0x240..0x240 + 148].copy_from_slice(&id_key.public_key().encode());
        let author_signature = author_key.sign(Hash::Sha384, &auth[0x240..0x240 + 1028]);
        auth[0x680..0x680 + 144].copy_from_slice(&author_signature);
        auth[0x880..0x880 + 148].copy_from_slice(&author_key.public_key().encode());
        auth
    };
    let flipped = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 1;
        bytes
    };
    let mut host = Host::new();
    let guest = host.guest(GuestKind::SevSnp);
    load_snp(&mut host, guest, 1);
    let good = block(&oracle(1), 0x3_0000);
    let auth = authentication(&good);
    let other_digest = block(&[1; 48], 0x3_0000);
    let other_policy = block(&oracle(1), 0xb_0000);
    for (id_block, id_auth, expected) in [
        (&good, &Vec::new(), FirmwareStatus::InvalidLength),
        (&good, &flipped(auth.clone(), 0), FirmwareStatus::InvalidParam),
        (&good, &flipped(auth.clone(), 0x50), FirmwareStatus::BadSignature),
        (&good, &flipped(auth.clone(), 0x40 + 500), FirmwareStatus::BadSignature),
        (&good, &flipped(auth.clone(), 0x250), FirmwareStatus::InvalidKey),
        (&good, &flipped(auth.clone(), 0x690), FirmwareStatus::BadSignature),
        (&flipped(good.clone(), 84), &auth, FirmwareStatus::BadSignature),
        (&flipped(good.clone(), 80), &auth, FirmwareStatus::InvalidParam),
        (&other_digest, &authentication(&other_digest), FirmwareStatus::BadMeasurement),
        (&other_policy, &authentication(&other_policy), FirmwareStatus::PolicyFailure),
    ] {
        let command = Command::SnpLaunchFinish {
            guest,
            id_block: id_block.clone(),
            id_auth: id_auth.clone(),
            author_key: true,
        };
        assert_eq!(host.run(command), Err(expected));
    }
    let command = Command::SnpLaunchFinish { guest, id_block: good, id_auth: auth, author_key: true };
    host.run(command).unwrap();
    assert_eq!(host.state(guest), GuestState::Running);
}
