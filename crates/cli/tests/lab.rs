//! The lab end to end: a real outer machine, booted for each test, one at a time.
//!
//! They want what `scripts/setup.sh` installs and the simulator's parts beside `sevirt`
//! (`cargo build --workspace` puts them there); what is missing fails, and says what it is.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "lab/firmware.rs"]
mod firmware;
#[path = "lab/page.rs"]
mod page;
#[path = "lab/rules.rs"]
mod rules_in_lab;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two emulated machines at the same time would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Lab {
    state: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self { state: tempfile::tempdir().unwrap(), _turn: turn }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sevirt"));
        command.args(["lab", verb, "--timeout", "600", "--state-dir"]).arg(self.state.path());
        command
    }

    #[track_caller]
    fn exec(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command("exec")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a run must not leave behind: a temporary directory of its own, or a process.
    #[track_caller]
    fn nothing_is_left(&self) {
        let left: Vec<PathBuf> = std::fs::read_dir(self.state.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".sevirt-run-"))
            .collect();
        assert_eq!(left, [] as [PathBuf; 0]);
        let state = self.state.path().to_str().unwrap();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&arguments).contains(state), "{:?}", process.path());
        }
    }
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn a_program_keeps_its_streams_and_its_exit_code() {
    let lab = Lab::new();
    let script = "cat; echo to stderr >&2; uname -n; exit 7";
    let output = lab.exec(&["--no-sim", "--", "sh", "-c", script], b"from stdin\n");
    assert_eq!(text(&output.stdout), "from stdin\nsevirt-lab\n", "{output:?}");
    assert_eq!((text(&output.stderr), output.status.code()), ("to stderr\n", Some(7)));
    lab.nothing_is_left();
}

#[test]
fn a_program_meets_a_simulated_host_and_its_files_are_thrown_away() {
    let lab = Lab::new();
    let file = lab.state.path().join("written");
    let script = format!(
        "cat /sys/module/kvm_amd/parameters/sev; stat -c %F /dev/sev /dev/kvm; \
         grep -c simulated /run/sevirt/simulated; echo x >'{}' && echo written",
        file.display()
    );
    let output = lab.exec(&["--", "sh", "-c", &script], b"");
    let want = "Y\ncharacter special file\ncharacter special file\n1\nwritten\n";
    assert_eq!(text(&output.stdout), want, "{output:?}");
    assert!(!file.exists());
    lab.nothing_is_left();
}

/// What `sevirt host check` says inside, and the lines of the real virt-host-validate beside its own.
#[test]
fn the_host_check_tells_a_simulated_platform_and_agrees_with_virt_host_validate() {
    let lab = Lab::new();
    let script = format!(
        "check='{} host check'; $check --tech sev; echo \"exit $?\"; $check --tech sev-es,sev-snp; echo \"exit $?\"; \
         echo ---; $check --format libvirt; echo ---; LC_ALL=C virt-host-validate qemu | grep -e 'secure guest support' \
         -e 'AMD Secure Encrypted'",
        env!("CARGO_BIN_EXE_sevirt")
    );
    let output = lab.exec(&["--", "sh", "-c", &script], b"");
    let parts: Vec<&str> = text(&output.stdout).split("---\n").collect();
    let [check, ours, theirs] = parts[..] else { panic!("{output:?}") };
    let mut verdicts = check.lines().filter(|line| line.starts_with("SEV") || line.starts_with("exit"));
    let words = |line: Option<&str>| line.unwrap().split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(words(verdicts.next()), "SEV can", "{check}");
    assert_eq!(words(verdicts.next()), "exit 0", "{check}");
    assert_eq!(words(verdicts.next()), "SEV-ES cannot", "{check}");
    assert_eq!(words(verdicts.next()), "SEV-SNP cannot", "{check}");
    assert_eq!(words(verdicts.next()), "exit 1", "{check}");
    assert!(check.contains("simulated platform: memory is not encrypted"), "{check}");
    assert!(check.contains("encrypted registers need the real processor"), "{check}");
    let passes = "  QEMU: Checking for secure guest support                                    : PASS
  QEMU: Checking for AMD Secure Encrypted Virtualization-Encrypted State (SEV-ES): PASS
  QEMU: Checking for AMD Secure Encrypted Virtualization-Secure Nested Paging (SEV-SNP): PASS
";
    assert_eq!(ours, passes);
    // The lab has this machine's programs.
    if Command::new("virt-host-validate").arg("--version").output().is_ok() {
        assert_eq!(theirs, passes, "{output:?}");
    } else {
        eprintln!("virt-host-validate is not installed: compared with what it is known to print");
    }
    lab.nothing_is_left();
}

/// Each step says what `<sev>` and its C-bit are: nothing is deleted or restarted between them.
#[test]
fn what_the_host_can_run_follows_the_host() {
    let lab = Lab::new();
    let script = format!(
        "caps() {{ echo \"$1: $('{}' caps --machine q35 | grep -o \"<sev supported='[a-z]*'\\|<cbitpos>[0-9]*\" \
           | tr '\\n' ' ')\"; }}
         parameter=/sys/module/kvm_amd/parameters/sev
         chmod 666 /dev/sev
         caps 'as it is'
         echo N >$parameter
         caps 'parameter off'
         echo Y >$parameter
         caps 'parameter on'
         mv /dev/sev /dev/away
         caps 'device away'
         mv /dev/away /dev/sev
         caps 'device back'
         chmod 000 /dev/sev
         caps 'device closed'
         chmod 666 /dev/sev
         caps 'device open'
         '{}' caps --explain | grep 'SEV-ES '",
        env!("CARGO_BIN_EXE_sevirt"),
        env!("CARGO_BIN_EXE_sevirt"),
    );
    let output = lab.exec(&["--", "sh", "-c", &script], b"");
    let (yes, no) = ("<sev supported='yes' <cbitpos>47 ", "<sev supported='no' ");
    let want = format!(
        "as it is: {yes}\nparameter off: {no}\nparameter on: {yes}\ndevice away: {no}\ndevice back: {yes}\n\
         device closed: {no}\ndevice open: {yes}\nSEV-ES   not offered\n"
    );
    assert_eq!(text(&output.stdout), want, "{output:?}");
    lab.nothing_is_left();
}

#[test]
fn what_cannot_start_or_end_has_its_own_exit_codes() {
    let lab = Lab::new();
    let output = lab.exec(&["--no-sim", "--", "/no/such/program"], b"");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stderr).contains("run `/no/such/program`: No such file"), "{output:?}");

    let mut short = Command::new(env!("CARGO_BIN_EXE_sevirt"));
    short.args(["lab", "exec", "--no-sim", "--timeout", "1", "--state-dir"]).arg(lab.state.path());
    assert_eq!(short.args(["--", "true"]).output().unwrap().status.code(), Some(6));

    let greedy = lab.exec(&["--memory", "1000000000", "--", "true"], b"");
    assert!(text(&greedy.stderr).contains("1000000000 MiB for the guest × 1.15 + 1229 MiB"), "{greedy:?}");
    lab.nothing_is_left();
}

/// A guest that boots the demo guest's kernel directly.
fn direct_boot(directory: &Path, firmware: &str, launch_security: &str) -> PathBuf {
    let guest = lab::image::Guest::find(Path::new("/"), &lab::tools::busybox().unwrap()).unwrap();
    let initrd = directory.join("initrd");
    std::fs::write(&initrd, guest.initrd().unwrap()).unwrap();
    let domain = directory.join("direct.xml");
    let (kernel, initrd) = (guest.kernel_path().display(), initrd.display());
    let report = lab::image::CONSOLE_OPTION;
    let text = format!(
        "<domain type='kvm'>
  <name>direct</name>
  <memory unit='MiB'>512</memory>
  <memoryBacking><locked/></memoryBacking>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash' stateless='yes'>{firmware}</loader>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 {report}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-model'/>
  <devices>
    <emulator>/usr/bin/qemu-kvm</emulator>
    <serial type='pty'/>
    <memballoon model='none'/>
  </devices>
  {launch_security}
</domain>
"
    );
    std::fs::write(&domain, text).unwrap();
    domain
}

const SEV: &str = "<launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits>\
                   <policy>0x0003</policy></launchSecurity>";

#[test]
fn a_directly_booted_guest_is_attested_and_reports_sev() {
    let lab = Lab::new();
    let directory = tempfile::tempdir().unwrap();
    let domain = direct_boot(directory.path(), &firmware::for_sev(), SEV);
    let output = lab.command("run").arg(domain).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    assert!(told.contains("attested by a simulated platform"), "{told}");
    let console = String::from_utf8_lossy(&output.stdout);
    let report =
        lab::image::Report::parse(&console).unwrap_or_else(|error| panic!("{error}\n{told}\n{console:?}"));
    assert!(report.is_sev_active(), "{}", report.text);
    lab.nothing_is_left();
}

/// The examples of libvirt's page on SEV, started as they are, from the demo guest's disk.
#[track_caller]
fn example(name: &str) {
    let lab = Lab::new();
    let domain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let output = lab.command("run").arg(domain).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for words in ["takes its place", "rng-without-backend", "attested by a simulated platform"] {
        assert!(told.contains(words), "no `{words}` in:\n{told}");
    }
    let report = lab::image::Report::parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
    assert!(report.is_sev_active(), "{}", report.text);
    assert_eq!(report.vcpus, 4);
    lab.nothing_is_left();
}

#[test]
fn the_q35_example_boots_from_its_disk() {
    example("q35.xml");
}

#[test]
fn the_i440fx_example_boots_from_its_disk() {
    example("i440fx.xml");
}

/// A domain for a BIOS on the legacy PC, its disk on IDE, as virt-install writes it; the image is the demo guest's.
#[test]
fn an_ordinary_domain_is_secured_and_boots_as_a_confidential_guest() {
    let lab = Lab::new();
    let directory = tempfile::tempdir().unwrap();
    let domain = directory.path().join("ordinary.xml");
    std::fs::write(&domain, include_str!("../test_data/ordinary.xml")).unwrap();
    let secured = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .args(["secure", "--tech", "sev", "--unsafe", "--write", "--assume", "host=lab"])
        .arg(&domain)
        .output()
        .unwrap();
    assert_eq!(secured.status.code(), Some(0), "{}", text(&secured.stderr));
    let output = lab.command("run").arg(&domain).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("attested by a simulated platform"), "{told}");
    let report = lab::image::Report::parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
    assert!(report.is_sev_active(), "{}", report.text);
    lab.nothing_is_left();
}

#[test]
fn a_firmware_with_one_byte_changed_never_runs() {
    let lab = Lab::new();
    let directory = tempfile::tempdir().unwrap();
    let mut firmware = std::fs::read(firmware::for_sev()).unwrap();
    let digest = {
        let mut hasher = attest::sev::digest::LaunchHasher::new();
        hasher.update(&firmware);
        hasher.finish().to_string()
    };
    firmware[0x1000] ^= 1;
    let tampered = directory.path().join("tampered.fd");
    std::fs::write(&tampered, firmware).unwrap();
    let domain = direct_boot(directory.path(), tampered.to_str().unwrap(), SEV);
    let output = lab.command("run").args(["--expect-digest", &digest]).arg(domain).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(lab::image::Report::parse(&String::from_utf8_lossy(&output.stdout)).is_err());
    lab.nothing_is_left();
}

#[test]
fn a_guest_with_encrypted_registers_is_attested_and_not_run() {
    let lab = Lab::new();
    let directory = tempfile::tempdir().unwrap();
    let domain = direct_boot(directory.path(), &firmware::for_sev(), &SEV.replace("0x0003", "0x0007"));
    // The digest covers the signature of the vCPUs' model: the host's own is known.
    let text_of_domain = std::fs::read_to_string(&domain).unwrap();
    std::fs::write(&domain, text_of_domain.replace("mode='host-model'", "mode='host-passthrough'")).unwrap();
    let output = lab.command("run").arg(&domain).args(["--", "--paused-only"]).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("attested by a simulated platform"), "{told}");

    let output = lab.command("run").arg(&domain).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("encrypted registers need the real one"), "{told}");
    lab.nothing_is_left();
}

#[test]
fn a_domain_without_launch_security_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let domain = directory.path().join("plain.xml");
    std::fs::write(&domain, "<domain type='kvm'><name>plain</name></domain>").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .args(["lab", "run", "--state-dir"])
        .arg(directory.path())
        .arg(&domain)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("has no <launchSecurity>"), "{output:?}");
}
