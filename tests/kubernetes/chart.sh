#!/usr/bin/env bash
# `make chart`: all checks of the Helm chart that do not need a cluster. tools.sh installs the tools.
#
#   chart.sh          runs the checks
#   chart.sh --write  updates the generated files: README.md and the configuration's part of values.schema.json
set -euo pipefail
cd "$(dirname "$0")/../.."

chart=helm/livescores
kubernetes=1.35
binaries=${BINARIES:-${CARGO_TARGET_DIR:-target}/checked}

tools=$(tests/kubernetes/tools.sh)
helm=$tools/bin/helm
python=$tools/python/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
say() { printf '%-10s %s\n' "$1" "$2"; }

# expect WHAT COMMAND…: runs the command and shows its output only if it fails. A failure does not end the script, so that one run
# finds all problems. errexit is off inside the command, so a function has to use `|| return 1`.
expect() {
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        say ok "$what"
    else
        say FAILED "$what"
        sed 's/^/           /' "$work/output"
        failed=1
    fi
}

for binary in sink-connector producer; do
    [ -x "$binaries/$binary" ] || cargo build --profile checked -p sink-connector -p producer --bins
done

if [ "${1:-}" = --write ]; then
    BINARIES=$binaries tests/kubernetes/config_schema.py
    "$tools/bin/helm-docs" --chart-search-root "$chart" --log-level error
    exit
fi

readme_is_current() {
    cp -r "$chart" "$work/chart"
    "$tools/bin/helm-docs" --chart-search-root "$work/chart" --log-level error
    diff -u "$chart/README.md" "$work/chart/README.md" || {
        echo "README.md is not current: run tests/kubernetes/chart.sh --write"
        return 1
    }
}

# The annotations are text to Helm, so nothing else notices a mistake in them.
artifacthub() {
    "$python" - "$chart/Chart.yaml" "$chart/values.yaml" <<'PYTHON'
import sys, yaml
chart, values = (yaml.safe_load(open(file)) for file in sys.argv[1:])
notes = {key.removeprefix("artifacthub.io/"): yaml.safe_load(text) for key, text in chart["annotations"].items()}
images = {entry["image"] for entry in notes["images"]}
wanted = {f"{values[part]['image']['repository']}:{chart['appVersion']}" for part in ("sink", "producer")}
assert images == wanted, (images, wanted)
kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
assert notes["changes"] and all(entry["kind"] in kinds and entry["description"] for entry in notes["changes"]), notes["changes"]
for entry in notes["links"] + notes["recommendations"] + notes["screenshots"]:
    assert entry["url"].startswith("https://"), entry
PYTHON
}

# rendered VALUES NAME: renders the chart with these values and checks every object.
rendered() {
    "$helm" template ls "$chart" --namespace scores -f "$1" |
        "$python" tests/kubernetes/rendered.py --values "$1" --kubernetes "$kubernetes" --crds "$tools/crds" \
            --write "$work/toml/$2"
}

# accepted NAME: gives every configuration that these values rendered to the binaries. The producer has no command `config`, but
# `print` reads the whole configuration first.
accepted() {
    local file count=0
    for file in "$work/toml/$1"/*/sink-connector.toml; do
        [ -e "$file" ] || continue
        "$binaries/sink-connector" --config "$file" config || return 1
        count=$((count + 1))
    done
    for file in "$work/toml/$1"/*/producer.toml; do
        [ ! -e "$file" ] || "$binaries/producer" --config "$file" print --records 1 || return 1
    done
    # Without values there is no connector.
    [ "$count" -gt 0 ] || [ "$1" = default ]
}

# documented FILE: renders and checks every example of values in the document, and gives it to the binaries.
documented() {
    local examples name count=0 example
    name=$(basename "$1" .md)
    examples=$work/examples-$name
    mkdir -p "$examples"
    awk -v folder="$examples" '
        /^```yaml/ { file = folder "/" ++count ".yaml"; next }
        /^```/ { file = ""; next }
        file { print > file }' "$1"
    for example in "$examples"/*.yaml; do
        # An example may be an object. An Application of Argo CD contains values; other objects are skipped.
        if grep -q ^apiVersion: "$example"; then
            "$python" tests/kubernetes/argo_values.py "$example" || continue
        fi
        # An example without connectors would render nothing.
        grep -q ^demo: "$example" || echo 'demo: true' >>"$example"
        rendered "$example" "$name-$count" || { echo "values:" && cat "$example" && return 1; }
        accepted "$name-$count" || return 1
        count=$((count + 1))
    done
    [ "$count" -gt 0 ]
}

# imported NAME…: translates connectors of Kafka Connect with these names to values, and renders and checks those.
imported() {
    local name count=0
    for name in "$@"; do
        printf '{"name": "%s", "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "orders",
            "connection.url": "jdbc:postgresql://db:5432/shop?user=sink&password=x", "insert.mode": "upsert", "pk.mode": "record_key",
            "pk.fields": "id", "consumer.override.bootstrap.servers": "kafka:9092"}' "$name" >"$work/connector.json"
        "$binaries/sink-connector" import-connect "$work/connector.json" --output helm >"$work/import-$count.yaml" || return 1
        rendered "$work/import-$count.yaml" "import-$count" || { echo "values:" && cat "$work/import-$count.yaml" && return 1; }
        accepted "import-$count" || return 1
        count=$((count + 1))
    done
}

for binary in sink-connector producer; do
    [ -x "$binaries/$binary" ] || cargo build --profile checked -p sink-connector -p producer --bins
done

expect "schema of the configuration is what the binaries accept" \
    env BINARIES="$binaries" tests/kubernetes/config_schema.py --check
expect "artifacthub: the images are those of appVersion" artifacthub
expect "README.md matches values.yaml" readme_is_current
expect "scripts" "$tools/python/bin/shellcheck" --exclude=SC2329 tests/kubernetes/*.sh
expect "values of import-connect" imported orders jdbc-sink-postgres-orders orders-sink-test postgres 7-check "My Orders_sink"
expect "script of the test" "$tools/python/bin/shellcheck" --shell=busybox "$chart/files/test.sh"
expect "unit tests" "$tools/bin/helm-unittest" --strict "$chart"
for file in docs/kubernetes.md "$chart/README.md"; do
    expect "$file: examples" documented "$file"
done
for values in "$chart"/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    expect "$name: lint" "$helm" lint --strict --quiet "$chart" -f "$values"
    expect "$name: objects" rendered "$values" "$name"
    expect "$name: configurations" accepted "$name"
done
exit "$failed"
