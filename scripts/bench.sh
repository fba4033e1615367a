#!/bin/sh
# Benchmarks, each beside its peer in the same run; `sevirt` is the one in PATH. Figures with a target say so.
#
#   scripts/bench.sh              all of them, the lab's stages last (they take a minute or two)
#   scripts/bench.sh --no-lab     without the lab
set -eu
cd "$(dirname "$0")/.."

printf '%s\n' '== the launch digest, beside openssl'
cargo bench --quiet --locked -p cli --bench digest

printf '\n%s\n' "== a start: sevirt's own share, and QEMU's greeting beside a bare start"
cargo run --quiet --release --locked -p daemon --example bench_start -- "$(command -v sevirt)" 50

printf '\n%s\n' '== sevirt caps, beside the same questions asked bare, and beside virsh domcapabilities'
cargo build --quiet --release --locked -p daemon --example bench_caps
bench_caps=$(realpath "${CARGO_TARGET_DIR:-target}/release/examples/bench_caps")
if [ "$(id -u)" = 0 ]; then
    scripts/private_libvirt.sh "$bench_caps" "$(command -v sevirt)"
else
    "$bench_caps" "$(command -v sevirt)"
fi

printf '\n%s\n' '== lint: 10,000 domains of 150 lines as one process on one core (target: 1.5 s), beside virt-xml-validate'
scripts/bench-lint.sh

printf '\n%s\n' '== the daemon, beside libvirtd'
if [ "$(id -u)" = 0 ]; then
    scripts/bench-daemon.sh
else
    echo 'not measured: it wants root'
fi

[ "${1-}" = --no-lab ] && exit 0
printf '\n%s\n' '== the lab: stages of a one-vCPU guest that boots a kernel directly (target: 60 s on two idle cores)'
start=$(date +%s)
sevirt lab run examples/direct.xml 2>&1 >/dev/null | grep -E '^(lab|sevirt): .* ms$|the lab ran'
printf 'from the command to its end: %d s\n' "$(($(date +%s) - start))"
