#!/usr/bin/env bash
# Stops what tests/demo.sh started, as containers or as processes, and deletes its data.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/demo_common.sh
. tests/demo_common.sh

stopped=
services=${CARGO_TARGET_DIR:-target}/release/services
if [ -d .services ]; then
  stopped=yes
  if [ -x "$services" ]; then
    "$services" down
  else
    # The target directory was cleaned meanwhile.
    cargo run --quiet --release -p tests --bin services -- down
  fi
fi
if has_docker && {
  [ -n "$(docker compose ps --all --quiet)" ] ||
    [ -n "$(docker volume ls --quiet --filter label=com.docker.compose.project=livescores)" ]
}; then
  stopped=yes
  docker compose down --volumes --remove-orphans
fi
[ -n "$stopped" ] || echo "Nothing to stop."
