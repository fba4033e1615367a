//! Launches on a simulated platform, paused: `sevsim` answers for the secure processor, and `libsevsim.so` stands
//! between QEMU and the kernel. Guests run in the lab; what comes before that needs KVM and a mount namespace only.
//!
//! The programs are those that `cargo build --workspace` puts beside `sevirt`. Where namespaces or KVM are not to be had
//! the tests say so and pass: the lab's own tests cover the same ground.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step is a failed test, and one not run says so"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Makes this mount namespace look like a host with SEV, and runs its arguments there.
const HOST: &str = r#"set -e
mount -t tmpfs none /sys/module
mkdir -p /sys/module/kvm_amd/parameters
for name in sev sev_es sev_snp; do echo Y > /sys/module/kvm_amd/parameters/$name; done
mkdir -p /run/sevirt
mount -t tmpfs -o mode=755 none /run/sevirt
echo 'sevsim, in a test' > /run/sevirt/simulated
mount -t tmpfs -o mode=755 none "$PLACE/dev"
for name in null zero full random urandom tty kvm; do cp -a /dev/$name "$PLACE/dev/"; done
mkdir "$PLACE/dev/pts" "$PLACE/dev/shm"
mount --bind /dev/pts "$PLACE/dev/pts"
ln -s pts/ptmx "$PLACE/dev/ptmx"
ln -s /proc/self/fd "$PLACE/dev/fd"
touch "$PLACE/dev/sev"
mount --move "$PLACE/dev" /dev
set +e
LD_PRELOAD="$SHIM" "$@"
status=$?
find /run/sevirt -mindepth 2 | sed 's/^/left behind: /' >&2
exit $status
"#;

/// OVMF's last page, with a hash table and a secret area: enough of a firmware for a launch that is not resumed.
const AMDSEV: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../attest/test_data/sev/measurement/ovmf_AmdSev_suffix.bin");

/// The distribution's firmware: of its two builds the one that can run a SEV guest.
fn stock() -> &'static str {
    ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd"]
        .into_iter()
        .find(|path| {
            fs::read(path).is_ok_and(|image| attest::code_width(&image) == Some(attest::CodeWidth::Bits64))
        })
        .unwrap()
}

struct Platform {
    directory: tempfile::TempDir,
    sevsim: Child,
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.sevsim.kill();
        let _ = self.sevsim.wait();
    }
}

fn beside_sevirt(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sevirt")).with_file_name(name)
}

impl Platform {
    /// `None`, and a line that says why, where there cannot be one.
    fn start() -> Option<Self> {
        for name in ["sevsim", "libsevsim.so"] {
            assert!(beside_sevirt(name).exists(), "{name} is not built: `cargo build --workspace` makes it");
        }
        let namespaces = Command::new("unshare").args(["-m", "true"]).output();
        let refused = if !namespaces.is_ok_and(|output| output.status.success()) {
            Some("mount namespaces are not to be had")
        } else if !Path::new("/dev/kvm").exists() {
            Some("there is no KVM")
        } else {
            None
        };
        if let Some(why) = refused {
            println!("simulated launches not run: {why}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let made =
            Command::new(beside_sevirt("sevsim")).args(["init", "--state-dir"]).arg(&state).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut sevsim = Command::new(beside_sevirt("sevsim"))
            .args(["serve", "--state-dir"])
            .arg(&state)
            .arg("--socket")
            .arg(directory.path().join("sevsim.sock"))
            .arg("--quiet")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its only line says that it listens.
        let mut line = String::new();
        BufReader::new(sevsim.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "{line}");
        fs::create_dir(directory.path().join("dev")).unwrap();
        Some(Self { directory, sevsim })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn run(&self, security: &str, os: &str, options: &[&str], exit: i32) -> Vec<Value> {
        let text = format!(
            "<domain type='kvm'>\n<name>simulated</name>\n<memory unit='MiB'>128</memory>\n<vcpu>2</vcpu>\n\
             <os><type arch='x86_64' machine='q35'>hvm</type>{os}</os>\n<features><acpi/></features>\n\
             <devices><memballoon model='none'/></devices>\n{security}\n</domain>\n"
        );
        fs::write(self.path("guest.xml"), text).unwrap();
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", HOST, "sh"])
            .arg(env!("CARGO_BIN_EXE_sevirt"))
            .arg("run")
            .arg(self.path("guest.xml"))
            .args(["--format", "json", "--allow", "MEM001", "--timeout", "60"])
            .args(options)
            .env("PLACE", self.directory.path())
            .env("SHIM", beside_sevirt("libsevsim.so"))
            .env("SEVSIM_SOCKET", self.path("sevsim.sock"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let events: Vec<Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(output.status.code(), Some(exit), "{events:#?}\n{stderr}");
        assert!(!stderr.contains("left behind"), "{stderr}");
        events
    }

    fn trust_root(&self) -> String {
        self.path("state/trust-root.cert").to_str().unwrap().to_owned()
    }
}

fn flash(image: &str) -> String {
    format!("<loader readonly='yes' type='pflash' stateless='yes'>{image}</loader>")
}

fn sev(policy: u32) -> String {
    format!("<launchSecurity type='sev'><policy>{policy:#x}</policy></launchSecurity>")
}

#[track_caller]
fn event<'e>(events: &'e [Value], name: &str) -> &'e Value {
    events.iter().find(|event| event["event"] == name).unwrap()
}

fn has_stage(events: &[Value], stage: &str) -> bool {
    events.iter().any(|event| event["stage"] == stage)
}

#[test]
fn launches_are_attested_or_refused() {
    let Some(platform) = Platform::start() else { return };
    let root = platform.trust_root();
    let attest = ["--attest", "--trust-root", root.as_str(), "--paused-only"];

    let events = platform.run(&sev(1), &flash(stock()), &attest, 0);
    let verified = event(&events, "attestation");
    assert_eq!((&verified["result"], &verified["simulated"]), (&"verified".into(), &true.into()));
    assert_eq!(verified["covers"].as_array().unwrap().len(), 1);
    let digest = verified["digest"].as_str().unwrap().to_owned();

    // The same domain with one byte of the firmware changed, against the digest of the original.
    let mut image = fs::read(stock()).unwrap();
    image[1000] ^= 1;
    let changed = platform.path("changed.fd");
    fs::write(&changed, image).unwrap();
    let changed = flash(changed.to_str().unwrap());
    let options = [&attest[..3], &["--expect-digest", &digest]].concat();
    let events = platform.run(&sev(1), &changed, &options, 5);
    assert_eq!(event(&events, "attestation")["result"], "failed");
    assert!(!has_stage(&events, "resume"));
    assert!(
        event(&events, "outcome")["reason"].as_str().unwrap().ends_with("as the domain's own files have")
    );

    // Another root.
    let events = platform.run(&sev(1), &flash(stock()), &["--attest", "--trust-root", "milan"], 5);
    assert!(
        event(&events, "outcome")["reason"].as_str().unwrap().contains("do not lead to the trusted root")
    );
    assert!(!has_stage(&events, "spawn"));

    // A secret needs an area, or an address.
    let secret = platform.path("secret");
    fs::write(&secret, "correct horse").unwrap();
    let secret = format!("disk-passphrase={}", secret.display());
    let options = [&attest[..], &["--secret", &secret]].concat();
    let events = platform.run(&sev(1), &flash(stock()), &options, 4);
    assert!(event(&events, "outcome")["reason"].as_str().unwrap().contains("a secret needs a secret area"));
    let addressed = [&options[..], &["--secret-address", "0x100000"]].concat();
    assert!(has_stage(&platform.run(&sev(1), &flash(stock()), &addressed, 0), "inject"));
    assert!(has_stage(&platform.run(&sev(1), &flash(AMDSEV), &options, 0), "inject"));

    // Hashes of a kernel need a table.
    let guest = lab::image::Guest::find(Path::new("/"), &lab::tools::busybox().unwrap()).unwrap();
    let kernel = guest.kernel_path().display();
    let direct = format!("<kernel>{kernel}</kernel><cmdline>console=ttyS0</cmdline>");
    let hashes = sev(1).replace("'sev'", "'sev' kernelHashes='yes'");
    let events = platform.run(&hashes, &format!("{}{direct}", flash(stock())), &attest, 3);
    let named = |finding: &Value| finding["name"] == "kernel-hashes-without-table";
    assert!(events.iter().any(named), "{events:#?}");
    let events = platform.run(&hashes, &format!("{}{direct}", flash(AMDSEV)), &attest, 0);
    let verified = event(&events, "attestation");
    assert_eq!(
        (&verified["result"], verified["covers"].as_array().unwrap().len()),
        (&"verified".into(), 4),
        "{verified:#}"
    );
}

#[test]
fn guests_with_encrypted_registers_are_measured_and_not_resumed() {
    let Some(platform) = Platform::start() else { return };
    let root = platform.trust_root();
    let attest = ["--attest", "--trust-root", root.as_str()];
    let paused = [&attest[..], &["--paused-only"]].concat();
    let events = platform.run(&sev(5), &flash(stock()), &paused, 0);
    assert_eq!(event(&events, "attestation")["technology"], "SEV-ES");

    let events = platform.run(&sev(5), &flash(stock()), &attest, 4);
    assert_eq!(event(&events, "attestation")["result"], "verified");
    let reason = event(&events, "outcome")["reason"].as_str().unwrap();
    assert!(reason.contains("a SEV-ES guest's encrypted registers need the real one"), "{reason}");
    assert!(!has_stage(&events, "resume"));
}
