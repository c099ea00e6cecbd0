#!/usr/bin/env bash
# A Kubernetes cluster on this machine without Docker: control plane, one real node, services and DNS. Needs root.
#
#   cluster.sh up [IMAGE.tar…]   starts a new cluster, with these images on its node, and prints the path of its kubeconfig
#   cluster.sh down              stops the cluster and deletes all its files
#
# Everything listens on 127.0.0.1. From a pod, 10.244.77.1 (also host.internal) leads to the loopback interface of this machine, and
# so to the Kafka and PostgreSQL of the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

state=${LIVESCORES_CLUSTER:-/tmp/livescores-cluster}
tools=$(tests/kubernetes/tools.sh cluster)
export PATH=$tools/bin:$PATH KUBECONFIG=$state/admin.kubeconfig

api=16443 etcd=16450 etcd_peer=16451 controllers=16452 scheduler=16453 dns=16454
bridge=livescores0 gateway=10.244.77.1 pods=10.244.77.0/24
services=10.96.0.0/16 api_service=10.96.0.1 dns_service=10.96.0.10
socket=$state/node/containerd.sock

say() { echo "cluster: $*" >&2; }

# until_ok SECONDS COMMAND…: repeats the command until it succeeds.
until_ok() {
    local end=$((SECONDS + $1)) output
    shift
    until output=$("$@" 2>&1); do
        [ $SECONDS -lt $end ] || { say "$* did not succeed: $output"; return 1; }
        sleep 0.2
    done
}

# start NAME COMMAND…: starts a process in its own session and records its pid for `down`.
start() {
    local name=$1
    shift
    setsid nohup "$@" >"$state/log/$name.log" 2>&1 </dev/null &
    echo "$! $1" >>"$state/pids"
}

# certificate NAME SUBJECT NAMES: creates a certificate that the cluster's own CA signs.
certificate() {
    local to=$state/pki/$1
    openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "$to.key" -out "$to.csr" 2>/dev/null
    openssl x509 -req -in "$to.csr" -CA "$state/pki/ca.crt" -CAkey "$state/pki/ca.key" -CAcreateserial -days 30 \
        -out "$to.crt" -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2>/dev/null
}

# kubeconfig NAME: writes the kubeconfig for the certificate of that name.
kubeconfig() {
    cat >"$state/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: livescores, cluster: {server: "https://127.0.0.1:$api", certificate-authority: $state/pki/ca.crt}}]
users: [{name: $1, user: {client-certificate: $state/pki/$1.crt, client-key: $state/pki/$1.key}}]
contexts: [{name: livescores, context: {cluster: livescores, user: $1}}]
current-context: livescores
Y
}

certificates() {
    local pki=$state/pki
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=livescores -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
    openssl genrsa -out "$pki/accounts.key" 2048 2>/dev/null
    openssl rsa -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" 2>/dev/null
    certificate api /CN=kube-apiserver \
        "IP:127.0.0.1,IP:$api_service,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    certificate admin /O=system:masters/CN=admin DNS:admin
    certificate controllers /CN=system:kube-controller-manager DNS:controllers
    certificate scheduler /CN=system:kube-scheduler DNS:scheduler
    for name in admin controllers scheduler; do kubeconfig $name; done
}

control_plane() {
    local pki=$state/pki name
    start etcd etcd --data-dir "$state/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:$etcd --advertise-client-urls http://127.0.0.1:$etcd \
        --listen-peer-urls http://127.0.0.1:$etcd_peer --initial-advertise-peer-urls http://127.0.0.1:$etcd_peer \
        --initial-cluster default=http://127.0.0.1:$etcd_peer
    # No endpoint is kept for the Service `kubernetes`: network() has a rule for its address.
    start api kube-apiserver --etcd-servers=http://127.0.0.1:$etcd \
        --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port=$api \
        --tls-cert-file="$pki/api.crt" --tls-private-key-file="$pki/api.key" --client-ca-file="$pki/ca.crt" \
        --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
        --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=$services \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --endpoint-reconciler-type=none \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
        --kubelet-preferred-address-types=Hostname --profiling=false
    until_ok 60 kubectl get --raw /readyz
    start controllers kube-controller-manager --kubeconfig="$state/controllers.kubeconfig" \
        --bind-address=127.0.0.1 --secure-port=$controllers --leader-elect=false --use-service-account-credentials=true \
        --service-account-private-key-file="$pki/accounts.key" --root-ca-file="$pki/ca.crt"
    start scheduler kube-scheduler --kubeconfig="$state/scheduler.kubeconfig" \
        --bind-address=127.0.0.1 --secure-port=$scheduler --leader-elect=false
    until_ok 60 kubectl -n default get serviceaccount default
    # The kinds of objects that the chart may create for the Prometheus operator and for KEDA.
    kubectl apply --server-side -f "$tools/crds" >/dev/null
}

# node IMAGE…: starts containerd and a kubelet, and imports the images.
node() {
    local image node=$state/node
    mkdir -p "$node"/{cni,kubelet,logs}
    cat >"$node/cni/10-bridge.conflist" <<Y
{"cniVersion": "0.4.0", "name": "livescores", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": false, "ipam": {"type": "host-local",
   "dataDir": "$node/addresses", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "$services"}]}}]}
Y
    # The disabled storage plugins would look for file systems that this machine does not have.
    cat >"$node/containerd.toml" <<Y
version = 2
root = "$node/containerd"
state = "$node/run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:local"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  cni = { bin_dir = "/usr/lib/cni", conf_dir = "$node/cni" }
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    options = { SystemdCgroup = false }
Y
    cat >"$node/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $state/pki/api.crt
tlsPrivateKeyFile: $state/pki/api.key
containerRuntimeEndpoint: unix://$socket
podLogsDir: $node/logs
clusterDomain: cluster.local
clusterDNS: [$dns_service]
# Settings of this machine that are missing or must not be changed.
cgroupDriver: cgroupfs
failCgroupV1: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
oomScoreAdj: 0
failSwapOn: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
Y
    start containerd containerd -c "$node/containerd.toml"
    until_ok 30 ctr -a "$socket" version
    for image in "$@"; do
        ctr -a "$socket" -n k8s.io images import --all-platforms "$image" >/dev/null
    done
    start kubelet kubelet --config="$node/kubelet.yaml" --kubeconfig="$KUBECONFIG" --root-dir="$node/kubelet" \
        --cert-dir="$node/kubelet/pki" --hostname-override=localhost
    until_ok 60 kubectl get node localhost
    kubectl wait --for=condition=Ready node/localhost --timeout=60s >/dev/null
}

# Services, DNS, and the route from pods to the loopback interface of this machine.
network() {
    ip link show $bridge >/dev/null 2>&1 || ip link add $bridge type bridge
    ip addr replace $gateway/24 dev $bridge
    ip link set $bridge up
    sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.$bridge.route_localnet=1
    cat >"$state/proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
bindAddress: 127.0.0.1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: localhost
clientConnection: {kubeconfig: $KUBECONFIG}
iptables: {masqueradeAll: true, localhostNodePorts: false}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
Y
    start proxy kube-proxy --config="$state/proxy.yaml"
    cat >"$state/Corefile" <<Y
.:$dns {
  bind 127.0.0.1
  errors
  kubernetes cluster.local {
    kubeconfig $KUBECONFIG
  }
  hosts {
    $gateway host.internal
    fallthrough
  }
}
Y
    start dns coredns -conf "$state/Corefile"
    iptables -t nat -N LIVESCORES
    iptables -t nat -I PREROUTING -i $bridge -j LIVESCORES
    for protocol in udp tcp; do
        iptables -t nat -A LIVESCORES -d $dns_service -p $protocol --dport 53 -j DNAT --to-destination 127.0.0.1:$dns
    done
    iptables -t nat -A LIVESCORES -d $api_service -p tcp --dport 443 -j DNAT --to-destination 127.0.0.1:$api
    iptables -t nat -A LIVESCORES -d $gateway -p tcp -j DNAT --to-destination 127.0.0.1
}

up() {
    down
    if iptables -t nat -S KUBE-SERVICES >/dev/null 2>&1; then
        say "a Kubernetes already runs on this machine; this cluster would overwrite its rules and use its ports"
        exit 1
    fi
    mkdir -p "$state"/{pki,log}
    : >"$state/pids"
    # The state that `down` restores.
    cat /proc/sys/net/ipv4/ip_forward >"$state/ip_forward"
    ip netns list >"$state/netns"
    chmod 700 "$state/pki"
    certificates
    control_plane
    node "$@"
    network
    say "up: node $(kubectl get node localhost -o jsonpath='{.status.nodeInfo.kubeletVersion}, {.status.nodeInfo.containerRuntimeVersion}')"
    echo "$KUBECONFIG"
}

# end PID COMMAND: ends a process of this cluster. If the pid was reused, its command differs and it is left alone.
end() {
    local pid=$1 command=$2 tries=0
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${command:0:15}" ] || return 0
    kill "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || { kill -9 "$pid" 2>/dev/null; return 0; }
        sleep 0.1
    done
}

# Containers would outlive containerd, so they end first.
end_containers() {
    local container
    for container in $(ctr -a "$socket" -n k8s.io tasks list -q 2>/dev/null); do
        ctr -a "$socket" -n k8s.io tasks rm -f "$container" >/dev/null 2>&1 || true
    done
    for container in $(ctr -a "$socket" -n k8s.io containers list -q 2>/dev/null); do
        ctr -a "$socket" -n k8s.io containers rm "$container" >/dev/null 2>&1 || true
    done
}

down() {
    local pid command
    [ -d "$state" ] || return 0
    [ -e "$state/pids" ] || { say "$state was not created by this script: set LIVESCORES_CLUSTER to another folder"; exit 1; }
    # Newest first. The kubelet ends before the containers; otherwise it would start them again.
    tac "$state/pids" 2>/dev/null | while read -r pid command; do
        [ "$command" != containerd ] || end_containers
        end "$pid" "$command"
    done
    iptables -t nat -D PREROUTING -i $bridge -j LIVESCORES 2>/dev/null || true
    iptables -t nat -F LIVESCORES 2>/dev/null || true
    iptables -t nat -X LIVESCORES 2>/dev/null || true
    kube-proxy --cleanup --hostname-override=localhost >/dev/null 2>&1 || true
    ip link del $bridge 2>/dev/null || true
    ip netns list | grep '^cni-' | grep -vxFf "$state/netns" | while read -r name _; do ip netns del "$name"; done || true
    sysctl -qw "net.ipv4.ip_forward=$(cat "$state/ip_forward")"
    awk -v under="$state/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
        umount -l "$mount" || true
    done
    find /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods -depth -type d -exec rmdir {} + 2>/dev/null || true
    rm -rf "$state"
}

case ${1:-} in
    up) shift && up "$@" ;;
    down) down ;;
    *) sed -n '2,/^set/p' "$0" | grep '^#' >&2 && exit 2 ;;
esac
