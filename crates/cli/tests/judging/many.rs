//! `sevirt lint` over many files and directories.

use super::*;

/// A store of domains as libvirt keeps one: domains, networks, links to domains, and what is none of it.
fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let put = |path: &str, content: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let plain = "<domain type='kvm'><name>plain</name><memory>1</memory><vcpu>1</vcpu><os>\
                 <type arch='x86_64' machine='q35'>hvm</type></os></domain>";
    put("qemu/seed.xml", &seed());
    put("qemu/plain.xml", plain);
    put("qemu/networks/default.xml", "<network><name>default</name></network>");
    put("qemu/.hidden.xml", "<domain/>");
    put("qemu/notes.txt", "no XML");
    put("qemu/more/broken.xml", "<domain>");
    fs::create_dir(directory.path().join("qemu/autostart")).unwrap();
    std::os::unix::fs::symlink("../seed.xml", directory.path().join("qemu/autostart/seed.xml")).unwrap();
    std::os::unix::fs::symlink("..", directory.path().join("qemu/loop")).unwrap();
    directory
}

#[test]
fn a_directory_is_searched_for_domains() {
    let directory = store();
    let arguments = ["lint", "--facts", FACTS, "--allow", "SEV001", "qemu"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let files: Vec<String> = text(&output.stdout)
        .lines()
        .filter_map(|line| Some(line.split_once("--> ")?.1.split(':').next()?.to_owned()))
        .collect();
    let mut names = files.clone();
    names.dedup();
    assert_eq!(names, ["qemu/seed.xml", "qemu/more/broken.xml"], "each file once, its findings together");
    assert_eq!(
        text(&output.stderr),
        "note: `qemu/networks/default.xml` is passed over: <network> is no domain\n"
    );
    let summary = text(&output.stdout).lines().last().unwrap().to_owned();
    assert!(summary.starts_with("3 domains, 2 with errors: 3 errors, "), "{summary}");
    assert!(summary.contains("; `sevirt fix` mends "), "{summary}");
}

#[test]
fn a_named_file_is_judged_whatever_it_is() {
    let directory = store();
    let output = sevirt(directory.path(), &["lint", "--facts", FACTS, "qemu/networks/default.xml"], b"");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn the_worst_is_told_first_and_what_is_allowed_last() {
    let here = tempfile::tempdir().unwrap();
    let arguments = ["lint", "--facts", FACTS, "--allow", "DEV001", "-"];
    let output = sevirt(here.path(), &arguments, seed().as_bytes());
    let shown = text(&output.stdout);
    let at = |word: &str| shown.find(word).unwrap_or_else(|| panic!("no `{word}` in {shown}"));
    assert!(at("error[FW003") < at("error[SEV004"));
    assert!(at("error[SEV004") < at("allowed: DEV001"), "{shown}");
    assert!(at("allowed: DEV001") > shown.rfind("= help").unwrap(), "{shown}");
    let summary = shown.lines().last().unwrap();
    assert!(summary.starts_with("<stdin>: 2 errors"), "{summary}");
}

#[test]
fn a_thousand_domains_need_no_more_memory_than_a_few() {
    let directory = tempfile::tempdir().unwrap();
    let peak = |count: usize| {
        for number in 0..count {
            let name = format!("{number:05}.xml");
            fs::write(directory.path().join(name), seed()).unwrap();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_sevirt"))
            .args(["lint", "--facts", FACTS, "--format", "json", "."])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bytes = 0;
        let mut stdout = child.stdout.take().unwrap();
        let mut buffer = [0; 65536];
        let mut peak = 0;
        while let Ok(read @ 1..) = std::io::Read::read(&mut stdout, &mut buffer) {
            bytes += read;
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
            let resident: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
            peak = peak.max(resident);
        }
        child.wait().unwrap();
        assert!(bytes > count * 500, "{bytes} bytes for {count} domains");
        peak
    };
    let (few, many) = (peak(50), peak(1000));
    assert!(many < few + 4096, "{few} KiB for 50 domains, {many} KiB for 1000");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..200 {
        fs::write(directory.path().join(format!("{number:05}.xml")), seed()).unwrap();
    }
    for format in ["text", "json", "sarif"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sevirt"))
            .args(["lint", "--facts", FACTS, "--format", format, "."])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 100];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""), "{format}");
    }
}

#[test]
fn on_a_terminal_text_is_coloured_and_wrapped() {
    let (directory, _) = with_file("q35.xml", seed());
    let command = format!("stty cols 60; {} lint --facts {FACTS} q35.xml", env!("CARGO_BIN_EXE_sevirt"));
    let shown = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = text(&shown.stdout);
    assert!(shown.contains("\u{1b}["), "no colour: {shown:?}");
    let plain = anstream::adapter::strip_str(&shown).to_string();
    let long: Vec<&str> = plain
        .lines()
        .filter(|line| line.contains("= help") && line.trim_end().chars().count() > 60)
        .collect();
    assert_eq!(long, [] as [&str; 0]);
    assert!(plain.contains("= help: fit for SEV on this host:"), "{plain}");
}
