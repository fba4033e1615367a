//! What the plan of a start refuses for what a domain says, lint calls an error: nobody learns it at the start only.

use super::*;

/// Devices that sevirt does not have, on a machine.
const REFUSED: [(&str, &str); 20] = [
    (
        "q35",
        "<disk type='network'><source protocol='rbd' name='p/g'/><target dev='vda' bus='virtio'/></disk>",
    ),
    ("q35", "<disk type='network'><target dev='vda' bus='virtio'/></disk>"),
    ("q35", "<disk type='volume'><source pool='p' volume='v'/><target dev='vda' bus='virtio'/></disk>"),
    (
        "q35",
        "<disk type='file'><driver type='qcow2'/><source file='/a'/><backingStore type='network'><format type='raw'/>\
         <source protocol='nbd' name='b'><host name='h'/></source></backingStore><target dev='vda' bus='virtio'/></disk>",
    ),
    (
        "q35",
        "<disk type='file'><driver type='luks'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>",
    ),
    ("q35", "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/></disk>"),
    ("pc", "<controller type='ide' index='1'/>"),
    ("q35", "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>"),
    ("q35", "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>"),
    ("q35", "<interface type='user'><backend type='passt'/></interface>"),
    ("q35", "<graphics type='rdp'/>"),
    ("q35", "<graphics type='desktop'/>"),
    ("q35", "<graphics type='dbus'/>"),
    ("q35", "<video><driver name='vhostuser'/><model type='virtio'/></video>"),
    ("q35", "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"),
    ("q35", "<vsock model='virtio'><cid auto='yes'/></vsock>"),
    ("q35", "<vsock model='virtio'/>"),
    ("q35", "<watchdog model='diag288' action='reset'/>"),
    ("q35", "<serial type='tcp'><source mode='connect' host='h' service='1' tls='yes'/></serial>"),
    (
        "q35",
        "<serial type='tcp'><source mode='connect' host='h' service='1'/><protocol type='tls'/></serial>",
    ),
];

/// The nearest that it does have.
const STARTED: [(&str, &str); 9] = [
    ("q35", "<disk type='block'><source dev='/dev/null'/><target dev='vda' bus='virtio'/></disk>"),
    ("q35", "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"),
    ("pc", "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>"),
    ("q35", "<interface type='user'><model type='virtio'/></interface>"),
    ("q35", "<graphics type='dbus' p2p='yes'/>"),
    ("q35", "<video><model type='virtio'/></video>"),
    ("q35", "<vsock model='virtio'><cid auto='yes' address='5'/></vsock>"),
    ("q35", "<watchdog model='itco' action='reset'/>"),
    ("q35", "<serial type='tcp'><source mode='connect' host='h' service='1' tls='no'/></serial>"),
];

/// Whether the plan has a command line, and the errors that lint finds.
fn judged(machine: &str, device: &str) -> (bool, Vec<String>) {
    let (directory, _) = with_file(
        "guest.xml",
        format!(
            "<domain type='kvm'><name>a</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='{machine}'>hvm</type></os><devices>{device}</devices></domain>"
        ),
    );
    let planned = sevirt(directory.path(), &["argv", "guest.xml"], b"").status.success();
    let lint = sevirt(directory.path(), &["lint", "--facts", FACTS, "--format", "json", "guest.xml"], b"");
    let found: serde_json::Value = serde_json::from_slice(&lint.stdout).unwrap();
    let errors = found.as_array().unwrap().iter().filter(|finding| finding["severity"] == "error");
    let codes = errors.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
    // What is refused is not said to be left out.
    assert!(found.as_array().unwrap().iter().all(|finding| finding["code"] != "XML003"), "{device}: {found}");
    (planned, codes)
}

#[test]
fn what_no_plan_is_made_of_is_an_error_of_lint_and_nothing_else_is() {
    for (machine, device) in REFUSED {
        assert_eq!(judged(machine, device), (false, vec!["XML005".to_owned()]), "{device}");
    }
    for (machine, device) in STARTED {
        assert_eq!(judged(machine, device), (true, Vec::new()), "{device}");
    }
}

#[test]
fn actions_that_nobody_carries_out_are_errors() {
    for (event, action) in ["on_reboot", "on_poweroff", "on_crash"].map(|event| (event, "rename-restart")) {
        let (directory, path) = with_file("guest.xml", seed().replace("<pm>", "<!-- --><pm>"));
        let text = fs::read_to_string(&path).unwrap();
        let usual = text.split(&format!("<{event}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
        let text = text.replace(&format!("<{event}>{usual}<"), &format!("<{event}>{action}<"));
        fs::write(&path, text).unwrap();
        let output = sevirt(directory.path(), &["lint", "--facts", FACTS, "guest.xml"], b"");
        let said = format!("sevirt does not support the action `{action}` for `{event}`");
        assert!(text_of(&output).contains(&said), "{}", text_of(&output));
        sevirt(directory.path(), &["fix", "--write", "--facts", FACTS, "guest.xml"], b"");
        assert!(fs::read_to_string(&path).unwrap().contains(&format!("<{event}>restart<")));
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stdout)
}
