#!/usr/bin/env bash
# Stops the containers or processes that tests/demo.sh started, and deletes their data.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/demo_common.sh
. tests/demo_common.sh

stopped=
services=${BIN:-${CARGO_TARGET_DIR:-target}/release}/services
if [ -d .services ]; then
  stopped=yes
  if [ -x "$services" ]; then
    "$services" down
  else
    # The target directory was cleaned since the demo.
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
