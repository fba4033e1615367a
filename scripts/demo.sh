#!/bin/sh
# The demo: from libvirt domain XML to a guest whose own kernel reports SEV, attested before it was let run; then the
# same guest with one byte of its firmware changed, which is never let run. Each step is a command to type.
#
# Needs `sevirt` in PATH (`make demo` builds it). Runs in the lab: no SEV hardware is needed and nothing on this
# machine is changed but $DEMO_DIR.
set -eu
cd "$(dirname "$0")/.."
work=${DEMO_DIR:-target/demo}
mkdir -p "$work"

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# Shows a command and runs it; its exit code is left in $code.
run() {
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    code=0
    "$@" || code=$?
}
fail() { printf '\n%sdemo failed:%s %s\n' "$bold" "$plain" "$*" >&2; exit 1; }

step '1. What will stop this domain, or make it less confidential than it looks?'
run sevirt lint examples/q35.xml
[ "$code" -le 1 ] || fail "sevirt lint exited with $code"

step '2. Apply the fixes: only the bytes that a fix names change. Another firmware means another measurement, so that fix is asked for.'
cp examples/q35.xml "$work/sev-dummy.xml"
run sevirt fix --unsafe --diff "$work/sev-dummy.xml"
run sevirt fix --unsafe --write "$work/sev-dummy.xml"
[ "$code" -le 1 ] || fail "sevirt fix exited with $code"
firmware=$(sed -n 's:.*<loader[^>]*>\(.*\)</loader>.*:\1:p' "$work/sev-dummy.xml")
[ -f "$firmware" ] || fail "no firmware of this machine can run a SEV guest; install the package ovmf"

step '3. The owner computes, from the firmware file alone, what the launch must measure.'
run sevirt digest --firmware "$firmware"
digest=$(sevirt digest --quiet --firmware "$firmware")

step '4. Launch it: started paused, measured, verified by its owner, and only then let run.'
run sevirt lab run --expect-digest "$digest" "$work/sev-dummy.xml"
[ "$code" = 0 ] || fail "sevirt lab run exited with $code instead of 0"

step '5. The same domain, one byte of its firmware changed.'
tampered=$work/OVMF_CODE.tampered.fd
cp "$firmware" "$tampered"
chmod u+w "$tampered"
printf '\125' | dd of="$tampered" bs=1 seek=4096 conv=notrunc status=none
if cmp -s "$firmware" "$tampered"; then printf '\252' | dd of="$tampered" bs=1 seek=4096 conv=notrunc status=none; fi
variables=$(printf '%s\n' "$firmware" | sed 's:CODE\([^/]*\)$:VARS\1:')
sed "s|$firmware|$(realpath "$tampered")|; s|<nvram>|<nvram template='$variables'>|" "$work/sev-dummy.xml" >"$work/sev-tampered.xml"
run sevirt lab run --expect-digest "$digest" "$work/sev-tampered.xml"
[ "$code" = 5 ] || fail "sevirt lab run exited with $code instead of 5, attestation failed"

step 'The guest ran attested, its kernel reports SEV, and the tampered one was stopped before its first instruction (exit code 5).'
