//! DEV008: a boot disk that old guest kernels cannot use in encrypted memory.

use domain::Element;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;
use crate::version::Version;
use crate::virtio::Kind;

/// The first Linux whose virtio-blk driver knows how much a bounce buffer holds.
const FIRST_KERNEL: Version = Version::new(5, 1, 0);

pub(crate) static RULE: Rule = Rule {
    code: "DEV008",
    name: "virtio-blk-for-old-guest",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "A confidential guest that boots from a virtio-blk disk (`bus='virtio'`) with a guest kernel older than \
               5.1. The kernel inside a guest is known only where it is said: `--assume guest_kernel=5.0`.",
        why: "Requests of a confidential guest go through bounce buffers, which hold 256 KiB in one piece. Older \
              virtio-blk drivers send larger ones, which fail, and the guest does not boot.",
        example: "<disk type='file' device='disk'>\n  <source file='/var/lib/libvirt/images/old.qcow2'/>\n  <target \
                  dev='vda' bus='virtio'/>\n</disk>",
        fix: "Put the disk on a virtio-scsi controller (`bus='scsi'`), or use a newer guest kernel. There is no automatic \
              fix: the guest finds its disk under another name.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Limitations\"; Linux 5.1, drivers/block/virtio_blk.c, \
                 virtio_max_dma_size.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let kernel = subject.guest_kernel().filter(|version| *version < FIRST_KERNEL);
    let (Some(technology), Some(kernel), Some(disk)) = (subject.technology(), kernel, boot_disk(subject))
    else {
        return Vec::new();
    };
    let device = subject.virtio().find(|device| device.kind == Kind::Disk && device.element == disk);
    let Some(device) = device else { return Vec::new() };
    let message = format!(
        "the {technology} guest boots from this virtio-blk {}, which its kernel {kernel} cannot: {FIRST_KERNEL} can",
        device.name()
    );
    vec![
        RULE.finding(device.span(), message)
            .help("put it on a virtio-scsi controller, or update the guest's kernel"),
    ]
}

/// The disk with the lowest boot order, or else the first.
fn boot_disk<'a>(subject: &Subject<'a>) -> Option<Element<'a>> {
    let is_disk = |disk: &Element<'_>| {
        disk.attribute("device").is_none_or(|device| matches!(&*device.value(), "disk" | "lun"))
    };
    let order = |disk: Element<'_>| disk.child("boot")?.attribute("order")?.value().parse::<u32>().ok();
    let devices = subject.element(&["devices"])?;
    let disks = || devices.children_named("disk").filter(is_disk);
    let ordered = disks().filter(|disk| order(*disk).is_some()).min_by_key(|disk| order(*disk));
    ordered.or_else(|| disks().next())
}
