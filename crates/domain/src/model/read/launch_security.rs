//! Reads `<launchSecurity>`.

use super::{reader::Reader, values::parse_number};
use crate::model::launch_security::{LaunchSecurity, Sev, SevSnp};

/// Reads `<launchSecurity>`.
pub(super) fn read_launch_security(reader: &Reader<'_, '_>) -> Option<LaunchSecurity> {
    match reader.string("type").as_deref() {
        Some("sev") => Some(LaunchSecurity::Sev(read_sev(reader))),
        Some("sev-snp") => Some(LaunchSecurity::SevSnp(Box::new(read_snp(reader)))),
        Some(kind) => {
            reader.stub(&format!("launch security of the kind `{kind}` is not supported"));
            Some(LaunchSecurity::Other { kind: kind.to_owned() })
        }
        None => {
            reader.settle();
            reader.missing("attribute `type`");
            None
        }
    }
}

fn read_sev(reader: &Reader<'_, '_>) -> Sev {
    Sev {
        kernel_hashes: reader.yes_no("kernelHashes"),
        cbitpos: read_bits(reader, "cbitpos"),
        reduced_phys_bits: read_bits(reader, "reducedPhysBits"),
        policy: read_policy(reader),
        dh_cert: read_blob(reader, "dhCert"),
        session: read_blob(reader, "session"),
    }
}

fn read_snp(reader: &Reader<'_, '_>) -> SevSnp {
    SevSnp {
        kernel_hashes: reader.yes_no("kernelHashes"),
        author_key: reader.yes_no("authorKey"),
        vcek: reader.yes_no("vcek"),
        cbitpos: read_bits(reader, "cbitpos"),
        reduced_phys_bits: read_bits(reader, "reducedPhysBits"),
        policy: read_policy(reader),
        guest_visible_workarounds: read_blob(reader, "guestVisibleWorkarounds"),
        id_block: read_blob(reader, "idBlock"),
        id_auth: read_blob(reader, "idAuth"),
        host_data: read_blob(reader, "hostData"),
    }
}

fn read_bits(reader: &Reader<'_, '_>, name: &'static str) -> Option<u32> {
    reader.child(name)?.text_number(10)
}

/// The policy is hexadecimal, with or without `0x`, and must be there.
fn read_policy<N: TryFrom<i128>>(reader: &Reader<'_, '_>) -> Option<N> {
    let Some(policy) = reader.child("policy") else {
        reader.missing("element `policy`");
        return None;
    };
    policy.parsed_text("a hexadecimal number in range", |text| parse_number(text, 16))
}

fn read_blob(reader: &Reader<'_, '_>, name: &'static str) -> Option<String> {
    reader.child(name)?.trimmed_text()
}
