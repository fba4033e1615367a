//! Gives the outer machine's disks the names by which the job knows them, whatever order the kernel found them in.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::disk::Disk;
use crate::resolve::disk_device;

/// Links each disk of the lab, told by its serial number, to its name.
pub(super) fn link() -> io::Result<()> {
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let Ok(serial) = fs::read_to_string(entry.path().join("serial")) else { continue };
        let Some(index) = Disk::index(serial.trim()) else { continue };
        let name = disk_device(index);
        if let Some(directory) = Path::new(&name).parent() {
            fs::create_dir_all(directory)?;
        }
        symlink(Path::new("/dev").join(entry.file_name()), name)?;
    }
    Ok(())
}
