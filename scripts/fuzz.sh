#!/bin/sh
# Builds a fuzzer and runs it. Stable Rust and a C++ compiler are enough: the coverage that libFuzzer asks for comes from
# the compiler's own pass.
#
#   scripts/fuzz.sh lint|boot|rpc|server [SECONDS] 3600 seconds unless told; FUZZ_SEED chooses the seed
#   scripts/fuzz.sh --minimise lint|boot|rpc|server makes the committed corpus small again, with what the runs found
#
# What a run finds new is kept in target/fuzz/corpus, a crash in target/fuzz/crashes; fuzz/corpus is what is committed.
set -eu
cd "$(dirname "$0")/.."
minimise=
[ "${1-}" = --minimise ] && { minimise=1; shift; }
name=${1:?which fuzzer: lint, boot, rpc or server}
seconds=${2-${FUZZ_SECONDS-3600}}
seed=${FUZZ_SEED-1}
host=$(rustc -vV | sed -n 's/^host: //p')
target=${FUZZ_TARGET_DIR-$PWD/target/fuzz}
# The same versions as everywhere else; cargo adds what the fuzzers need besides.
cmp -s Cargo.lock "$target/Cargo.lock" || { mkdir -p "$target"; cp Cargo.lock fuzz/Cargo.lock; cp Cargo.lock "$target/Cargo.lock"; }
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Ccodegen-units=1" \
    cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$target" --bin "$name"
fuzzer=$target/$host/release/$name
found=$target/corpus/$name
crashes=$target/crashes/
mkdir -p "$found" "$crashes" "fuzz/corpus/$name"
if [ -n "$minimise" ]; then
    small=$target/small/$name
    rm -rf "$small"
    mkdir -p "$small"
    "$fuzzer" -set_cover_merge=1 -use_counters=0 -max_len=2048 "$small" "fuzz/corpus/$name" "$found"
    rm -rf "fuzz/corpus/$name"
    cp -r "$small" "fuzz/corpus/$name"
    exit
fi
case $name in
lint) seeds="crates/rules/test_data examples" ;;
server) seeds=fuzz/corpus/rpc ;;
*) seeds= ;;
esac
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
start=$(date -u +%FT%TZ)
printf 'fuzz %s: commit %s, seed %s, %s s, from %s\n' "$name" "$commit" "$seed" "$seconds" "$start"
# shellcheck disable=SC2086
"$fuzzer" -max_total_time="$seconds" -seed="$seed" -dict="fuzz/$name.dict" -max_len=16384 -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix="$crashes" -print_final_stats=1 -verbosity=0 "$found" "fuzz/corpus/$name" $seeds
printf 'fuzz %s: no crash, from %s to %s\n' "$name" "$start" "$(date -u +%FT%TZ)"
