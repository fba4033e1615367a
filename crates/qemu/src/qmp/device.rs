//! Commands that change a running guest's devices: plugging, unplugging, media, links, sizes.

use serde_json::{Map, Value};

use super::command::{Command, Done};

/// Commands whose arguments are the properties of one thing, as a plan has them.
macro_rules! adding {
    ($($(#[$doc:meta])* $type:ident, $name:literal => $reply:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $type(pub Map<String, Value>);

        impl Command for $type {
            const NAME: &'static str = $name;
            type Reply = $reply;

            fn arguments(&self) -> Map<String, Value> {
                self.0.clone()
            }
        }
    )*};
}

adding! {
    DeviceAdd, "device_add" => Done;
    BlockdevAdd, "blockdev-add" => Done;
    NetdevAdd, "netdev_add" => Done;
    ObjectAdd, "object-add" => Done;
    /// The reply of a pseudo terminal names it.
    ChardevAdd, "chardev-add" => ChardevAdded;
}

/// What `chardev-add` tells: the path of a pseudo terminal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct ChardevAdded {
    #[serde(default)]
    pub pty: Option<String>,
}

/// Commands with one argument, an id.
macro_rules! naming {
    ($($(#[$doc:meta])* $type:ident, $name:literal, $key:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $type {
            pub id: String,
        }

        impl Command for $type {
            const NAME: &'static str = $name;
            type Reply = Done;

            fn arguments(&self) -> Map<String, Value> {
                Map::from_iter([($key.into(), self.id.as_str().into())])
            }
        }
    )*};
}

naming! {
    /// Asks the guest to let a device go; `DEVICE_DELETED` tells when it has.
    DeviceDel, "device_del", "id";
    BlockdevDel, "blockdev-del", "node-name";
    NetdevDel, "netdev_del", "id";
    ChardevRemove, "chardev-remove", "id";
    ObjectDel, "object-del", "id";
    /// Takes the descriptor that comes with it, and gives it a name, which does not begin with a digit.
    GetFd, "getfd", "fdname";
    /// Closes a descriptor that nothing took.
    CloseFd, "closefd", "fdname";
    /// Takes the medium out of a drive whose tray is open.
    BlockdevRemoveMedium, "blockdev-remove-medium", "id";
    BlockdevCloseTray, "blockdev-close-tray", "id";
}

/// `block_set_io_throttle`: how much the guest may do with a drive in a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSetIoThrottle {
    /// The drive's device, or its path.
    pub id: String,
    pub tune: domain::model::disk::IoTune,
    /// Drives of the same group share its rates.
    pub group: String,
}

/// QEMU's names of [`domain::model::disk::IoTune::NAMES`].
const THROTTLES: [&str; 19] = [
    "bps",
    "bps_rd",
    "bps_wr",
    "iops",
    "iops_rd",
    "iops_wr",
    "bps_max",
    "bps_rd_max",
    "bps_wr_max",
    "iops_max",
    "iops_rd_max",
    "iops_wr_max",
    "iops_size",
    "bps_max_length",
    "bps_rd_max_length",
    "bps_wr_max_length",
    "iops_max_length",
    "iops_rd_max_length",
    "iops_wr_max_length",
];

/// Those that QEMU must be told even where they are 0.
const THROTTLES_TOLD: usize = 6;

impl Command for BlockSetIoThrottle {
    const NAME: &'static str = "block_set_io_throttle";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        let values = THROTTLES.into_iter().zip(self.tune.values).enumerate();
        let said = values.filter(|(at, (_, value))| *at < THROTTLES_TOLD || *value > 0);
        let named = [("id", self.id.as_str()), ("group", self.group.as_str())];
        let named = named.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
        named.chain(said.map(|(_, (key, value))| (key.to_owned(), value.into()))).collect()
    }
}

/// `blockdev-open-tray`: has the guest open it, or opens it against the guest's will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockdevOpenTray {
    /// The drive's device.
    pub id: String,
    /// Even where the guest has locked the tray.
    pub force: bool,
}

impl Command for BlockdevOpenTray {
    const NAME: &'static str = "blockdev-open-tray";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("id".into(), self.id.as_str().into()), ("force".into(), self.force.into())])
    }
}

/// `blockdev-insert-medium`: puts a block node into an empty drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockdevInsertMedium {
    /// The drive's device.
    pub id: String,
    pub node: String,
}

impl Command for BlockdevInsertMedium {
    const NAME: &'static str = "blockdev-insert-medium";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([
            ("id".into(), self.id.as_str().into()),
            ("node-name".into(), self.node.as_str().into()),
        ])
    }
}

/// `block_resize`, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockResize {
    pub node: String,
    pub size: u64,
}

impl Command for BlockResize {
    const NAME: &'static str = "block_resize";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("node-name".into(), self.node.as_str().into()), ("size".into(), self.size.into())])
    }
}

/// `block-set-write-threshold`: has QEMU tell, once, that a node is written to beyond that byte; 0: never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWriteThreshold {
    pub node: String,
    pub threshold: u64,
}

impl Command for SetWriteThreshold {
    const NAME: &'static str = "block-set-write-threshold";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([
            ("node-name".into(), self.node.as_str().into()),
            ("write-threshold".into(), self.threshold.into()),
        ])
    }
}

/// `calc-dirty-rate`: has QEMU measure how fast the guest changes its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalcDirtyRate {
    pub seconds: i32,
    /// `page-sampling`, `dirty-bitmap` or `dirty-ring`.
    pub mode: &'static str,
}

impl Command for CalcDirtyRate {
    const NAME: &'static str = "calc-dirty-rate";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("calc-time".into(), self.seconds.into()), ("mode".into(), self.mode.into())])
    }
}

/// `set_link`: plugs or unplugs a network card's cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLink {
    /// The card, by its id.
    pub name: String,
    pub up: bool,
}

impl Command for SetLink {
    const NAME: &'static str = "set_link";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("name".into(), self.name.as_str().into()), ("up".into(), self.up.into())])
    }
}

/// `balloon`: how much memory the balloon is to leave the guest, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balloon {
    pub value: u64,
}

impl Command for Balloon {
    const NAME: &'static str = "balloon";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("value".into(), self.value.into())])
    }
}

/// `qom-get` of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QomGet {
    pub path: String,
    pub property: &'static str,
}

impl Command for QomGet {
    const NAME: &'static str = "qom-get";
    type Reply = Value;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([
            ("path".into(), self.path.as_str().into()),
            ("property".into(), self.property.into()),
        ])
    }
}

/// `qom-set` of one property.
#[derive(Debug, Clone, PartialEq)]
pub struct QomSet {
    pub path: String,
    pub property: &'static str,
    pub value: Value,
}

impl Command for QomSet {
    const NAME: &'static str = "qom-set";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([
            ("path".into(), self.path.as_str().into()),
            ("property".into(), self.property.into()),
            ("value".into(), self.value.clone()),
        ])
    }
}

/// `set_password` of a display. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct SetPassword {
    /// `vnc` or `spice`.
    pub protocol: &'static str,
    pub password: String,
}

impl std::fmt::Debug for SetPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetPassword").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

impl Command for SetPassword {
    const NAME: &'static str = "set_password";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([
            ("protocol".into(), self.protocol.into()),
            ("password".into(), self.password.as_str().into()),
        ])
    }
}

/// `screendump`: writes the picture of a display to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screendump {
    pub filename: String,
    /// The graphics card, by its id; QEMU's first without one.
    pub device: Option<String>,
    /// The card's output.
    pub head: Option<u32>,
    pub format: PictureFormat,
}

/// How [`Screendump`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    Png,
    Ppm,
}

impl Command for Screendump {
    const NAME: &'static str = "screendump";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        let mut arguments = Map::from_iter([("filename".into(), self.filename.as_str().into())]);
        if let Some(device) = &self.device {
            arguments.insert("device".into(), device.as_str().into());
            arguments.insert("head".into(), self.head.unwrap_or_default().into());
        }
        // QEMU before 7.1 knows no formats: what is not said is PPM.
        if self.format == PictureFormat::Png {
            arguments.insert("format".into(), "png".into());
        }
        arguments
    }
}

/// `dump-guest-memory`: writes the guest's memory and registers as an ELF file; answered when that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpGuestMemory {
    /// `fd:NAME`, of a descriptor that [`GetFd`] has given.
    pub protocol: String,
}

impl Command for DumpGuestMemory {
    const NAME: &'static str = "dump-guest-memory";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("paging".into(), false.into()), ("protocol".into(), self.protocol.as_str().into())])
    }
}

/// `send-key`: presses keys together, by QEMU's numbers (XT scan codes, 0x80 for those with the prefix 0xe0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendKey {
    pub keys: Vec<u32>,
    /// Milliseconds; QEMU's usual time without it.
    pub hold_ms: Option<u32>,
}

impl Command for SendKey {
    const NAME: &'static str = "send-key";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        let key = |number: &u32| serde_json::json!({ "type": "number", "data": number });
        let keys = Value::Array(self.keys.iter().map(key).collect());
        let mut arguments = Map::from_iter([("keys".into(), keys)]);
        if let Some(time) = self.hold_ms {
            arguments.insert("hold-time".into(), time.into());
        }
        arguments
    }
}

/// `inject-nmi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InjectNmi;

impl Command for InjectNmi {
    const NAME: &'static str = "inject-nmi";
    type Reply = Done;
}

/// `human-monitor-command`: a line of the old monitor, answered with text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HumanMonitorCommand {
    pub line: String,
}

impl Command for HumanMonitorCommand {
    const NAME: &'static str = "human-monitor-command";
    type Reply = String;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("command-line".into(), self.line.as_str().into())])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(command: &impl Command, expected: &Value) {
        assert_eq!(&Value::from(command.arguments()), expected);
    }

    #[test]
    fn arguments_are_those_of_the_schema() {
        check(&DeviceDel { id: "net1".into() }, &json!({"id": "net1"}));
        check(&BlockdevDel { id: "libvirt-3-storage".into() }, &json!({"node-name": "libvirt-3-storage"}));
        check(
            &BlockdevOpenTray { id: "sata0-0-0".into(), force: true },
            &json!({"id": "sata0-0-0", "force": true}),
        );
        check(&DumpGuestMemory { protocol: "fd:a".into() }, &json!({"paging": false, "protocol": "fd:a"}));
        let mut tune = domain::model::disk::IoTune::default();
        tune.values[1] = 7;
        tune.values[12] = 4096;
        check(
            &BlockSetIoThrottle { id: "sata0-0-0".into(), tune, group: "g".into() },
            &json!({"id": "sata0-0-0", "group": "g", "bps": 0, "bps_rd": 7, "bps_wr": 0, "iops": 0, "iops_rd": 0,
                "iops_wr": 0, "iops_size": 4096}),
        );
        check(&SetLink { name: "net0".into(), up: false }, &json!({"name": "net0", "up": false}));
        check(
            &SendKey { keys: vec![29, 211], hold_ms: None },
            &json!({"keys": [{"type": "number", "data": 29}, {"type": "number", "data": 211}]}),
        );
        let picture = |device: Option<&str>, format| Screendump {
            filename: "/x".into(),
            device: device.map(str::to_owned),
            head: None,
            format,
        };
        check(&picture(None, PictureFormat::Ppm), &json!({"filename": "/x"}));
        check(
            &picture(Some("video0"), PictureFormat::Png),
            &json!({"filename": "/x", "device": "video0", "head": 0, "format": "png"}),
        );
    }

    #[test]
    fn a_password_is_not_shown() {
        let command = SetPassword { protocol: "vnc", password: "seventeen".into() };
        assert!(!format!("{command:?}").contains("seventeen"));
    }
}
