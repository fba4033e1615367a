#!/bin/sh
# Runs the units of systemd/ under a real systemd, and shows what becomes of the daemon and its guest: socket activation,
# readiness, scopes, restart, stop, crash, ceilings.
#
#   scripts/try_systemd.sh [SEVIRT]
#
# systemd is the first process of an emulated machine of its own, which has this machine's files as they are, read-only
# under an overlay; nothing of it stays. Takes two minutes on a quiet machine. Wants root, and what
# `scripts/setup.sh --peers` installs. Exits 0 where all holds.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)

inside() {
    failed=0
    # holds WHAT COMMAND…: whether it is so.
    holds() {
        what=$1
        shift
        if "$@" >/dev/null 2>&1; then echo "ok: $what"; else echo "FAILED: $what"; failed=1; fi
    }
    is() { [ "$1" = "$2" ] || { echo "  $1, not $2"; false; }; }
    property() { systemctl show --value -p "$2" "$1"; }
    v() { virsh -q -c 'qemu:///system?socket=/run/sevirt/sevirt-sock' "$@"; }
    qemu() { pgrep -f '^/usr/bin/qemu-system-x86_64 -name guest=tried,'; }
    group() { sed -n 's/^0:://p' "/proc/$(qemu)/cgroup"; }

    echo "systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')"
    systemctl start sevirtd.socket sevirtd-ro.socket
    holds "the sockets are there and the service is not" is "$(systemctl is-active sevirtd.service)" inactive
    holds "the socket has its mode" is "$(stat -c %a /run/sevirt/sevirt-sock)" 660
    holds "the socket has its group" is "$(stat -c %G /run/sevirt/sevirt-sock)" libvirt
    holds "virsh starts the service by connecting" v uri
    holds "the service is ready" is "$(systemctl is-active sevirtd.service)" active
    holds "it told so itself" is "$(property sevirtd.service Type)" notify
    holds "who only reads gets in by the other socket" \
        virsh -q -r -c 'qemu:///system?socket=/run/sevirt/sevirt-sock-ro' list
    holds "its directories are made" test -d /var/lib/sevirt -a -d /var/cache/sevirt -a -d /var/log/sevirt

    cat >/root/tried.xml <<'XML'
<domain type='qemu'><name>tried</name><memory unit='MiB'>64</memory>
<memtune><hard_limit unit='MiB'>512</hard_limit></memtune>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>
XML
    holds "a guest is defined" v define /root/tried.xml
    holds "and starts" v start tried
    pid=$(qemu)
    scope=$(basename "$(group)")
    echo "$(group)"
    holds "its group is a scope in machine.slice" \
        sh -c "case '$(group)' in /machine.slice/sevirt-tried-*.scope) ;; *) exit 1 ;; esac"
    holds "systemd knows the scope" is "$(systemctl is-active "$scope")" active
    holds "the scope has the guest's limit" is "$(property "$scope" MemoryMax)" $((512 << 20))
    holds "so has the kernel" is "$(cat "/sys/fs/cgroup$(group)/memory.max")" $((512 << 20))
    holds "QEMU alone is in it" is "$(cat "/sys/fs/cgroup$(group)/cgroup.procs")" "$pid"
    holds "virsh memtune changes the limit" v memtune tried --hard-limit 614400 --live
    holds "in the kernel" is "$(cat "/sys/fs/cgroup$(group)/memory.max")" $((600 << 20))
    holds "and for systemd" is "$(property "$scope" MemoryMax)" $((600 << 20))
    systemctl daemon-reload
    holds "also when that reads its units again" is "$(cat "/sys/fs/cgroup$(group)/memory.max")" $((600 << 20))

    holds "the service reloads" systemctl reload sevirtd.service
    before=$(property sevirtd.service MainPID)
    holds "it restarts" systemctl restart sevirtd.service
    holds "as another process" test "$before" != "$(property sevirtd.service MainPID)"
    holds "the guest is the same process" is "$(qemu)" "$pid"
    holds "in the same scope" is "$(basename "$(group)")" "$scope"
    holds "and taken over" is "$(v domstate tried)" running
    holds "the service stops" systemctl stop sevirtd.service
    holds "the guest runs on" is "$(qemu)" "$pid"
    holds "systemctl sees the service down" is "$(systemctl is-active sevirtd.service)" inactive
    holds "a client starts it again" is "$(v domstate tried)" running
    kill -9 "$(property sevirtd.service MainPID)"
    holds "killed, it comes back, and has the guest" is "$(v domstate tried)" running
    holds "which is the same" is "$(qemu)" "$pid"
    systemctl stop sevirtd.service sevirtd.socket sevirtd-ro.socket
    holds "stopped with its sockets, it leaves none" test ! -e /run/sevirt/sevirt-sock
    holds "the guest runs on" is "$(qemu)" "$pid"
    holds "the service brings its sockets" systemctl start sevirtd.service
    holds "and takes the guest over" is "$(v domstate tried)" running
    holds "the guest is paused and resumed" sh -c 'v="virsh -q -c qemu:///system?socket=/run/sevirt/sevirt-sock"; $v suspend tried && $v resume tried'

    holds "sevirt host limits sets the ceiling" sevirt host limits --apply
    echo "  machine.slice: MemoryMax=$(property machine.slice MemoryMax)"
    holds "the slice has a ceiling" test "$(property machine.slice MemoryMax)" != infinity

    systemctl stop sevirtd.service
    holds "the optional sockets open" systemctl start sevirtd-libvirt.socket sevirtd-libvirt-ro.socket
    holds "for the service" systemctl start sevirtd.service
    holds "a bare virsh reaches sevirt" is "$(virsh -q -c qemu:///system domstate tried)" running
    holds "and only to read" is "$(virsh -q -r -c qemu:///system domstate tried)" running

    cat >/root/locked.xml <<'XML'
<domain type='qemu'><name>locked</name><memory unit='MiB'>64</memory>
<memtune><hard_limit unit='MiB'>1100</hard_limit></memtune><memoryBacking><locked/></memoryBacking>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>
XML
    holds "a guest with locked memory starts" v create /root/locked.xml --paused
    locked=$(sed -n 's/^VmLck:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(pgrep -f guest=locked,)/status")
    holds "its memory is locked" test "${locked:-0}" -ge 65536
    holds "the limit allows what may be locked" \
        grep -q "^Max locked memory *$((1100 << 20)) " "/proc/$(pgrep -f guest=locked,)/limits"
    v destroy locked
    echo 48 >/proc/sys/vm/nr_hugepages
    systemctl start dev-hugepages.mount
    sed 's/locked/huge/; s/<memtune>.*/<memoryBacking><hugepages\/><\/memoryBacking>/' /root/locked.xml >/root/huge.xml
    holds "a guest in huge pages starts" v create /root/huge.xml --paused
    holds "all its memory is there" \
        grep -q "^HugetlbPages:[^0-9]*65536 kB" "/proc/$(pgrep -f guest=huge,)/status"
    v destroy huge
    holds "and leaves nothing there" is "$(ls /dev/hugepages)" ""

    holds "the guest is destroyed" v destroy tried
    holds "its scope goes" timeout 10 sh -c "while systemctl -q is-active '$scope'; do sleep 0.2; done"
    holds "a guest that ends while the daemon is away" sh -c \
        "virsh -q -c 'qemu:///system?socket=/run/sevirt/sevirt-sock' start tried"
    scope=$(basename "$(group)")
    systemctl stop sevirtd.service
    kill -9 "$(qemu)"
    holds "leaves no scope" timeout 10 sh -c "while systemctl -q is-active '$scope'; do sleep 0.2; done"
    holds "and is off" is "$(v domstate tried)" "shut off"
    journalctl -q -u sevirtd.service -o cat --no-pager >/tmp/journal
    holds "the journal has no colours" sh -c '! grep -q "$(printf "\033")" /tmp/journal'
    holds "and tells of each takeover" test "$(grep -c "taken over" /tmp/journal)" -ge 5
    holds "nobody else spoke to systemd in its name" sh -c '! journalctl -q -u sevirtd.service | grep -q "reception only permitted"'
    cat /tmp/journal
    echo "exposure: $(systemd-analyze security sevirtd.service --no-pager | tail -n 1)"
    [ $failed != 0 ] || echo "all holds"
    exit $failed
}

case ${1-} in
inside) inside; exit ;;
-*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
sevirt=$(realpath "${1:-$(command -v sevirt)}") || exit 2
[ "$(id -u)" = 0 ] || { echo "try_systemd.sh: not root" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in $(ls /lib/modules | sort -rV); do
    [ ! -r "/boot/vmlinuz-$version" ] || break
done
mkdir -p "$work/initrd/bin" "$work/initrd/modules" "$work/initrd/lower" "$work/initrd/changes" "$work/initrd/new" \
    "$work/initrd/proc"
cp "$(command -v busybox)" "$work/initrd/bin/busybox"
number=100
for module in virtio_pci 9p 9pnet_virtio overlay; do
    modprobe --set-version "$version" --show-depends "$module"
done | while read -r how file _; do
    [ "$how" = insmod ] || continue
    name=$(basename "$file")
    [ -z "$(find "$work/initrd/modules" -name "*-$name")" ] || continue
    number=$((number + 1))
    cp "$file" "$work/initrd/modules/$number-$name"
done
cat >"$work/initrd/init" <<EOF
#!/bin/busybox sh
b=/bin/busybox
for module in /modules/*; do
    case \$module in *.xz) \$b unxz -c \$module >/m.ko; module=/m.ko ;; esac
    \$b insmod \$module
done
\$b mount -t proc proc /proc
\$b mount -t 9p -o ro,cache=loose,trans=virtio,version=9p2000.L,msize=512000 root /lower
\$b mount -t tmpfs none /changes
\$b mkdir /changes/upper /changes/work
\$b mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work none /new
cd /new
\$b rm -rf etc/systemd/system etc/sevirt etc/machine-id
\$b mkdir -p etc/systemd/system
\$b cp .$here/systemd/sevirtd* etc/systemd/system/
\$b cp .$here/systemd/sysusers.conf usr/lib/sysusers.d/sevirt.conf
\$b cp .$here/systemd/tmpfiles.conf usr/lib/tmpfiles.d/sevirt.conf
\$b cp .$here/systemd/70-sevirt.rules usr/lib/udev/rules.d/
\$b ln -sf $sevirt usr/bin/sevirt
\$b sed -i '/sevirt-qemu/d' etc/passwd etc/group etc/shadow etc/gshadow
: >etc/fstab
\$b cat >etc/systemd/system/tried.service <<UNIT
[Unit]
Wants=basic.target dbus.service
After=basic.target dbus.service
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=$here/scripts/try_systemd.sh inside
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=600
UNIT
\$b umount /proc
exec \$b switch_root /new /lib/systemd/systemd --unit=tried.service --show-status=no
EOF
chmod 755 "$work/initrd/init"
(cd "$work/initrd" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initrd.img"
timeout 900 qemu-system-x86_64 -machine q35 -accel tcg,thread=single -cpu max -smp 1 -m 1536 -nodefaults -display none \
    -no-reboot -kernel "/boot/vmlinuz-$version" -initrd "$work/initrd.img" \
    -append "console=ttyS0 quiet loglevel=3 systemd.log_level=warning systemd.mask=systemd-udev-settle.service panic=-1" \
    -virtfs local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap \
    -device virtio-rng-pci -serial stdio </dev/null | tr -d '\r' | tee "$work/said"
grep -q '^all holds$' "$work/said"
