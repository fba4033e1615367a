//! How the daemon keeps a real QEMU apart: whom it runs as, what it sees, whose its files are, before, while and after,
//! also where the daemon is killed meanwhile.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// QEMU's user, as scripts/setup.sh makes it.
const USER: &str = "sevirt-qemu";

struct Daemon {
    state: PathBuf,
    child: Child,
}

impl Daemon {
    fn start(state: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sevirt"))
            .args(["daemon", "--state-dir"])
            .arg(state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It logs once it listens.
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the daemon ended");
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { state: state.to_owned(), child }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::forget(self);
    }

    /// What virsh prints, or what it complains about.
    fn virsh(&self, arguments: &[&str]) -> Result<String, String> {
        let socket = self.state.join("run/sevirt-sock");
        let mut virsh = Command::new("virsh");
        virsh.env("LC_ALL", "C").args(["-q", "-c"]);
        virsh.arg(format!("qemu:///system?socket={}", socket.display()));
        let output = virsh.args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) -> String {
        self.virsh(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for name in self.virsh(&["list", "--name"]).unwrap_or_default().split_whitespace() {
            let _ = self.virsh(&["destroy", name]);
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A place where nobody but root may look, with the disks of two guests.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("disks")).unwrap();
        fs::set_permissions(place.path("disks"), Permissions::from_mode(0o700)).unwrap();
        for name in ["one", "two", "shared"] {
            place.file(&format!("disks/{name}"), 0o600);
        }
        place.file("disks/iso", 0o600);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, mode: u32) {
        fs::write(self.path(name), vec![b'x'; 1 << 20]).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn define(&self, daemon: &Daemon, name: &str, more: &str) {
        let disks = self.path("disks");
        let disks = disks.display();
        let text = format!(
            "<domain type='qemu'>
              <name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
              <os>
                <type arch='x86_64' machine='q35'>hvm</type>
                <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
                <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>
              </os><features><acpi/></features>
              <devices>
                <emulator>/usr/bin/qemu-system-x86_64</emulator>
                <disk type='file'><driver name='qemu' type='raw'/><source file='{disks}/{name}'/>
                  <target dev='vda' bus='virtio'/></disk>
                <disk type='file'><driver name='qemu' type='raw'/><source file='{disks}/shared'/>
                  <target dev='vdb' bus='virtio'/><shareable/></disk>
                <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{disks}/iso'/>
                  <target dev='sda' bus='sata'/><readonly/></disk>
                <serial type='pty'/>
                {more}
              </devices>
            </domain>"
        );
        let file = self.path(&format!("{name}.xml"));
        fs::write(&file, text).unwrap();
        daemon.does(&["define", file.to_str().unwrap()]);
    }

    fn marks(&self, name: &str) -> (u32, u32, u32) {
        let found = fs::metadata(self.path(name)).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    fn all_marks(&self) -> Vec<(u32, u32, u32)> {
        ["one", "two", "shared", "iso"].map(|name| self.marks(&format!("disks/{name}"))).into()
    }

    fn contents_are_whole(&self) {
        for name in ["one", "two", "shared", "iso"] {
            assert_eq!(fs::metadata(self.path(&format!("disks/{name}"))).unwrap().len(), 1 << 20, "{name}");
        }
    }
}

/// The process that runs a guest.
fn pid_of(name: &str) -> u32 {
    let wanted = format!("guest={name},");
    let runs = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"qemu-system-x86_64"))
            && words.any(|word| word.starts_with(wanted.as_bytes()))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(runs).unwrap()
}

fn gone(pid: u32) {
    let begin = Instant::now();
    while Path::new(&format!("/proc/{pid}/exe")).exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "process {pid} does not end");
        std::thread::yield_now();
    }
}

fn names(directory: &str) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn namespace(pid: &str, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

/// User and group by number; none where the user is missing or the test is not root's, and QEMU runs as its caller.
fn user() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with(&format!("{USER}:")));
    let mut fields = line?.split(':').skip(2).map(|field| field.parse().unwrap());
    fs::metadata("/proc/self").unwrap().uid().eq(&0).then(|| (fields.next().unwrap(), fields.next().unwrap()))
}

#[test]
fn a_guests_qemu_is_kept_apart() {
    let place = Place::new();
    let daemon = Daemon::start(&place.path("state"));
    place.define(&daemon, "one", "");
    let Some((uid, gid)) = user() else {
        // What holds for everybody's QEMU.
        daemon.does(&["start", "--paused", "one"]);
        let pid = pid_of("one");
        assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), ("1".into(), "2".into()));
        return println!("not root, or no user {USER}: namespaces and owners not tried");
    };
    place.define(&daemon, "two", "");
    let before = place.all_marks();
    daemon.does(&["start", "--paused", "one"]);
    daemon.does(&["start", "--paused", "two"]);
    let (pid, other) = (pid_of("one"), pid_of("two"));

    let four = |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join(" ");
    assert_eq!((status(pid, "Uid"), status(pid, "Gid")), (four(uid), four(gid)));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), ("1".into(), "2".into()));
    assert!(status(pid, "NSpid").ends_with(" 1"), "{}", status(pid, "NSpid"));
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    for kind in ["mnt", "pid", "ipc"] {
        let own = namespace(&pid.to_string(), kind);
        assert_ne!(own, namespace("self", kind), "{kind}");
        assert_ne!(own, namespace(&other.to_string(), kind), "{kind}");
    }

    let root = format!("/proc/{pid}/root");
    let devices = names(&format!("{root}/dev"));
    let expected = ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"];
    let expected = expected.into_iter().chain(["urandom", "zero", "kvm"]).map(String::from);
    let missing = |name: &str| name == "kvm" && !Path::new("/dev/kvm").exists();
    assert_eq!(devices, expected.filter(|name| !missing(name)).collect());
    let processes: Vec<_> = names(&format!("{root}/proc"))
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    assert_eq!(processes, ["1"]);
    // Of the place of all, its own files only.
    let here = format!("{root}{}", place.directory.path().display());
    assert_eq!(names(&format!("{here}/disks")), ["iso", "one", "shared"].map(String::from).into());
    assert_eq!(names(&format!("{here}/state/lib/nvram")), BTreeSet::from(["one_VARS.fd".into()]));
    assert_eq!(names(&format!("{here}/state/run/guests")).len(), 1);
    assert!(!Path::new(&format!("{here}/state/lib/domains")).exists());
    let logs = fs::read_dir(format!("{here}/state/log")).map_or(0, Iterator::count);
    assert_eq!(logs, 0, "logs are seen");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let with_devices = mounts.lines().filter(|line| {
        let options = line.split(' ').nth(5).unwrap();
        !options.split(',').any(|option| option == "nodev")
    });
    for line in with_devices {
        let place = line.split(' ').nth(4).unwrap();
        assert!(["/dev", "/dev/pts"].contains(&place), "devices mean something in {line}");
    }
    // The console can be opened from outside.
    let console = daemon.does(&["ttyconsole", "one"]);
    assert!(fs::metadata(console.trim()).unwrap().mode() & 0o20000 != 0, "{console}");

    assert_eq!(place.marks("disks/one").0, uid);
    assert_eq!(place.marks("disks/shared").0, uid);
    let iso = place.marks("disks/iso");
    assert_eq!((iso.0, iso.1, iso.2), (before[3].0, gid, 0o640));
    assert_eq!(fs::metadata(place.path("state/lib/nvram/one_VARS.fd")).unwrap().uid(), uid);

    // A shared file goes back with the last guest, also where the daemon that gave it away was killed.
    daemon.does(&["destroy", "one"]);
    assert_eq!((place.marks("disks/one"), place.marks("disks/shared").0), (before[0], uid));
    daemon.kill();
    let daemon = Daemon::start(&place.path("state"));
    assert_eq!(place.marks("disks/two").0, uid);
    daemon.does(&["destroy", "two"]);
    assert_eq!(place.all_marks(), before);
    place.contents_are_whole();

    // And where its QEMU ended while no daemon ran.
    daemon.does(&["start", "--paused", "two"]);
    let pid = pid_of("two");
    daemon.kill();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    gone(pid);
    let _daemon = Daemon::start(&place.path("state"));
    assert_eq!(place.all_marks(), before);
}

#[test]
fn disks_of_the_pool_are_seen_whole() {
    let place = Place::new();
    let daemon = Daemon::start(&place.path("state"));
    let images = place.path("state/lib/images");
    fs::create_dir_all(&images).unwrap();
    fs::write(images.join("disk"), vec![b'x'; 1 << 20]).unwrap();
    let disk = format!(
        "<disk type='file'><driver name='qemu' type='raw'/><source file='{}/disk'/><target dev='vdc'/></disk>",
        images.display()
    );
    place.define(&daemon, "one", &disk);
    daemon.does(&["start", "--paused", "one"]);
    assert_eq!(fs::metadata(images.join("disk")).unwrap().len(), 1 << 20);
    place.contents_are_whole();
}

#[test]
fn another_guests_disk_is_not_there_in_a_directory_that_is_open_to_all() {
    let place = Place::new();
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).unwrap();
    let daemon = Daemon::start(&place.path("state"));
    let images = place.path("state/lib/images");
    fs::create_dir_all(&images).unwrap();
    fs::create_dir(place.path("open")).unwrap();
    std::os::unix::fs::symlink("open", place.path("link")).unwrap();
    for name in ["one", "two"] {
        place.file(&format!("open/{name}.raw"), 0o644);
        fs::copy(place.path("open/one.raw"), images.join(name)).unwrap();
        let disk = |path: PathBuf, target: &str| {
            format!(
                "<disk type='file'><driver name='qemu' type='raw'/><source file='{}'/><target dev='{target}'/></disk>",
                path.display()
            )
        };
        let more = disk(place.path(&format!("link/{name}.raw")), "vdc") + &disk(images.join(name), "vdd");
        place.define(&daemon, name, &more);
        daemon.does(&["start", "--paused", name]);
    }
    place.file("open/late.raw", 0o644);
    let late = place.path("link/late.raw");
    daemon.does(&["attach-disk", "one", late.to_str().unwrap(), "vde", "--targetbus", "virtio"]);
    if user().is_some() {
        let here = format!("/proc/{}/root{}", pid_of("one"), place.directory.path().display());
        let seen = names(&format!("{here}/open"));
        assert_eq!(seen, ["late.raw", "one.raw"].map(String::from).into());
        assert_eq!(names(&format!("{here}/state/lib/images")), BTreeSet::from(["one".into()]));
        for closed in ["/var/lib", "/home", "/tmp/other"] {
            let path = format!("/proc/{}/root{closed}", pid_of("one"));
            assert_eq!(fs::read_dir(&path).map_or(0, Iterator::count), 0, "{closed}");
        }
    }
}

#[test]
fn a_disk_can_be_attached_that_was_not_there_at_the_start() {
    let place = Place::new();
    let daemon = Daemon::start(&place.path("state"));
    place.define(&daemon, "one", "");
    daemon.does(&["start", "--paused", "one"]);
    let before = place.marks("disks/two");
    let disk = place.path("disks/two");
    daemon.does(&["attach-disk", "one", disk.to_str().unwrap(), "vdd", "--targetbus", "virtio"]);
    if let Some((uid, _)) = user() {
        assert_eq!(place.marks("disks/two").0, uid);
    }
    daemon.does(&["destroy", "one"]);
    assert_eq!(place.marks("disks/two"), before);
    place.contents_are_whole();
}

#[test]
fn without_its_user_no_guest_is_started() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    fs::write(place.path("state/sevirtd.toml"), "[isolation]\nuser = 'no-such-user'\n").unwrap();
    let daemon = Daemon::start(&place.path("state"));
    place.define(&daemon, "one", "");
    let started = daemon.virsh(&["start", "--paused", "one"]);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        // QEMU's user is the daemon's.
        return drop(started.unwrap());
    }
    let error = started.unwrap_err();
    assert!(
        error.contains("QEMU's user `no-such-user` does not exist: make it with `systemd-sysusers"),
        "{error}"
    );
}

#[test]
fn qemu_as_root_has_no_capabilities() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    fs::write(place.path("state/sevirtd.toml"), "[isolation]\nuser = 'root'\nnamespaces = false\n").unwrap();
    let daemon = Daemon::start(&place.path("state"));
    place.define(&daemon, "one", "");
    daemon.does(&["start", "--paused", "one"]);
    let pid = pid_of("one");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_eq!(status(pid, "CapBnd"), "0000000000000000");
        assert_eq!(namespace(&pid.to_string(), "mnt"), namespace("self", "mnt"));
    }
    assert_eq!(status(pid, "CapEff"), "0000000000000000");
}

#[test]
fn memory_is_where_the_domain_says() {
    let place = Place::new();
    let daemon = Daemon::start(&place.path("state"));
    for (name, backing, mapped) in [
        ("file", "<source type='file'/><access mode='shared'/>", "/memory/pc.ram"),
        ("memfd", "<source type='memfd'/><access mode='shared'/>", "/memfd:memory-backend-memfd"),
    ] {
        let text = format!(
            "<domain type='qemu'><name>in-{name}</name><memory unit='MiB'>64</memory>
              <memoryBacking>{backing}<allocation mode='immediate'/></memoryBacking>
              <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
        );
        let file = place.path(&format!("{name}.xml"));
        fs::write(&file, text).unwrap();
        daemon.does(&["create", file.to_str().unwrap(), "--paused"]);
        let maps = fs::read_to_string(format!("/proc/{}/maps", pid_of(&format!("in-{name}")))).unwrap();
        assert!(maps.lines().any(|line| line.contains(mapped)), "{name}: {maps}");
        daemon.does(&["destroy", &format!("in-{name}")]);
    }
}
