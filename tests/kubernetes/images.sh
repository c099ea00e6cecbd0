#!/usr/bin/env bash
# Builds the images of the Dockerfile, and those that a test cluster needs beside them, without a container engine:
#
#   images.sh FOLDER            FOLDER/{sink-connector,producer,pause,busybox,psql}.tar, OCI archives for `ctr images import`
#   images.sh --check FOLDER    the same, then looks into the two that are ours and runs them (needs podman)
#
# buildah builds the Dockerfile as it stands. Where no registry can be reached its base images have stand-ins, made once from
# Debian's packages and the Rust toolchain of this machine; RUST_IMAGE and RUNTIME_IMAGE name real ones instead. Needs root and
# the Debian packages buildah, runc and debootstrap. What it builds is kept in the folder of tools.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

check=
[ "${1:-}" != --check ] || { check=yes; shift; }
folder=${1:?usage: images.sh [--check] FOLDER}

SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

containers=${LIVESCORES_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/livescores-tools}/containers
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
chart_version=$(sed -n 's/^appVersion: "\(.*\)"/\1/p' helm/livescores/Chart.yaml)

say() { echo "images: $*" >&2; }
die() { say "$*"; exit 1; }

for tool in buildah runc; do
    command -v "$tool" >/dev/null || die "$tool is missing: apt-get install --no-install-recommends buildah runc debootstrap"
done
mkdir -p "$containers" "$folder"
exec 9>"$containers/lock"
flock 9

# Storage of our own, and settings that also hold inside a container: runc, no systemd, limits that may be set there.
export CONTAINERS_STORAGE_CONF=$containers/storage.conf CONTAINERS_CONF=$containers/containers.conf BUILDAH_RUNTIME=runc
cat >"$CONTAINERS_STORAGE_CONF" <<EOF
[storage]
driver = "overlay"
runroot = "$containers/run"
graphroot = "$containers/storage"
EOF
cat >"$CONTAINERS_CONF" <<EOF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
EOF

# build ARGUMENT…: quiet unless it fails; every step is a layer that is found again.
build() {
    buildah build --layers --network host "$@" >"$containers/build.log" 2>&1 || { cat "$containers/build.log" >&2; return 1; }
}

# stand_in NAME:VERSION [CONTEXT]: makes it from the Containerfile on standard input, unless it is there. A stand-in that is
# changed gets the next version, and so do those that begin from it.
stand_in() {
    local image=localhost/$1
    ! buildah inspect --type image "$image" >/dev/null 2>&1 || return 0
    say "making $image"
    cat >"$containers/Containerfile"
    build -t "$image" -f "$containers/Containerfile" "${2:-$containers/empty}"
}

debian() {
    local image=localhost/debian:1 root=$containers/debian
    ! buildah inspect --type image "$image" >/dev/null 2>&1 || return 0
    command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
    say "making $image"
    rm -rf "$root"
    debootstrap --variant=minbase "$SUITE" "$root" "$MIRROR" >"$containers/build.log" 2>&1 ||
        { tail -n 20 "$containers/build.log" >&2; return 1; }
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >/dev/null
    buildah commit --quiet --rm "$container" "$image" >/dev/null
    rm -rf "$root"
}

mkdir -p "$containers/empty"
debian

# rust:…-slim: the toolchain itself is mounted while building.
stand_in rust:1 <<EOF
FROM localhost/debian:1
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev
ENV CARGO_HOME=/usr/local/cargo PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
EOF

# gcr.io/distroless/base-nossl-debian12:nonroot: the same packages, unpacked, and nobody but root, nobody and nonroot.
stand_in runtime:2 <<EOF
FROM localhost/debian:1 AS packages
RUN apt-get update && mkdir /debs && cd /debs && apt-get -o APT::Sandbox::User=root download \\
    base-files ca-certificates libc6 netbase tzdata
RUN mkdir /runtime && for deb in /debs/*.deb; do dpkg-deb -x "\$deb" /runtime; done \\
    && rm -rf /runtime/usr/share/lintian /runtime/usr/share/man \\
    && mkdir -p /runtime/etc/ssl/certs /runtime/home/nonroot \\
    && find /runtime/usr/share/ca-certificates -name '*.crt' | sort | xargs cat >/runtime/etc/ssl/certs/ca-certificates.crt \\
    && printf '%s\\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin \\
        nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >/runtime/etc/passwd \\
    && printf '%s\\n' root:x:0: nobody:x:65534: nonroot:x:65532: >/runtime/etc/group \\
    && chown 65532:65532 /runtime/home/nonroot && chmod 1777 /runtime/tmp
FROM scratch
COPY --from=packages /runtime /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532
WORKDIR /home/nonroot
EOF

stand_in pause:1 tests/kubernetes <<EOF
FROM localhost/rust:1 AS build
COPY pause.c /
RUN gcc -static -Os -s -o /pause /pause.c
FROM scratch
COPY --from=build /pause /pause
USER 65535:65535
ENTRYPOINT ["/pause"]
EOF

# The package busybox: the wget of busybox-static crashes when it looks up a name.
stand_in busybox:2 <<EOF
FROM localhost/debian:1 AS build
RUN apt-get update && apt-get install --yes --no-install-recommends busybox
RUN mkdir /links && for applet in \$(busybox --list); do ln -s busybox "/links/\$applet"; done; cp /bin/busybox /links/busybox \\
    && mkdir /libraries && cp /lib/*-linux-gnu/libresolv.so.2 /libraries/
FROM localhost/runtime:2
COPY --from=build /links /bin
COPY --from=build /libraries /usr/lib
USER 0
WORKDIR /
CMD ["sh"]
EOF

stand_in psql:1 <<EOF
FROM localhost/debian:1
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client && rm -rf /var/lib/apt/lists/*
CMD ["psql"]
EOF

# The commit that last changed what the images are made of: others do not compile anything anew.
sources=(Cargo.toml Cargo.lock Dockerfile .dockerignore config shared producer sink-connector)
revision=$(git log -1 --format=%H -- "${sources[@]}" 2>/dev/null || true)
[ -z "$revision" ] || git diff --quiet HEAD -- "${sources[@]}" || revision+=-dirty

arguments=(--build-arg REVISION="$revision")
if [ -n "${RUST_IMAGE:-}" ]; then
    arguments+=(--build-arg RUST_IMAGE="$RUST_IMAGE")
else
    # This machine's toolchain, in the version of rust-toolchain.toml, its certificates and where it gets crates from.
    arguments+=(--build-arg RUST_IMAGE="localhost/rust:1" --volume "$(rustc --print sysroot):/opt/rust:ro"
        --volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
    cargo_config=${CARGO_HOME:-$HOME/.cargo}/config.toml
    [ ! -e "$cargo_config" ] || arguments+=(--volume "$cargo_config:/usr/local/cargo/config.toml:ro")
fi
arguments+=(--build-arg RUNTIME_IMAGE="${RUNTIME_IMAGE:-localhost/runtime:2}")

# buildah finds a LABEL among its layers by its text, whatever the build argument in it is now; so the label is set once more
# where it is not this build's.
relabel() {
    local key=org.opencontainers.image.revision container
    ! buildah inspect --type image "$1" | grep -q "\"$key\": \"$revision\"" || return 0
    container=$(buildah from "$1")
    buildah config --label "$key=$revision" "$container"
    buildah commit --quiet --rm "$container" "$1" >/dev/null
}

for target in sink-connector producer; do
    began=$SECONDS
    build "${arguments[@]}" --target "$target" -t "docker.io/livescores/$target:$version" .
    relabel "docker.io/livescores/$target:$version"
    say "$target in $((SECONDS - began)) s, $(grep -c '^ *Compiling ' "$containers/build.log" || true) crates compiled"
done

# save NAME IMAGE REFERENCE: an archive that is imported under that reference.
save() {
    rm -f "$folder/$1.tar"
    buildah push --quiet "$2" "oci-archive:$folder/$1.tar:$3" >/dev/null
}
[ "$version" = "$chart_version" ] || die "Cargo.toml says $version, the chart's appVersion $chart_version"
save sink-connector "docker.io/livescores/sink-connector:$version" "docker.io/livescores/sink-connector:$chart_version"
save producer "docker.io/livescores/producer:$version" "docker.io/livescores/producer:$chart_version"
save pause "localhost/pause:1" localhost/pause:local
save busybox "localhost/busybox:2" docker.io/library/busybox:1.37.0
save psql "localhost/psql:1" docker.io/library/postgres:17-alpine
say "written to $folder: $(cd "$folder" && echo *.tar)"
[ -n "$check" ] || exit 0

# What is asserted of the two images, as a cluster runs them: by uid, nothing writable, no capability.
limit=40000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v podman >/dev/null || die "podman is missing: apt-get install --no-install-recommends podman"

failed=0
# expect WHAT COMMAND…: goes on to find everything at once, and shows what was said only when it fails.
expect() {
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        printf 'ok     %s\n' "$what"
    else
        printf 'FAILED %s\n' "$what"
        sed 's/^/       /' "$work/said"
        failed=1
    fi
}
# run OPTION… IMAGE ARGUMENT…
run() {
    timeout 60 podman run --rm --network none --read-only --read-only-tmpfs=false --user 65532:65532 --cap-drop all \
        --security-opt no-new-privileges "$@"
}
config() { podman image inspect --format "{{ $2 }}" "$1"; }
label() { config "$1" "index .Config.Labels \"org.opencontainers.image.$2\""; }
same() { [ "$1" = "$2" ] || { echo "is '$1', not '$2'"; return 1; }; }
smaller() { [ "$1" -lt "$2" ] || { echo "$1 bytes"; return 1; }; }
# says PATTERN COMMAND…: succeeds and prints it.
says() {
    local said
    said=$("${@:2}") || { echo "$said"; return 1; }
    grep -q -e "$1" <<<"$said" || { echo "nothing in it matches '$1':"; echo "$said"; return 1; }
}

no_shell() {
    local root found
    root=$(podman image mount "$1")
    found=$(find "$root" \( -type f -o -type l \) -regextype posix-extended -regex '.*/(ba|da|a|z|k)?sh|.*/busybox|.*/perl.*')
    podman image umount "$1" >/dev/null
    [ -z "$found" ] || { echo "$found"; return 1; }
}

roots_of_trust() {
    local root file count
    root=$(podman image mount "$1")
    file=$(find "$root/etc/ssl/certs" -name ca-certificates.crt -perm -o=r)
    count=$([ -z "$file" ] || grep -c 'BEGIN CERTIFICATE' "$file")
    podman image umount "$1" >/dev/null
    [ "${count:-0}" -gt 100 ] || { echo "$count certificates"; return 1; }
}

# A broker whose certificate only a root of our own vouches for: refused with the image's roots, taken once ours stand in their
# place. It is no broker, so nothing comes of it after the handshake.
trusts() {
    local target=$1 image=$2 name said port
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/key.pem" -out "$work/root.pem" 2>/dev/null
    # It ends with its standard input, so that must have no end.
    [ -p "$work/nothing" ] || mkfifo "$work/nothing"
    openssl s_server -accept 127.0.0.1:0 -cert "$work/root.pem" -key "$work/key.pem" \
        <>"$work/nothing" >"$work/server" 2>&1 &
    server=$!
    for _ in $(seq 50); do
        port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$work/server")
        [ -z "$port" ] || break
        sleep 0.1
    done
    case $target in
        sink-connector) name=SINK arguments=(offsets show) ;;
        producer) name=PRODUCER arguments=(once --records 1) ;;
    esac
    for roots in theirs ours; do
        volume=()
        [ "$roots" = theirs ] || volume=(--volume "$work/root.pem:/etc/ssl/certs/ca-certificates.crt:ro")
        timeout 60 podman run --rm --network host --read-only --read-only-tmpfs=false "${volume[@]}" \
            --env "${name}__KAFKA__BOOTSTRAP_SERVERS=localhost:$port" --env "${name}__KAFKA__PROPERTIES__SECURITY_PROTOCOL=ssl" \
            "$image" "${arguments[@]}" >"$work/$roots" 2>&1
        echo "exit code $?" >>"$work/$roots"
    done
    kill "$server"
    wait "$server" 2>/dev/null
    said=$(cat "$work/theirs")
    grep -q 'certificate verify failed' <<<"$said" || { echo "a stranger was not refused:"; echo "$said"; return 1; }
    grep -q 'CIPHER is' "$work/server" || { echo "no handshake:"; cat "$work/server" "$work/ours"; return 1; }
    ! grep -q 'certificate verify failed' "$work/ours" || { echo "refused with our root:"; cat "$work/ours"; return 1; }
}

labels() {
    local key
    for key in title description licenses version revision; do
        [ -n "$(label "$1" "$key")" ] || { echo "$key is empty"; return 1; }
    done
    same "$(label "$1" title)" "$2" && same "$(label "$1" version)" "$version" && same "$(label "$1" revision)" "$revision"
}

by_its_own_user() { timeout 60 podman run --rm --network none --read-only --read-only-tmpfs=false "$@"; }

same "$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)" \
    "$(sed -n 's/^ARG RUST_IMAGE=.*rust:\([0-9.]*\)-.*/\1/p' Dockerfile)" || die "Dockerfile and rust-toolchain.toml differ"

for target in sink-connector producer; do
    image=docker.io/livescores/$target:$version
    size=$(config "$image" .Size)
    echo "$target: $((size / 1000)) kB, compressed $(($(stat -c %s "$folder/$target.tar") / 1000)) kB"
    expect "smaller than 40 MB" smaller "$size" "$limit"
    expect "no shell" no_shell "$image"
    expect "user 65532:65532" same "$(config "$image" .Config.User)" 65532:65532
    expect "entry point" same "$(config "$image" 'json .Config.Entrypoint')" "[\"/usr/local/bin/$target\"]"
    expect "labels" labels "$image" "$target"
    expect "port" says '"94[0-9]*/tcp"' config "$image" 'json .Config.ExposedPorts'
    expect "roots of trust" roots_of_trust "$image"
    expect "TLS follows them" trusts "$target" "$image"
    expect "--help" says '^Usage: ' run "$image" --help
    expect "--version" says "^$target $version$" run "$image" --version
    expect "on the PATH" says "^$target $version$" run --entrypoint "$target" "$image" --version
    expect "runs without being told a user" says "$version" by_its_own_user "$image" --version
    case $target in
        sink-connector)
            expect "config" says '^table = "ipl_livescores"' run "$image" --config config/sink-connector.toml config ;;
        producer)
            expect "print" says '^{"match_id":' run "$image" --config config/producer.toml print --records 1 ;;
    esac
done
exit "$failed"
