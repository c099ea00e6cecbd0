#!/usr/bin/env bash
# `make cluster-test`: builds the images, starts a cluster, and runs tests/tests/cluster on it. Arguments go to the test runner:
#
#   cluster_test.sh drain        runs only the tests with "drain" in their names
#   KEEP=1 cluster_test.sh …     leaves the cluster running afterwards; `cluster.sh down` stops it
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=$(tests/kubernetes/tools.sh cluster)
state=${LIVESCORES_CLUSTER:-/tmp/livescores-cluster}
images=$tools/images

tests/kubernetes/images.sh "$images"
cargo build --profile checked -p tests --features cluster --tests

# Helm and kubectl keep their files here, not in the user's folders.
export PATH=$tools/bin:$PATH LIVESCORES_CLUSTER=$state LIVESCORES_GATEWAY=10.244.77.1
export HELM_CACHE_HOME=$state/helm HELM_CONFIG_HOME=$state/helm HELM_DATA_HOME=$state/helm KUBECACHEDIR=$state/kubectl

[ -n "${KEEP:-}" ] || trap 'tests/kubernetes/cluster.sh down' EXIT
KUBECONFIG=$(tests/kubernetes/cluster.sh up "$images"/*.tar)
export KUBECONFIG
cargo test --profile checked -p tests --features cluster --test cluster -- --test-threads=1 "$@"
