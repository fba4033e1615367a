#!/bin/busybox sh
# First process of the demo guest: loads drivers, looks for itself whether SEV is active, reports, and powers off,
# with sevirt.stay on the kernel's command line when its power button is pressed.
# The report's lines are read by report.rs. sevirt.report=console on the kernel's command line leaves disks alone.

export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

for module in /modules/*.ko; do
    insmod "$module" || echo "cannot load $module"
done

# Four registers of a CPUID leaf, in hexadecimal.
cpuid() {
    dd if=/dev/cpu/0/cpuid bs=16 count=1 iflag=skip_bytes skip=$(($1)) 2>/dev/null | od -An -v -tx4
}

# One model-specific register, in hexadecimal; nothing where the processor has none of that number.
msr() {
    dd if=/dev/cpu/0/msr bs=8 count=1 iflag=skip_bytes skip=$(($1)) 2>/dev/null | od -An -v -tx8
}

# The names of the bits set in a number: names VALUE BIT NAME BIT NAME ...
names() {
    value=$1 found=
    shift
    while [ $# -gt 0 ]; do
        [ $((value >> $1 & 1)) = 1 ] && found="$found${found:+, }$2"
        shift 2
    done
    echo "${found:-none}"
}

report_cpuid() {
    set -- $(cpuid 0x80000000)
    if [ $((0x${1:-0})) -lt $((0x8000001f)) ]; then
        echo "cpuid: not there"
        return
    fi
    set -- $(cpuid 0x8000001f)
    echo "cpuid: $1 $2 $3 $4"
    bits=$((0x$2))
    echo "cpuid in words: $(names 0x$1 0 SME 1 SEV 3 SEV-ES 4 SEV-SNP); C-bit $((bits & 63));" \
        "physical addresses shorter by $((bits >> 6 & 63))"
}

report_status() {
    set -- $(msr 0xc0010131)
    if [ -z "$1" ]; then
        echo "sev status: not there"
        return
    fi
    echo "sev status: $1"
    echo "sev status in words: active: $(names 0x$1 0 SEV 1 SEV-ES 2 SEV-SNP)"
}

report() {
    echo "sevirt guest report 1"
    echo "kernel: $(uname -r)"
    echo "vcpus: $(grep -c ^processor /proc/cpuinfo)"
    while read -r name value unit; do
        [ "$name" = MemTotal: ] && echo "memory: $value KiB"
    done </proc/meminfo
    report_cpuid
    report_status
    dmesg | grep -i sev | grep -v 'ommand line:' | head -n 50 | while read -r line; do echo "log: $line"; done
    echo "end of report"
}

# The block device of the partition with this name, once its disk has been found.
partition() {
    for attempt in $(seq 200); do
        for uevent in /sys/class/block/*/uevent; do
            if grep -qx "PARTNAME=$1" "$uevent"; then
                device=${uevent%/uevent}
                echo "/dev/${device##*/}"
                return
            fi
        done
        sleep 0.1
    done
}

write_report() {
    device=$(partition sevirt-esp)
    if [ -z "$device" ]; then
        echo "no disk of the demo guest: the report stays on the console"
        return
    fi
    mkdir -p /esp
    if mount -t vfat "$device" /esp && mkdir -p /esp/SEVIRT && cp /report /esp/SEVIRT/REPORT.TXT; then
        echo "the report is on $device"
    else
        echo "cannot write the report to $device"
    fi
    sync
    umount /esp
}

# Returns when the power button is pressed.
await_button() {
    for input in /sys/class/input/event*; do
        if grep -qx 'Power Button' "$input/device/name"; then
            dd if="/dev/input/${input##*/}" of=/dev/null bs=24 count=1 2>/dev/null
            return
        fi
    done
    echo "no power button"
}

# Before the report, so that no press is lost once there is one.
grep -qw sevirt.stay /proc/cmdline && await_button &
report >/report 2>&1
for console in $(cat /sys/class/tty/console/active); do
    cat /report >"/dev/$console"
done
grep -qw sevirt.report=console /proc/cmdline || write_report
sync
wait
poweroff -f
