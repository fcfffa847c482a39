#!/usr/bin/env bash
# Counts the instructions of the hottest operations, ours and theirs, into instructions.md. Needs valgrind.
#
# An operation is done N times in one run and 2 N times in another; the difference, divided by N, is what one costs.
set -euo pipefail
cd "$(dirname "$0")"

times=20000
cargo build --release --quiet
program="${CARGO_TARGET_DIR:-target}/release/aquifer-bench"
export AQUIFER_WINDOW=1G

counted() { # operation, side, times
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" --count "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : *//p'
}

each() { # operation, side
    local once twice
    once=$(counted "$1" "$2" "$times")
    twice=$(counted "$1" "$2" $((2 * times)))
    echo $(((twice - once + times / 2) / times))
}

table() {
    echo '# Instructions of one operation'
    echo
    echo 'By `bench/instructions.sh` (callgrind; a release build; maps of 1,000 entries). They do not depend on the mood of the machine, so that a rise is seen.'
    echo 'Each count has the loop around it in it, on both sides.'
    echo
    echo '| operation | ours | theirs | beside |'
    echo '|---|---|---|---|'
    local number=0
    while IFS=';' read -r name beside; do
        echo "| $name | $(each $number ours) | $(each $number theirs) | $beside |"
        number=$((number + 1))
    done < <("$program" --count-list)
}

table | tee instructions.new
mv instructions.new instructions.md
