#!/bin/sh
# The long runs: an hour of each fuzzer (FUZZ_SECONDS of each, if that is set) with no crash; the daemon killed 500 times
# (SEVIRT_KILLS) in storms of calls; then ten lab starts in a row of a one-vCPU guest, ten successes, and how long each took.
#
#   scripts/soak.sh [RUNS]
set -eu
cd "$(dirname "$0")/.."
runs=${1-10}
for target in fuzz/targets/*.rs; do
    scripts/fuzz.sh "$(basename "$target" .rs)"
done
SEVIRT_KILLS=${SEVIRT_KILLS-500} cargo test --quiet --locked -p cli --test crash -- --nocapture storm
succeeded=0
for number in $(seq "$runs"); do
    start=$(date +%s)
    if sevirt lab run examples/direct.xml >"target/soak-$number.log" 2>&1; then
        succeeded=$((succeeded + 1))
        verdict=ok
    else
        verdict="exit $?, see target/soak-$number.log"
    fi
    printf 'lab run %2d of %d: %s, %d s\n' "$number" "$runs" "$verdict" "$(($(date +%s) - start))"
done
printf '%d of %d lab runs succeeded\n' "$succeeded" "$runs"
[ "$succeeded" = "$runs" ]
