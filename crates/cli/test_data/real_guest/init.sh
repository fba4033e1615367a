#!/bin/busybox sh
# First process of a test's guest: drivers, a file system on the first disk, QEMU's agent, a shell on the first serial
# port, and power off when the power button is pressed.
export PATH=/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do
    case $module in
    *.xz) unxz -c "$module" >/tmp/module.ko && insmod /tmp/module.ko ;;
    *) insmod "$module" ;;
    esac || echo "cannot load $module"
done
rm -rf /modules /tmp/module.ko
hostname -F /etc/hostname
ln -s /proc/mounts /etc/mtab
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
mount -t ext4 /dev/vda /mnt

button() {
    for input in /sys/class/input/event*; do
        if grep -qx 'Power Button' "$input/device/name"; then
            dd if="/dev/input/${input##*/}" of=/dev/null bs=24 count=1 2>/dev/null
            exec poweroff -f
        fi
    done
}
button &
for port in /sys/class/virtio-ports/*; do
    if grep -qx org.qemu.guest_agent.0 "$port/name"; then
        qemu-ga -m virtio-serial -p "/dev/${port##*/}" &
    fi
done
echo "guest is up"
while :; do
    setsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'
done
