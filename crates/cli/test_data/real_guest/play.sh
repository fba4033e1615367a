# A small Linux guest with QEMU's agent, asked by virsh what only a guest that runs can answer.
#   play.sh URI EMPTY_DIRECTORY
# Prints what was said, without what changes from run to run.
set -u
here=$(cd "$(dirname "$0")" && pwd) uri=$1 place=$2
cd "$place" || exit 1
PATH=$PATH:/usr/sbin:/sbin
for version in $(ls /lib/modules | sort -rV); do
    [ ! -r "/boot/vmlinuz-$version" ] || break
done
cp "/boot/vmlinuz-$version" kernel
sh "$here/initrd.sh" "$version" "$place/root" "$here/init.sh" "$place/initrd" || exit 1
truncate -s 32M disk.img
mke2fs -q -t ext4 disk.img
truncate -s 8M second.img
sed "s#@DIR@#$place#g" "$here/guest.xml" >guest.xml

# One line of virsh, and what it says.
v() {
    { echo "# $*" && timeout 120 virsh -q -c "$uri" "$@" 2>&1; } | sed "s#$place#PLACE#"
}
quiet() { virsh -q -c "$uri" "$@" >/dev/null 2>&1; }
# Returns when the agent answers, or the guest is off.
answers() {
    until quiet qemu-agent-command guest '{"execute":"guest-ping"}'; do
        sleep 0.3
        [ $((waited = waited + 1)) -lt 600 ] || { echo "the agent does not answer"; exit 1; }
    done
}
ends() {
    while [ "$(virsh -q -c "$uri" domstate guest)" != "shut off" ]; do
        sleep 0.3
        [ $((waited = waited + 1)) -lt 600 ] || { echo "the guest does not end"; exit 1; }
    done
}
waited=0

quiet define guest.xml
timeout 900 virsh -q -c "$uri" event --all --loop >events 2>&1 &
v start guest
answers
v guestinfo guest --os --hostname --filesystem --timezone | grep -v -e kernel -e bytes
v domhostname guest --source agent
v domtime guest --time 1700000000
v domtime guest --pretty | sed 's/22:1[0-9]:[0-9]*$/22:1x/'
echo
v domtime guest --now
v domifaddr guest --source agent --interface eth0 | grep -v ipv6
v domfsinfo guest
v domfsfreeze guest
v qemu-agent-command guest '{"execute":"guest-fsfreeze-status"}'
v domfsthaw guest
v set-user-password guest root s3cret
v dommemstat guest | sed -n 's/^\(unused\|available\|usable\) [1-9].*/\1/p'
v setmem guest 250M --live
until grep -q '256000KiB' events; do
    sleep 0.3
    [ $((waited = waited + 1)) -lt 600 ] || break
done
v dommemstat guest | grep actual

# Plugged and pulled; the guest's driver lets go.
v attach-disk guest "$place/second.img" vdb --targetbus virtio --live
echo "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/></interface>" >nic.xml
v attach-device guest nic.xml --live
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ "$(virsh -q -c "$uri" guestinfo guest --disk --interface | grep -c -e /dev/vdb -e 52:54:00:00:00:02)" = 2 ] && break
    sleep 0.5
done
v guestinfo guest --disk | grep alias
v guestinfo guest --interface | grep hwaddr
v detach-disk guest vdb --live
v detach-device guest nic.xml --live
v domblklist guest
v domiflist guest
v setvcpus guest 2 --live
v setvcpus guest 2 --guest
v vcpucount guest --guest --active
v guestvcpus guest
v guestvcpus guest --disable --cpulist 1
v guestvcpus guest --disable --cpulist 0
v vcpucount guest --guest --active
v setvcpus guest 3 --guest

# Typed at its console: what was its root's password told to be?
/usr/bin/python3 "$here/console.py" "$uri" guest 'cat /run/password' s3cret

v reboot guest --mode agent
until [ "$(grep -c "'connected'" events)" = 2 ]; do
    sleep 0.3
    [ $((waited = waited + 1)) -lt 600 ] || break
done
answers
v domstate guest --reason
v shutdown guest --mode agent
ends
v domstate guest --reason
v start guest
answers
v shutdown guest --mode acpi
ends
v domstate guest --reason
grep -e "'lifecycle'" -e "'reboot'" events | uniq
echo "the agent connected $(grep -c "'connected'" events) times"
kill $!
