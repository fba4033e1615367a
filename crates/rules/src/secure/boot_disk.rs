//! The boot disk of a guest whose kernel is known to be too old for virtio-blk in encrypted memory.

use domain::{Edit, Element, NewElement};

use super::{Change, Wish};
use crate::fix::Safety;
use crate::subject::Subject;
use crate::version::Version;

/// The first Linux whose virtio-blk driver knows how much a bounce buffer holds.
const FIRST_KERNEL: Version = Version::new(5, 1, 0);

/// Attributes of `<driver>` that libvirt takes only for virtio disks.
const VIRTIO_ONLY: [&str; 7] = ["iommu", "ats", "packed", "page_per_vq", "queues", "queue_size", "event_idx"];

pub(super) fn step(subject: &Subject<'_>, _: &Wish) -> Option<Change> {
    let kernel = subject.guest_kernel().filter(|kernel| *kernel < FIRST_KERNEL)?;
    let devices = subject.element(&["devices"])?;
    let disks: Vec<Element<'_>> = devices.children_named("disk").collect();
    let on_virtio: Vec<Element<'_>> = disks
        .iter()
        .copied()
        .filter(|disk| {
            disk.child("target")
                .and_then(|target| target.attribute("bus"))
                .is_some_and(|bus| bus.value() == "virtio")
        })
        .collect();
    if on_virtio.is_empty() {
        return None;
    }
    let dev = |disk: &Element<'_>| disk.child("target")?.attribute("dev").map(|dev| dev.value().into_owned());
    let taken: Vec<String> = disks.iter().filter_map(dev).collect();
    let mut free = ('a'..='z').map(|letter| format!("sd{letter}")).filter(|name| !taken.contains(name));
    let mut edits = Vec::new();
    for disk in &on_virtio {
        let target = disk.child("target")?;
        edits.push(Edit::set_attribute(target, "dev", &free.next()?));
        edits.push(Edit::set_attribute(target, "bus", "scsi"));
        edits.extend(disk.children_named("address").map(Edit::remove_element));
        edits.extend(disk.child("driver").into_iter().flat_map(|driver| {
            VIRTIO_ONLY.iter().filter_map(move |name| Edit::remove_attribute(driver, name))
        }));
    }
    let is_virtio_scsi = |controller: Element<'_>| {
        controller.attribute("model").is_some_and(|model| model.value().starts_with("virtio"))
            && controller.attribute("type").is_some_and(|kind| kind.value() == "scsi")
    };
    if !devices.children_named("controller").any(is_virtio_scsi) {
        let controller =
            NewElement::new("controller").attribute("type", "scsi").attribute("model", "virtio-scsi");
        let last = devices.children_named("disk").last()?;
        edits.push(Edit::insert_after(last, &controller));
    }
    let effect = "its disks are called sda, sdb, … instead of vda, vdb, …; what names them by UUID or label does not notice";
    let title = format!(
        "put its virtio-blk disks on a virtio-scsi controller, since its kernel {kernel} is older than 5.1"
    );
    Some(Change::new("boot disk", Safety::Unsafe, title, effect, edits))
}
