#!/usr/bin/env bash
# `make cargo-mutants`: a sample of the mutants that cargo-mutants makes of five folders, against the unit tests alone.
# SHARD=k/n chooses the sample (0/12 by default, about 200 mutants; on two cores, each takes 20 seconds). docs/testing.md has results.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if ! cargo mutants --version >/dev/null 2>&1; then
    echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2
    exit 1
fi
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp -p --parents -t "$copy")
folders=()
for folder in decode encode batch positions rejects; do
    folders+=(-f "sink-connector/src/$folder/**")
done
results=$target/mutants
rm -rf "$results/mutants.out"
cd "$copy"
# Without debug information, a mutant is compiled in half of the time.
export CARGO_TARGET_DIR=$results/build CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
cargo test -p sink-connector --lib --no-run
code=0
cargo mutants --in-place -p sink-connector "${folders[@]}" --shard "${SHARD:-0/12}" --sharding round-robin --baseline skip \
    --timeout 180 --build-timeout 900 --cargo-test-arg=--lib --output "$results" || code=$?
# 2: some were missed. 3: some did not end, which a test run notices as well.
case $code in 0 | 2 | 3) ;; *) exit "$code" ;; esac
count() { wc -l <"$results/mutants.out/$1.txt"; }
caught=$(($(count caught) + $(count timeout)))
echo "caught: $caught of $((caught + $(count missed))); missed:"
cat "$results/mutants.out/missed.txt"
