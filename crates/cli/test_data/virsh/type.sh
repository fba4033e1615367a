#!/bin/sh
# Starts a daemon and types a script's lines against it; wants an empty libvirt of its own (scripts/private_libvirt.sh,
# or the lab) and a directory of its own for all that it writes.
#
#   type.sh libvirtd|SEVIRT SCRIPT DIRECTORY
#
# A line of the script is a command, typed as it stands into the shell:
#
#   virsh …     its output and exit code are shown; it must succeed where libvirtd is the daemon
#   ! virsh …   the same; it must fail there
#   ? virsh …   the same; whether it succeeds depends on the machine
#   ~ command   not shown: it prepares, or waits for what the daemon does by itself
#
# Each answer is shown as a record separator, the line's number and the line; the output, errors among it; a record
# separator, `exit` and the code.
set -u
trap "" PIPE
daemon=$1 script=$(realpath "$2") data=$(dirname "$(realpath "$0")")
cd "$3" || exit 2
export LC_ALL=C TZ=UTC VIRSH_HISTSIZE=0
socket=/run/libvirt/libvirt-sock
# In the second one libvirtd locks terminals.
mkdir -p /run/libvirt /run/lock

# Until a command succeeds, or patience (in seconds) ends. A guest that shares its only processor with who asks boots the
# sooner the longer the pauses are.
await() {
    end=$(($(date +%s) + ${PATIENCE:-15}))
    until "$@" >/dev/null 2>&1 </dev/null; do
        [ "$(date +%s)" -lt "$end" ] || { echo "type.sh: in vain: $*" >&2; return 1; }
        sleep "${PAUSE:-0.1}"
    done
}
# Whether a command's output has a pattern.
says() {
    pattern=$1
    shift
    "$@" 2>/dev/null </dev/null | grep -q -e "$pattern"
}
# Types into a console and leaves it: console "COMMAND" then pairs of what is typed and what is then waited for. What the
# terminal has shown is printed.
console() {
    rm -f keys shown terminal
    mkfifo keys
    script -qec "tty >terminal; stty -echo; $1" /dev/null <keys >shown 2>&1 &
    exec 3>keys
    shift
    await is_raw
    while [ "$#" -ge 2 ]; do
        printf "$1" >&3
        await shows "$2"
        shift 2
    done
    printf '\035' >&3
    wait "$!"
    exec 3>&-
    cat shown
}
# The console's terminal, once virsh hands every key on; what it has shown. Neither is waited for once virsh has ended.
is_ready() { console "virsh console small" ping PING >/dev/null; }
is_raw() { says '-icanon' stty -a -F "$(cat terminal)" || ! kill -0 "$!"; }
shows() { grep -q -e "$1" shown || ! kill -0 "$!"; }
# A daemon that hangs is to fail one line.
virsh() { timeout --foreground -k 1 "$((${PATIENCE:-15} * 2))" virsh "$@"; }

case $daemon in
libvirtd)
    libvirtd --pid-file "$PWD/daemon.pid" >daemon.log 2>&1 &
    ;;
*)
    "$daemon" daemon --state-dir "$PWD/state" >daemon.log 2>&1 &
    ln -s "$PWD/state/run/sevirt-sock" "$socket"
    ln -s "$PWD/state/run/sevirt-sock-ro" "$socket-ro"
    ;;
esac
pid=$!
await virsh uri || { cat daemon.log >&2; exit 2; }

number=0
while IFS= read -r line <&4; do
    number=$((number + 1))
    case $line in
    '' | '#'*) continue ;;
    '~ '*)
        eval "${line#'~ '}" 4<&- >>setup.log 2>&1 </dev/null || printf '\036%d %s\nfailed\n\036exit %d\n' "$number" "$line" "$?"
        continue
        ;;
    '! '* | '? '*) command=${line#??} ;;
    *) command=$line ;;
    esac
    printf '\036%d %s\n' "$number" "$line"
    (eval "$command") 4<&- 2>&1 </dev/null
    printf '\n\036exit %d\n' "$?"
done 4<"$script"
kill "$pid"
wait "$pid"
printf '\036end %d\n' "$?"
