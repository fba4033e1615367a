#!/bin/busybox sh
# The first process of the lab's outer machine: loads modules, puts the host's root under an overlay and hands
# over to the agent there. What it prints goes to the console log; /lab holds what the host prepared.
b=/bin/busybox
fail() { $b echo "lab: $*"; $b poweroff -f; }
now() { $b cut -d' ' -f1 /proc/uptime; }

$b mount -t proc proc /proc
kernel=$(now)
while read -r module; do
    # Unquoted: parameters follow the file's name.
    $b insmod $module || fail "cannot load $module"
done </lab/modules
modules=$(now)

shared=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o "ro,cache=loose,$shared" root /lower || fail "cannot mount the host's root"
$b mount -t tmpfs -o mode=0755 changes /changes
$b mkdir /changes/upper /changes/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work root /root ||
    fail "cannot put an overlay over the host's root"

cd /root || fail "no root"
for directory in proc sys dev run tmp; do $b mkdir -p $directory; done
$b mount -t proc -o nosuid,nodev,noexec proc proc
$b mount -t sysfs -o nosuid,nodev,noexec sysfs sys
$b mount -t devtmpfs -o nosuid devtmpfs dev
$b mkdir -p dev/pts dev/shm
$b mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts dev/pts
$b mount -t tmpfs -o nosuid,nodev tmpfs dev/shm
$b mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs run
$b mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
$b mkdir -p run/sevirt/lab/state
$b mount -t 9p -o "rw,$shared" state run/sevirt/lab/state || fail "cannot mount the state directory"
$b cp /lab/job.json run/sevirt/lab/job.json
$b ifconfig lo 127.0.0.1 up

agent=$($b cat /lab/agent)
LAB_UPTIMES="kernel=$kernel modules=$modules" exec $b switch_root /root "$agent" lab-agent
