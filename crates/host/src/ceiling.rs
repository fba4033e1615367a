//! The ceiling of machine.slice as a file: a drop-in for systemd, where its bus is not there to ask.

use std::io;

use crate::root::Root;
use crate::settings::disk::Disk;

/// Where sevirt writes the ceiling.
pub const DROP_IN: &str = "/etc/systemd/system/machine.slice.d/50-sevirt.conf";

/// The drop-in's text for a ceiling in bytes.
#[must_use]
pub fn drop_in(ceiling: u64) -> String {
    format!("# Written by `sevirt host limits --apply`.\n[Slice]\nMemoryMax={ceiling}\n")
}

/// The drop-in as it is; empty where there is none.
pub fn read(root: &Root) -> io::Result<String> {
    match std::fs::read(root.path(DROP_IN)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Writes the drop-in: after a crash it is the old one or the new one.
pub fn write(root: &Root, ceiling: u64) -> io::Result<()> {
    let path = root.path(DROP_IN);
    let disk = Disk::default();
    if let Some(directory) = path.parent() {
        disk.make_directories(directory, 0o755)?;
    }
    disk.put(&path, drop_in(ceiling).as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Fact;

    #[test]
    fn what_is_written_is_the_ceiling_that_is_found() {
        let tree = tempfile::tempdir().unwrap();
        let root = Root::at(tree.path().to_owned());
        assert_eq!(read(&root).unwrap(), "");
        for ceiling in [8 << 30, 9 << 30] {
            write(&root, ceiling).unwrap();
            assert_eq!(read(&root).unwrap(), drop_in(ceiling));
            let Fact::Known(slice) = crate::probe(&root).machine_slice else { panic!("no slice") };
            assert_eq!(slice.memory_max, Some(ceiling));
        }
    }
}
