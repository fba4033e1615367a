#!/bin/sh
# The daemon beside libvirtd, each with empty state of its own; `sevirt` is the one in PATH. Wants root.
#
#   scripts/bench-daemon.sh [RUNS]
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --release --locked -p daemon --example bench_daemon
exec scripts/private_libvirt.sh "$(realpath "${CARGO_TARGET_DIR:-target}/release/examples/bench_daemon")" \
    "$(command -v sevirt)" "$@"
