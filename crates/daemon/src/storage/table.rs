//! The pools: which there are, which are active, and their files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rpc::error::Code;
use rpc::xdr::Uuid;

use super::directory::Directory;
use super::{Definition, Failure, Permissions, Space, Volume, fault, system};
use crate::locked;
use crate::service::Paths;
use crate::store::file;

/// The pool that every host has until somebody undefines it.
const DEFAULT: &str = "default";
/// Of directories that are made for pools, as libvirt makes them.
const DIRECTORY_MODE: u32 = 0o711;
/// A definition is smaller by far.
const DEFINITION_MAX: u64 = 1 << 20;

/// All pools, read when they are first asked for.
#[derive(Debug)]
pub(crate) struct Pools {
    places: Places,
    table: Mutex<Option<Table>>,
}

type Table = BTreeMap<String, Pool>;

/// Where pools are kept.
#[derive(Debug)]
struct Places {
    state: PathBuf,
    run: PathBuf,
    images: PathBuf,
    /// Where images go if `images` is not there.
    own_images: PathBuf,
}

/// One pool: defined, active, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    /// None where it is transient.
    pub(crate) defined: Option<Arc<Definition>>,
    /// What it is while it is active.
    pub(crate) live: Option<Arc<Definition>>,
    pub(crate) autostart: bool,
}

impl Pool {
    /// What holds now: that of an active pool goes before what was defined since.
    pub(crate) fn now(&self) -> Option<&Arc<Definition>> {
        self.live.as_ref().or(self.defined.as_ref())
    }

    fn uuid(&self) -> Option<Uuid> {
        self.now().map(|definition| definition.uuid)
    }

    /// Its directory, if it is active.
    pub(super) fn directory(&self) -> Result<Directory, Failure> {
        let live = self.live.as_ref().ok_or_else(|| not_active(self))?;
        Directory::open(&live.path)
    }

    /// How full it is; nothing of a pool that is not active.
    pub(crate) fn space(&self) -> Result<Space, Failure> {
        if self.live.is_none() {
            return Ok(Space::default());
        }
        let directory = self.directory()?;
        directory.space().map_err(|error| directory.failed("ask for the space of", "", error))
    }

    pub(crate) fn print(&self, inactive: bool) -> Result<String, Failure> {
        if let Some(defined) = self.defined.as_ref().filter(|_| inactive || self.live.is_none()) {
            return Ok(defined.print(None));
        }
        let Some(live) = &self.live else { return Err(not_active(self)) };
        let directory = self.directory()?;
        let metadata = directory.metadata().map_err(|error| directory.failed("look at", "", error))?;
        let mut permissions = Permissions::of(&metadata);
        permissions.mode = permissions.mode.map(|mode| mode & 0o777);
        Ok(live.print(Some((self.space()?, permissions))))
    }

    pub(crate) fn volume_names(&self) -> Result<Vec<String>, Failure> {
        let directory = self.directory()?;
        let names = directory.names().map_err(|error| directory.failed("read", "", error))?;
        // What cannot be opened is no volume; a directory of thousands is not looked into twice.
        Ok(names.into_iter().filter(|name| matches!(directory.find(name), Ok(Some(_)))).collect())
    }

    pub(crate) fn volume(&self, name: &str) -> Result<Volume, Failure> {
        let directory = self.directory()?;
        let none = || fault(Code::NO_STORAGE_VOL, format!("no storage vol with matching name '{name}'"));
        Volume::look(&directory, name)?.ok_or_else(none)
    }
}

fn not_active(pool: &Pool) -> Failure {
    let name = pool.now().map_or("", |definition| definition.name.as_str());
    fault(Code::OPERATION_INVALID, format!("storage pool '{name}' is not active"))
}

fn none_named(name: &str) -> Failure {
    fault(Code::NO_STORAGE_POOL, format!("no storage pool with matching name '{name}'"))
}

impl Pools {
    pub(crate) fn new(paths: &Paths) -> Self {
        let places = Places {
            state: paths.state.join("storage"),
            run: paths.run.join("storage"),
            images: paths.images.clone(),
            own_images: paths.state.join("images"),
        };
        Self { places, table: Mutex::new(None) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Table, &Places) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut table = locked(&self.table);
        act(table.get_or_insert_with(|| self.places.load()), &self.places)
    }

    pub(crate) fn all(&self) -> Result<Vec<Pool>, Failure> {
        self.with(|table, _| Ok(table.values().cloned().collect()))
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<Pool, Failure> {
        self.with(|table, _| table.get(name).cloned().ok_or_else(|| none_named(name)))
    }

    /// `name` is what the client believes it to be called.
    pub(crate) fn by_uuid(&self, uuid: Uuid, name: Option<&str>) -> Result<Pool, Failure> {
        let found = self.all()?.into_iter().find(|pool| pool.uuid() == Some(uuid));
        found.ok_or_else(|| {
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            fault(Code::NO_STORAGE_POOL, format!("no storage pool with matching uuid '{uuid}'{name}"))
        })
    }

    pub(crate) fn define(&self, definition: Definition) -> Result<Pool, Failure> {
        self.with(|table, places| {
            free(table, &definition)?;
            places.save(&places.state, &definition)?;
            let pool = table.entry(definition.name.clone()).or_default();
            pool.defined = Some(Arc::new(definition));
            Ok(pool.clone())
        })
    }

    /// Makes an active pool without a definition; `build` makes its directory.
    pub(crate) fn create(&self, definition: Definition, build: bool) -> Result<Pool, Failure> {
        self.with(|table, places| {
            free(table, &definition)?;
            if let Some(there) = table.get(&definition.name) {
                let what = if there.live.is_some() { "is already active" } else { "is already defined" };
                let words = format!("pool '{}' {what}", definition.name);
                return Err(fault(Code::OPERATION_FAILED, words));
            }
            let pool = Pool { live: Some(places.activate(&definition, build)?), ..Pool::default() };
            table.insert(definition.name, pool.clone());
            Ok(pool)
        })
    }

    pub(crate) fn start(&self, name: &str, build: bool) -> Result<Pool, Failure> {
        self.with(|table, places| {
            let pool = table.get_mut(name).ok_or_else(|| none_named(name))?;
            let Some(defined) = pool.defined.as_ref().filter(|_| pool.live.is_none()) else {
                let words = format!("storage pool '{name}' is already active");
                return Err(fault(Code::OPERATION_INVALID, words));
            };
            pool.live = Some(places.activate(defined, build)?);
            Ok(pool.clone())
        })
    }

    pub(crate) fn stop(&self, name: &str) -> Result<Pool, Failure> {
        self.with(|table, places| {
            let pool = table.get_mut(name).ok_or_else(|| none_named(name))?;
            if pool.live.is_none() {
                return Err(not_active(pool));
            }
            places.forget(&places.run, name)?;
            pool.live = None;
            let was = pool.clone();
            if pool.defined.is_none() {
                table.remove(name);
            }
            Ok(was)
        })
    }

    pub(crate) fn undefine(&self, name: &str) -> Result<(), Failure> {
        self.with(|table, places| {
            let pool = table.get(name).ok_or_else(|| none_named(name))?;
            if pool.live.is_some() {
                let words = format!("storage pool '{name}' is still active");
                return Err(fault(Code::OPERATION_INVALID, words));
            }
            places.forget(&places.autostart(), name)?;
            places.forget(&places.state, name)?;
            table.remove(name);
            Ok(())
        })
    }

    pub(crate) fn set_autostart(&self, name: &str, on: bool) -> Result<(), Failure> {
        self.with(|table, places| {
            let pool = table.get_mut(name).ok_or_else(|| none_named(name))?;
            if pool.defined.is_none() {
                return Err(fault(Code::INVALID_ARG, "pool has no config file"));
            }
            if on == pool.autostart {
                return Ok(());
            }
            let done = if on { places.link(name) } else { places.forget(&places.autostart(), name) };
            done?;
            pool.autostart = on;
            Ok(())
        })
    }

    /// Makes the directory of a pool that is not active.
    pub(crate) fn build(&self, name: &str) -> Result<(), Failure> {
        let pool = self.inactive(name)?;
        pool.defined.as_ref().map_or(Ok(()), |definition| build(definition))
    }

    /// Removes the directory of a pool that is not active, if it is empty.
    pub(crate) fn delete(&self, name: &str) -> Result<(), Failure> {
        let pool = self.inactive(name)?;
        let Some(definition) = &pool.defined else { return Ok(()) };
        let path = &definition.path;
        fs::remove_dir(path)
            .map_err(|error| system(format!("failed to remove pool '{}'", path.display()), error))
    }

    fn inactive(&self, name: &str) -> Result<Pool, Failure> {
        let pool = self.by_name(name)?;
        if pool.live.is_some() {
            return Err(fault(Code::OPERATION_INVALID, format!("storage pool '{name}' is still active")));
        }
        Ok(pool)
    }

    /// The active pool whose directory holds that path, and the volume's name in it.
    pub(crate) fn of_path(&self, path: &str) -> Result<(Pool, String), Failure> {
        let none = || fault(Code::NO_STORAGE_VOL, format!("no storage vol with matching path '{path}'"));
        let plain = super::definition::plain(path).map_err(|_| none())?;
        let (Some(parent), Some(name)) = (plain.parent(), plain.file_name().and_then(|name| name.to_str()))
        else {
            return Err(none());
        };
        let holds = |pool: &Pool| pool.live.as_ref().is_some_and(|live| live.path == parent);
        let pool = self.all()?.into_iter().find(holds).ok_or_else(none)?;
        pool.volume(name).map_err(|_| none())?;
        Ok((pool, name.to_owned()))
    }
}

/// Refuses a definition whose name, UUID or directory is another pool's.
fn free(table: &Table, definition: &Definition) -> Result<(), Failure> {
    let Definition { name, uuid, path, .. } = definition;
    for (other, pool) in table {
        let theirs = pool.uuid();
        if other == name && theirs != Some(*uuid) {
            let theirs = theirs.map(|uuid| uuid.to_string()).unwrap_or_default();
            let words = format!("pool '{name}' already exists with uuid {theirs}");
            return Err(fault(Code::OPERATION_FAILED, words));
        }
        if other != name && theirs == Some(*uuid) {
            let words = format!("pool '{other}' is already defined with uuid {uuid}");
            return Err(fault(Code::OPERATION_FAILED, words));
        }
        let has = |one: &Option<Arc<Definition>>| one.as_ref().is_some_and(|one| one.path == *path);
        if other != name && (has(&pool.defined) || has(&pool.live)) {
            let words = format!("Storage source conflict with pool: '{other}'");
            return Err(fault(Code::OPERATION_FAILED, words));
        }
    }
    Ok(())
}

/// Makes a pool's directory, and gives it the permissions that the definition names.
fn build(definition: &Definition) -> Result<(), Failure> {
    let Definition { path, permissions, .. } = definition;
    let failed = |error| system(format!("cannot create path '{}'", path.display()), error);
    let mode = permissions.mode.unwrap_or(DIRECTORY_MODE);
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)?;
    if let Some(mode) = permissions.mode {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    if permissions.owner.is_some() || permissions.group.is_some() {
        std::os::unix::fs::chown(path, permissions.owner, permissions.group).map_err(failed)?;
    }
    Ok(())
}

impl Places {
    fn autostart(&self) -> PathBuf {
        self.state.join("autostart")
    }

    /// What is on disk. Where nothing is, the first pool is made; what cannot be read is left as it is, and named.
    fn load(&self) -> Table {
        let (first, booted) = (!self.state.exists(), !self.run.exists());
        let mut table = Table::new();
        for definition in read_all(&self.state) {
            let autostart = self.autostart().join(file::file_name(&definition.name)).is_symlink();
            let defined = Some(Arc::new(definition.clone()));
            table.insert(definition.name, Pool { defined, live: None, autostart });
        }
        if first && let Err(error) = self.make_default(&mut table) {
            tracing::warn!(%error, "the pool `default` is not made");
        }
        for definition in read_all(&self.run) {
            let name = definition.name.clone();
            table.entry(name).or_default().live = Some(Arc::new(definition));
        }
        for (name, pool) in table.iter_mut().filter(|(_, pool)| booted && pool.autostart) {
            let Some(defined) = &pool.defined else { continue };
            match self.activate(defined, false) {
                Ok(live) => pool.live = Some(live),
                Err(error) => tracing::warn!(pool = name, %error, "the pool is not started"),
            }
        }
        table
    }

    fn make_default(&self, table: &mut Table) -> Result<(), Failure> {
        let path = if self.images.is_dir() { &self.images } else { &self.own_images };
        let uuid = Uuid(uuid::Uuid::new_v4().into_bytes());
        let permissions = Permissions::default();
        let definition = Definition { name: DEFAULT.to_owned(), uuid, path: path.clone(), permissions };
        build(&definition)?;
        self.save(&self.state, &definition)?;
        self.link(DEFAULT)?;
        let defined = Some(Arc::new(definition));
        table.insert(DEFAULT.to_owned(), Pool { defined, live: None, autostart: true });
        Ok(())
    }

    /// Makes a pool active: from now on, and after a restart of the daemon.
    fn activate(&self, definition: &Definition, build_it: bool) -> Result<Arc<Definition>, Failure> {
        if build_it {
            build(definition)?;
        }
        Directory::open(&definition.path)?;
        self.save(&self.run, definition)?;
        Ok(Arc::new(definition.clone()))
    }

    fn save(&self, directory: &Path, definition: &Definition) -> Result<(), Failure> {
        let path = directory.join(file::file_name(&definition.name));
        let save = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            file::replace(directory, &path, definition.print(None).as_bytes())
        };
        save().map_err(|error| system(format!("cannot write '{}'", path.display()), error))
    }

    fn link(&self, name: &str) -> Result<(), Failure> {
        let (directory, name) = (self.autostart(), file::file_name(name));
        let path = directory.join(&name);
        let link = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            match symlink(Path::new("..").join(&name), &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
                Ok(()) => file::sync(&directory),
            }
        };
        link().map_err(|error| system(format!("cannot create link '{}'", path.display()), error))
    }

    fn forget(&self, directory: &Path, name: &str) -> Result<(), Failure> {
        let path = directory.join(file::file_name(name));
        if !path.is_symlink() && !path.exists() {
            return Ok(());
        }
        file::remove(directory, &path)
            .map_err(|error| system(format!("cannot remove '{}'", path.display()), error))
    }
}

/// The definitions in a directory.
fn read_all(directory: &Path) -> Vec<Definition> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut definitions = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file
            || file::is_temporary(&entry.file_name())
            || path.extension().is_none_or(|end| end != "xml")
        {
            continue;
        }
        match read_one(&path) {
            Ok(definition) => definitions.push(definition),
            Err(why) => tracing::warn!(file = %path.display(), why, "a pool's definition is left aside"),
        }
    }
    definitions
}

fn read_one(path: &Path) -> Result<Definition, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(DEFINITION_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let none = Uuid([0; 16]);
    let definition = Definition::parse(&text, none).map_err(|error| error.to_string())?;
    if definition.uuid == none { Err("it has no UUID".to_owned()) } else { Ok(definition) }
}
