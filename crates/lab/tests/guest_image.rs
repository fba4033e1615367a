//! The demo guest's image, built from what is installed and booted by the real firmware under emulation.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end at what they do not expect")]

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lab::image::{
    Afterwards, Built, CONSOLE_OPTION, Format, Guest, Options, ReadError, Report, build, read_report,
};

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const BUSYBOX: &str = "/usr/bin/busybox";
const QEMU_IMG: &str = "qemu-img";

fn options(directory: &Path, format: Format) -> Options {
    Options {
        output: directory.join("guest.img"),
        format,
        afterwards: Afterwards::PowersOff,
        root: PathBuf::from("/"),
        busybox: BUSYBOX.into(),
        qemu_img: QEMU_IMG.into(),
    }
}

/// Runs an emulated machine until it powers itself off, and gives what it wrote to its serial port.
fn emulate(arguments: &[&str]) -> String {
    let mut machine = Command::new("timeout");
    machine.args([
        "--kill-after=5",
        "240",
        "qemu-system-x86_64",
        "-machine",
        "q35",
        "-accel",
        "tcg",
        "-m",
        "1024",
    ]);
    machine.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    let output = machine.args(arguments).stdin(Stdio::null()).output().unwrap();
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{console}\n{errors}", output.status);
    console
}

/// What a guest without SEV says.
#[track_caller]
fn check_plain(report: &Report) {
    assert_eq!(report.vcpus, 1);
    assert!(report.kernel.starts_with(|digit: char| digit.is_ascii_digit()), "{report}");
    assert!(report.memory_kib > 700 * 1024, "{report}");
    assert!(!report.is_sev_active(), "{report}");
    assert_eq!(report.c_bit(), None, "{report}");
    // Emulation reads registers that it does not know as zero.
    assert_eq!(report.sev_status.unwrap_or(0), 0, "{report}");
    assert_eq!(report.log, Vec::<String>::new(), "{report}");
}

#[test]
fn boots_from_its_disk_and_leaves_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path(), Format::Qcow2);
    assert_eq!(build(&options).unwrap(), Built::New);
    assert!(matches!(read_report(&options.output, QEMU_IMG.as_ref()), Err(ReadError::NoReport { .. })));
    let variables = directory.path().join("vars.fd");
    fs::copy(OVMF_VARS, &variables).unwrap();
    let console = emulate(&[
        "-drive",
        &format!("if=pflash,format=raw,readonly=on,file={OVMF_CODE}"),
        "-drive",
        &format!("if=pflash,format=raw,file={}", variables.display()),
        "-device",
        "virtio-scsi-pci",
        "-drive",
        &format!("if=none,id=disk,format=qcow2,file={}", options.output.display()),
        "-device",
        "scsi-hd,drive=disk",
    ]);
    let report =
        read_report(&options.output, QEMU_IMG.as_ref()).unwrap_or_else(|error| panic!("{error}\n{console}"));
    check_plain(&report);
    assert_eq!(Report::parse(&console).unwrap(), report);
    // It is not as it was built any more.
    assert_eq!(build(&options).unwrap(), Built::New);
}

#[test]
fn boots_directly_and_reports_to_the_console() {
    let directory = tempfile::tempdir().unwrap();
    let guest = Guest::find("/".as_ref(), BUSYBOX.as_ref()).unwrap();
    let initrd = directory.path().join("initrd");
    fs::write(&initrd, guest.initrd().unwrap()).unwrap();
    let console = emulate(&[
        "-kernel",
        guest.kernel_path().to_str().unwrap(),
        "-initrd",
        initrd.to_str().unwrap(),
        "-append",
        &format!("console=ttyS0 quiet panic=-1 {CONSOLE_OPTION}"),
    ]);
    check_plain(&Report::parse(&console).unwrap());
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path(), Format::Raw);
    assert_eq!(build(&options).unwrap(), Built::New);
    let first = fs::read(&options.output).unwrap();
    assert_eq!(build(&options).unwrap(), Built::Cached);
    fs::remove_file(&options.output).unwrap();
    assert_eq!(build(&options).unwrap(), Built::New);
    assert!(fs::read(&options.output).unwrap() == first, "the image differs");
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn missing_parts_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { root: directory.path().into(), ..options(directory.path(), Format::Raw) };
    let error = build(&options).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("no kernel is installed"));
    assert!(!options.output.exists());
}

/// Flips bytes of a good image's file system and partition table, as a guest could: reading ends, with or without a report.
#[test]
fn hostile_images_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path(), Format::Raw);
    build(&options).unwrap();
    let mut file = fs::File::options().read(true).write(true).open(&options.output).unwrap();
    const MIB: u64 = 1 << 20;
    // The tables of partitions, the boot sector, the allocation table's start, and the root directory.
    let places = (0..1024)
        .step_by(7)
        .chain((MIB..MIB + 96).step_by(1))
        .chain((MIB + 32 * 512..MIB + 32 * 512 + 64).step_by(3));
    for place in places {
        let mut original = [0];
        file.seek(std::io::SeekFrom::Start(place)).unwrap();
        file.read_exact(&mut original).unwrap();
        for value in [0, 0x7f, 0xff] {
            file.seek(std::io::SeekFrom::Start(place)).unwrap();
            file.write_all(&[value]).unwrap();
            let read = std::panic::catch_unwind(|| read_report(&options.output, QEMU_IMG.as_ref()).is_err());
            assert_eq!(read.ok(), Some(true), "byte {place:#x} as {value:#x}");
        }
        file.seek(std::io::SeekFrom::Start(place)).unwrap();
        file.write_all(&original).unwrap();
    }
    for length in [0, 3, 512, 1024, MIB, MIB + 512] {
        file.set_len(length).unwrap();
        assert!(read_report(&options.output, QEMU_IMG.as_ref()).is_err());
    }
}
