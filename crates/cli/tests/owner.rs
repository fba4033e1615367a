//! The guest owner's commands as processes, on good and on bad input. The secure processor's side is played by the
//! library; certificates and known answers are those of `crates/attest/test_data`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::sev::certs::{Algorithm, Certificate, Usage};
use attest::sev::digest::LaunchHasher;
use attest::sev::ec::PrivateKey;
use attest::sev::measurement::{Launch, Measurement};
use attest::sev::policy::Policy;
use attest::sev::secret::{DISK_PASSPHRASE, Packet, parse_table};
use attest::sev::session::LaunchBlob;
use attest::sev::{ApiVersion, FirmwareVersion};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tempfile::TempDir;

const API: ApiVersion = ApiVersion { major: 1, minor: 55 };

struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Outcome {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// Whether it failed with `code` and said all of `words`, without a panic.
    #[track_caller]
    fn failed(&self, code: i32, words: &[&str]) {
        let said = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }

    #[track_caller]
    fn succeeded(&self) {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
    }
}

/// Runs `sevirt` with words separated by spaces, in the directory of the test data.
fn sevirt(words: &str) -> Outcome {
    sevirt_with(&words.split_whitespace().collect::<Vec<_>>())
}

fn sevirt_with(words: &[&str]) -> Outcome {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sevirt")).args(words).current_dir(test_data()).output().unwrap();
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn test_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../attest/test_data")
}

/// The certificates that a platform of 2019 exports, in the forms QEMU prints.
fn rome(directory: &TempDir) -> String {
    let read = |name: &str| fs::read(test_data().join("sev/rome").join(name)).unwrap();
    let chain = [read("pek.cert"), read("oca.cert"), read("cek.cert")].concat();
    let (pdh_path, chain_path) = (directory.path().join("pdh.b64"), directory.path().join("chain.cert"));
    fs::write(&pdh_path, BASE64_STANDARD.encode(read("pdh.cert")) + "\n").unwrap();
    fs::write(&chain_path, chain).unwrap();
    format!("--pdh {} --chain {}", pdh_path.display(), chain_path.display())
}

#[test]
fn digests_are_those_of_other_tools() {
    let quiet = sevirt("digest -q --firmware sev/measurement/ovmf_OvmfX64_suffix.bin");
    assert_eq!(quiet.out, "b4c021e085fb83ceffe6571a3d357b4a98773c83c474e47f76c876708fe316da\n");

    let kernel = "--firmware sev/measurement/ovmf_AmdSev_suffix.bin --kernel /dev/null";
    let digest =
        |words: &str| sevirt(&format!("digest {kernel} {words} --format json")).json()["digest"].clone();
    assert_eq!(digest(""), "77f613d7bbcdf12a73782ea9e88b0172aeda50d1a54201cb903594ff52846898");
    assert_eq!(
        digest("--vcpus 4 --cpu EPYC-v4 --vmsa-profile fpu"),
        "0dccbcaba8e90b261bd0d2e1863a2f9da714768b7b2a19363cd6ae35aa90de91"
    );
    assert_eq!(
        digest("--snp --vcpus 4 --cpu EPYC-v4"),
        "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5"
    );
    assert_eq!(
        digest("--snp --vcpus 4 --cpu EPYC-v4 --sev-features 0x21"),
        "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942"
    );
    assert_eq!(digest("--vcpus 4 --cpu 0x800f12"), digest("--vcpus 4 --cpu EPYC"));

    let cmdline = |cmdline: &str| {
        let words = [kernel.split(' ').collect(), vec!["--cmdline", cmdline]].concat();
        sevirt_with(&[vec!["digest", "-q"], words].concat()).out
    };
    assert_ne!(cmdline("quiet "), cmdline("quiet"));
}

#[test]
fn digest_says_what_it_covers_and_what_not() {
    let outcome =
        sevirt("digest --firmware sevctl/ovmf-trimmed.bin --kernel sevctl/kernel --initrd sevctl/initrd");
    outcome.succeeded();
    for words in ["the firmware image", "4096 bytes", "the kernel `sevctl/kernel`", "not covered", "disks"] {
        assert!(outcome.out.contains(words), "{}", outcome.out);
    }
}

#[test]
fn digest_refuses_what_cannot_be_launched() {
    sevirt("digest").failed(2, &["--firmware"]);
    sevirt("digest --firmware nowhere.fd").failed(2, &["nowhere.fd", "No such file"]);
    sevirt("digest --firmware sev").failed(2, &["`sev`", "is a directory"]);
    sevirt("digest --firmware /dev/null").failed(2, &["empty"]);
    sevirt("digest --firmware /dev/zero").failed(2, &["longer than"]);
    let stock = "--firmware sev/measurement/ovmf_OvmfX64_suffix.bin";
    sevirt(&format!("digest {stock} --kernel sevctl/kernel"))
        .failed(2, &["hash table", "address or length 0", "AmdSev"]);
    sevirt("digest --firmware sevctl/vmsa0.bin --vcpus 2 --cpu EPYC")
        .failed(2, &["sevctl/vmsa0.bin", "whole OVMF"]);
    sevirt("digest --firmware sevctl/ovmf-trimmed.bin --snp --vcpus 1 --cpu EPYC")
        .failed(2, &["SNP metadata"]);
    sevirt(&format!("digest {stock} --snp")).failed(2, &["--vcpus"]);
    sevirt(&format!("digest {stock} --vcpus 0 --cpu EPYC")).failed(2, &["vCPUs"]);
    sevirt(&format!("digest {stock} --vcpus 4")).failed(2, &["--cpu"]);
    sevirt(&format!("digest {stock} --vcpus 4 --cpu pentium")).failed(2, &["EPYC model"]);
    sevirt(&format!("digest {stock} --initrd sevctl/initrd")).failed(2, &["--kernel"]);
}

/// A domain whose firmware is in the test data and whose emulator is the one installed.
fn domain(directory: &TempDir, policy: &str, cpu: &str, sev: &str) -> String {
    let firmware = test_data().join("sevctl/ovmf-trimmed.bin");
    let path = directory.path().join("guest.xml");
    let xml = format!(
        "<domain type='kvm'>
          <name>guest</name><memory unit='MiB'>512</memory><vcpu>4</vcpu>
          <os><type arch='x86_64' machine='q35'>hvm</type>
            <loader readonly='yes' type='rom'>{}</loader>
            <kernel>{}</kernel><cmdline>foo bar </cmdline></os>
          {cpu}
          <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
          <launchSecurity type='sev'{sev}><policy>{policy}</policy></launchSecurity>
        </domain>",
        firmware.display(),
        test_data().join("sevctl/kernel").display(),
    );
    fs::write(&path, xml).unwrap();
    path.display().to_string()
}

#[test]
fn a_domain_gives_the_digest_that_its_files_give() {
    let directory = TempDir::new().unwrap();
    let of_domain = |policy, cpu, sev| sevirt(&format!("digest -q {}", domain(&directory, policy, cpu, sev)));
    let of_files = |words: &[&str]| {
        let firmware = ["digest", "-q", "--firmware", "sevctl/ovmf-trimmed.bin"];
        sevirt_with(&[&firmware, words].concat()).out
    };
    let plain = of_domain("0x1", "<cpu mode='host-model'/>", "");
    assert_eq!(plain.out, of_files(&[]), "{}", plain.err);
    let hashed = of_domain("0x1", "", " kernelHashes='yes'");
    assert_eq!(
        hashed.out,
        of_files(&["--kernel", "sevctl/kernel", "--cmdline", "foo bar "]),
        "{}",
        hashed.err
    );
    let milan = "<cpu mode='custom'><model>EPYC-Milan</model></cpu>";
    let es = of_domain("0x5", milan, "");
    assert_eq!(es.out, of_files(&["--vcpus", "4", "--cpu", "EPYC-Milan"]), "{}", es.err);

    let path = domain(&directory, "0x1", "", "");
    let words = sevirt(&format!("digest {path}"));
    assert!(words.out.contains("kernelHashes is off"), "{}", words.out);
    let verify =
        format!("verify --measurement {MEASUREMENT} --tik sevctl/secret-tik.bin --api 1.55 --build 1");
    sevirt(&format!("{verify} --domain {path}")).failed(5, &["NOT VERIFIED", "policy         0x1"]);
    sevirt(&format!("{verify} --domain {path} --policy 3")).failed(2, &["the domain says 0x1"]);
    sevirt(&format!("{verify} --firmware sevctl/ovmf-trimmed.bin")).failed(2, &["--policy"]);
}

#[test]
fn a_domain_that_measures_nothing_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = domain(&directory, "0x1", "", "");
    let xml = fs::read_to_string(&path).unwrap();
    let start = xml.find("<launchSecurity").unwrap();
    let plain = xml.replace(&xml[start..xml.find("</domain>").unwrap()], "");
    fs::write(&path, plain).unwrap();
    sevirt(&format!("digest {path}")).failed(2, &["no launch security", "guest.xml"]);
    fs::write(&path, &xml[..start]).unwrap();
    sevirt(&format!("digest {path}")).failed(2, &["guest.xml", "line"]);
    sevirt("digest nowhere.xml").failed(2, &["nowhere.xml"]);
    sevirt("digest nowhere.xml --firmware OVMF.fd").failed(2, &["cannot be used with"]);
}

#[test]
fn a_truncated_image_has_another_digest_and_no_tables() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("cut.fd");
    let image = fs::read(test_data().join("sevctl/ovmf-trimmed.bin")).unwrap();
    fs::write(&path, &image[..4000]).unwrap();
    let cut = path.display();
    let whole = sevirt("digest -q --firmware sevctl/ovmf-trimmed.bin");
    assert_ne!(sevirt(&format!("digest -q --firmware {cut}")).out, whole.out);
    sevirt(&format!("digest --firmware {cut} --kernel sevctl/kernel"))
        .failed(2, &["cut.fd", "no whole OVMF"]);
}

#[test]
fn certificates_verify_against_their_own_generation() {
    let directory = TempDir::new().unwrap();
    let rome = rome(&directory);
    sevirt(&format!("certs verify {rome} --trust-root rome")).succeeded();
    sevirt(&format!("certs verify {rome} --trust-root milan"))
        .failed(5, &["NOT VERIFIED", "ASK → CEK", "--trust-root"]);

    let (ark, ask) = attest::sev::certs::roots::Generation::Rome.bytes();
    let file = directory.path().join("ask_ark.cert");
    fs::write(&file, [ask, ark].concat()).unwrap();
    sevirt(&format!("certs verify {rome} --trust-root {}", file.display())).succeeded();
    let oca = "--oca sev/rome/oca.cert";
    sevirt(&format!("certs verify {rome} --trust-root rome {oca}")).succeeded();
    let oca = "--oca sev/naples/oca.cert";
    sevirt(&format!("certs verify {rome} --trust-root rome {oca}")).failed(5, &["OCA"]);
}

#[test]
fn an_unsigned_cek_is_explained_and_can_be_given() {
    let directory = TempDir::new().unwrap();
    let words = rome(&directory);
    let path = directory.path().join("chain.cert");
    let mut chain = fs::read(&path).unwrap();
    let mut cek = Certificate::parse(&chain[2 * 2084..]).unwrap();
    cek.clear(attest::sev::certs::Slot::First);
    chain[2 * 2084..].copy_from_slice(cek.as_bytes());
    fs::write(&path, chain).unwrap();
    let words = format!("certs verify {words} --trust-root rome");
    sevirt(&words).failed(5, &["ASK → CEK", "kdsintf.amd.com", "--cek"]);
    sevirt(&format!("{words} --cek sev/rome/cek.cert")).succeeded();
}

#[test]
fn certificates_that_are_none_are_refused_by_file() {
    let directory = TempDir::new().unwrap();
    let rome = rome(&directory);
    sevirt(&format!("certs verify {rome} --trust-root nowhere")).failed(2, &["nowhere", "naples"]);
    sevirt("certs verify --pdh sevctl/kernel --chain sevctl/kernel --trust-root rome")
        .failed(2, &["PDH", "2084"]);
    sevirt("certs verify --pdh sev/rome/pdh.cert --chain sev/rome/pek.cert --trust-root rome")
        .failed(2, &["sev/rome/pek.cert", "PEK, OCA and CEK"]);
    sevirt("certs verify --pdh sev/rome/pdh.cert").failed(2, &["--chain"]);
    sevirt("certs show sevctl/vmsa0.bin").failed(2, &["neither a SEV certificate"]);
    sevirt("certs show sev/naples/ark.cert.bad").failed(2, &["neither"]);
}

#[test]
fn certificates_are_shown() {
    let shown = sevirt("certs show sev/rome/pek.cert ../roots/naples-ark.cert");
    shown.succeeded();
    for words in ["PEK", "P-384", "signed by OCA", "and CEK", "RSA-2048", "1bb987c3"] {
        assert!(shown.out.contains(words), "{}", shown.out);
    }
    let json = sevirt("certs show --format json sev/rome/pek.cert").json();
    assert_eq!(json["files"][0]["certificates"][0]["signers"], serde_json::json!(["OCA", "CEK"]));
}

#[test]
fn a_session_is_not_made_with_an_unverified_platform_by_accident() {
    let directory = TempDir::new().unwrap();
    let out = format!("--policy 1 --out {}", directory.path().display());
    let pdh = "--pdh sev/rome/pdh.cert";
    sevirt(&format!("session create {pdh} {out}")).failed(2, &["--trust-root", "--unverified"]);
    let rome = rome(&directory);
    sevirt(&format!("session create {rome} --trust-root milan {out}")).failed(5, &["no session was created"]);
    sevirt(&format!("session create --pdh sev/rome/pek.cert --unverified {out}")).failed(2, &["not a PDH"]);
    assert!(!directory.path().join("tik.bin").exists());
    sevirt(&format!("session create {rome} --trust-root rome {out}")).succeeded();
}

#[test]
fn a_session_writes_all_files_or_none() {
    let directory = TempDir::new().unwrap();
    let out = directory.path();
    let create = |policy: &str, out: &Path| {
        let out = out.display();
        sevirt(&format!("session create --pdh sev/rome/pdh.cert --unverified --policy {policy} --out {out}"))
    };
    fs::write(out.join("tek.bin"), "mine").unwrap();
    create("1", out).failed(2, &["tek.bin", "exists already"]);
    assert_eq!(fs::read_dir(out).unwrap().count(), 1);
    assert_eq!(fs::read(out.join("tek.bin")).unwrap(), b"mine");
    fs::remove_file(out.join("tek.bin")).unwrap();

    create("0x41", out).failed(2, &["reserved"]);
    create("-1", out).failed(2, &[]);
    create("4294967296", out).failed(2, &["2^32"]);
    create("1", &out.join("nowhere")).failed(2, &["nowhere", "mkdir"]);
    create("1", out).succeeded();
    let mut names: Vec<_> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    assert_eq!(
        names.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(),
        ["godh.cert", "session.bin", "tek.bin", "tik.bin"]
    );
    for entry in names {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    create("1", out).failed(2, &["exists already"]);
}

/// The whole protocol: the owner's side by the commands, the secure processor's by the library.
#[test]
fn an_owner_and_a_processor_understand_each_other() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name);
    let processor = PrivateKey::from_bytes(&[7; 48]).unwrap();
    let pdh = Certificate::new(API, Usage::Pdh, Algorithm::EcdhSha256, &processor.public_key());
    fs::write(file("pdh.cert"), pdh.as_bytes()).unwrap();
    let created = sevirt(&format!(
        "session create --format json --pdh {0}/pdh.cert --unverified --policy 0x1 --out {0}",
        directory.path().display()
    ));
    created.succeeded();

    // LAUNCH_START, with what the domain's XML would carry.
    let decode = |name: &str| BASE64_STANDARD.decode(created.json()[name].as_str().unwrap()).unwrap();
    let godh = Certificate::parse(&decode("dhCert")).unwrap();
    let blob = LaunchBlob::parse(&decode("session")).unwrap();
    assert_eq!(fs::read(file("godh.cert")).unwrap(), godh.as_bytes());
    assert_eq!(fs::read(file("session.bin")).unwrap(), blob.as_bytes());
    let keys = blob.open(&processor, &godh.public_key().unwrap(), Policy(1)).unwrap();
    assert_eq!(fs::read(file("tik.bin")).unwrap(), keys.tik.as_bytes());

    // LAUNCH_UPDATE_DATA, LAUNCH_MEASURE.
    let mut hasher = LaunchHasher::new();
    hasher.update(&fs::read(test_data().join("sevctl/ovmf-trimmed.bin")).unwrap());
    let firmware = FirmwareVersion { api: API, build: 8 };
    let launch = Launch { firmware, policy: Policy(1), digest: hasher.finish() };
    let measurement = Measurement::create(&launch, &keys.tik, [9; 16]);
    let blob = BASE64_STANDARD.encode(measurement.to_bytes());

    let tik = format!("--tik {}", file("tik.bin").display());
    let verify = |words: &str| sevirt(&format!("verify --measurement {blob} {tik} {words}"));
    let good = "--policy 1 --api 1.55 --build 8 --firmware sevctl/ovmf-trimmed.bin";
    verify(good).succeeded();
    verify(&good.replace("--build 8", "--build 9"))
        .failed(5, &["NOT VERIFIED", "does prove another launch", "API 1.55 build 8"]);
    verify(&good.replace("--policy 1", "--policy 3")).failed(5, &["NOT VERIFIED", "with policy 0x1"]);
    verify(&good.replace("sevctl/ovmf-trimmed.bin", "sevctl/vmsa0.bin"))
        .failed(5, &["not covered", "byte for byte"]);
    let by_digest = format!("--policy 1 --api 1.55 --build 8 --digest {} --format json", launch.digest);
    assert_eq!(verify(&by_digest).json()["verified"], true);
    let measured = sevirt(&format!("measure --measurement {blob} {tik} {good} --format json"));
    assert_eq!(measured.json()["measurement"], blob.as_str());

    // LAUNCH_SECRET.
    fs::write(file("passphrase"), "open sesame").unwrap();
    fs::write(file("measurement"), &blob).unwrap();
    let built = sevirt(&format!(
        "secret build --format json --measurement {0}/measurement {tik} --tek {0}/tek.bin --secret disk-passphrase={0}/passphrase",
        directory.path().display()
    ));
    built.succeeded();
    let part = |name: &str| BASE64_STANDARD.decode(built.json()[name].as_str().unwrap()).unwrap();
    let (header, packet) = (part("packet-header"), part("secret"));
    let table = Packet::open(&keys, API, &measurement, &header, &packet, packet.len()).unwrap();
    let secrets = parse_table(&table).unwrap();
    assert_eq!(secrets.len(), 1);
    assert_eq!((secrets[0].guid, secrets[0].data.as_slice()), (DISK_PASSPHRASE, b"open sesame".as_slice()));
}

const MEASUREMENT: &str = "TLeA7607lZQntLjRY1/i+sbtdSZ+75zxpz4Px9hzpBLwItF5Q2o4prA++3ZZv9ZS";

#[test]
fn secrets_that_do_not_fit_are_refused_without_being_shown() {
    let keys = format!("--measurement {MEASUREMENT} --tik sevctl/secret-tik.bin --tek sevctl/secret-tek.bin");
    let build = |words: &str| sevirt(&format!("secret build {keys} {words}"));
    build("--secret luks=sevctl/secret1.txt").succeeded();
    build("").failed(2, &["--secret"]);
    build("--secret hunter2").failed(2, &["GUID=FILE"]);
    build("--secret hunter2=sevctl/secret1.txt").failed(2, &["8-4-4-4-12", "disk-passphrase"]);
    build("--secret luks=").failed(2, &["file"]);
    build("--secret luks=nowhere").failed(2, &["nowhere"]);
    build("--secret luks=/dev/zero").failed(2, &["/dev/zero", "longer"]);
    build("--secret luks=sevctl/secret1.txt --secret luks=sevctl/secret2.txt").failed(2, &["two entries"]);
    let large = "--secret luks=sevctl/secret1.txt --secret 5ec7e7aa-0d1c-4c4e-a6c9-2f6f1f0e9f11=";
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("large");
    fs::write(&path, vec![b'S'; 16384]).unwrap();
    let outcome = build(&format!("{large}{}", path.display()));
    outcome.failed(2, &["16384"]);
    assert!(!outcome.err.contains("SSSS"));
}

#[test]
fn packets_go_to_private_files() {
    let directory = TempDir::new().unwrap();
    let outcome = sevirt(&format!(
        "secret build --measurement {MEASUREMENT} --tik sevctl/secret-tik.bin --tek sevctl/secret-tek.bin \
         --secret luks=sevctl/secret1.txt --out {}",
        directory.path().display()
    ));
    outcome.succeeded();
    for name in ["header.b64", "packet.b64"] {
        let path = directory.path().join(name);
        assert!(outcome.out.contains(name));
        assert!(BASE64_STANDARD.decode(fs::read(&path).unwrap()).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn verify_refuses_contradictions_and_broken_keys() {
    let expected = "--policy 1 --api 1.40 --build 40 --firmware sevctl/ovmf-trimmed.bin";
    let verify = |measurement: &str, tik: &str, words: &str| {
        sevirt(&format!("verify --measurement {measurement} --tik {tik} {words}"))
    };
    let tik = "sevctl/measurement-tik.bin";
    verify("AAAA", tik, expected).failed(2, &["48 bytes", "AAAA"]);
    verify("sevctl/kernel", tik, expected).failed(2, &["48 bytes"]);
    verify(MEASUREMENT, "sevctl/kernel", expected).failed(2, &["sevctl/kernel", "16 bytes", "13"]);
    verify(MEASUREMENT, "sevctl/vmsa0.bin", expected).failed(2, &["sevctl/vmsa0.bin"]);
    verify(MEASUREMENT, tik, &expected.replace("--policy 1", "--policy 5")).failed(2, &["SEV-ES", "--vcpus"]);
    verify(MEASUREMENT, tik, &format!("{expected} --vcpus 1 --cpu EPYC")).failed(2, &["leave --vcpus"]);
    verify(MEASUREMENT, tik, "--policy 1 --api 1.40 --build 40").failed(2, &["--firmware", "--digest"]);
    verify(MEASUREMENT, tik, &expected.replace("1.40", "1")).failed(2, &["MAJOR.MINOR"]);
    verify(MEASUREMENT, tik, "--policy 1 --api 1.40 --build 40 --digest abc").failed(2, &["64 hexadecimal"]);
}

#[test]
fn every_command_has_examples() {
    for command in
        ["digest", "certs verify", "certs show", "session create", "measure", "verify", "secret build"]
    {
        let help = sevirt(&format!("{command} --help"));
        help.succeeded();
        assert!(help.out.contains("Example"), "{command}");
    }
}
