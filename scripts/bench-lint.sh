#!/bin/sh
# Lints 10,000 domains of 150 lines as one process on one core, and has virt-xml-validate look at some of the same files:
# it starts anew for each, and knows the schema only. `sevirt` is the one in PATH.
set -eu
cd "$(dirname "$0")/.."
count=10000
sample=50
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v directory="$work" -v count="$count" '
    { text = text $0 "\n" }
    END {
        for (i = 0; i < count; i++) {
            domain = text
            sub(/<name>guest</, "<name>guest-" i "<", domain)
            sub(/guest_VARS/, "guest-" i "_VARS", domain)
            file = sprintf("%s/%05d.xml", directory, i)
            printf "%s", domain >file
            close(file)
        }
    }' crates/rules/benches/guest.xml

now() { date +%s%N; }
# What it exits with is what it found; 2 and more is that it could not.
lint() { taskset -c 0 sevirt lint --format "$1" --facts crates/rules/test_data/host.json "$work" >"$work/found" || [ $? = 1 ]; }
report() { awk -v what="$1" -v ns="$2" -v files="$3" 'BEGIN { printf "  %-34s%9.3f s%10.0f us a file\n", what, ns / 1e9, ns / 1e3 / files }'; }

lint json # The files are in the page cache now.
best=
for _ in 1 2 3; do
    start=$(now)
    lint json
    took=$(($(now) - start))
    if [ -z "$best" ] || [ "$took" -lt "$best" ]; then best=$took; fi
done
report "sevirt lint --format json, $count" "$best" "$count"
start=$(now)
lint text
report "sevirt lint, $count" "$(($(now) - start))" "$count"

if command -v virt-xml-validate >/dev/null; then
    start=$(now)
    for file in $(find "$work" -name '*.xml' | sort | head -n "$sample"); do
        taskset -c 0 virt-xml-validate "$file" domain >/dev/null 2>&1
    done
    report "virt-xml-validate, $sample" "$(($(now) - start))" "$sample"
else
    printf '  %s\n' 'virt-xml-validate is not installed; not measured'
fi
