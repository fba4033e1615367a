//! `sevirt fix`: what it shows, and how it replaces files.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

#[test]
fn fix_shows_a_diff_and_writes_nothing() {
    let (directory, path) = with_file("q35.xml", seed());
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "q35.xml"], b"");
    assert_eq!(output.status.code(), Some(1), "the firmware is still missing");
    expect![[r#"
        --- a/q35.xml
        +++ b/q35.xml
        @@ -63,11 +63,12 @@
               <driver iommu='on'/>
             </memballoon>
             <rng model='virtio'>
        +      <backend model='random'>/dev/urandom</backend>
               <driver iommu='on'/>
             </rng>
           </devices>
           <launchSecurity type='sev'>
        -    <cbitpos>47</cbitpos>
        +    <cbitpos>51</cbitpos>
             <reducedPhysBits>1</reducedPhysBits>
             <policy>0x0003</policy>
           </launchSecurity>
    "#]]
    .assert_eq(&text(&output.stdout));
    assert_eq!(fs::read_to_string(path).unwrap(), seed());
}

#[test]
fn fix_writes_through_a_link_and_keeps_the_mode() {
    let (directory, path) = with_file("q35.xml", seed().replace('\n', "\r\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link.xml");
    std::os::unix::fs::symlink("q35.xml", &link).unwrap();
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "--unsafe", "--write", "link.xml"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("<cbitpos>51</cbitpos>\r\n"));
    assert!(written.lines().all(|line| !line.ends_with('\r')) && !written.replace("\r\n", "").contains('\n'));
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "something was left behind: {left:?}");
    let again = sevirt(directory.path(), &["fix", "--facts", FACTS, "--unsafe", "--write", "q35.xml"], b"");
    assert_eq!(text(&again.stderr), "q35.xml: nothing to fix\n");
}

#[test]
fn fix_passes_standard_input_on() {
    let here = tempfile::tempdir().unwrap();
    let output = sevirt(here.path(), &["fix", "--facts", FACTS, "--write", "-"], seed().as_bytes());
    assert!(text(&output.stdout).starts_with("<domain type='kvm'>"));
    assert!(text(&output.stdout).contains("<backend model='random'>/dev/urandom</backend>"));
}

/// The owner, the mode and the extended attributes of a file.
fn dress(path: &Path) -> (u32, u32, u32, String) {
    let found = fs::metadata(path).unwrap();
    let mut label = [0; 64];
    let length = rustix::fs::getxattr(path, "user.label", &mut label[..]).unwrap_or(0);
    (found.uid(), found.gid(), found.mode(), String::from_utf8_lossy(&label[..length]).into_owned())
}

#[test]
fn a_written_file_keeps_owner_mode_and_attributes() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("q35.xml");
    fs::write(&path, seed()).unwrap();
    // Only root may give files away.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    rustix::fs::setxattr(&path, "user.label", b"guests", rustix::fs::XattrFlags::empty()).unwrap();
    let before = dress(&path);
    assert_eq!(before.3, "guests");
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "--write", "q35.xml"], b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_ne!(fs::read_to_string(&path).unwrap(), seed());
    assert_eq!(dress(&path), before);
}

#[test]
fn what_does_not_fit_on_the_disk_leaves_the_old_file() {
    let (directory, path) = with_file("q35.xml", seed());
    // A limit of 512 bytes a file, at which writes fail as they do on a full disk.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_sevirt"), "fix", "--facts", FACTS, "--write"])
        .arg(&path)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains("write the new content; the old file is unchanged: File too large"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), seed());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn many_files_are_fixed_and_the_worst_decides_the_exit() {
    let (directory, path) = with_file("a.xml", seed());
    fs::write(directory.path().join("b.xml"), "<domain><name>b</nam></domain>").unwrap();
    fs::write(directory.path().join("net.xml"), "<network><name>n</name></network>").unwrap();
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "--write", "."], b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains("./a.xml: SEV004 wrong-c-bit: set cbitpos to 51"), "{told}");
    assert!(told.contains("./b.xml:1:16"), "{told}");
    assert!(told.contains("`./net.xml` is passed over: <network> is no domain"), "{told}");
    assert!(fs::read_to_string(path).unwrap().contains("<cbitpos>51</cbitpos>"));
}
