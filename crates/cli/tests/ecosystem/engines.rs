//! Domains as engines of clusters write them: OpenStack's Nova, KubeVirt, oVirt. They are defined and started, and keep
//! what their engine looks for. And what Pacemaker's VirtualDomain agent relies on.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Daemon;

/// Defines and starts a domain, and gives its XML while it runs.
fn run(daemon: &Daemon, file: &str, name: &str) -> String {
    let place = daemon.path("engine");
    fs::create_dir_all(&place).unwrap();
    for (image, mib) in [("kv.img", 16), ("ovirt.img", 16), ("ci.iso", 1)] {
        fs::File::create(place.join(image)).unwrap().set_len(mib << 20).unwrap();
    }
    daemon
        .run("qemu-img", &["create", "-q", "-f", "qcow2", place.join("nova.qcow2").to_str().unwrap(), "64M"]);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/ecosystem/engines").join(file);
    let text = fs::read_to_string(data).unwrap().replace("@DIR@", place.to_str().unwrap());
    let own = place.join(file);
    fs::write(&own, text).unwrap();
    daemon.virsh(&["define", own.to_str().unwrap()]);
    assert_eq!(daemon.virsh(&["domstate", name]).trim(), "shut off");
    daemon.virsh(&["start", name]);
    assert_eq!(daemon.virsh(&["domstate", name]).trim(), "running");
    daemon.virsh(&["dumpxml", name])
}

#[track_caller]
fn holds(xml: &str, words: &[&str]) {
    for word in words {
        assert!(xml.contains(word), "{word} is not in\n{xml}");
    }
}

/// The arguments of the QEMU that runs a guest.
fn arguments(name: &str) -> Vec<String> {
    let wanted = format!("guest={name},");
    let lines = fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    let mut words = lines.map(|line| line.split('\0').map(str::to_owned).collect::<Vec<_>>());
    words.find(|words| words.iter().any(|word| word.starts_with(&wanted))).unwrap()
}

#[test]
fn a_domain_of_novas_runs() {
    let daemon = Daemon::start();
    let xml = run(&daemon, "nova.xml", "instance-00000001");
    holds(
        &xml,
        &[
            "<nova:instance xmlns:nova=\"http://openstack.org/xmlns/libvirt/nova/1.1\">",
            "<nova:flavor name=\"m1.tiny\">",
            "<entry name='product'>OpenStack Nova</entry>",
            "<mtu size='1450'/>",
        ],
    );
    let metadata = daemon.virsh(&[
        "metadata",
        "instance-00000001",
        "--uri",
        "http://openstack.org/xmlns/libvirt/nova/1.1",
    ]);
    holds(&metadata, &["<creationTime>2026-01-02 03:04:05</creationTime>"]);
    // The agent finds a guest's process by these words when nobody answers at the socket.
    let words = arguments("instance-00000001");
    let [program, name, guest, ..] = words.as_slice() else { panic!("{words:?}") };
    assert!(program.ends_with("/qemu-system-x86_64"), "{program}");
    assert_eq!((name.as_str(), guest.as_str()), ("-name", "guest=instance-00000001,debug-threads=on"));
    // What the guest reads of its computer is what Nova says.
    assert!(
        words.iter().any(|word| word.starts_with("type=1,manufacturer=OpenStack Foundation,")),
        "{words:?}"
    );
    // And by these, each on a line of its own, what to look for.
    for element in ["name", "emulator"] {
        let whole = |line: &&str| {
            let line = line.trim();
            line.starts_with(&format!("<{element}>")) && line.ends_with(&format!("</{element}>"))
        };
        assert_eq!(xml.lines().filter(whole).count(), 1, "{element}");
    }
    daemon.virsh(&["suspend", "instance-00000001"]);
    assert_eq!(daemon.virsh(&["domstate", "instance-00000001"]).trim(), "paused");
}

#[test]
fn a_domain_of_kubevirts_runs() {
    let daemon = Daemon::start();
    let xml = run(&daemon, "kubevirt.xml", "default_vmi-sev");
    holds(
        &xml,
        &[
            "<alias name='ua-containerdisk'/>",
            "<alias name='ua-default'/>",
            "<kubevirt xmlns=\"http://kubevirt.io\">",
            "<deletionGracePeriodSeconds>30</deletionGracePeriodSeconds>",
        ],
    );
    let words = arguments("default_vmi-sev");
    assert!(words.iter().any(|word| word.starts_with("type=1,") && word.contains("KubeVirt")), "{words:?}");
    assert!(words.iter().any(|word| word.contains("\"iothread\":\"iothread1\"")), "{words:?}");
    // Its console is where it says, whoever may write there.
    UnixStream::connect(daemon.path("engine/serial0")).unwrap();
}

#[test]
fn a_domain_of_ovirts_runs() {
    let daemon = Daemon::start();
    let xml = run(&daemon, "ovirt.xml", "ovirt-guest");
    holds(&xml, &["<alias name='ua-disk'/>", "<ovirt-vm:clusterVersion>4.7</ovirt-vm:clusterVersion>"]);
    let threads = daemon.virsh(&["iothreadinfo", "ovirt-guest"]);
    assert!(threads.lines().any(|line| line.trim_start().starts_with("1 ")), "{threads}");
    for socket in ["ovirt.console", "ovirt.agent"] {
        UnixStream::connect(daemon.path("engine").join(socket)).unwrap();
    }
}
