#!/usr/bin/env bash
# Profile-guided optimisation of the sink, trained by the bench.
# `make profile`: the profile, release.profdata, with which the Dockerfile builds the images if it is there.
# `make pgo`: the sink built with it, in target/pgo/sink-connector.
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
# As in the Dockerfile, but for the static C library: the names of functions depend on the features, the target and the profile, and
# a profile is by name. --target keeps the flags out of build scripts.
build() {
    CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo RUSTFLAGS=$1 \
        cargo build --locked --release -p sink-connector -p producer --target "$host" --target-dir "$work/$2"
}
build "-Cprofile-generate=$work/raw" instrumented
cargo build --release --workspace --bins
# What is run here is what becomes fast: every mode, sparse and bad records, a stream that is not a backlog.
SINK_BIN=$work/instrumented/$host/release/sink-connector "$target/release/bench" \
    --records 300000 --rounds 1 --sparse-records 50000 --latency-seconds 5
"$profdata" merge -o release.profdata "$work/raw"
if [ "${1:-}" = profile ]; then
    echo "release.profdata is ready: \`make images\` uses it."
    exit
fi
build "-Cprofile-use=$PWD/release.profdata" optimised
cp "$work/optimised/$host/release/sink-connector" "$work/sink-connector"
echo "$work/sink-connector is ready. Compare: $target/release/bench --only default --beside $work/sink-connector"
