#!/usr/bin/env bash
# Stops what tests/demo.sh started and deletes its data.
set -euo pipefail
cd "$(dirname "$0")/.."

services=${CARGO_TARGET_DIR:-target}/release/services
if [ ! -d .services ]; then
  echo "Nothing to stop."
elif [ -x "$services" ]; then
  "$services" down
else
  # The target directory was cleaned meanwhile.
  cargo run --quiet --release -p tests --bin services -- down
fi
