# A libvirtd and a sevirt that forwards to it, alone in their namespaces: what one is told the other knows.
#   forward.sh SEVIRT EMPTY_DIRECTORY EVENTS.PY
set -u
sevirt=$1 place=$2
ip link set lo up
# Whatever is not answered is said to be, and by whom.
bounded() {
    timeout --kill-after 5 30 "$@"
    status=$?
    [ "$status" -lt 124 ] || { echo "no answer within 30 s: $*"; cat "$place/said"; ps -eo pid,stat,wchan:20,args; }
    return "$status"
}
bounded libvirtd --daemon --timeout 0
printf '[forward]\nnetwork = "/run/libvirt/libvirt-sock"\nstorage = "/run/libvirt/libvirt-sock"\n' >"$place/sevirtd.toml"
"$sevirt" daemon --state-dir "$place" 2>"$place/said" &
daemon=$!
uri="qemu:///system?socket=$place/run/sevirt-sock"
ours() { bounded virsh -q -c "$uri" "$@" 2>&1; }
theirs() { bounded virsh -q -c qemu:///system "$@" 2>&1; }
# Both listen when they answer.
for one in ours theirs; do
    timeout 60 sh -c 'until virsh -q -c "$0" uri >/dev/null 2>&1; do :; done' \
        "$([ $one = ours ] && echo "$uri" || echo qemu:///system)"
done

echo "<network><name>isolated</name><bridge name='virbr9'/></network>" >"$place/network.xml"
ours net-define "$place/network.xml" >/dev/null
ours net-start isolated
theirs net-list --all
ours net-list --all
ours net-info isolated | grep Bridge
ours net-port-list isolated
ours net-info nothing

mkdir "$place/images"
ours pool-define-as images dir --target "$place/images"
ours pool-start images
ours vol-create-as images a.img 3M
head -c 3000000 "$sevirt" >"$place/up"
ours vol-upload a.img "$place/up" --pool images
ours vol-download a.img "$place/down" --pool images --length 3000000
cmp "$place/up" "$place/down" && echo "the bytes are the same"
theirs vol-list images | sed "s#$place#PLACE#"
ours vol-upload nothing.img "$place/up" --pool images
ours vol-upload a.img "$place/up" --pool images --sparse
ours vol-delete a.img images

# Of their daemon, by ours.
bounded /usr/bin/python3 "$3" "$uri" "$place" | grep -v by-python

cat >"$place/guest.xml" <<'XML'
<domain type='qemu'><name>guest</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><interface type='network'><source network='isolated'/><model type='virtio'/></interface></devices></domain>
XML
ours create "$place/guest.xml" --paused | sed "s#$place#PLACE#"
ip -o link show master virbr9 | sed 's/^[0-9]*: \([a-z]*\)[0-9]*: .*/a device of the bridge: \1/'
ours destroy guest
ours net-destroy isolated
ours create "$place/guest.xml" | sed "s#$place#PLACE#"
kill -9 "$(pidof libvirtd)"
timeout 60 sh -c 'while virsh -q -c qemu:///system uri >/dev/null 2>&1; do :; done'
ours net-list --all
ours list --all
kill "$daemon"
bounded tail --pid "$daemon" --follow /dev/null
