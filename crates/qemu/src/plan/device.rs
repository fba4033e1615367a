//! One planned device: what must exist before it, and the device itself.

use std::ffi::OsString;

use crate::argv::{Argument, Properties};

/// A device of the guest with its host side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The id by which QEMU knows it.
    pub id: String,
    pub kind: DeviceKind,
    /// Objects, block nodes, character devices and network back ends that the device uses, in the order in which they
    /// must be made.
    pub backends: Vec<Argument>,
    /// The guest's side; none for what has only a host side, such as a display or a port that the machine brings.
    pub frontend: Option<Properties>,
}

/// What a planned device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    Iommu,
    Controller,
    Hub,
    Disk,
    Interface,
    Serial,
    Channel,
    Console,
    Tpm,
    Input,
    Audio,
    Graphics,
    Video,
    Watchdog,
    MemBalloon,
    Rng,
    VmCoreInfo,
    Panic,
    GenerationId,
    Vsock,
}

impl Device {
    /// A device without a host side.
    pub(crate) fn plain(kind: DeviceKind, id: String, frontend: Properties) -> Self {
        Self { id, kind, backends: Vec::new(), frontend: Some(frontend) }
    }

    /// A host side without a device.
    pub(crate) fn host_side(kind: DeviceKind, id: String, backends: Vec<Argument>) -> Self {
        Self { id, kind, backends, frontend: None }
    }

    /// The arguments of QMP's `device_add`, the same as on the command line.
    #[must_use]
    pub fn device_add(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.frontend.as_ref().map(Properties::as_map)
    }

    /// Appends the device's options.
    pub(crate) fn render(&self, argv: &mut Vec<OsString>) {
        for backend in &self.backends {
            backend.render(argv);
        }
        if let Some(frontend) = &self.frontend {
            argv.extend(["-device".into(), frontend.to_json().into()]);
        }
    }
}
