#!/usr/bin/env bash
# Checks an image of this project: its contents, and how it runs.
#
#   images_check.sh IMAGE ARCHIVE ARCHITECTURE VERSION REVISION VARIANT
#
# Called by images.sh, whose storage contains the image. An image for another architecture is run by qemu.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=$1 archive=$2 arch=$3 version=$4 revision=$5 variant=$6
target=${image##*/}
target=${target%:*}
limit=40000000
[ "$variant" = static ] || limit=80000000

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# qemu is the entry point, so the kernel does not need to know how to run the binary.
emulated=()
[ "$arch" = "$(dpkg --print-architecture)" ] || emulated=(--arch "$arch" --pull never
    --volume "$(command -v qemu-aarch64-static):/qemu:ro" --entrypoint "[\"/qemu\", \"/usr/local/bin/$target\"]")

failed=0
# expect WHAT COMMAND…: runs the command and shows its output only if it fails. A failure does not end the script.
expect() {
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        printf 'ok     %s\n' "$what"
    else
        printf 'FAILED %s\n' "$what"
        sed 's/^/       /' "$work/output"
        failed=1
    fi
}
# run OPTION…: podman run with these options; in the emulator if the image needs one.
run() { timeout 60 podman run --rm --read-only --read-only-tmpfs=false "${emulated[@]}" "$@"; }
# confined ARGUMENT…: runs the image as a cluster does, by uid, read-only and without capabilities.
confined() { run --network none --user 65532:65532 --cap-drop all --security-opt no-new-privileges "$@"; }
config() { podman image inspect --format "{{ $1 }}" "$image"; }
label() { config "index .Config.Labels \"org.opencontainers.image.$1\""; }
same() { [ "$1" = "$2" ] || { echo "is '$1', not '$2'"; return 1; }; }
smaller() { [ "$1" -lt "$2" ] || { echo "$1 bytes"; return 1; }; }
# prints PATTERN COMMAND…: the command succeeds and its output matches the pattern.
prints() {
    local output
    output=$("${@:2}") || { echo "$output"; return 1; }
    grep -q -e "$1" <<<"$output" || { echo "the output does not match '$1':"; echo "$output"; return 1; }
}

# in_root COMMAND…: runs the command with the image's files in $root. It succeeds if the command prints nothing.
in_root() {
    local root output
    root=$(podman image mount "$image") || return 1
    output=$("$@")
    podman image umount "$image" >/dev/null
    [ -z "$output" ] || { echo "$output"; return 1; }
}
shells() { find "$root" \( -type f -o -type l \) -regextype posix-extended -regex '.*/(ba|da|a|z|k)?sh|.*/busybox|.*/perl.*'; }
too_few_ca_certificates() {
    local file count
    file=$(find "$root/etc/ssl/certs" -name ca-certificates.crt -perm -o=r)
    count=$([ -z "$file" ] || grep -c 'BEGIN CERTIFICATE' "$file")
    [ "${count:-0}" -gt 100 ] || echo "$count certificates"
}
# Prints why the binary cannot run in the image: another architecture, or a loader or libraries that it needs.
wrong_binary() {
    local machine file=$root/usr/local/bin/$target
    case $arch in amd64) machine=X86-64 ;; arm64) machine=AArch64 ;; esac
    grep -q "Machine: .*$machine" <<<"$(readelf --file-header "$file")" || echo "it is not for $machine"
    if [ "$variant" = static ]; then
        readelf --program-headers "$file" | grep INTERP || true
        readelf --dynamic "$file" | grep NEEDED || true
    else
        local dynamic library
        dynamic=$(readelf --dynamic "$file")
        for library in libcurl libsasl2; do grep -q "NEEDED.*$library" <<<"$dynamic" || echo "it does not use $library"; done
        # libcurl and libsasl2 have an OpenSSL of their own, and must not find that of the binary.
        readelf --dyn-syms --wide "$file" | grep -E ' [0-9]+ (SSL|EVP)_' | grep -v UND || true
    fi
}
# Prints shared libraries without a package that a scanner could find.
unknown_libraries() {
    [ "$variant" = static ] || [ "$(find "$root/var/lib/dpkg/status.d" -type f | wc -l)" -gt 10 ] || echo "no packages"
}
# A configuration that needs the shared libraries is accepted by the variant that has them only.
logins() {
    local prefix=SINK output properties
    [ "$target" = sink-connector ] || prefix=PRODUCER
    for properties in SASL_MECHANISM=GSSAPI SASL_OAUTHBEARER_METHOD=oidc; do
        if output=$(confined --env "${prefix}__KAFKA__PROPERTIES__$properties" "$image" config 2>&1); then
            [ "$variant" != static ] || { echo "$properties is accepted"; return 1; }
        else
            if [ "$variant" != static ] || ! grep -q kerberos-oidc <<<"$output"; then echo "$output"; return 1; fi
        fi
    done
}

# A TLS server with a certificate of a test CA: the binary must reject it with the image's CA certificates, and accept it once the test
# CA replaces them. The server is not a broker, so the binary fails after the handshake.
trusts() {
    local name output port
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/key.pem" -out "$work/root.pem" 2>/dev/null
    # s_server ends when its standard input ends, so it gets one that never ends.
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
    for roots in image test; do
        volume=()
        [ "$roots" = image ] || volume=(--volume "$work/root.pem:/etc/ssl/certs/ca-certificates.crt:ro")
        run --network host "${volume[@]}" \
            --env "${name}__KAFKA__BOOTSTRAP_SERVERS=localhost:$port" --env "${name}__KAFKA__PROPERTIES__SECURITY_PROTOCOL=ssl" \
            "$image" "${arguments[@]}" >"$work/$roots" 2>&1
        echo "exit code $?" >>"$work/$roots"
    done
    kill "$server"
    wait "$server" 2>/dev/null
    output=$(cat "$work/image")
    grep -q 'certificate verify failed' <<<"$output" || { echo "an unknown certificate was not rejected:"; echo "$output"; return 1; }
    grep -q 'CIPHER is' "$work/server" || { echo "no handshake:"; cat "$work/server" "$work/test"; return 1; }
    ! grep -q 'certificate verify failed' "$work/test" || { echo "rejected with the test CA:"; cat "$work/test"; return 1; }
}

labels() {
    local key
    for key in title description licenses version revision; do
        [ -n "$(label "$key")" ] || { echo "$key is empty"; return 1; }
    done
    same "$(label title)" "$target" && same "$(label version)" "$version" && same "$(label revision)" "$revision"
}

size=$(config .Size)
echo "$target, $arch: $((size / 1000)) kB, compressed $(($(stat -c %s "$archive") / 1000)) kB"
expect "smaller than $((limit / 1000000)) MB" smaller "$size" "$limit"
expect "architecture" same "$(config .Architecture)" "$arch"
expect "binary: $variant" in_root wrong_binary
expect "libraries have packages" in_root unknown_libraries
expect "Kerberos and OIDC" logins
expect "no shell" in_root shells
expect "user 65532:65532" same "$(config .Config.User)" 65532:65532
expect "entry point" same "$(config 'json .Config.Entrypoint')" "[\"/usr/local/bin/$target\"]"
expect "labels" labels
expect "HTTP on all addresses" prints '__HTTP__LISTEN=0.0.0.0:94[0-9]*' config 'json .Config.Env'
expect "port" prints '"94[0-9]*/tcp"' config 'json .Config.ExposedPorts'
expect "CA certificates" in_root too_few_ca_certificates
expect "TLS uses them" trusts
expect "--help" prints '^Usage: ' confined "$image" --help
expect "--version" prints "^$target $version$" confined "$image" --version
[ ${#emulated[@]} -gt 0 ] || expect "on the PATH" prints "^$target $version$" confined --entrypoint "$target" "$image" --version
expect "runs without an explicit user" prints "$version" run --network none "$image" --version
case $target in
    sink-connector)
        expect "config" prints '^table = "ipl_livescores"' confined "$image" --config config/sink-connector.toml config ;;
    producer)
        expect "print" prints '^{"match_id":' confined "$image" --config config/producer.toml print --records 1 ;;
esac
exit "$failed"
