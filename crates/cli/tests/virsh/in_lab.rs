//! All scripts, typed in the lab: each daemon in an outer machine of its own, with the same simulated secure processor.
//!
//! The scripts are typed one after the other in the same machine, each against a daemon that finds an empty libvirt: booting
//! a machine for each would take longer, and an answer that depended on what was typed before would show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{DATA, PATH, SCRIPTS, Typed, firmware, sevirt};

/// For the page's guests, which lock 4 GiB. In MiB.
const MEMORY: u64 = 4400;
/// For a guest to report, or end. In seconds.
const PATIENCE: &str = "300";
/// For all of the scripts. In seconds.
const TIMEOUT: &str = "3000";
/// Stands after each script's answers.
const END: char = '\u{1d}';

/// Types the scripts that it is given, and shows in the machine's standard error what was prepared.
const TYPE: &str = r#"
for script in "$@"; do
    mkdir -p "$DIRECTORY/$script"
    scripts/private_libvirt.sh sh "$DATA/type.sh" "$DAEMON" "$DATA/$script" "$DIRECTORY/$script" || exit
    printf '\035'
    cat "$DIRECTORY/$script/setup.log" "$DIRECTORY/$script/daemon.log" >&2
done
"#;

/// What both daemons' machines need of this one.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
    image: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    firmware: String,
}

impl Bench {
    /// With the demo guest that waits for its power button, on a disk and to be booted directly.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("stay.qcow2");
        let made =
            Command::new(sevirt()).args(["lab", "image", "--stay", "--output"]).arg(&image).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let guest = lab::image::Guest::find(Path::new("/"), &lab::tools::busybox().unwrap()).unwrap();
        let initrd = directory.path().join("initrd");
        fs::write(&initrd, guest.initrd().unwrap()).unwrap();
        let kernel = guest.kernel_path().to_owned();
        Self { directory, image, kernel, initrd, firmware: firmware::for_sev() }
    }

    /// Whether this machine has the memory for both at once; else one waits for the other.
    pub(crate) fn has_room_for_two() -> bool {
        // The half is more than what the second machine needs beside its guest.
        lab::memory::reserve(MEMORY * 5 / 2).is_ok()
    }

    /// Types the scripts against `daemon`. `directory` is looked at by nobody else: what is written in the lab is thrown
    /// away.
    pub(crate) fn typed(&self, daemon: &Path, directory: &Path) -> Vec<Typed> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let state = tempfile::tempdir_in(self.directory.path()).unwrap();
        let mut command = Command::new(sevirt());
        command.args(["lab", "exec", "--timeout", TIMEOUT, "--memory", &MEMORY.to_string(), "--state-dir"]);
        command.arg(state.path());
        let mut variable = |name: &str, value: &Path| {
            command.args(["--env", &format!("{name}={}", value.to_str().unwrap())]);
        };
        variable("PATH", Path::new(PATH));
        variable("HOME", Path::new("/root"));
        // All that starts there ends with the machine.
        variable("SEVIRT_PRIVATE_LIBVIRT", Path::new("yes"));
        variable("DAEMON", daemon);
        variable("DATA", Path::new(DATA));
        variable("DIRECTORY", directory);
        variable("IMAGE", &self.image);
        variable("KERNEL", &self.kernel);
        variable("INITRD", &self.initrd);
        variable("FIRMWARE", Path::new(&self.firmware));
        variable("EXAMPLES", &root.join("examples"));
        variable("PATIENCE", Path::new(PATIENCE));
        variable("PAUSE", Path::new("0.5"));
        let output = command
            .args(["--", "sh", "-c", TYPE, "sh"])
            .args(SCRIPTS)
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        read(daemon, &output, directory)
    }
}

/// The answers to each script.
fn read(daemon: &Path, output: &Output, directory: &Path) -> Vec<Typed> {
    let printed = Typed::printed(daemon, output);
    let parts: Vec<&str> = printed.split_terminator(END).collect();
    assert_eq!(parts.len(), SCRIPTS.len(), "{}: {printed}", daemon.display());
    let read = |(script, printed): (&&str, &str)| Typed::read(printed, &directory.join(script));
    SCRIPTS.iter().zip(parts).map(read).collect()
}
