//! `sevirt secure` as a user meets it.

use super::*;

const SECURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/test_data/secure");

fn host() -> String {
    format!("{SECURE}/host.json")
}

fn before(case: &str) -> String {
    fs::read_to_string(format!("{SECURE}/{case}/before.xml")).unwrap()
}

#[test]
fn in_a_pipe_what_is_not_safe_is_named_and_left_out() {
    let (directory, path) = with_file("vault.xml", before("virt-install-bios-i440fx"));
    let arguments = ["secure", "--facts", &host(), "vault.xml", "--tech", "sev"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("# vault.xml: SEV, 2 changes\n"), "{shown}");
    let left_out = shown.split_once("# Left out, not made without `--unsafe`:\n").unwrap().1;
    for change in ["machine: use the machine Q35", "DEV007 network-option-rom"] {
        assert!(left_out.contains(change), "no `{change}` in {left_out}");
    }
    assert!(left_out.contains("# Left to do:\n"), "{left_out}");
    assert_eq!(fs::read_to_string(path).unwrap(), before("virt-install-bios-i440fx"));
}

#[test]
fn the_whole_is_one_patch() {
    let (directory, path) = with_file("vault.xml", before("virt-install-uefi-q35"));
    let arguments = ["secure", "--facts", &host(), "vault.xml", "--tech", "sev-es", "--unsafe"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::write(directory.path().join("changes.diff"), &output.stdout).unwrap();
    let patched =
        Command::new("patch").args(["-p1", "-i", "changes.diff"]).current_dir(directory.path()).output();
    assert!(patched.unwrap().status.success());
    let wanted = fs::read_to_string(format!("{SECURE}/virt-install-uefi-q35/sev-es.xml")).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), wanted);
}

#[test]
fn a_written_domain_lints_without_errors_and_is_not_written_twice() {
    let (directory, path) = with_file("mail.xml", before("stored-uefi-q35"));
    let arguments = ["secure", "--facts", &host(), "mail.xml", "--tech", "sev-snp", "--unsafe", "--write"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""), "{output:?}");
    assert!(text(&output.stderr).contains("# 1. launch security: ask for SEV-SNP with policy 0x30000"));
    let lint = sevirt(directory.path(), &["lint", "--facts", &host(), "mail.xml"], b"");
    assert_eq!(lint.status.code(), Some(0), "{}", text(&lint.stdout));
    let written = fs::read_to_string(&path).unwrap();
    let again = sevirt(directory.path(), &arguments, b"");
    assert_eq!(again.status.code(), Some(0));
    assert!(text(&again.stderr).starts_with("# mail.xml: SEV-SNP, 0 changes\n"), "{again:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), written);
}

#[test]
fn standard_input_is_answered_on_standard_output() {
    let here = tempfile::tempdir().unwrap();
    let arguments =
        ["secure", "--facts", &host(), "-", "--tech", "sev", "--unsafe", "--write", "--policy", "0x1"];
    let output = sevirt(here.path(), &arguments, before("virt-manager-bios-q35").as_bytes());
    assert!(text(&output.stdout).contains("<policy>0x0001</policy>"), "{output:?}");
    assert!(text(&output.stdout).contains("<!-- Made with virt-manager, then edited by hand. -->"));
}

#[test]
fn what_is_no_policy_or_no_domain_is_refused() {
    let (directory, _) = with_file("net.xml", "<network/>");
    for (policy, message) in [
        ("0x7", "error: the policy 0x7 asks for encrypted registers (bit 2); that is SEV-ES\n"),
        (
            "secret",
            "error: `secret` is no word of a policy for SEV: it knows no-debug, no-key-sharing, es, no-send, domain, sev, and hexadecimal numbers\n",
        ),
        ("no-debug", "error: `net.xml` is no domain\n"),
    ] {
        let arguments = ["secure", "--facts", &host(), "net.xml", "--tech", "sev", "--policy", policy];
        let output = sevirt(directory.path(), &arguments, b"");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(2), message));
    }
}

#[test]
fn on_a_terminal_each_unsafe_change_is_asked_for() {
    let (directory, path) = with_file("ledger.xml", before("virt-install-bios-i440fx"));
    let sevirt = env!("CARGO_BIN_EXE_sevirt");
    let command = format!("{sevirt} secure --facts {} ledger.xml --tech sev --write", host());
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Yes to the machine, no to the firmware, nothing to all others.
    child.stdin.take().unwrap().write_all(b"y\nn\n\n\n\n\n\n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = text(&output.stdout);
    assert!(shown.contains("make this change? [y/N]"), "{shown}");
    assert!(shown.contains("Left out, not wanted:"), "{shown}");
    let written = fs::read_to_string(path).unwrap();
    assert!(written.contains("machine=\"q35\"") && !written.contains("<loader"), "{written}");
    assert_eq!(output.status.code(), Some(1));
}
