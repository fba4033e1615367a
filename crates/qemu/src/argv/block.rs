//! Block nodes: the image file, the format on it, and filters above.

use domain::model::{
    Switch,
    disk::{BackingStore, DetectZeroes, Discard, Disk, DiskCache, DiskDriver, DiskFormat, DiskSource},
};

use super::{Argument, Properties};
use crate::plan::PlanError;

/// The nodes of one disk.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The nodes, lowest first.
    pub nodes: Vec<Argument>,
    /// The node that the device uses.
    pub top: String,
}

/// How many numbers a disk's chain takes: one for each image.
pub(crate) fn images(disk: &Disk) -> usize {
    let mut count = 1;
    let mut below = disk.backing_store.as_ref();
    while let Some(BackingStore::Image(image)) = below {
        count += 1;
        below = image.backing_store.as_ref();
    }
    count
}

/// Plans the nodes of a disk that has a source. Numbers count up from `first`, the top image's.
pub(crate) fn chain(
    disk: &Disk,
    source: &DiskSource,
    first: usize,
    cdrom_drive: impl Fn(&str) -> bool,
) -> Result<Chain, PlanError> {
    let driver = &disk.driver;
    let mut images = vec![Image {
        number: first,
        storage: storage(source, &cdrom_drive, &disk.target.dev)?,
        format: driver.format.unwrap_or(DiskFormat::Raw),
        backing: disk.backing_store.as_ref(),
        read_only: disk.readonly,
        options: driver,
    }];
    let mut below = disk.backing_store.as_ref();
    while let Some(BackingStore::Image(image)) = below {
        images.push(Image {
            number: first + images.len(),
            storage: storage(&image.source, &cdrom_drive, &disk.target.dev)?,
            format: image.format,
            backing: image.backing_store.as_ref(),
            read_only: true,
            options: driver,
        });
        below = image.backing_store.as_ref();
    }
    let mut nodes = Vec::new();
    let mut top = String::new();
    for image in images.iter().rev() {
        top = image.nodes(&top, &disk.target.dev, &mut nodes)?;
    }
    if driver.copy_on_read.is_some_and(Switch::is_on) {
        let name = format!("libvirt-CoR-{}", disk.target.dev);
        nodes.push(Argument::Json(
            "-blockdev",
            Properties::device("copy-on-read")
                .with("node-name", name.as_str())
                .with("file", top)
                .with("discard", "unmap"),
        ));
        top = name;
    }
    Ok(Chain { nodes, top })
}

/// The protocol layer of an image: driver and file name.
fn storage(
    source: &DiskSource,
    cdrom_drive: &impl Fn(&str) -> bool,
    target: &str,
) -> Result<(&'static str, String), PlanError> {
    match source {
        DiskSource::File { path } => Ok(("file", path.clone())),
        DiskSource::Block { dev } if cdrom_drive(dev) => Ok(("host_cdrom", dev.clone())),
        DiskSource::Block { dev } => Ok(("host_device", dev.clone())),
        DiskSource::Other { kind } => {
            Err(PlanError::Unsupported { device: target.to_owned(), what: format!("a disk of type {kind}") })
        }
    }
}

/// One image of a chain.
struct Image<'d> {
    number: usize,
    storage: (&'static str, String),
    format: DiskFormat,
    /// What the domain says is below; `None`: QEMU looks into the image.
    backing: Option<&'d BackingStore>,
    read_only: bool,
    options: &'d DiskDriver,
}

impl Image<'_> {
    /// Adds the image's nodes, and returns the upper one's name. `below` is the upper node of the backing image.
    fn nodes(&self, below: &str, target: &str, nodes: &mut Vec<Argument>) -> Result<String, PlanError> {
        let storage_name = format!("libvirt-{}-storage", self.number);
        let (driver, filename) = &self.storage;
        let storage = Properties::device(*driver)
            .with("filename", filename.as_str())
            .with_some("aio", self.options.io.map(|io| io.to_string()))
            .with("node-name", storage_name.as_str());
        let format = format_driver(self.format, target)?;
        if format == "raw" {
            // A raw image needs no node of its own: what concerns the data is said of the file.
            nodes.push(blockdev(self.data_options(storage.with("read-only", self.read_only))));
            return Ok(storage_name);
        }
        let storage = storage.with("auto-read-only", true).with("discard", "unmap");
        nodes.push(blockdev(with_cache(storage, self.options.cache)));
        let name = format!("libvirt-{}-format", self.number);
        let node = Properties::default().with("node-name", name.as_str()).with("read-only", self.read_only);
        let no_unref = self.options.discard_no_unref.filter(|_| self.format == DiskFormat::Qcow2);
        let node = self
            .data_options(node)
            .with("driver", format)
            .with_some("discard-no-unref", no_unref.map(Switch::is_on))
            .with("file", storage_name);
        nodes.push(blockdev(match self.backing {
            None => node,
            Some(BackingStore::End) => node.with("backing", serde_json::Value::Null),
            Some(BackingStore::Image(_)) => node.with("backing", below),
        }));
        Ok(name)
    }

    fn data_options(&self, node: Properties) -> Properties {
        // Zeroes are only turned into holes where holes are passed on.
        let discard = self.options.discard;
        let detect = match self.options.detect_zeroes {
            Some(DetectZeroes::Unmap) if discard != Some(Discard::Unmap) => Some(DetectZeroes::On),
            detect => detect,
        };
        let node = node
            .with_some("discard", discard.map(|discard| discard.to_string()))
            .with_some("detect-zeroes", detect.map(|detect| detect.to_string()));
        with_cache(node, self.options.cache)
    }
}

fn blockdev(properties: Properties) -> Argument {
    Argument::Json("-blockdev", properties)
}

fn format_driver(format: DiskFormat, target: &str) -> Result<&'static str, PlanError> {
    Ok(match format {
        DiskFormat::Raw | DiskFormat::Iso => "raw",
        DiskFormat::Bochs => "bochs",
        DiskFormat::Cloop => "cloop",
        DiskFormat::Dmg => "dmg",
        DiskFormat::Vpc => "vpc",
        DiskFormat::Vdi => "vdi",
        DiskFormat::Ploop => "parallels",
        DiskFormat::Qcow => "qcow",
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Qed => "qed",
        DiskFormat::Vmdk => "vmdk",
        // A FAT file system made of a directory, an encrypted image without its secret, formats of other hypervisors.
        DiskFormat::Fat | DiskFormat::Luks | DiskFormat::Vhd | DiskFormat::Aio => {
            return Err(PlanError::Unsupported {
                device: target.to_owned(),
                what: format!("an image of format {format}"),
            });
        }
    })
}

/// What a cache mode means: whether the host's page cache is passed by, whether flushes are ignored, and whether the
/// guest sees a write cache.
pub(crate) fn cache_mode(cache: Option<DiskCache>) -> Option<(bool, bool, bool)> {
    match cache? {
        DiskCache::Default => None,
        DiskCache::None => Some((true, false, true)),
        DiskCache::Writethrough => Some((false, false, false)),
        DiskCache::Writeback => Some((false, false, true)),
        DiskCache::Directsync => Some((true, false, false)),
        DiskCache::Unsafe => Some((false, true, true)),
    }
}

fn with_cache(node: Properties, cache: Option<DiskCache>) -> Properties {
    match cache_mode(cache) {
        None => node,
        Some((direct, no_flush, _)) => {
            node.with("cache", serde_json::json!({ "direct": direct, "no-flush": no_flush }))
        }
    }
}
