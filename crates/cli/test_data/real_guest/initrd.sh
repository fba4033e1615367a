# Makes the initial RAM file system of a small Linux guest with QEMU's agent in it.
#   initrd.sh KERNEL_VERSION EMPTY_DIRECTORY INIT_SCRIPT OUTPUT
# Takes busybox, the agent with its libraries and the kernel's modules from this machine.
set -eu
version=$1 root=$2 init=$3 output=$4
mkdir -p "$root/bin" "$root/sbin" "$root/etc" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/mnt" \
    "$root/modules" "$root/lib64"
mkdir -p "$root/tmp" "$root/var/run" "$root/var/lib/qga"
busybox=$(command -v busybox)
cp "$busybox" "$root/bin/busybox"
agent=$(PATH=$PATH:/usr/sbin command -v qemu-ga)
cp "$agent" "$root/bin/qemu-ga"
for library in $(ldd "$agent" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
# In the order of loading, each once.
number=100
for module in virtio_pci virtio_blk virtio_net virtio_console virtio_balloon virtio_rng ext4 button evdev qemu_fw_cfg; do
    modprobe --set-version "$version" --show-depends "$module"
done | while read -r how file parameters; do
    [ "$how" = insmod ] || continue
    name=$(basename "$file")
    [ -z "$(find "$root/modules" -name "*-$name")" ] || continue
    number=$((number + 1))
    cp "$file" "$root/modules/$number-$name"
done
cp "$init" "$root/init"
chmod 755 "$root/init"
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo 'NAME="sevirt test guest"
ID=sevirt-test
PRETTY_NAME="sevirt test guest"' >"$root/etc/os-release"
echo guest.example >"$root/etc/hostname"
# What the agent runs: these programs' parts are played by small scripts.
printf '#!/bin/sh\ncase " $* " in *" -r "*) exec reboot -f ;; *) exec poweroff -f ;; esac\n' >"$root/sbin/shutdown"
printf '#!/bin/sh\nread -r line; echo "chpasswd $* $line" >/run/password\n' >"$root/sbin/chpasswd"
ln -s ../bin/busybox "$root/sbin/hwclock"
chmod 755 "$root/sbin/shutdown" "$root/sbin/chpasswd"
(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$output"
