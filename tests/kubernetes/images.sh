#!/usr/bin/env bash
# Builds the images of the Dockerfile, and the other images that a test cluster needs, without a container engine:
#
#   images.sh FOLDER            writes FOLDER/{sink-connector,producer,pause,busybox,psql}.tar, OCI archives for
#                               `ctr images import`
#   images.sh --check FOLDER    also checks and runs the images of sink-connector and producer
#   images.sh --arm64 FOLDER    writes FOLDER/{sink-connector,producer}-arm64.tar, compiled on this amd64 machine, and checks and
#                               runs them in an emulator
#   images.sh --kerberos-oidc FOLDER   writes FOLDER/{sink-connector,producer}-kerberos-oidc.tar, the variant with shared libraries, and
#                               checks and runs them
#
# buildah builds the unchanged Dockerfile. Its base images are replaced by substitutes, built once from Debian's packages and the Rust
# toolchain of this machine, so that no registry is needed; RUST_IMAGE and RUNTIME_IMAGE name real base images instead. Needs root,
# and Debian packages, which it names if they are missing. Builds are kept in the folder of tools.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

check='' cross='' variant=static
case ${1:-} in
    --check) check=yes; shift ;;
    --arm64) check=yes cross=arm64; shift ;;
    --kerberos-oidc) check=yes variant=kerberos-oidc; shift ;;
esac
folder=${1:?usage: images.sh [--check|--arm64|--kerberos-oidc] FOLDER}

SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

tools=${LIVESCORES_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/livescores-tools}
containers=$tools/containers
version=$(sed -n '/^version = "\(.*\)"/{s//\1/p;q;}' Cargo.toml)
chart_version=$(sed -n 's/^appVersion: "\(.*\)"/\1/p' helm/livescores/Chart.yaml)

say() { echo "images: $*" >&2; }
die() { say "$*"; exit 1; }

needed=(buildah:buildah runc:runc debootstrap:debootstrap)
[ -z "$check" ] || needed+=(podman:podman openssl:openssl readelf:binutils)
[ -z "$cross" ] || needed+=(qemu-aarch64-static:qemu-user-static curl:curl xz:xz-utils)
missing=()
for tool in "${needed[@]}"; do
    command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
done
[ ${#missing[@]} -eq 0 ] || die "missing: apt-get install --no-install-recommends ${missing[*]}"

own=$(dpkg --print-architecture)
arch=${cross:-$own}
[ "$cross" != "$own" ] || die "this machine is itself $own: use --check"

mkdir -p "$containers" "$folder"
exec 9>"$containers/lock"
flock 9

# Separate storage, and settings that also work inside a container: runc, no systemd, limits that may be set there.
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

# build ARGUMENT…: prints its log only if it fails; every step is a cached layer.
build() {
    buildah build --layers --network host "$@" >"$containers/build.log" 2>&1 || { cat "$containers/build.log" >&2; return 1; }
}

# substitute NAME:VERSION [CONTEXT [OPTION…]]: builds the image from the Containerfile on standard input, unless it exists. If you
# change a substitute, increase its version and that of the images that are built from it.
substitute() {
    local image=localhost/$1
    ! buildah inspect --type image "$image" >/dev/null 2>&1 || return 0
    say "building $image"
    cat >"$containers/Containerfile"
    build -t "$image" -f "$containers/Containerfile" "${@:3}" "${2:-$containers/empty}"
}

debian() {
    local image=localhost/debian:1 root=$containers/debian
    ! buildah inspect --type image "$image" >/dev/null 2>&1 || return 0
    say "building $image"
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

# For rust:…-slim. The toolchain itself is mounted during the build.
substitute rust:1 <<EOF
FROM localhost/debian:1
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev
ENV CARGO_HOME=/usr/local/cargo PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
EOF

# For gcr.io/distroless/static-debian12:nonroot: the same packages, unpacked, with the users root, nobody and nonroot. Nothing in it
# runs during the build, so it may be for another architecture.
runtime() {
    substitute "$1" "$containers/empty" "${platform[@]}" <<EOF
FROM --platform=linux/$own localhost/debian:1 AS packages
RUN dpkg --add-architecture $arch && apt-get update && mkdir /debs && cd /debs && apt-get -o APT::Sandbox::User=root download \\
    base-files:$arch ca-certificates netbase tzdata
RUN mkdir /runtime && for deb in /debs/*.deb; do dpkg-deb -x "\$deb" /runtime; done \\
    && rm -rf /runtime/usr/share/lintian /runtime/usr/share/man \\
    && mkdir -p /runtime/etc/ssl/certs /runtime/home/nonroot \\
    && find /runtime/usr/share/ca-certificates -name '*.crt' | sort | xargs cat >/runtime/etc/ssl/certs/ca-certificates.crt \\
    && printf '%s\\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin \\
        nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >/runtime/etc/passwd \\
    && printf '%s\\n' root:x:0: nobody:x:65534: nonroot:x:65532: >/runtime/etc/group \\
    && chown 65532:65532 /runtime/home/nonroot && chmod 1777 /runtime/tmp
FROM scratch
# Without this label, buildah would reuse the cached layer of another architecture, because the files are the same.
LABEL architecture=$arch
COPY --from=packages /runtime /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532
WORKDIR /home/nonroot
EOF
}

# The other images that a test cluster needs.
companions() {
    substitute pause:1 tests/kubernetes <<EOF
FROM localhost/rust:1 AS build
COPY pause.c /
RUN gcc -static -Os -s -o /pause /pause.c
FROM scratch
COPY --from=build /pause /pause
USER 65535:65535
ENTRYPOINT ["/pause"]
EOF

    # The package busybox, because the wget of busybox-static crashes when it looks up a host name.
    substitute busybox:3 <<EOF
FROM localhost/debian:1
RUN apt-get update && apt-get install --yes --no-install-recommends busybox && busybox --install -s /usr/local/bin
CMD ["sh"]
EOF

    substitute psql:1 <<EOF
FROM localhost/debian:1
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client && rm -rf /var/lib/apt/lists/*
CMD ["psql"]
EOF
}

# Prints the folder of the toolchain: this machine's, in the version of rust-toolchain.toml. For another architecture it is a copy that
# also contains the standard library of that architecture, because `rustup target add` would change the user's toolchain.
toolchain() {
    local own_sysroot rust name folder sum
    own_sysroot=$(rustc --print sysroot)
    [ -n "$cross" ] || { echo "$own_sysroot"; return 0; }
    rust=$(rustc --version | cut -d ' ' -f 2)
    name=rust-std-$rust-aarch64-unknown-linux-gnu
    folder=$tools/rust-$rust-$cross
    if [ ! -d "$folder" ]; then
        say "copying $own_sysroot and adding $name"
        rm -rf "$folder.partial"
        mkdir -p "$folder.partial"
        # Chained with &&, because set -e has no effect in a command substitution here.
        cd "$folder.partial" &&
            curl -fsSL --remote-name-all "https://static.rust-lang.org/dist/$name.tar.xz"{,.sha256} &&
            # Some mirrors give only the sum, without the file name.
            read -r sum _ < <(cat "$name.tar.xz.sha256"; echo) &&
            sha256sum --quiet --check <<<"$sum  $name.tar.xz" >&2 &&
            cp -a "$own_sysroot/bin" "$own_sysroot/lib" . &&
            tar -xf "$name.tar.xz" --strip-components=2 "$name/rust-std-aarch64-unknown-linux-gnu/lib" &&
            rm "$name".* || return 1
        mv "$folder.partial" "$folder" || return 1
    fi
    echo "$folder"
}

if [ -z "$cross" ]; then
    suffix='' runtime=runtime:4 platform=()
else
    # The buildah of Debian 12 does not set BUILDPLATFORM.
    suffix=-$cross runtime=runtime-$cross:3 platform=(--platform "linux/$cross" --build-arg "BUILDPLATFORM=linux/$own")
fi
[ "$variant" = static ] || suffix=-$variant
runtime "$runtime"
[ -n "$suffix" ] || companions

# The last commit that changed the sources of the images, so that other commits do not compile anything again.
sources=(Cargo.toml Cargo.lock Dockerfile .dockerignore config docs/runbook.md shared producer sink-connector)
revision=$(git log -1 --format=%H -- "${sources[@]}" 2>/dev/null || true)
[ -z "$revision" ] || git diff --quiet HEAD -- "${sources[@]}" || revision+=-dirty

arguments=("${platform[@]}" --build-arg REVISION="$revision" --build-arg VARIANT="$variant")
if [ -n "${RUST_IMAGE:-}" ]; then
    arguments+=(--build-arg RUST_IMAGE="$RUST_IMAGE")
else
    # The toolchain, this machine's CA certificates, and its configuration of crate registries.
    sysroot=$(toolchain)
    arguments+=(--build-arg RUST_IMAGE="localhost/rust:1" --volume "$sysroot:/opt/rust:ro"
        --volume /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
    cargo_config=${CARGO_HOME:-$HOME/.cargo}/config.toml
    [ ! -e "$cargo_config" ] || arguments+=(--volume "$cargo_config:/usr/local/cargo/config.toml:ro")
fi
arguments+=(--build-arg RUNTIME_IMAGE="${RUNTIME_IMAGE:-localhost/$runtime}")

# buildah finds the cached layer of a LABEL by its text and ignores the value of the build argument in it. So the label is set again if
# it has an old value.
relabel() {
    local key=org.opencontainers.image.revision container
    ! grep -q "\"$key\": \"$revision\"" <<<"$(buildah inspect --type image "$1")" || return 0
    container=$(buildah from --pull-never --arch "$arch" "$1")
    buildah config --label "$key=$revision" "$container"
    buildah commit --quiet --rm "$container" "$1" >/dev/null
}

image() { echo "docker.io/livescores/$1:$version$suffix"; }

for target in sink-connector producer; do
    began=$SECONDS
    build "${arguments[@]}" --target "$target" -t "$(image "$target")" .
    relabel "$(image "$target")"
    say "$target$suffix in $((SECONDS - began)) s, $(grep -c '^ *Compiling ' "$containers/build.log" || true) crates compiled"
done

# save NAME IMAGE REFERENCE: writes an archive that is imported under that reference.
save() {
    rm -f "$folder/$1.tar"
    buildah push --quiet "$2" "oci-archive:$folder/$1.tar:$3" >/dev/null
}
[ "$version" = "$chart_version" ] || die "Cargo.toml says $version, the chart's appVersion $chart_version"
for target in sink-connector producer; do
    save "$target$suffix" "$(image "$target")" "docker.io/livescores/$target:$chart_version"
done
if [ -z "$suffix" ]; then
    save pause "localhost/pause:1" localhost/pause:local
    save busybox "localhost/busybox:3" docker.io/library/busybox:1.37.0
    save psql "localhost/psql:1" docker.io/library/postgres:17-alpine
fi
say "written to $folder: $(cd "$folder" && echo *.tar)"
[ -n "$check" ] || exit 0

pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
[ "$pinned" = "$(sed -n 's/^ARG RUST_IMAGE=.*rust:\([0-9.]*\)-.*/\1/p' Dockerfile)" ] ||
    die "Dockerfile and rust-toolchain.toml differ"
failed=0
for target in sink-connector producer; do
    tests/kubernetes/images_check.sh "$(image "$target")" "$folder/$target$suffix.tar" "$arch" "$version" "$revision" "$variant" || failed=1
done
exit "$failed"
