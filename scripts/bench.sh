#!/bin/sh
# Benchmarks, each beside its peer in the same run.
set -eu
cd "$(dirname "$0")/.."
cargo bench --locked -p cli --bench digest
