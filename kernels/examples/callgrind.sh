#!/bin/sh
# Instructions per packet, AVX2, as the difference of 1100 and 100 repetitions under valgrind's callgrind.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing: apt-get install valgrind" >&2
    exit 1
fi
cargo build --quiet --release -p invispose-kernels --example instructions
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$target/release/examples/instructions" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
for what in same_work 4x64 3x30 3x114 1x256 4x996; do
    few=$(count "$what" 100)
    many=$(count "$what" 1100)
    echo "$what: $(((many - few) / 1000)) instructions a packet"
done
