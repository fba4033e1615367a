//! Definitions from the outside: virsh's commands about them against a daemon of the test's own, a daemon that is killed
//! while definitions come and go, and `sevirt import`.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A daemon with all of its files below one directory; it is killed when the test is done with it.
struct Daemon {
    process: Child,
    socket: PathBuf,
}

impl Daemon {
    fn start(state: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_sevirt"))
            .args(["daemon", "--state-dir"])
            .arg(state)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { process, socket: state.join("run/sevirt-sock") };
        let started = Instant::now();
        while std::os::unix::net::UnixStream::connect(&daemon.socket).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the daemon does not listen");
            std::thread::yield_now();
        }
        daemon
    }

    fn virsh_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("virsh");
        command
            .arg("-c")
            .arg(format!("qemu+unix:///system?socket={}", self.socket.display()))
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    fn try_virsh(&self, arguments: &[&str]) -> Output {
        self.virsh_command(&["-q"]).args(arguments).output().unwrap()
    }

    /// What virsh prints; it must succeed.
    #[track_caller]
    fn virsh(&self, arguments: &[&str]) -> String {
        let output = self.try_virsh(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What virsh complains of; it must fail.
    #[track_caller]
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.try_virsh(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeds");
        String::from_utf8(output.stderr).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.virsh(&["list", "--all", "--name"]).split_whitespace().map(str::to_owned).collect()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn definition(name: &str) -> String {
    format!(
        "<domain type='qemu'>\n<name>{name}</name>\n<memory unit='MiB'>64</memory>\n\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\n\
         <devices><disk type='file' tag='kept'><source file='/nowhere/{name}.img'/><target dev='vda'/></disk>\n\
         <crystalball colour='blue'><!-- a comment --><view/></crystalball></devices>\n\
         <sevirt-test xmlns='urn:x'/></domain>\n"
    )
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_not_known_survives_define_dumpxml_and_edit() {
    let state = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(state.path());
    let file = write(state.path(), "a.xml", &definition("a"));
    daemon.virsh(&["define", "--validate", &file]);
    let first = daemon.virsh(&["dumpxml", "a"]);
    for part in [
        "tag='kept'",
        "<crystalball colour='blue'><!-- a comment --><view/></crystalball>",
        "<sevirt-test xmlns='urn:x'/>",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let edit = |editor: &str| {
        let output = daemon.virsh_command(&["edit", "a"]).env("EDITOR", editor).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(edit("true").contains("not changed"));
    assert!(edit("sed -i -e s/blue/green/").contains("edited"));
    let second = daemon.virsh(&["dumpxml", "--inactive", "--security-info", "a"]);
    assert_eq!(second, first.replace("blue", "green"));
    // What was printed is a definition that means the same.
    let file = write(state.path(), "b.xml", &second);
    daemon.virsh(&["define", &file]);
    assert_eq!(daemon.virsh(&["dumpxml", "a"]), second);
}

#[test]
fn everything_is_as_it_was_after_the_daemon_was_killed() {
    let state = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(state.path());
    for name in ["a", "b", "c"] {
        daemon.virsh(&["define", &write(state.path(), "x.xml", &definition(name))]);
    }
    daemon.virsh(&["autostart", "b"]);
    daemon.virsh(&["autostart", "--once", "c"]);
    daemon.virsh(&["domrename", "b", "renamed"]);
    daemon.virsh(&["desc", "a", "--title", "a title"]);
    daemon.virsh(&["metadata", "a", "urn:app", "--key", "app", "--set", "<kept/>"]);
    daemon.virsh(&["undefine", "c"]);
    let before = [daemon.virsh(&["dumpxml", "a"]), daemon.virsh(&["dumpxml", "renamed"])];
    assert!(
        daemon
            .refusal(&["define", &write(state.path(), "x.xml", &definition("a"))])
            .contains("already exists")
    );
    daemon.kill();
    let daemon = Daemon::start(state.path());
    assert_eq!(daemon.names(), ["a", "renamed"]);
    assert_eq!(daemon.virsh(&["list", "--all", "--name", "--autostart"]).trim(), "renamed");
    assert_eq!([daemon.virsh(&["dumpxml", "a"]), daemon.virsh(&["dumpxml", "renamed"])], before);
    assert_eq!(daemon.virsh(&["desc", "a", "--title"]).trim(), "a title");
    assert_eq!(daemon.virsh(&["metadata", "a", "urn:app"]).trim(), "<kept/>");
}

#[test]
fn a_daemon_killed_in_a_storm_of_definitions_loses_none_that_it_confirmed() {
    let state = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut daemon = Daemon::start(state.path());
        let before = daemon.names();
        let storm = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let (daemon, state) = (&daemon, state.path());
                    scope.spawn(move || {
                        let mut confirmed = Vec::new();
                        for number in 0.. {
                            let name = format!("r{round}w{writer}n{number}");
                            let file = write(state, &format!("{name}.new"), &definition(&name));
                            if !daemon.try_virsh(&["define", &file]).status.success() {
                                break;
                            }
                            confirmed.push(name);
                        }
                        confirmed
                    })
                })
                .collect();
            // As soon as some are there; what is being written then is anybody's guess.
            let domains = state.path().join("lib/domains");
            let count = || fs::read_dir(&domains).unwrap().count();
            while count() < before.len() + 5 {
                std::thread::yield_now();
            }
            let pid = rustix::process::Pid::from_child(&daemon.process);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        daemon.process.wait().unwrap();
        let daemon = Daemon::start(state.path());
        let after = daemon.names();
        for name in before.iter().chain(&storm) {
            assert!(after.contains(name), "round {round}: {name} is lost");
        }
        for name in &after {
            assert!(daemon.virsh(&["dumpxml", name]).ends_with("</domain>\n"), "{name}");
        }
        for entry in fs::read_dir(state.path().join("lib/domains")).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            assert!(file.ends_with(".xml") && !file.starts_with('.'), "{file} is left behind");
        }
    }
}

/// A directory as libvirt keeps it.
fn libvirts(directory: &Path) -> PathBuf {
    let directory = directory.join("libvirt");
    fs::create_dir_all(directory.join("autostart")).unwrap();
    fs::create_dir_all(directory.join("networks")).unwrap();
    let uuid = |number: u8| format!("<uuid>6d9ac89f-7a55-4ea6-93a3-2e7b36e6b1{number:02x}</uuid>\n<memory");
    for (number, name) in ["one", "two"].into_iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        let text = definition(name).replace("<memory", &uuid(number));
        write(&directory, &format!("{name}.xml"), &format!("<!-- generated -->\n{text}"));
    }
    write(&directory, "bad.xml", &definition("bad").replace("'MiB'>64", "'MiB'>much"));
    write(&directory.join("networks"), "default.xml", "<network><name>default</name></network>");
    std::os::unix::fs::symlink("../two.xml", directory.join("autostart/two.xml")).unwrap();
    directory
}

fn import(directory: &Path, state: &Path, options: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .arg("import")
        .arg(directory)
        .arg("--state-dir")
        .arg(state)
        .args(options)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

/// All files below a directory with their contents.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn libvirts_domains_become_sevirts_with_and_without_a_daemon() {
    for with_daemon in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let libvirt = libvirts(directory.path());
        let state = directory.path().join("state");
        let before = contents(&libvirt);
        let running = with_daemon.then(|| Daemon::start(&state));

        let (exit, said) = import(&libvirt, &state, &["--dry-run"]);
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains("domain `two` would be defined, and starts with the host"), "{said}");
        assert!(said.contains("2 to define, 0 known already, 1 refused"), "{said}");
        assert!(with_daemon || !state.exists(), "nothing is made");

        let (exit, said) = import(&libvirt, &state, &[]);
        assert_eq!(exit, 1, "{said}");
        for part in [
            "one.xml: domain `one` is defined\n",
            "two.xml: domain `two` is defined, and starts with the host\n",
            "bad.xml: not defined: XML error: line 3: memory: `much` is not an amount of memory",
            "2 defined, 0 known already, 1 refused",
            // What lint finds: the element that nobody knows.
            "crystalball",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let (_, said) = import(&libvirt, &state, &[]);
        assert!(said.contains("0 defined, 2 known already, 1 refused"), "{said}");
        assert_eq!(contents(&libvirt), before);

        let daemon = running.unwrap_or_else(|| Daemon::start(&state));
        assert_eq!(daemon.names(), ["one", "two"]);
        assert_eq!(daemon.virsh(&["list", "--all", "--name", "--autostart"]).trim(), "two");
        assert_eq!(daemon.virsh(&["domuuid", "one"]).trim(), "6d9ac89f-7a55-4ea6-93a3-2e7b36e6b100");
        assert!(daemon.virsh(&["dumpxml", "one"]).contains("<crystalball colour='blue'>"));
    }
}

#[test]
fn a_directory_that_is_not_there_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (exit, said) = import(&directory.path().join("none"), &directory.path().join("state"), &[]);
    assert_eq!(exit, 2);
    assert!(said.contains("read the directory") && said.contains("No such file"), "{said}");
}
