//! Paths below a root that stay below it, whatever links say; and what is there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use crate::root::Root;

/// Configuration files are smaller than this.
const LARGEST: u64 = 1 << 20;
/// How many links are followed before they are called a loop (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// The real place of an absolute path below `root`. What is not there yet is where its directory is.
pub(crate) fn resolve(root: &Root, absolute: &Path) -> io::Result<PathBuf> {
    let base = root.path("/");
    let mut left: VecDeque<OsString> = names(absolute);
    let mut place = PathBuf::new();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            place.pop();
            continue;
        }
        let here = place.join(&name);
        match fs::symlink_metadata(base.join(&here)) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::other("too many links"));
                }
                let target = fs::read_link(base.join(&here))?;
                if target.is_absolute() {
                    place.clear();
                }
                for name in names(&target).into_iter().rev() {
                    left.push_front(name);
                }
            }
            Ok(_) => place = here,
            Err(error) if error.kind() == io::ErrorKind::NotFound => place = here,
            Err(error) => return Err(error),
        }
    }
    Ok(base.join(place))
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

/// The content of a file; `None` where there is none.
pub(crate) fn read(root: &Root, absolute: &Path) -> io::Result<Option<Vec<u8>>> {
    let place = resolve(root, absolute)?;
    let found = match fs::metadata(&place) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(place)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than any configuration file"));
    }
    Ok(Some(bytes))
}
