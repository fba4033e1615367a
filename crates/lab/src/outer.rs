//! The outer machine's QEMU command line.
//!
//! One emulated AMD CPU with nested virtualization, no firmware menus, no display: only what carries the lab.

use std::ffi::OsString;
use std::path::Path;

use serde_json::json;

use crate::disk::Disk;
use crate::job::{Channel, ROOT_TAG, STATE_TAG};

/// What executes the outer machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accelerator {
    /// QEMU's own emulation: works everywhere.
    #[default]
    Tcg,
    /// The host's KVM, on AMD with nested virtualization and 48 physical address bits. Nobody has tried it yet.
    Kvm,
}

/// What the command line is made of.
#[derive(Debug)]
pub(crate) struct Outer<'a> {
    pub(crate) accelerator: Accelerator,
    pub(crate) memory_mib: u64,
    /// Paths by which QEMU opens the kernel and the initramfs.
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) console_log: &'a Path,
    pub(crate) share: &'a Path,
    pub(crate) disks: &'a [Disk],
    /// Each channel's socket, by the number of the descriptor that QEMU inherits.
    pub(crate) channels: &'a [(Channel, i32)],
}

/// An AMD CPU as QEMU emulates it. Without 5-level page tables, walks are shorter, nested ones above all; without
/// enhanced string instructions kernels clear memory by ordinary stores, which emulate almost twice as fast.
const TCG_CPU: &str = "max,svm=on,npt=on,phys-bits=48,la57=off,erms=off,fsrm=off";
const KVM_CPU: &str = "host,svm=on,npt=on,phys-bits=48";

/// Quiet, no mitigations against attacks that emulation does not have, no clearing of memory on top of what is
/// cleared anyway, nothing checked that cannot be wrong here.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 \
    tsc=reliable no_timer_check audit=0 apparmor=0 selinux=0 cryptomgr.notests";

impl Outer<'_> {
    pub(crate) fn argv(&self) -> Vec<OsString> {
        let mut argv = Argv(Vec::new());
        argv.option("-name", "guest=sevirt-lab,debug-threads=on");
        argv.flag("-no-user-config").flag("-nodefaults").flag("-no-reboot");
        argv.option("-display", "none").option("-vga", "none");
        argv.option("-machine", "q35,usb=off,smm=off,vmport=off,hpet=off");
        match self.accelerator {
            // One CPU, one thread: with more, inner guests with several CPUs hang.
            Accelerator::Tcg => argv.option("-accel", "tcg,thread=single").option("-cpu", TCG_CPU),
            Accelerator::Kvm => argv.option("-accel", "kvm").option("-cpu", KVM_CPU),
        };
        argv.option("-smp", "1").option("-m", format!("{}M", self.memory_mib));
        argv.option("-kernel", self.kernel).option("-initrd", self.initramfs);
        argv.option("-append", KERNEL_COMMAND_LINE);
        argv.option("-chardev", with_path("file,id=log,append=on,path=", self.console_log));
        argv.option("-serial", "chardev:log");
        self.channels(&mut argv);
        self.shares(&mut argv);
        self.disks(&mut argv);
        argv.0
    }

    fn channels(&self, argv: &mut Argv) {
        argv.option("-device", "virtio-serial-pci,id=channels");
        for (channel, descriptor) in self.channels {
            let (name, number) = (channel.name(), channel.number());
            argv.option("-chardev", format!("socket,id={name},fd={descriptor}"));
            let port = format!("virtserialport,bus=channels.0,nr={number},chardev={name},name=sevirt.{name}");
            argv.option("-device", port);
        }
    }

    fn shares(&self, argv: &mut Argv) {
        let root = "local,id=root,security_model=none,readonly=on,multidevs=remap,path=/";
        argv.option("-fsdev", root);
        argv.option("-device", format!("virtio-9p-pci,fsdev=root,mount_tag={ROOT_TAG}"));
        let state = "local,id=state,security_model=none,multidevs=remap,path=";
        argv.option("-fsdev", with_path(state, self.share));
        argv.option("-device", format!("virtio-9p-pci,fsdev=state,mount_tag={STATE_TAG}"));
    }

    fn disks(&self, argv: &mut Argv) {
        for (index, disk) in self.disks.iter().enumerate() {
            let node = json!({
                "driver": "qcow2",
                "node-name": format!("disk{index}"),
                "file": { "driver": "file", "filename": disk.layer() },
                "backing": {
                    "driver": "raw",
                    "read-only": true,
                    "file": { "driver": "file", "filename": disk.image(), "read-only": true },
                },
            });
            argv.option("-blockdev", node.to_string());
            argv.option(
                "-device",
                format!("virtio-blk-pci,drive=disk{index},serial={}", Disk::serial(index)),
            );
        }
    }
}

struct Argv(Vec<OsString>);

impl Argv {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.into());
        self
    }
}

/// A list of keys that ends with a path; a comma in a value is doubled.
fn with_path(keys: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut value = keys.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        value.push(byte);
        if byte == b',' {
            value.push(byte);
        }
    }
    OsString::from_vec(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_command_line_has_what_the_lab_needs_and_nothing_more() {
        let outer = Outer {
            accelerator: Accelerator::Tcg,
            memory_mib: 5940,
            kernel: Path::new("/proc/self/fd/20"),
            initramfs: Path::new("/proc/self/fd/21"),
            console_log: Path::new("/s,x/console.log"),
            share: Path::new("/s,x/share"),
            disks: &[Disk::fixture("/images/a \"b\".qcow2", "/s/run-1/disk0")],
            channels: &[(Channel::Stdin, 10), (Channel::Status, 14)],
        };
        let text: Vec<_> = outer.argv().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let text = text.join(" ").replace(" -", "\n-");
        expect![[r#"
            -name guest=sevirt-lab,debug-threads=on
            -no-user-config
            -nodefaults
            -no-reboot
            -display none
            -vga none
            -machine q35,usb=off,smm=off,vmport=off,hpet=off
            -accel tcg,thread=single
            -cpu max,svm=on,npt=on,phys-bits=48,la57=off,erms=off,fsrm=off
            -smp 1
            -m 5940M
            -kernel /proc/self/fd/20
            -initrd /proc/self/fd/21
            -append console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 tsc=reliable no_timer_check audit=0 apparmor=0 selinux=0 cryptomgr.notests
            -chardev file,id=log,append=on,path=/s,,x/console.log
            -serial chardev:log
            -device virtio-serial-pci,id=channels
            -chardev socket,id=stdin,fd=10
            -device virtserialport,bus=channels.0,nr=1,chardev=stdin,name=sevirt.stdin
            -chardev socket,id=status,fd=14
            -device virtserialport,bus=channels.0,nr=5,chardev=status,name=sevirt.status
            -fsdev local,id=root,security_model=none,readonly=on,multidevs=remap,path=/
            -device virtio-9p-pci,fsdev=root,mount_tag=root
            -fsdev local,id=state,security_model=none,multidevs=remap,path=/s,,x/share
            -device virtio-9p-pci,fsdev=state,mount_tag=state
            -blockdev {"driver":"qcow2","node-name":"disk0","file":{"driver":"file","filename":"/s/run-1/disk0"},"backing":{"driver":"raw","read-only":true,"file":{"driver":"file","filename":"/images/a \"b\".qcow2","read-only":true}}}
            -device virtio-blk-pci,drive=disk0,serial=sevirt-lab-0"#]].assert_eq(&text);
    }
}
