//! Every value comes back as it was, and hostile bytes are refused without harm.

use std::io::Cursor;

use attest::sev::vmsa::{Profile, VcpuSignature, Vcpus};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{MAX_DATA, MAX_FRAME, WireError, decode_answer, decode_command, encode_answer, encode_command};
use super::{read_frame, write_frame};
use crate::command::{
    Command, GuestKind, GuestState, GuestStatus, Handle, PageType, PlatformState, PlatformStatus, Reply,
    SnpPlatformStatus,
};
use crate::status::FirmwareStatus;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

fn handle() -> impl Strategy<Value = Handle> {
    any::<u32>().prop_map(Handle)
}

fn vcpus() -> impl Strategy<Value = Vcpus> {
    (any::<[u32; 3]>(), any::<u64>(), any::<prop::sample::Index>()).prop_map(
        |([count, signature, ap_reset_address], sev_features, profile)| Vcpus {
            count,
            signature: VcpuSignature(signature),
            ap_reset_address,
            sev_features,
            profile: *profile.get(&Profile::ALL),
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let plain = proptest::sample::select(vec![
        Command::Init,
        Command::Shutdown,
        Command::PlatformStatus,
        Command::SnpPlatformStatus,
        Command::FactoryReset,
        Command::PekGen,
        Command::PekCsr,
        Command::PdhGen,
        Command::PdhCertExport,
        Command::GetId2,
        Command::GuestInit { kind: GuestKind::Sev },
        Command::GuestInit { kind: GuestKind::SevEs },
        Command::GuestInit { kind: GuestKind::SevSnp },
    ]);
    let page_type = (1u8..=6).prop_filter_map("page type", PageType::from_code);
    prop_oneof![
        plain,
        (bytes(), bytes()).prop_map(|(pek, oca)| Command::PekCertImport { pek, oca }),
        (handle(), any::<u32>(), bytes(), bytes()).prop_map(|(guest, policy, dh_cert, session)| {
            Command::LaunchStart { guest, policy, dh_cert, session }
        }),
        (handle(), bytes()).prop_map(|(guest, data)| Command::LaunchUpdateData { guest, data }),
        (handle(), vcpus()).prop_map(|(guest, vcpus)| Command::LaunchUpdateVmsa { guest, vcpus }),
        handle().prop_map(|guest| Command::LaunchMeasure { guest }),
        (handle(), bytes(), bytes(), any::<u32>()).prop_map(|(guest, header, packet, guest_len)| {
            Command::LaunchSecret { guest, header, packet, guest_len }
        }),
        handle().prop_map(|guest| Command::LaunchFinish { guest }),
        handle().prop_map(|guest| Command::GuestStatus { guest }),
        (handle(), any::<[u8; 16]>())
            .prop_map(|(guest, mnonce)| Command::AttestationReport { guest, mnonce }),
        (handle(), any::<u64>()).prop_map(|(guest, policy)| Command::SnpLaunchStart { guest, policy }),
        (handle(), page_type, any::<u64>(), any::<u32>(), bytes()).prop_map(
            |(guest, page_type, gpa, length, data)| {
                Command::SnpLaunchUpdate { guest, page_type, gpa, length, data }
            }
        ),
        (handle(), vcpus()).prop_map(|(guest, vcpus)| Command::SnpLaunchUpdateVmsa { guest, vcpus }),
        (handle(), bytes(), bytes(), any::<bool>()).prop_map(|(guest, id_block, id_auth, author_key)| {
            Command::SnpLaunchFinish { guest, id_block, id_auth, author_key }
        }),
        handle().prop_map(|guest| Command::Decommission { guest }),
    ]
}

fn platform_state() -> impl Strategy<Value = PlatformState> {
    proptest::sample::select(vec![PlatformState::Uninit, PlatformState::Init, PlatformState::Working])
}

fn guest_state() -> impl Strategy<Value = GuestState> {
    proptest::sample::select(vec![
        GuestState::Uninit,
        GuestState::LaunchUpdate,
        GuestState::LaunchSecret,
        GuestState::Running,
    ])
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        handle().prop_map(Reply::Guest),
        (any::<[u8; 3]>(), platform_state(), any::<u32>(), any::<u32>()).prop_map(
            |([api_major, api_minor, build], state, flags, guest_count)| {
                Reply::PlatformStatus(PlatformStatus {
                    api_major,
                    api_minor,
                    build,
                    state,
                    flags,
                    guest_count,
                })
            }
        ),
        (any::<[u8; 2]>(), any::<u32>(), platform_state(), any::<bool>(), any::<u32>(), any::<[u64; 2]>())
            .prop_map(
                |(
                    [api_major, api_minor],
                    build,
                    state,
                    rmp_initialized,
                    guest_count,
                    [current_tcb, reported_tcb],
                )| {
                    Reply::SnpPlatformStatus(SnpPlatformStatus {
                        api_major,
                        api_minor,
                        build,
                        state,
                        rmp_initialized,
                        guest_count,
                        current_tcb,
                        reported_tcb,
                    })
                }
            ),
        bytes().prop_map(Reply::Csr),
        (bytes(), bytes()).prop_map(|(pdh, chain)| Reply::PdhCertExport { pdh, chain }),
        bytes().prop_map(Reply::Id),
        vec(any::<u8>(), 48)
            .prop_filter_map("length", |bytes| bytes.try_into().ok())
            .prop_map(Reply::Measurement),
        bytes().prop_map(|plaintext| Reply::Secret(plaintext.into())),
        (handle(), any::<u32>(), any::<u32>(), guest_state()).prop_map(|(handle, policy, asid, state)| {
            Reply::GuestStatus(GuestStatus { handle, policy, asid, state })
        }),
        bytes().prop_map(Reply::Report),
        vec(any::<u8>(), 48)
            .prop_filter_map("length", |bytes| bytes.try_into().ok())
            .prop_map(Reply::SnpDigest),
    ]
}

proptest! {
    #[test]
    fn commands_come_back(command in command()) {
        prop_assert_eq!(decode_command(&encode_command(&command)), Ok(command));
    }

    #[test]
    fn answers_come_back(reply in reply()) {
        prop_assert_eq!(decode_answer(&encode_answer(&Ok(reply.clone()))), Ok(Ok(reply)));
    }

    #[test]
    fn a_command_has_one_encoding(mut frame in vec(any::<u8>(), 0..300), tag in 0u8..26) {
        if let [version, second, ..] = frame.as_mut_slice() {
            (*version, *second) = (1, tag);
        }
        if let Ok(command) = decode_command(&frame) {
            prop_assert_eq!(encode_command(&command), frame);
        }
    }

    #[test]
    fn an_answer_has_one_encoding(mut frame in vec(any::<u8>(), 0..300), status in 0u8..3, tag in 0u8..13) {
        if let [head @ .., _] = frame.as_mut_slice() && let Some(head) = head.first_chunk_mut::<6>() {
            *head = [1, status, 0, 0, 0, tag];
        }
        if let Ok(answer) = decode_answer(&frame) {
            prop_assert_eq!(encode_answer(&answer), frame);
        }
    }

    #[test]
    fn every_cut_of_a_command_is_refused(command in command(), cut in any::<prop::sample::Index>()) {
        let frame = encode_command(&command);
        let cut = cut.index(frame.len());
        prop_assert!(decode_command(frame.get(..cut).unwrap_or_default()).is_err());
    }

    #[test]
    fn random_streams_do_no_harm(stream in vec(any::<u8>(), 0..64)) {
        let mut cursor = Cursor::new(stream);
        while let Ok(Some(frame)) = read_frame(&mut cursor) {
            let _refused = decode_command(&frame);
        }
    }
}

#[test]
fn every_status_comes_back() {
    for status in FirmwareStatus::ALL {
        assert_eq!(decode_answer(&encode_answer(&Err(status))), Ok(Err(status)));
    }
}

#[test]
fn wrong_frames_are_named() {
    assert_eq!(decode_command(&[]), Err(WireError::Truncated));
    assert_eq!(decode_command(&[9, 2]), Err(WireError::Version(9)));
    assert_eq!(decode_command(&[1, 99]), Err(WireError::Unknown { what: "command", value: 99 }));
    assert_eq!(decode_command(&[1, 2, 0]), Err(WireError::Trailing));
    assert_eq!(decode_command(&vec![1; MAX_FRAME + 1]), Err(WireError::TooLong(MAX_FRAME + 1)));
    assert_eq!(decode_answer(&[1, 0x1e, 0, 0, 0]), Err(WireError::Unknown { what: "status", value: 0x1e }));
}

#[test]
fn the_largest_update_fits_a_frame() {
    let command = Command::LaunchUpdateData { guest: Handle(1), data: vec![0; MAX_DATA] };
    let mut stream = Vec::new();
    write_frame(&mut stream, &encode_command(&command)).unwrap();
    let frame = read_frame(&mut Cursor::new(stream)).unwrap().unwrap();
    assert_eq!(decode_command(&frame), Ok(command));
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let huge = read_frame(&mut Cursor::new(u32::MAX.to_le_bytes())).unwrap_err();
    assert_eq!(huge.kind(), std::io::ErrorKind::InvalidData);
    let mut short = u32::try_from(MAX_FRAME).unwrap().to_le_bytes().to_vec();
    short.push(1);
    let error = read_frame(&mut Cursor::new(short)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(read_frame(&mut Cursor::new([])).unwrap().is_none());
}
