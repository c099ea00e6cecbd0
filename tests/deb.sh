#!/usr/bin/env bash
# The Debian packages of both binaries.
#
#   deb.sh build    writes target/debian/*.deb of the binaries in target/release; needs cargo-deb
#   deb.sh test     installs them on this machine, runs the services as their units say, removes and purges them; needs root
#
# Without systemd as the first process, the test itself is the service manager: it runs ExecStart as another user, with the credentials
# of LoadCredential, and stops it with SIGTERM within TimeoutStopSec.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
packages=$target/debian
units=(sink-connector.service sink-connector@.service producer.service)

die() { echo "deb: $*" >&2; exit 1; }
ok() { echo "ok     $*"; }

build() {
  command -v cargo-deb >/dev/null || die "missing: cargo-deb (cargo install --locked cargo-deb)"
  local extra=$target/release/deb
  rm -rf "$extra" "$packages"
  mkdir -p "$extra"
  # Function names stay, for the backtrace of a panic.
  for binary in sink-connector producer; do strip --strip-debug -o "$extra/$binary" "$target/release/$binary"; done
  tests/dist.sh "$extra"
  gzip -9n "$extra"/man/man1/*
  for binary in sink-connector producer; do
    cargo deb --quiet --no-build --package "$binary" --output "$packages/"
  done
  ls "$packages"/*.deb
}

# setting UNIT KEY: a value of an installed unit.
setting() { sed -n "s/^$2=//p" "/usr/lib/systemd/system/$1"; }

check_contents() {
  local binary file
  for binary in sink-connector producer; do
    [ "$(dpkg-query -W -f '${Status}' "$binary")" = "install ok installed" ] || die "$binary is not installed"
    grep -q "^$binary [0-9]" <<<"$("/usr/bin/$binary" --version)"
    for file in "share/man/man1/$binary.1.gz" "share/bash-completion/completions/$binary" "share/zsh/vendor-completions/_$binary" \
      "share/fish/vendor_completions.d/$binary.fish" "share/doc/$binary/copyright"; do
      [ -s "/usr/$file" ] || die "/usr/$file is missing"
    done
    grep -q "/etc/$binary/$binary.toml" <<<"$(dpkg-query -W -f '${Conffiles}' "$binary")" || die "the configuration is no conffile"
    [ "$(stat -c '%a %U' "/etc/$binary/credentials")" = "700 root" ] || die "others can read /etc/$binary/credentials"
  done
  ok "both are installed, with manual pages, completions, copyright and configuration"
  for unit in "${units[@]}"; do
    ! compgen -G "/etc/systemd/system/*.wants/${unit/@./@*.}" >/dev/null || die "$unit is enabled"
  done
  ok "no unit is enabled"
}

check_units() {
  # The units differ in their heads only.
  local hardening
  hardening=$(for unit in "${units[@]}"; do sed '1,/^# The rest/d' "packaging/systemd/$unit" | sha256sum; done | sort -u | wc -l)
  [ "$hardening" = 1 ] || die "the restrictions of the units differ"
  if ! command -v systemd-analyze >/dev/null; then
    echo "The units were NOT verified: systemd-analyze is missing (apt-get install systemd)."
    return
  fi
  local instances=("${units[@]/@./@orders.}") unit output
  output=$(cd /usr/lib/systemd/system && systemd-analyze verify --man=no "${instances[@]}" 2>&1) || die "$output"
  ! grep -E 'sink-connector|producer' <<<"$output" || die "the units have warnings"
  for unit in "${units[@]}"; do
    # 2.0 of 10: little is exposed but the network.
    systemd-analyze security --offline=true --threshold=20 --no-pager "/usr/lib/systemd/system/$unit" >"$work/security" 2>&1 ||
      { cat "$work/security"; die "$unit exposes too much"; }
    ok "$unit: $(grep -o 'Overall exposure.*' "$work/security")"
  done
}

# start UNIT: runs its command as systemd would: another user, copies of the credentials, none of this shell's variables.
start() {
  local unit=$1 credential folder file
  credential=$(setting "$unit" LoadCredential)
  folder=/run/credentials/$unit
  mkdir -p "$folder"
  for file in "${credential#*:}"/*; do
    [ ! -f "$file" ] || install -m 400 -o nobody "$file" "$folder/${credential%%:*}_${file##*/}"
  done
  local command
  read -ra command <<<"$(setting "$unit" ExecStart)"
  env -i PATH=/usr/bin:/bin CREDENTIALS_DIRECTORY="$folder" setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs \
    --bounding-set=-all "${command[@]}" >"$work/$unit.log" 2>&1 &
  pid=$!
}

# stop UNIT: SIGTERM, and exit code 0 within the unit's time.
stop() {
  local unit=$1 limit code=0
  limit=$(setting "$unit" TimeoutStopSec)
  kill -TERM "$pid"
  (sleep "$limit" && kill -KILL "$pid") 2>/dev/null &
  local killer=$!
  wait "$pid" || code=$?
  kill "$killer" 2>/dev/null || true
  [ "$code" = 0 ] || { cat "$work/$unit.log"; die "$unit ended with $code after SIGTERM"; }
}

# eventually COMMAND…: tries it for a minute.
eventually() {
  local end=$((SECONDS + 60))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}

check_services() {
  local services=("$target/checked/services" --dir "$work/services") bootstrap url code=0
  # An unconfigured sink ends with 2, which systemd does not restart.
  start sink-connector.service
  wait "$pid" || code=$?
  [ "$code" = 2 ] || { cat "$work/sink-connector.service.log"; die "an unconfigured sink ended with $code"; }
  grep -q 'kafka.topics' "$work/sink-connector.service.log" || die "it does not name kafka.topics"
  [ "$(setting sink-connector.service RestartPreventExitStatus)" = 2 ] || die "it would be restarted"
  ok "an unconfigured sink names kafka.topics and is not restarted"

  "${services[@]}" up >"$work/addresses" || die "no services"
  cleanup+=("${services[*]} down")
  bootstrap=$(sed -n 's/^BOOTSTRAP_SERVERS=//p' "$work/addresses")
  url=$(sed -n 's/^POSTGRES_URL=//p' "$work/addresses")
  psql -X -q "$url" -c "CREATE ROLE sink LOGIN PASSWORD 'of the sink'" -c 'GRANT ALL ON SCHEMA public TO sink'
  psql -X -q "${url/postgres@/sink@}" -f config/ipl_livescores.sql

  sed -i -e "s|^bootstrap_servers = .*|bootstrap_servers = \"$bootstrap\"|" -e 's|^interval_ms = .*|interval_ms = 500|' \
    /etc/producer/producer.toml
  sed -i -e "s|^bootstrap_servers = .*|bootstrap_servers = \"$bootstrap\"|" -e 's|^topics = .*|topics = ["livescores_topic"]|' \
    -e "s|^url = .*|url = \"${url/postgres@/sink@}\"|" -e 's|^# password_file|password_file|' \
    -e 's|^table = .*|table = "ipl_livescores"|' -e 's|^pk_fields = .*|pk_fields = ["match_id"]|' \
    /etc/sink-connector/sink-connector.toml
  printf 'of the sink\n' >/etc/sink-connector/credentials/postgres-password
  chmod 600 /etc/sink-connector/credentials/postgres-password

  start producer.service
  local producer=$pid
  start sink-connector.service
  local sink=$pid
  rows() { [ "$(psql -X -At "$url" -c 'SELECT count(*) FROM ipl_livescores')" -ge 200 ]; }
  eventually rows || { cat "$work"/*.log; die "no rows"; }
  ok "the services write rows; the sink takes its password from the credentials"
  pid=$producer stop producer.service
  pid=$sink stop sink-connector.service
  ok "both end with 0 within TimeoutStopSec"
}

# What the packages own or make, anywhere.
leftovers() {
  find /etc /usr /var/lib/systemd \( -path /usr/share/doc -prune -o -path /usr/lib/python3 -prune -o -name 'sink-connector*' -print \
    -o -name 'producer' -print -o -name 'producer.service' -print -o -name 'producer.toml' -print \) 2>/dev/null | sort
}

check_removal() {
  dpkg --remove sink-connector producer >/dev/null
  [ ! -e /usr/bin/sink-connector ] && [ ! -e /usr/lib/systemd/system/sink-connector.service ] || die "files are left after the removal"
  [ -e /etc/sink-connector/sink-connector.toml ] || die "the removal deleted the configuration"
  dpkg --purge sink-connector producer >/dev/null
  [ "$(leftovers)" = "$before" ] || { leftovers; die "the purge left files"; }
  ! dpkg-query -W sink-connector producer >/dev/null 2>&1 || die "dpkg still knows the packages"
  ok "the removal keeps the configuration, the purge leaves nothing"
}

run_test() {
  [ "$(id -u)" = 0 ] || die "dpkg needs root"
  for binary in sink-connector producer; do
    [ ! -e "/usr/bin/$binary" ] && [ ! -e "/etc/$binary" ] || die "$binary is installed here already"
  done
  compgen -G "$packages/*.deb" >/dev/null || die "no packages: make deb"
  work=$(mktemp -d)
  chmod 755 "$work"
  cleanup=()
  trap 'for command in "${cleanup[@]}"; do eval "$command" || true; done; rm -rf "$work"' EXIT
  before=$(leftovers)
  cleanup=("kill \$(jobs -p) 2>/dev/null" "dpkg --purge sink-connector producer >/dev/null 2>&1"
    "rm -rf /run/credentials/sink-connector.service /run/credentials/producer.service")
  dpkg --install "$packages"/*.deb >"$work/dpkg" || { cat "$work/dpkg"; die "dpkg failed"; }
  check_contents
  check_units
  check_services
  check_removal
}

case ${1:-} in
  build) build ;;
  test) run_test ;;
  *) die "usage: deb.sh build|test" ;;
esac
