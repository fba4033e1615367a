//! Tap devices: made, set up and joined to their bridge before QEMU runs, which inherits their descriptors and needs
//! no right over the host's network. A device that sevirt made goes when its last descriptor is closed.

#![expect(unsafe_code, reason = "the kernel's network devices are set up by ioctl alone")]

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
};

use qemu::plan::{TapFd, TapFds, Vhost, WantedTap};

const TUN: &str = "/dev/net/tun";
const VHOST_NET: &str = "/dev/vhost-net";
/// As many as the kernel gives to one device.
const MOST_QUEUES: u32 = 256;
/// The name that the kernel completes with the first free number.
const NAME: &str = "vnet%d";

// linux/sockios.h, linux/if_tun.h, linux/if_arp.h.
const SIOCGIFFLAGS: libc::c_ulong = 0x8913;
const SIOCSIFFLAGS: libc::c_ulong = 0x8914;
const SIOCSIFMTU: libc::c_ulong = 0x8922;
const SIOCSIFHWADDR: libc::c_ulong = 0x8924;
const SIOCGIFINDEX: libc::c_ulong = 0x8933;
const SIOCBRADDIF: libc::c_ulong = 0x89a2;
const SIOCBRDELIF: libc::c_ulong = 0x89a3;
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_UP: u16 = 0x0001;
const IFF_TAP: u16 = 0x0002;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const ARPHRD_ETHER: u16 = 1;

/// The open tap devices of one guest, by their interfaces' aliases.
#[derive(Debug, Default)]
pub struct Taps(BTreeMap<String, Tap>);

/// One tap device's descriptors.
#[derive(Debug)]
struct Tap {
    /// The device's name on the host.
    name: String,
    queues: Vec<File>,
    vhost: Vec<File>,
}

/// Why a tap device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    #[error("open `{}` for interface {id}", path.display())]
    Open { id: String, path: PathBuf, source: io::Error },
    #[error("make a tap device for interface {id}")]
    Make { id: String, source: io::Error },
    #[error("`{name}` is not the name of a network device")]
    Name { name: String },
    #[error("set the {what} of `{name}` for interface {id}")]
    SetUp { id: String, name: String, what: &'static str, source: io::Error },
    #[error("join `{name}` to the bridge `{bridge}` for interface {id}")]
    Join { id: String, name: String, bridge: String, source: io::Error },
}

impl Taps {
    /// Opens what a domain wants.
    ///
    /// # Errors
    /// One of them cannot be had; those opened before are gone again.
    pub fn open(wanted: &[WantedTap]) -> Result<Self, TapError> {
        wanted.iter().map(|tap| Ok((tap.id.clone(), open(tap)?))).collect::<Result<_, _>>().map(Self)
    }

    /// The descriptors' numbers, for the plan.
    pub fn numbers(&self) -> BTreeMap<String, TapFds> {
        let numbers = |files: &[File]| files.iter().map(AsRawFd::as_raw_fd).map(TapFd::Number).collect();
        let taps = self.0.iter();
        taps.map(|(id, tap)| (id.clone(), TapFds { tap: numbers(&tap.queues), vhost: numbers(&tap.vhost) }))
            .collect()
    }

    /// What the descriptors are called once a running QEMU was handed them, for the plan.
    pub fn labels(&self) -> BTreeMap<String, TapFds> {
        let taps = self.0.iter();
        taps.map(|(id, tap)| {
            let labels = |files: &[File], what| {
                (0..files.len()).map(|queue| TapFd::Name(label(id, what, queue))).collect()
            };
            (id.clone(), TapFds { tap: labels(&tap.queues, "tap"), vhost: labels(&tap.vhost, "vhost") })
        })
        .collect()
    }

    /// The descriptors by what they are called, to be handed to a running QEMU.
    pub fn into_labelled(self) -> Vec<(String, OwnedFd)> {
        let mut all = Vec::new();
        for (id, tap) in self.0 {
            for (what, files) in [("tap", tap.queues), ("vhost", tap.vhost)] {
                let labelled = files.into_iter().enumerate();
                all.extend(labelled.map(|(queue, file)| (label(&id, what, queue), OwnedFd::from(file))));
            }
        }
        all
    }

    /// What the devices are called on the host, by their interfaces' aliases.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(id, tap)| (id.as_str(), tap.name.as_str()))
    }

    /// Says in the running domain what its interfaces' devices are called.
    pub fn note(&self, live: &mut domain::Domain) {
        for (id, name) in self.names() {
            let mut interfaces = live.devices.interfaces.iter_mut();
            if let Some(interface) = interfaces.find(|found| found.info.alias.as_deref() == Some(id)) {
                interface.target = Some(name.to_owned());
            }
        }
    }

    /// The descriptors themselves, for QEMU to inherit.
    pub fn into_fds(self) -> Vec<OwnedFd> {
        let files = self.0.into_values().flat_map(|tap| tap.queues.into_iter().chain(tap.vhost));
        files.map(OwnedFd::from).collect()
    }
}

fn label(id: &str, what: &str, queue: usize) -> String {
    format!("{what}-{id}-{queue}")
}

/// Takes a device from its bridge, if it has one, to another.
///
/// # Errors
/// One of them is not there, or the kernel refuses.
pub fn rejoin(name: &str, from: &str, to: &str) -> Result<(), TapError> {
    let failed = |bridge: &str| {
        let (id, name, bridge) = (name.to_owned(), name.to_owned(), bridge.to_owned());
        move |source| TapError::Join { id, name, bridge, source }
    };
    let socket = network_socket().map_err(failed(to))?;
    // What was taken from it by somebody else is not there.
    let was_there = membership(socket.as_fd(), name, from, SIOCBRDELIF).is_ok();
    let joined = membership(socket.as_fd(), name, to, SIOCBRADDIF).map_err(failed(to));
    if joined.is_err() && was_there {
        membership(socket.as_fd(), name, from, SIOCBRADDIF).map_err(failed(from))?;
    }
    joined
}

/// Numbers as they might be, counted up from `first`, for a command line that is only looked at.
pub fn stand_ins(wanted: &[WantedTap], first: i32) -> BTreeMap<String, TapFds> {
    let mut next = first..;
    let mut some = |count: u32| -> Vec<i32> {
        next.by_ref().take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
    };
    let fds = wanted.iter().map(|tap| {
        let queues = tap.queues.min(MOST_QUEUES);
        let path = tap.vhost_net.as_deref().unwrap_or_else(|| Path::new(VHOST_NET));
        let by_kernel = tap.vhost == Vhost::Required || (tap.vhost == Vhost::Preferred && path.exists());
        let mut some = |count| some(count).into_iter().map(TapFd::Number).collect();
        let fds = TapFds { tap: some(queues), vhost: some(if by_kernel { queues } else { 0 }) };
        (tap.id.clone(), fds)
    });
    fds.collect()
}

fn open(wanted: &WantedTap) -> Result<Tap, TapError> {
    let id = &wanted.id;
    let tun = wanted.tun.as_deref().unwrap_or_else(|| Path::new(TUN));
    let name = wanted.name.as_deref().unwrap_or(NAME);
    let mut request = DeviceRequest::new(name)?;
    let mut flags = IFF_TAP | IFF_NO_PI;
    if wanted.offloads {
        flags |= IFF_VNET_HDR;
    }
    if wanted.queues > 1 {
        flags |= IFF_MULTI_QUEUE;
    }
    let mut queues = Vec::new();
    for _ in 0..wanted.queues {
        let file = open_file(tun, id)?;
        // The kernel puts the name that it chose in place of the pattern, so that further queues join the same device.
        request.set(0, &flags.to_ne_bytes());
        request.call(file.as_fd(), TUNSETIFF).map_err(|source| TapError::Make { id: id.clone(), source })?;
        queues.push(file);
    }
    if wanted.managed {
        set_up(wanted, &request.name())?;
    }
    let vhost = vhost(wanted)?;
    Ok(Tap { name: request.name(), queues, vhost })
}

fn open_file(path: &Path, id: &str) -> Result<File, TapError> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|source| TapError::Open { id: id.to_owned(), path: path.to_owned(), source })
}

/// The kernel's half of virtio-net, one descriptor for each queue.
fn vhost(wanted: &WantedTap) -> Result<Vec<File>, TapError> {
    let path = wanted.vhost_net.as_deref().unwrap_or_else(|| Path::new(VHOST_NET));
    if wanted.vhost == Vhost::Never {
        return Ok(Vec::new());
    }
    let opened: Result<Vec<_>, _> = (0..wanted.queues).map(|_| open_file(path, &wanted.id)).collect();
    match opened {
        Err(_) if wanted.vhost == Vhost::Preferred => Ok(Vec::new()),
        opened => opened,
    }
}

/// Gives the device its address and size, joins it to its bridge, and turns it on.
fn set_up(wanted: &WantedTap, name: &str) -> Result<(), TapError> {
    let failed = |what| {
        let (id, name) = (wanted.id.clone(), name.to_owned());
        move |source| TapError::SetUp { id, name, what, source }
    };
    // Any socket will do: it says no more than that network devices are meant.
    let socket = network_socket().map_err(failed("address"))?;
    let mut request = DeviceRequest::new(name)?;
    if let Some(mac) = wanted.mac {
        // The host's end differs in the first byte, and is higher than any other on the bridge, which takes the lowest.
        let [_, rest @ ..] = mac.0;
        request.set(0, &ARPHRD_ETHER.to_ne_bytes());
        request.set(2, &[0xfe]);
        request.set(3, &rest);
        request.call(socket.as_fd(), SIOCSIFHWADDR).map_err(failed("address"))?;
    }
    if let Some(mtu) = wanted.mtu {
        request.set(0, &mtu.to_ne_bytes());
        request.call(socket.as_fd(), SIOCSIFMTU).map_err(failed("MTU"))?;
    }
    if let Some(bridge) = &wanted.bridge {
        membership(socket.as_fd(), name, bridge, SIOCBRADDIF).map_err(|source| TapError::Join {
            id: wanted.id.clone(),
            name: name.to_owned(),
            bridge: bridge.clone(),
            source,
        })?;
    }
    request.call(socket.as_fd(), SIOCGIFFLAGS).map_err(failed("state"))?;
    let flags = u16::from_ne_bytes([request.data[0], request.data[1]]);
    request.set(0, &(flags | IFF_UP).to_ne_bytes());
    request.call(socket.as_fd(), SIOCSIFFLAGS).map_err(failed("state"))
}

/// Joins a device to a bridge, or takes it away.
fn membership(socket: BorrowedFd<'_>, name: &str, bridge: &str, request: libc::c_ulong) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut device = DeviceRequest::new(name).map_err(invalid)?;
    device.call(socket, SIOCGIFINDEX)?;
    let mut bridge = DeviceRequest::new(bridge).map_err(invalid)?;
    bridge.data = device.data;
    bridge.call(socket, request)
}

fn network_socket() -> io::Result<OwnedFd> {
    UnixDatagram::unbound().map(OwnedFd::from)
}

/// `struct ifreq`: a device's name, and what is asked or told about it.
#[repr(C, align(8))]
struct DeviceRequest {
    name: [u8; libc::IFNAMSIZ],
    data: [u8; 24],
}

impl DeviceRequest {
    fn new(name: &str) -> Result<Self, TapError> {
        let refused = || TapError::Name { name: name.to_owned() };
        let mut request = Self { name: [0; libc::IFNAMSIZ], data: [0; 24] };
        let valid = !name.is_empty() && name.len() < request.name.len() && !name.contains(['/', '\0']);
        let space = request.name.get_mut(..name.len()).filter(|_| valid).ok_or_else(refused)?;
        space.copy_from_slice(name.as_bytes());
        Ok(request)
    }

    fn name(&self) -> String {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(self.name.get(..end).unwrap_or_default()).into_owned()
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        if let Some(space) = self.data.get_mut(at..at + bytes.len()) {
            space.copy_from_slice(bytes);
        }
    }

    fn call(&mut self, fd: BorrowedFd<'_>, request: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the descriptor is open, and each request that is made here reads and writes no more than a
        // `struct ifreq`, which `self` is as large and as aligned as.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(self)) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

const _: () = assert!(size_of::<DeviceRequest>() == size_of::<libc::ifreq>());

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> WantedTap {
        WantedTap {
            id: "net0".into(),
            name: None,
            bridge: None,
            managed: true,
            mac: "52:54:00:11:22:33".parse().ok(),
            mtu: Some(1400),
            queues: 2,
            offloads: true,
            vhost: Vhost::Preferred,
            tun: None,
            vhost_net: None,
        }
    }

    /// Those who may not make network devices are told so.
    fn is_refusal(error: &TapError) -> bool {
        let source = match error {
            TapError::Open { source, .. }
            | TapError::Make { source, .. }
            | TapError::SetUp { source, .. } => source,
            TapError::Name { .. } | TapError::Join { .. } => return false,
        };
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)
    }

    #[test]
    fn a_tap_is_made_set_up_and_goes_with_its_descriptors() {
        let name = format!("sevt{}", std::process::id() % 100_000);
        let taps = match Taps::open(&[WantedTap { name: Some(name.clone()), ..wanted() }]) {
            Ok(taps) => taps,
            Err(error) => return assert!(is_refusal(&error), "{error:?}"),
        };
        let device = Path::new("/sys/class/net").join(&name);
        assert_eq!(std::fs::read_to_string(device.join("mtu")).unwrap(), "1400\n");
        assert_eq!(std::fs::read_to_string(device.join("address")).unwrap(), "fe:54:00:11:22:33\n");
        assert_eq!(taps.numbers().get("net0").unwrap().tap.len(), 2);
        assert_eq!(taps.names().collect::<Vec<_>>(), [("net0", name.as_str())]);
        let labels: Vec<_> = taps.labels()["net0"].tap.iter().map(ToString::to_string).collect();
        assert_eq!(labels, ["tap-net0-0", "tap-net0-1"]);
        drop(taps.into_fds());
        assert!(!device.exists());
    }

    #[test]
    fn a_bridge_that_is_not_there_is_named() {
        let nowhere = WantedTap { bridge: Some("no-such-br".into()), ..wanted() };
        match Taps::open(&[nowhere]) {
            Err(TapError::Join { bridge, .. }) => assert_eq!(bridge, "no-such-br"),
            Err(error) => assert!(is_refusal(&error), "{error:?}"),
            Ok(_) => panic!("joined a bridge that is not there"),
        }
    }

    #[test]
    fn stand_ins_count_up_from_the_first() {
        let never = WantedTap { vhost: Vhost::Never, queues: 1, ..wanted() };
        let other = WantedTap { id: "net1".into(), vhost: Vhost::Required, ..wanted() };
        let fds = stand_ins(&[never, other], 4);
        assert_eq!(fds.get("net0"), Some(&TapFds { tap: vec![TapFd::Number(4)], vhost: vec![] }));
        let numbers = |numbers: [i32; 2]| numbers.map(TapFd::Number).into();
        assert_eq!(fds.get("net1"), Some(&TapFds { tap: numbers([5, 6]), vhost: numbers([7, 8]) }));
    }

    #[test]
    fn names_that_the_kernel_cannot_hold_are_refused() {
        for name in ["", "a-name-of-16-chr", "a/b"] {
            let error = Taps::open(&[WantedTap { name: Some(name.into()), ..wanted() }]).unwrap_err();
            // The device file is opened first only where the name is right.
            assert!(matches!(error, TapError::Name { .. }), "{error:?}");
        }
    }
}
