#!/usr/bin/env bash
# `make chart`: everything about the Helm chart that can be told without a cluster. tools.sh installs what it needs.
#
#   chart.sh          checks
#   chart.sh --write  writes what is made from other files: README.md and the configuration's part of values.schema.json
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

# expect WHAT COMMAND…: runs it, shows what it said only when it fails, and goes on to find everything at once. Inside it
# errexit is off: a function says `|| return 1`.
expect() {
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        say ok "$what"
    else
        say FAILED "$what"
        sed 's/^/           /' "$work/said"
        failed=1
    fi
}

if [ "${1:-}" = --write ]; then
    tests/kubernetes/config_schema.py
    "$tools/bin/helm-docs" --chart-search-root "$chart" --log-level error
    exit
fi

readme_is_current() {
    cp -r "$chart" "$work/chart"
    "$tools/bin/helm-docs" --chart-search-root "$work/chart" --log-level error
    diff -u "$chart/README.md" "$work/chart/README.md" || {
        echo "values.yaml and README.md differ: run tests/kubernetes/chart.sh --write"
        return 1
    }
}

# rendered VALUES: by Helm, judged object by object.
rendered() {
    "$helm" template ls "$chart" --namespace scores -f "$1" |
        "$python" tests/kubernetes/rendered.py --values "$1" --kubernetes "$kubernetes" --crds "$tools/crds" \
            --write "$work/toml/$2"
}

# accepted NAME: the binaries take every configuration that these values rendered. The producer has no `config`, but reads it
# all before it prints a record.
accepted() {
    local file count=0
    for file in "$work/toml/$1"/*/sink-connector.toml; do
        "$binaries/sink-connector" --config "$file" config || return 1
        count=$((count + 1))
    done
    for file in "$work/toml/$1"/*/producer.toml; do
        [ ! -e "$file" ] || "$binaries/producer" --config "$file" print --records 1 || return 1
    done
    [ "$count" -gt 0 ]
}

# documented FILE: every example of values in it is rendered, judged and given to the binaries.
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
        # Objects are not values, but those of Argo CD hold some.
        if grep -q ^apiVersion: "$example"; then
            "$python" tests/kubernetes/argo_values.py "$example" || continue
        fi
        rendered "$example" "$name-$count" || { echo "values:" && cat "$example" && return 1; }
        accepted "$name-$count" || return 1
        count=$((count + 1))
    done
    [ "$count" -gt 0 ]
}

for binary in sink-connector producer; do
    [ -x "$binaries/$binary" ] || cargo build --profile checked -p sink-connector -p producer --bins
done

expect "schema of the configuration is that of docs/reference.md" tests/kubernetes/config_schema.py --check
expect "README.md is made from values.yaml" readme_is_current
expect "scripts" "$tools/python/bin/shellcheck" --exclude=SC2329 tests/kubernetes/*.sh
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
