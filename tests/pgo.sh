#!/usr/bin/env bash
# `make pgo`: the sink, optimised with a profile of the bench (profile-guided optimisation), in target/pgo/sink-connector.
# Needs llvm-profdata of the LLVM that rustc has: `rustup component add llvm-tools`, or LLVM_PROFDATA=path.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
host=$(rustc --version --verbose | sed -n 's/^host: //p')
profdata=${LLVM_PROFDATA:-$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata}
if [ ! -x "$profdata" ]; then
    echo "There is no $profdata: run \`rustup component add llvm-tools\`, or set LLVM_PROFDATA to the llvm-profdata of LLVM" \
        "$(rustc --version --verbose | sed -n 's/^LLVM version: //p')." >&2
    exit 1
fi

work=$target/pgo
rm -rf "$work/raw"
mkdir -p "$work/raw"
# --target keeps the flags out of build scripts.
build() {
    RUSTFLAGS=$1 cargo build --release -p sink-connector --target "$host" --target-dir "$work/$2"
}
build "-Cprofile-generate=$work/raw" instrumented
cargo build --release --workspace --bins
# What is run here is what becomes fast: every mode, sparse and bad records, a stream that is not a backlog.
SINK_BIN=$work/instrumented/$host/release/sink-connector "$target/release/bench" \
    --records 300000 --rounds 1 --sparse-records 50000 --latency-seconds 5
"$profdata" merge -o "$work/merged.profdata" "$work/raw"
build "-Cprofile-use=$work/merged.profdata" optimised
cp "$work/optimised/$host/release/sink-connector" "$work/sink-connector"
echo "$work/sink-connector is ready. Compare: $target/release/bench --only default --beside $work/sink-connector"
