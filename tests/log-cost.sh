#!/usr/bin/env bash
# What the log costs: instructions (valgrind's callgrind) and times of the hottest operations, in a build with it and in one without.
# Needs valgrind for the instructions; prints the times alone where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

times=20000
target="${CARGO_TARGET_DIR:-target}"
export AQUIFER_WINDOW=1G
cargo build --release --quiet --example log-cost
RUSTFLAGS="${RUSTFLAGS:-} --cfg aquifer_unlogged" \
    cargo build --release --quiet --example log-cost --target-dir "$target/unlogged"
with="$target/release/examples/log-cost"
without="$target/unlogged/release/examples/log-cost"

instructions() { # program, operation: of log_cost_measured and all that it calls
    if ! command -v valgrind >/dev/null; then echo 0; return; fi
    local out
    out=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=log_cost_measured "$1" "$2" "$times" 2>&1 |
        sed -n 's/.*Collected : *//p')
    echo $((out / times))
}

time_of() { # program, operation: the least of nine runs, in nanoseconds
    for _ in 1 2 3 4 5 6 7 8 9; do "$1" "$2" 1000000; done | sort -g | head -n 1
}

more() { # with, without: percent
    awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%+.0f %%", 100 * (a - b) / b; else printf "-" }'
}

echo '| operation | instructions with, without the log | more | nanoseconds with, without | more |'
echo '|---|---|---|---|---|'
for operation in push insert overwrite remove allocate free; do
    a=$(instructions "$with" "$operation") b=$(instructions "$without" "$operation")
    c=$(time_of "$with" "$operation") d=$(time_of "$without" "$operation")
    echo "| $operation | $a, $b | $(more "$a" "$b") | $c, $d | $(more "$c" "$d") |"
done
