//! The page's script, typed in the lab: each daemon in an outer machine of its own, with the same simulated secure processor.
//!
//! It takes 200 s of a processor for each daemon, most of them the two guests' firmware. `commands.virsh` would take 160 to
//! 190 s more, so that it is typed outside; what of it concerns a confidential guest is typed here as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{DATA, PATH, Typed, firmware, sevirt};

/// The script.
pub(crate) const SCRIPT: &str = "sev.virsh";

/// For the page's guests, which lock 4 GiB. In MiB.
const MEMORY: u64 = 4400;
/// For a guest to report, or end. In seconds.
const PATIENCE: &str = "300";
/// For all of the script. In seconds.
const TIMEOUT: &str = "2400";

/// What both daemons' machines need of this one.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
    image: PathBuf,
    firmware: String,
}

impl Bench {
    /// With the demo guest that waits for its power button.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("stay.qcow2");
        let made =
            Command::new(sevirt()).args(["lab", "image", "--stay", "--output"]).arg(&image).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self { directory, image, firmware: firmware::for_sev() }
    }

    /// Whether this machine has the memory for both at once; else one waits for the other.
    pub(crate) fn has_room_for_two() -> bool {
        // The half is more than what the second machine needs beside its guest.
        lab::memory::reserve(MEMORY * 5 / 2).is_ok()
    }

    /// Types the script against `daemon`. `directory` is looked at by nobody else: what is written in the lab is thrown
    /// away.
    pub(crate) fn typed(&self, daemon: &Path, directory: &Path) -> Typed {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let state = tempfile::tempdir_in(self.directory.path()).unwrap();
        let mut command = Command::new(sevirt());
        command.args(["lab", "exec", "--timeout", TIMEOUT, "--memory", &MEMORY.to_string(), "--state-dir"]);
        command.arg(state.path());
        let mut variable = |name: &str, value: &str| {
            command.args(["--env", &format!("{name}={value}")]);
        };
        variable("PATH", PATH);
        variable("HOME", "/root");
        // All that starts there ends with the machine.
        variable("SEVIRT_PRIVATE_LIBVIRT", "yes");
        variable("IMAGE", self.image.to_str().unwrap());
        variable("FIRMWARE", &self.firmware);
        variable("EXAMPLES", root.join("examples").to_str().unwrap());
        variable("PATIENCE", PATIENCE);
        variable("PAUSE", "1");
        let output = command
            .args(["--", "scripts/private_libvirt.sh", "sh"])
            .arg(format!("{DATA}/type.sh"))
            .arg(daemon)
            .arg(format!("{DATA}/{SCRIPT}"))
            .arg(directory)
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Typed::read(daemon, &output, directory)
    }
}
