#!/bin/sh
# Runs a program where libvirt is its own: in namespaces with an empty configuration, state and cache of libvirt's and of
# sevirt's. Nothing outside is changed, and what the program starts ends with it. Wants root.
#
#   scripts/private_libvirt.sh PROGRAM [ARGUMENT…]
set -eu
[ "$#" -ge 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "private_libvirt.sh: not root" >&2; exit 77; }

if [ "${SEVIRT_PRIVATE_LIBVIRT-}" != yes ]; then
    # The first process of the new PID namespace is a shell, which reaps what libvirtd leaves to it.
    SEVIRT_PRIVATE_LIBVIRT=yes exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
fi
for directory in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /run/libvirt \
    /etc/sevirt /var/lib/sevirt /var/cache/sevirt /var/log/sevirt /run/sevirt; do
    # In the lab the simulated secure processor listens there.
    [ ! -e "$directory/simulated" ] || continue
    mkdir -p "$directory"
    mount -t tmpfs -o mode=755 none "$directory"
done
cat >/etc/libvirt/qemu.conf <<'EOF'
stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = []
EOF
cat >/etc/libvirt/libvirtd.conf <<'EOF'
auth_unix_rw = "none"
log_outputs = "4:file:/var/log/libvirt/libvirtd.log"
EOF
"$@"
