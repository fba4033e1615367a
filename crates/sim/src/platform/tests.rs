//! Which command is legal in which state, as data; and random sequences, which never leave the drawn paths.

use std::collections::BTreeMap;

use attest::sev::certs::{Algorithm, Certificate, Slot, Usage};
use attest::sev::ec::PrivateKey;
use attest::sev::vmsa::{Profile, VcpuSignature, Vcpus};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::command::{GuestState, PageType};
use crate::kernel;

/// The same numbers in every run.
struct Counter(u64);

impl Random for Counter {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            chunk.copy_from_slice(&Sha256::digest(self.0.to_le_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

/// A source that has run dry.
struct Dry;

impl Random for Dry {
    fn fill(&mut self, _bytes: &mut [u8]) -> Result<(), NoRandomness> {
        Err(NoRandomness)
    }
}

fn platform() -> Platform {
    let mut random = Counter(0);
    let chip = Chip::generate(FIRMWARE.api, &mut random).unwrap();
    let identity = Identity::generate(&chip, FIRMWARE.api, &mut random).unwrap();
    Platform::new(chip, identity, Box::new(random))
}

const GUEST: Handle = Handle(1);

fn init(kind: GuestKind) -> Command {
    Command::GuestInit { kind }
}

fn start(policy: u32) -> Command {
    Command::LaunchStart { guest: GUEST, policy, dh_cert: Vec::new(), session: Vec::new() }
}

fn data() -> Command {
    Command::LaunchUpdateData { guest: GUEST, data: vec![7; 32] }
}

fn vcpus() -> Vcpus {
    let signature = VcpuSignature::new(25, 1, 1);
    Vcpus { count: 2, signature, ap_reset_address: 0x80_b004, sev_features: 0, profile: Profile::Legacy }
}

fn vmsa() -> Command {
    Command::LaunchUpdateVmsa { guest: GUEST, vcpus: vcpus() }
}

fn secret() -> Command {
    Command::LaunchSecret { guest: GUEST, header: vec![0; 52], packet: vec![0; 16], guest_len: 16 }
}

fn snp_start() -> Command {
    Command::SnpLaunchStart { guest: GUEST, policy: 0x3_0000 }
}

fn snp_update() -> Command {
    Command::SnpLaunchUpdate {
        guest: GUEST,
        page_type: PageType::Zero,
        gpa: 0,
        length: 4096,
        data: Vec::new(),
    }
}

fn snp_finish() -> Command {
    Command::SnpLaunchFinish { guest: GUEST, id_block: Vec::new(), id_auth: Vec::new(), author_key: false }
}

/// A platform after these commands, all of which succeed.
fn after(commands: &[Command]) -> Platform {
    let mut platform = platform();
    for command in commands {
        platform.run(command.clone()).unwrap_or_else(|status| panic!("{command:?}: {status}"));
    }
    platform
}

/// Success, or the code that the command is refused with.
type Outcome = Option<FirmwareStatus>;
const YES: Outcome = None;
const PSTATE: Outcome = Some(FirmwareStatus::InvalidPlatformState);
const GSTATE: Outcome = Some(FirmwareStatus::InvalidGuestState);
const NO_GUEST: Outcome = Some(FirmwareStatus::InvalidGuest);
const POLICY: Outcome = Some(FirmwareStatus::PolicyFailure);
const ASID: Outcome = Some(FirmwareStatus::InvalidAsid);
const BAD_MAC: Outcome = Some(FirmwareStatus::BadMeasurement);
const BAD_CERT: Outcome = Some(FirmwareStatus::InvalidCertificate);

/// Runs each command of `rows` in each state of `columns`, on a platform of its own.
#[track_caller]
fn check<const N: usize>(columns: [&[Command]; N], rows: &[(Command, [Outcome; N])]) {
    for (command, outcomes) in rows {
        for (history, expected) in columns.iter().zip(outcomes) {
            let mut platform = after(history);
            let before = snapshot(&platform);
            let outcome = platform.run(command.clone()).err();
            assert_eq!(outcome, *expected, "{command:?} after {history:?}");
            if outcome.is_some() {
                assert_eq!(
                    snapshot(&platform),
                    before,
                    "{command:?} after {history:?} failed and changed something"
                );
            }
        }
    }
}

/// All that can be seen of a platform.
fn snapshot(platform: &Platform) -> String {
    let guests =
        platform.guests.iter().map(|(handle, guest)| (*handle, guest.asid, guest.state(), guest.policy()));
    let guests: Vec<_> = guests.collect();
    let identity = Sha256::digest(platform.identity.to_record());
    format!("{:?} {identity:?} {guests:?}", platform.state())
}

#[test]
fn platform_commands_by_platform_state() {
    let import = Command::PekCertImport { pek: vec![0; 2084], oca: vec![0; 2084] };
    check(
        [&[], &[Command::Init], &[Command::Init, init(GuestKind::Sev), start(1)]],
        &[
            //                           UNINIT    INIT      WORKING
            (Command::Init, [YES, PSTATE, PSTATE]),
            (Command::Shutdown, [YES, YES, YES]),
            (Command::PlatformStatus, [YES, YES, YES]),
            (Command::SnpPlatformStatus, [YES, YES, YES]),
            (Command::FactoryReset, [YES, PSTATE, PSTATE]),
            (Command::PekGen, [PSTATE, YES, PSTATE]),
            (Command::PekCsr, [PSTATE, YES, PSTATE]),
            (import, [PSTATE, BAD_CERT, PSTATE]),
            (Command::PdhGen, [PSTATE, YES, YES]),
            (Command::PdhCertExport, [PSTATE, YES, YES]),
            (Command::GetId2, [YES, YES, YES]),
            (init(GuestKind::SevEs), [PSTATE, YES, YES]),
        ],
    );
}

#[test]
fn guest_commands_by_state_of_a_sev_guest() {
    let reserved = [Command::Init, init(GuestKind::Sev)];
    let updating = [&reserved[..], &[start(1), data()]].concat();
    let measured = [&updating[..], &[Command::LaunchMeasure { guest: GUEST }]].concat();
    let running = [&measured[..], &[Command::LaunchFinish { guest: GUEST }]].concat();
    let report = Command::AttestationReport { guest: GUEST, mnonce: [9; 16] };
    check(
        [&[Command::Init], &reserved, &updating, &measured, &running],
        &[
            //                                        none      reserved  LUPDATE   LSECRET   RUNNING
            (start(1), [NO_GUEST, YES, GSTATE, GSTATE, GSTATE]),
            (start(5), [NO_GUEST, ASID, GSTATE, GSTATE, GSTATE]),
            (data(), [PSTATE, PSTATE, YES, GSTATE, GSTATE]),
            (vmsa(), [PSTATE, PSTATE, POLICY, POLICY, POLICY]),
            (Command::LaunchMeasure { guest: GUEST }, [PSTATE, PSTATE, YES, GSTATE, GSTATE]),
            (secret(), [PSTATE, PSTATE, GSTATE, BAD_MAC, GSTATE]),
            (Command::LaunchFinish { guest: GUEST }, [PSTATE, PSTATE, GSTATE, YES, GSTATE]),
            (Command::GuestStatus { guest: GUEST }, [NO_GUEST, YES, YES, YES, YES]),
            (report, [PSTATE, PSTATE, GSTATE, YES, YES]),
            (snp_start(), [NO_GUEST, GSTATE, GSTATE, GSTATE, GSTATE]),
            (snp_update(), [PSTATE, PSTATE, GSTATE, GSTATE, GSTATE]),
            (snp_finish(), [PSTATE, PSTATE, GSTATE, GSTATE, GSTATE]),
            (Command::Decommission { guest: GUEST }, [NO_GUEST, YES, YES, YES, YES]),
        ],
    );
}

#[test]
fn guest_commands_by_state_of_an_es_guest() {
    let reserved = [Command::Init, init(GuestKind::SevEs)];
    let updating = [&reserved[..], &[start(5), data()]].concat();
    let measured = [&updating[..], &[vmsa(), Command::LaunchMeasure { guest: GUEST }]].concat();
    check(
        [&reserved, &updating, &measured],
        &[
            //         reserved  LUPDATE   LSECRET
            (start(5), [YES, GSTATE, GSTATE]),
            (start(1), [ASID, GSTATE, GSTATE]),
            (vmsa(), [PSTATE, YES, GSTATE]),
        ],
    );
}

#[test]
fn guest_commands_by_state_of_an_snp_guest() {
    let reserved = [Command::Init, init(GuestKind::SevSnp)];
    let updating = [&reserved[..], &[snp_start(), snp_update()]].concat();
    let running = [&updating[..], &[snp_finish()]].concat();
    let vmsa_pages = Command::SnpLaunchUpdateVmsa { guest: GUEST, vcpus: vcpus() };
    let report = Command::AttestationReport { guest: GUEST, mnonce: [9; 16] };
    check(
        [&reserved, &updating, &running],
        &[
            //             reserved  LUPDATE   RUNNING
            (snp_start(), [YES, GSTATE, GSTATE]),
            (start(1), [GSTATE, GSTATE, GSTATE]),
            (snp_update(), [PSTATE, YES, GSTATE]),
            (vmsa_pages, [PSTATE, YES, GSTATE]),
            (snp_finish(), [PSTATE, YES, GSTATE]),
            (data(), [PSTATE, GSTATE, GSTATE]),
            (vmsa(), [PSTATE, POLICY, POLICY]),
            (Command::LaunchMeasure { guest: GUEST }, [PSTATE, GSTATE, GSTATE]),
            (Command::LaunchFinish { guest: GUEST }, [PSTATE, GSTATE, GSTATE]),
            (report, [PSTATE, GSTATE, GSTATE]),
        ],
    );
}

#[test]
fn policies_that_the_platform_cannot_honour() {
    let reserved = |kind| after(&[Command::Init, init(kind)]);
    for (policy, expected) in
        [(0x3701_0001, YES), (0x3801_0001, POLICY), (0x0002_0001, POLICY), (0x41, POLICY)]
    {
        assert_eq!(reserved(GuestKind::Sev).run(start(policy)).err(), expected, "{policy:#x}");
    }
    let param = Some(FirmwareStatus::InvalidParam);
    for (policy, expected) in [
        (0x3_0137, YES),
        (0x3_0138, POLICY),
        (0x3_0200, POLICY),
        (0x2_0000, POLICY),
        (0x1_0000, param),
        (0x43_0000, POLICY),
        (0x1_0003_0000_0000, param),
        (0x403_0000, param),
    ] {
        let command = Command::SnpLaunchStart { guest: GUEST, policy };
        assert_eq!(reserved(GuestKind::SevSnp).run(command).err(), expected, "{policy:#x}");
    }
}

#[test]
fn updates_with_wrong_lengths_and_addresses() {
    let length = Some(FirmwareStatus::InvalidLength);
    let mut platform = after(&[Command::Init, init(GuestKind::Sev), start(1)]);
    for size in [0, 1, 15, 17, crate::wire::MAX_DATA + 16] {
        let command = Command::LaunchUpdateData { guest: GUEST, data: vec![0; size] };
        assert_eq!(platform.run(command).err(), length, "{size}");
    }
    let mut platform = after(&[Command::Init, init(GuestKind::SevSnp), snp_start()]);
    let address = Some(FirmwareStatus::InvalidAddress);
    for (page_type, gpa, length_bytes, contents, expected) in [
        (PageType::Normal, 0x1000, 8192, 8192, YES),
        (PageType::Normal, 0x1000, 8192, 4096, length),
        (PageType::Normal, 0x1000, 0, 0, length),
        (PageType::Normal, 0x1000, 100, 100, length),
        (PageType::Zero, 0x1000, 4096, 4096, length),
        (PageType::Zero, 0x1000, !0xfff, 0, length),
        (PageType::Secrets, 0x1000, 4096, 0, YES),
        (PageType::Cpuid, 0x1000, 4096, 4096, YES),
        (PageType::Cpuid, 0x1000, 4096, 1, length),
        (PageType::Zero, 0x1001, 4096, 0, address),
        (PageType::Zero, !0xfff, 4096, 0, address),
        (PageType::Zero, 1 << 52, 4096, 0, address),
        (PageType::Zero, (1 << 52) - 4096, 4096, 0, YES),
    ] {
        let data = vec![0; contents];
        let command = Command::SnpLaunchUpdate { guest: GUEST, page_type, gpa, length: length_bytes, data };
        assert_eq!(platform.run(command).err(), expected, "{page_type:?} {gpa:#x} {length_bytes} {contents}");
    }
}

#[test]
fn vcpus_have_a_limit() {
    let mut platform = after(&[Command::Init, init(GuestKind::SevEs), start(5)]);
    for count in [0, 1025, u32::MAX] {
        let command = Command::LaunchUpdateVmsa { guest: GUEST, vcpus: Vcpus { count, ..vcpus() } };
        assert_eq!(platform.run(command).err(), Some(FirmwareStatus::InvalidParam));
    }
}

#[test]
fn asids_run_out_and_come_back() {
    let mut platform = after(&[Command::Init]);
    for expected in 1..FIRST_SEV_ASID {
        let Ok(Reply::Guest(handle)) = platform.run(init(GuestKind::SevEs)) else { panic!("no ASID left") };
        assert_eq!(platform.guest(handle).unwrap().asid, expected);
    }
    assert_eq!(platform.run(init(GuestKind::SevSnp)), Err(FirmwareStatus::ResourceLimit));
    assert_eq!(platform.run(init(GuestKind::Sev)), Ok(Reply::Guest(Handle(FIRST_SEV_ASID))));
    platform.run(Command::Decommission { guest: Handle(7) }).unwrap();
    let Ok(Reply::Guest(handle)) = platform.run(init(GuestKind::SevSnp)) else { panic!("no ASID left") };
    assert_eq!(platform.guest(handle).unwrap().asid, 7);
}

#[test]
fn a_shutdown_forgets_launches_and_keeps_asids() {
    let mut platform = after(&[Command::Init, init(GuestKind::Sev), start(1)]);
    platform.run(Command::Shutdown).unwrap();
    assert_eq!(platform.state(), PlatformState::Uninit);
    assert_eq!(platform.guest(GUEST).unwrap().state(), GuestState::Uninit);
    assert_eq!(platform.run(start(1)), Err(FirmwareStatus::InvalidPlatformState));
    platform.run(Command::Init).unwrap();
    platform.run(start(1)).unwrap();
}

#[test]
fn without_randomness_nothing_changes() {
    let mut platform = after(&[Command::Init, init(GuestKind::Sev)]);
    platform.random = Box::new(Dry);
    let before = snapshot(&platform);
    for command in [Command::PekGen, Command::PdhGen, start(1)] {
        assert_eq!(platform.run(command), Err(FirmwareStatus::HwErrorPlatform));
    }
    assert_eq!(snapshot(&platform), before);
}

#[test]
fn the_kernel_brings_the_platform_up_and_down() {
    let mut platform = platform();
    let before = platform.identity.pdh().clone();
    kernel::run(&mut platform, Command::PdhCertExport).unwrap();
    assert_eq!(platform.state(), PlatformState::Init);
    kernel::run(&mut platform, Command::FactoryReset).unwrap();
    assert_eq!(platform.state(), PlatformState::Uninit);
    assert_ne!(platform.identity.pdh(), &before);
    kernel::run(&mut platform, init(GuestKind::Sev)).unwrap();
    kernel::run(&mut platform, start(1)).unwrap();
    assert_eq!(kernel::run(&mut platform, Command::FactoryReset), Err(FirmwareStatus::InvalidPlatformState));
}

/// What an owner does with a CSR: signs it with an authority of its own.
fn signed_by_owner(platform: &mut Platform) -> (Certificate, Certificate) {
    let Ok(Reply::Csr(csr)) = platform.run(Command::PekCsr) else { panic!("no CSR") };
    let key = PrivateKey::from_bytes(&[5; 48]).unwrap();
    let mut oca = Certificate::new(FIRMWARE.api, Usage::Oca, Algorithm::EcdsaSha256, &key.public_key());
    oca.sign(Slot::First, Usage::Oca, Algorithm::EcdsaSha256, &key);
    let mut pek = Certificate::parse(&csr).unwrap();
    assert!(Slot::ALL.iter().all(|slot| pek.slot_is_empty(*slot)));
    pek.sign(Slot::First, Usage::Oca, Algorithm::EcdsaSha256, &key);
    (pek, oca)
}

fn import(pek: &Certificate, oca: &Certificate) -> Command {
    Command::PekCertImport { pek: pek.as_bytes().to_vec(), oca: oca.as_bytes().to_vec() }
}

#[test]
fn an_owner_takes_over_and_is_deposed() {
    let mut platform = after(&[Command::Init]);
    let (pek, oca) = signed_by_owner(&mut platform);
    let pdh = platform.identity.pdh().clone();
    platform.run(import(&pek, &oca)).unwrap();
    let Ok(Reply::PlatformStatus(status)) = platform.run(Command::PlatformStatus) else {
        panic!("no status")
    };
    assert_eq!(status.flags, 0x101);
    assert_eq!(platform.identity.oca(), &oca);
    assert_eq!(platform.identity.pdh(), &pdh);
    assert!(platform.identity.pek().slot_signed_by(Usage::Cek).is_some());

    assert_eq!(platform.run(Command::PekCsr), Err(FirmwareStatus::AlreadyOwned));
    assert_eq!(platform.run(import(&pek, &oca)), Err(FirmwareStatus::AlreadyOwned));
    platform.run(Command::PekGen).unwrap();
    let Ok(Reply::PlatformStatus(status)) = platform.run(Command::PlatformStatus) else {
        panic!("no status")
    };
    assert_eq!(status.flags, 0x100);
    assert_ne!(platform.identity.pdh(), &pdh);
}

#[test]
fn imports_that_do_not_fit_are_refused() {
    let mut platform = after(&[Command::Init]);
    let (pek, oca) = signed_by_owner(&mut platform);
    let stranger = PrivateKey::from_bytes(&[6; 48]).unwrap();
    let resigned = |certificate: &Certificate| {
        let mut changed = certificate.clone();
        changed.sign(Slot::First, Usage::Oca, Algorithm::EcdsaSha256, &stranger);
        changed
    };
    let mut other_key =
        Certificate::new(FIRMWARE.api, Usage::Pek, Algorithm::EcdsaSha256, &stranger.public_key());
    other_key.sign(
        Slot::First,
        Usage::Oca,
        Algorithm::EcdsaSha256,
        &PrivateKey::from_bytes(&[5; 48]).unwrap(),
    );
    let mut unsigned = pek.clone();
    unsigned.clear(Slot::First);
    for (pek, oca, expected) in [
        (&resigned(&pek), &oca, FirmwareStatus::BadSignature),
        (&pek, &resigned(&oca), FirmwareStatus::BadSignature),
        (&other_key, &oca, FirmwareStatus::InvalidCertificate),
        (&unsigned, &oca, FirmwareStatus::InvalidCertificate),
        (&pek, &pek, FirmwareStatus::InvalidCertificate),
    ] {
        assert_eq!(platform.run(import(pek, oca)), Err(expected));
    }
    platform.run(import(&pek, &oca)).unwrap();
}

/// A command to one of a few guests, as likely legal as not.
fn likely() -> impl Strategy<Value = Command> {
    let guest = || (1u32..5).prop_map(Handle);
    let kind = prop::sample::select(vec![GuestKind::Sev, GuestKind::SevEs, GuestKind::SevSnp]);
    let with_guest = (
        guest(),
        prop::sample::select(vec![
            start(1),
            start(5),
            data(),
            vmsa(),
            secret(),
            snp_start(),
            snp_update(),
            snp_finish(),
            Command::LaunchMeasure { guest: GUEST },
            Command::LaunchFinish { guest: GUEST },
            Command::SnpLaunchUpdateVmsa { guest: GUEST, vcpus: vcpus() },
            Command::Decommission { guest: GUEST },
        ]),
    )
        .prop_map(|(guest, command)| command.with_guest(guest));
    let platform =
        prop::sample::select(vec![Command::Init, Command::Shutdown, Command::PekCsr, Command::PdhCertExport]);
    prop_oneof![
        8 => with_guest,
        2 => kind.prop_map(init),
        1 => platform,
        1 => crate::wire::tests::command().prop_filter("makes keys", |command| !command.renews_identity()),
    ]
}

/// Whether the specification has a way from one guest state to another in one command.
fn is_legal(from: Option<GuestState>, to: Option<GuestState>) -> bool {
    use GuestState::{LaunchSecret, LaunchUpdate, Running, Uninit};
    match (from, to) {
        (from, to) if from == to => true,
        (None, Some(Uninit)) | (Some(_), None | Some(Uninit)) => true,
        (Some(from), Some(to)) => {
            matches!(
                (from, to),
                (Uninit, LaunchUpdate) | (LaunchUpdate, LaunchSecret | Running) | (LaunchSecret, Running)
            )
        }
        (None, _) => false,
    }
}

proptest! {
    #[test]
    fn random_sequences_stay_on_the_drawn_paths(commands in prop::collection::vec(likely(), 1..60)) {
        let mut platform = platform();
        let states = |platform: &Platform| -> BTreeMap<Handle, GuestState> {
            platform.guests.iter().map(|(handle, guest)| (*handle, guest.state())).collect()
        };
        for command in commands {
            let before = states(&platform);
            let failed = kernel::run(&mut platform, command.clone()).is_err();
            let now = states(&platform);
            for handle in before.keys().chain(now.keys()) {
                let (from, to) = (before.get(handle).copied(), now.get(handle).copied());
                prop_assert!(is_legal(from, to), "{:?}: {:?} to {:?}", command, from, to);
                if failed {
                    prop_assert_eq!(from, to, "{:?} failed", command);
                }
                if command.guest().is_some_and(|guest| guest != *handle) {
                    prop_assert_eq!(from, to, "{:?} changed another guest", command);
                }
            }
            let started = now.values().filter(|state| **state != GuestState::Uninit).count();
            prop_assert_eq!(platform.state() == PlatformState::Working, started > 0);
            let mut asids: Vec<u32> = platform.guests.values().map(|guest| guest.asid).collect();
            asids.sort_unstable();
            asids.dedup();
            prop_assert_eq!(asids.len(), now.len());
        }
    }
}

impl Command {
    /// The same command to another guest.
    fn with_guest(mut self, handle: Handle) -> Self {
        match &mut self {
            Self::LaunchStart { guest, .. }
            | Self::LaunchUpdateData { guest, .. }
            | Self::LaunchUpdateVmsa { guest, .. }
            | Self::LaunchMeasure { guest }
            | Self::LaunchSecret { guest, .. }
            | Self::LaunchFinish { guest }
            | Self::SnpLaunchStart { guest, .. }
            | Self::SnpLaunchUpdate { guest, .. }
            | Self::SnpLaunchUpdateVmsa { guest, .. }
            | Self::SnpLaunchFinish { guest, .. }
            | Self::Decommission { guest } => *guest = handle,
            other => panic!("{other:?} has no guest"),
        }
        self
    }
}
