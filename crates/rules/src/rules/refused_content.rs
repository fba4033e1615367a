//! XML005: content that is understood and that sevirt cannot give, so that it does not start the guest.
//!
//! A start has no validator of its own: what the plan of a start refuses for what a domain says is told here before.

use std::collections::BTreeSet;

use domain::model::sysinfo::{SmbiosMode, Sysinfo};
use domain::{Edit, Element, Span};

use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "XML005",
    name: "refused-content",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A disk, an interface, a display or another device of a kind that sevirt does not have: network disks, \
               macvtap, passt, a TPM that swtpm is to emulate, an IDE disk on Q35; a device for an I/O thread that the \
               domain does not have; SMBIOS tables that are not there, or two base boards; or an action on a guest's end \
               that it does not carry out.",
        why: "Without it this would be another guest, so it is not started without it.",
        example: "<disk type='network' device='disk'>\n  <source protocol='rbd' name='pool/guest'/>\n  <target dev='sda' \
                  bus='scsi'/>\n</disk>",
        fix: "Write what the finding proposes. `sevirt fix` writes `restart` for `rename-restart`: it is a safe fix, because \
              the guest could not start before.",
        since: "0.1",
        source: "libvirt, \"Domain XML format\", sections \"Devices\" and \"Events configuration\".",
    },
};

/// What is refused, and what to write instead.
struct Refusal {
    span: Span,
    what: String,
    instead: &'static str,
}

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let told = |refusal: Refusal| {
        RULE.finding(refusal.span, format!("{} is not supported, so the guest is not started", refusal.what))
            .help(refusal.instead)
    };
    let devices = subject.element(&["devices"]).into_iter().flat_map(|devices| devices.children());
    let is_q35 =
        subject.domain.os.machine.as_deref().is_some_and(|it| it == "q35" || it.starts_with("pc-q35"));
    let threads: BTreeSet<u32> = subject.domain.iothreads.all().iter().map(|thread| thread.id).collect();
    let refused = devices
        .filter_map(|device| refused(device, is_q35).or_else(|| served(device, &threads)))
        .chain(tables(subject));
    let mut findings: Vec<Finding> = refused.take(MOST).map(told).collect();
    findings.extend(
        ["on_poweroff", "on_reboot", "on_crash"].into_iter().filter_map(|event| action(subject, event)),
    );
    findings
}

/// Whether all that is wrong at that place is said by this rule.
pub(crate) fn tells_of(findings: &[Finding], span: Span) -> bool {
    findings.iter().any(|finding| finding.span == span)
}

fn refused(device: Element<'_>, is_q35: bool) -> Option<Refusal> {
    match device.name() {
        "disk" => disk(device, is_q35),
        "controller" => ide(device, device, "type", is_q35),
        "interface" => interface(device),
        "graphics" => graphics(device),
        "video" => {
            let driver = device.child("driver")?;
            let what =
                is(driver, "name", "vhostuser").then_some("a video card that another process draws")?;
            Some(refusal(driver, what, "leave `<driver name='vhostuser'/>` out"))
        }
        "tpm" => {
            let backend = device.child("backend").filter(|backend| is(*backend, "type", "emulator"))?;
            let instead =
                "start swtpm beforehand and write `<backend type='external'>`, or leave the TPM out";
            Some(refusal(backend, "a TPM that sevirt is to emulate", instead))
        }
        "vsock" => {
            let cid = device.child("cid");
            if cid.is_some_and(|cid| cid.attribute("address").is_some()) {
                return None;
            }
            let what = "a vsock device without a number of its own";
            Some(refusal(
                cid.unwrap_or(device),
                what,
                "write `<cid auto='no' address='3'/>`, another number for each guest",
            ))
        }
        "watchdog" => is(device, "model", "diag288").then(|| {
            refusal(device, "a watchdog of another architecture", "use the model `itco` or `i6300esb`")
        }),
        "serial" | "parallel" | "console" | "channel" => character_device(device),
        _ => None,
    }
}

/// A device for an I/O thread that there is not, or of a kind that none can serve.
fn served(device: Element<'_>, threads: &BTreeSet<u32>) -> Option<Refusal> {
    let driver = device.child("driver")?;
    let shared = driver.child("iothreads").into_iter().flat_map(|list| list.children_named("iothread"));
    let named = driver.attribute("iothread").into_iter().chain(shared.filter_map(|it| it.attribute("id")));
    let mut named =
        named.filter_map(|number| Some((number, number.value().trim().parse::<u32>().ok()?))).peekable();
    let (first, _) = named.peek()?;
    let (at_first, is_word) = (first.value_span(), |element: Element<'_>, name: &str, start: &str| {
        element.attribute(name).is_none_or(|word| word.value().starts_with(start))
    });
    let (can_be, what, instead) = match device.name() {
        "disk" => (
            device.child("target").is_none_or(|target| is_word(target, "bus", "virtio")),
            "an I/O thread for a disk on this bus",
            "use the bus `virtio`, or give the I/O thread to a `virtio-scsi` controller",
        ),
        "controller" => (
            is(device, "type", "scsi") && is_word(device, "model", "virtio"),
            "an I/O thread for this controller",
            "only `virtio-scsi` controllers take one",
        ),
        _ => return None,
    };
    if !can_be {
        return Some(Refusal { span: at_first, what: what.to_owned(), instead });
    }
    let (number, id) = named.find(|(_, id)| !threads.contains(id))?;
    let what = format!("an I/O thread {id}, which the domain does not have,");
    Some(Refusal {
        span: number.value_span(),
        what,
        instead: "raise `<iothreads>`, or name it in `<iothreadids>`",
    })
}

/// SMBIOS tables that are asked for and not there, or that QEMU has no option for.
fn tables(subject: &Subject<'_>) -> Option<Refusal> {
    let mode = subject.element(&["os", "smbios"])?;
    if subject.domain.os.smbios != Some(SmbiosMode::Sysinfo) {
        return None;
    }
    let Some(own) = subject.domain.sysinfo.iter().find_map(Sysinfo::smbios) else {
        let what = "`<smbios mode='sysinfo'/>` without `<sysinfo type='smbios'>`";
        return Some(refusal(mode, what, "bring the tables, or leave `<smbios>` out"));
    };
    let sysinfos = subject.document.root().children_named("sysinfo");
    let board = sysinfos.flat_map(|sysinfo| sysinfo.children_named("baseBoard")).nth(1)?;
    let what = "more than one `<baseBoard>`";
    (own.base_boards.len() > 1).then(|| refusal(board, what, "leave all but one out"))
}

fn disk(disk: Element<'_>, is_q35: bool) -> Option<Refusal> {
    let images = disk.descendants().filter(|element| matches!(element.name(), "disk" | "backingStore"));
    for image in images {
        let kind = image.attribute("type").map(|kind| kind.value());
        if let Some(kind) = kind.filter(|kind| !matches!(&**kind, "" | "file" | "block")) {
            let place = image.child("source").unwrap_or(image);
            let what = format!("a disk of type `{kind}`");
            return Some(refusal(place, what, "use a disk of type `file` or `block`"));
        }
        let format = image.child(if image.name() == "disk" { "driver" } else { "format" });
        let format = format.and_then(|format| format.attribute("type"));
        if let Some(format) = format.filter(|it| matches!(&*it.value(), "fat" | "luks" | "vhd" | "aio")) {
            let what = format!("an image of format `{}`", format.value());
            let instead = "use another format; a guest can encrypt its disk itself";
            return Some(Refusal { span: format.value_span(), what, instead });
        }
    }
    ide(disk, disk.child("target")?, "bus", is_q35)
}

/// Q35 has no IDE, and the legacy PC one controller.
fn ide(device: Element<'_>, place: Element<'_>, attribute: &str, is_q35: bool) -> Option<Refusal> {
    if !is(place, attribute, "ide") {
        return None;
    }
    let further = device.attribute("index").is_some_and(|index| !matches!(index.value().trim(), "" | "0"));
    match (is_q35, further) {
        (true, _) => Some(refusal(place, "IDE on a Q35 machine", "use the bus `sata`, `scsi` or `virtio`")),
        (false, true) => {
            let what = "an IDE controller beside the machine's own";
            Some(refusal(place, what, "use the bus `sata`, `scsi` or `virtio` for further disks"))
        }
        (false, false) => None,
    }
}

fn interface(interface: Element<'_>) -> Option<Refusal> {
    let kind = interface.attribute("type")?.value();
    if !matches!(&*kind, "user" | "bridge" | "ethernet" | "network") {
        let what = format!("an interface of type `{kind}`");
        return Some(refusal(interface, what, "use the type `network`, `bridge` or `user`"));
    }
    let backend = interface.child("backend").filter(|backend| is(*backend, "type", "passt"))?;
    Some(refusal(backend, "passt", "leave `<backend>` out: QEMU itself is the user-mode network then"))
}

fn graphics(graphics: Element<'_>) -> Option<Refusal> {
    let kind = graphics.attribute("type")?.value();
    match &*kind {
        "vnc" | "spice" | "sdl" | "egl-headless" => None,
        "dbus" if is(graphics, "p2p", "yes") || graphics.attribute("address").is_some() => None,
        "dbus" => {
            let what = "a D-Bus display that is neither peer-to-peer nor has an address";
            Some(refusal(graphics, what, "write `p2p='yes'`, or the bus's address"))
        }
        _ => Some(refusal(graphics, format!("a display of type `{kind}`"), "use the type `vnc` or `spice`")),
    }
}

fn character_device(device: Element<'_>) -> Option<Refusal> {
    if !is(device, "type", "tcp") {
        return None;
    }
    let protocol = device.child("protocol").and_then(|protocol| protocol.attribute("type"));
    if let Some(protocol) = protocol.filter(|it| matches!(&*it.value(), "telnets" | "tls")) {
        let what = format!("a character device with protocol `{}`", protocol.value());
        return Some(Refusal {
            span: protocol.value_span(),
            what,
            instead: "use the protocol `raw` or `telnet`",
        });
    }
    let source = device.child("source").filter(|source| is(*source, "tls", "yes"))?;
    Some(refusal(source, "a character device with TLS", "leave `tls` out, and use a tunnel"))
}

fn action(subject: &Subject<'_>, event: &'static str) -> Option<Finding> {
    let element = subject.element(&[event])?;
    let text = element.text();
    let action = text.trim();
    if action != "rename-restart" {
        return None;
    }
    let message = format!("sevirt does not support the action `{action}` for `{event}`");
    let edit = Edit::set_text(element, "restart");
    let finding = RULE.finding(element.text_span(), message).help("write `restart`");
    Some(finding.fix(Fix::safe(format!("write restart for {event}"), vec![edit])))
}

fn refusal(place: Element<'_>, what: impl Into<String>, instead: &'static str) -> Refusal {
    Refusal { span: place.start_tag_span(), what: what.into(), instead }
}

fn is(element: Element<'_>, attribute: &str, value: &str) -> bool {
    element.attribute(attribute).is_some_and(|found| found.value() == value)
}
