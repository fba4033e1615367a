//! Pools and volumes on a real file system, with the real qemu-img.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use rpc::error::Code;
use rpc::xdr::Uuid;

use super::*;
use crate::service::Paths;

struct Place {
    directory: tempfile::TempDir,
    paths: Paths,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(directory.path(), true);
        Self { directory, paths }
    }

    fn pools(&self) -> Pools {
        Pools::new(&self.paths)
    }

    fn definition(&self, name: &str) -> Definition {
        let path = self.directory.path().join(name);
        let text = format!(
            "<pool type='dir'><name>{name}</name><target><path>{}</path></target></pool>",
            path.display()
        );
        Definition::parse(&text, Uuid(*uuid::Uuid::new_v4().as_bytes())).unwrap()
    }

    /// A pool that is active.
    fn pool(&self, name: &str) -> Pool {
        self.pools().create(self.definition(name), true).unwrap()
    }
}

fn wanted(text: &str) -> Wanted {
    Wanted::parse(text, true).unwrap()
}

fn make(pool: &Pool, name: &str, format: &str, rest: &str) {
    let text = format!(
        "<volume><name>{name}</name><capacity unit='M'>4</capacity><allocation>0</allocation>\
         <target><format type='{format}'/></target>{rest}</volume>"
    );
    pool.make_volume(&wanted(&text), CreateFlags::default()).unwrap();
}

#[test]
fn the_first_pool_is_made_once() {
    let place = Place::new();
    let pools = place.pools();
    let first = pools.by_name("default").unwrap();
    assert!(first.autostart && first.live.is_some());
    assert_eq!(first.defined.as_ref().unwrap().path, place.paths.state.join("images"));
    assert_eq!(place.pools().by_name("default").unwrap(), first);
    pools.stop("default").unwrap();
    pools.undefine("default").unwrap();
    assert!(place.pools().all().unwrap().is_empty());
}

#[test]
fn pools_outlive_the_daemon_and_start_with_the_host() {
    let place = Place::new();
    let pools = place.pools();
    for name in ["a", "b"] {
        pools.define(place.definition(name)).unwrap();
        pools.build(name).unwrap();
    }
    pools.set_autostart("a", true).unwrap();
    pools.start("b", false).unwrap();
    pools.create(place.definition("transient"), true).unwrap();
    let active = |pools: &Pools| -> Vec<String> {
        let all = pools.all().unwrap().into_iter().filter_map(|pool| pool.live);
        all.map(|live| live.name.clone()).collect()
    };
    assert_eq!(active(&place.pools()), ["b", "default", "transient"]);
    // The host starts anew.
    std::fs::remove_dir_all(&place.paths.run).unwrap();
    assert_eq!(active(&place.pools()), ["a", "default"]);
    assert_eq!(place.pools().by_name("transient").unwrap_err().code, Code::NO_STORAGE_POOL);
}

#[test]
fn what_cannot_be_read_is_left_and_the_rest_is_there() {
    let place = Place::new();
    place.pools().define(place.definition("a")).unwrap();
    let bad = place.paths.state.join("storage/bad.xml");
    std::fs::write(&bad, "<pool type='dir'").unwrap();
    assert_eq!(place.pools().all().unwrap().len(), 2);
    assert!(bad.exists());
}

#[test]
fn names_uuids_and_directories_belong_to_one_pool() {
    let place = Place::new();
    let pools = place.pools();
    let first = place.definition("a");
    pools.define(first.clone()).unwrap();
    pools.define(first.clone()).unwrap();
    let other_uuid = Definition { uuid: Uuid([9; 16]), ..first.clone() };
    let other_name = Definition { name: "b".into(), ..first.clone() };
    let other_both = Definition { name: "b".into(), uuid: Uuid([9; 16]), ..first };
    for (definition, words) in [
        (other_uuid, "pool 'a' already exists with uuid"),
        (other_name, "pool 'a' is already defined with uuid"),
        (other_both, "Storage source conflict with pool: 'a'"),
    ] {
        let error = pools.define(definition).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn volumes_are_made_resized_copied_and_removed() {
    let place = Place::new();
    let pool = place.pool("p");
    make(&pool, "raw", "raw", "");
    make(&pool, "-q", "qcow2", "");
    for name in ["raw", "-q"] {
        let volume = pool.volume(name).unwrap();
        assert_eq!(volume.capacity, 4 << 20, "{name}");
        assert!(volume.allocation < 1 << 20, "{name}");
        let mode = std::fs::metadata(&volume.path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let flags = ResizeFlags { delta: true, ..ResizeFlags::default() };
        pool.resize_volume(name, 1 << 20, flags).unwrap();
        assert_eq!(pool.volume(name).unwrap().capacity, 5 << 20, "{name}");
        let error = pool.resize_volume(name, 3 << 20, ResizeFlags::default()).unwrap_err();
        assert_eq!(error.code, Code::INVALID_ARG, "{name}");
        let flags = ResizeFlags { shrink: true, ..ResizeFlags::default() };
        pool.resize_volume(name, 3 << 20, flags).unwrap();
        assert_eq!(pool.volume(name).unwrap().capacity, 3 << 20, "{name}");
    }
    std::fs::OpenOptions::new()
        .write(true)
        .open(pool.volume("raw").unwrap().path)
        .unwrap()
        .write_all(b"data")
        .unwrap();
    let text = "<volume><name>copy</name><capacity unit='M'>8</capacity>\
        <target><format type='qcow2'/></target></volume>";
    pool.copy_volume(&wanted(text), &pool, "raw", CreateFlags::default()).unwrap();
    assert_eq!(pool.volume("copy").unwrap().capacity, 8 << 20);
    let text = "<volume><name>-back</name><target><format type='raw'/></target></volume>";
    pool.copy_volume(&wanted(text), &pool, "copy", CreateFlags::default()).unwrap();
    let back = std::fs::read(pool.volume("-back").unwrap().path).unwrap();
    assert_eq!((&back[..5], back.len()), (&b"data\0"[..], 8 << 20));
    pool.wipe_volume("-back", Algorithm::Zero).unwrap();
    assert!(std::fs::read(pool.volume("-back").unwrap().path).unwrap().iter().all(|byte| *byte == 0));
    for name in ["raw", "-q", "copy", "-back"] {
        pool.remove_volume(name).unwrap();
    }
    assert!(pool.volume_names().unwrap().is_empty());
    let error = pool.remove_volume("raw").unwrap_err();
    assert_eq!(error.to_string(), "Storage volume not found: no storage vol with matching name 'raw'");
}

#[test]
fn what_fails_leaves_nothing() {
    let place = Place::new();
    let pool = place.pool("p");
    let text = "<volume><name>a</name><capacity>1</capacity><target><format type='qcow2'/></target>\
        <backingStore><path>/nowhere/at,all</path><format type='qcow2'/></backingStore></volume>";
    let error = pool.make_volume(&wanted(text), CreateFlags::default()).unwrap_err();
    assert!(error.to_string().contains("qemu-img failed"), "{error}");
    let text = "<volume><name>b</name><capacity unit='P'>4000</capacity></volume>";
    assert_eq!(pool.make_volume(&wanted(text), CreateFlags::default()).unwrap_err().code, Code::SYSTEM_ERROR);
    assert!(pool.volume_names().unwrap().is_empty());
}

#[test]
fn a_copy_follows_no_image_out_of_the_pool() {
    let place = Place::new();
    let (pool, other) = (place.pool("p"), place.pool("other"));
    make(&pool, "base", "qcow2", "");
    make(&other, "foreign", "raw", "");
    let backing = |path: &Path, format: &str| {
        format!("<backingStore><path>{}</path><format type='{format}'/></backingStore>", path.display())
    };
    make(&pool, "inside", "qcow2", &backing(&pool.volume("base").unwrap().path, "qcow2"));
    make(&pool, "outside", "qcow2", &backing(&other.volume("foreign").unwrap().path, "raw"));
    make(&pool, "through", "qcow2", &backing(&pool.volume("outside").unwrap().path, "qcow2"));
    symlink(other.volume("foreign").unwrap().path, place.directory.path().join("p/link")).unwrap();
    let copy = |from: &str| {
        let text = format!("<volume><name>of-{from}</name><target><format type='raw'/></target></volume>");
        pool.copy_volume(&wanted(&text), &pool, from, CreateFlags::default())
    };
    copy("inside").unwrap();
    for from in ["outside", "through"] {
        let error = copy(from).unwrap_err();
        assert!(error.to_string().contains("outside the pool"), "{error}");
    }
    assert_eq!(copy("link").unwrap_err().code, Code::NO_STORAGE_VOL);
    // A guest wrote this into its raw disk.
    let path = pool.volume("base").unwrap().path;
    let mut header = std::fs::read(&path).unwrap();
    header[72..80].copy_from_slice(&4u64.to_be_bytes());
    std::fs::write(&path, header).unwrap();
    let error = copy("base").unwrap_err();
    assert!(error.to_string().contains("its data is in another file"), "{error}");
}

#[tokio::test]
async fn bytes_come_and_go() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let place = Place::new();
    let pool = place.pool("p");
    make(&pool, "a", "raw", "");
    let mut upload = pool.upload("a", 10, 5).unwrap();
    upload.write_all(b"hello").await.unwrap();
    assert!(upload.write_all(b"!").await.is_err());
    upload.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    pool.download("a", 9, 7).unwrap().read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"\0hello\0");
    bytes.clear();
    pool.download("a", 1, 0).unwrap().read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), (4 << 20) - 1);
    assert_eq!(pool.upload("a", 5 << 20, 0).unwrap_err().code, Code::INVALID_ARG);
    assert_eq!(pool.download("../p/a", 0, 0).unwrap_err().code, Code::OPERATION_INVALID);
}
