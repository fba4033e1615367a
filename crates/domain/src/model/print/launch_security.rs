//! Prints `<launchSecurity>`.

use super::node::Node;
use crate::model::launch_security::{LaunchSecurity, Sev, SevSnp};

pub(super) fn print_launch_security(security: &LaunchSecurity) -> Node {
    let node = Node::new("launchSecurity");
    match security {
        LaunchSecurity::Sev(sev) => print_sev(node.attr("type", "sev"), sev),
        LaunchSecurity::SevSnp(snp) => print_snp(node.attr("type", "sev-snp"), snp),
        LaunchSecurity::Other { kind } => node.attr("type", kind),
    }
}

fn print_sev(node: Node, sev: &Sev) -> Node {
    node.yes_no("kernelHashes", sev.kernel_hashes)
        .text_child("cbitpos", sev.cbitpos)
        .text_child("reducedPhysBits", sev.reduced_phys_bits)
        .text_child("policy", sev.policy.map(|policy| format!("{policy:#06x}")))
        .text_child("dhCert", sev.dh_cert.as_ref())
        .text_child("session", sev.session.as_ref())
}

fn print_snp(node: Node, snp: &SevSnp) -> Node {
    node.yes_no("kernelHashes", snp.kernel_hashes)
        .yes_no("authorKey", snp.author_key)
        .yes_no("vcek", snp.vcek)
        .text_child("cbitpos", snp.cbitpos)
        .text_child("reducedPhysBits", snp.reduced_phys_bits)
        .text_child("policy", snp.policy.map(|policy| format!("{policy:#010x}")))
        .text_child("guestVisibleWorkarounds", snp.guest_visible_workarounds.as_ref())
        .text_child("idBlock", snp.id_block.as_ref())
        .text_child("idAuth", snp.id_auth.as_ref())
        .text_child("hostData", snp.host_data.as_ref())
}
