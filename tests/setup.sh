#!/usr/bin/env bash
# Installs what the build and the tests need (Debian packages, as root), or names what is missing. Rust itself comes from rustup, in
# the version of rust-toolchain.toml. Takes no time if everything is installed. With --demo, without what only tests need; with
# --logins, also what `make logins-test` needs.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=yes logins=
case ${1:-} in
  --demo) tests= ;;
  --logins) logins=yes ;;
esac

# The PostgreSQL server is often not on the PATH: Debian installs each version into its own folder.
has_postgres() {
  [ -n "${PG_BIN:-}" ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
    compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null
}
# Apache Kafka 4 needs Java 17 or newer.
has_java() { grep -qE 'version "(1[7-9]|[2-9][0-9])' <<<"$(java -version 2>&1)"; }
has() { command -v "$1" >/dev/null; }

packages=()
has_java || packages+=(java)
has mvn || packages+=(maven)
has_postgres || packages+=(postgresql)
has psql || packages+=(postgresql-client)
has gcc || packages+=(gcc)
has g++ || packages+=(g++)
has make || packages+=(make)
has perl || packages+=(perl)
has curl || packages+=(curl)
if [ -n "$tests" ]; then
  { has prometheus && has promtool; } || packages+=(prometheus)
  { has pgbouncer || [ -x /usr/sbin/pgbouncer ]; } || packages+=(pgbouncer)
fi
if [ -n "$logins" ]; then
  has pkg-config || packages+=(pkg-config)
  [ -e /usr/include/sasl/sasl.h ] || packages+=(libsasl2-dev)
  compgen -G '/usr/include/*/curl/curl.h' >/dev/null || [ -e /usr/include/curl/curl.h ] || packages+=(libcurl4-openssl-dev)
  compgen -G '/usr/lib/*/sasl2/libgssapiv2.so*' >/dev/null || packages+=(libsasl2-modules-gssapi-mit)
  has kinit || packages+=(krb5-user)
  [ -x /usr/sbin/krb5kdc ] || has krb5kdc || packages+=(krb5-kdc)
  [ -x /usr/sbin/kadmin.local ] || has kadmin.local || packages+=(krb5-admin-server)
fi

if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
    echo "Missing: ${packages[*]} (Java 17 or newer; the PostgreSQL server and psql; Prometheus with promtool). Please install them." >&2
    exit 1
  fi
  echo "Installing: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q </dev/null
  for i in "${!packages[@]}"; do
    if [ "${packages[$i]}" = java ]; then
      if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
        packages[i]=openjdk-17-jre-headless
      else
        packages[i]=default-jre-headless
      fi
    fi
  done
  # The tests create their own clusters. Debian's package would create another one and start it on port 5432.
  if ! has_postgres; then
    apt-get install -q -y --no-install-recommends postgresql-common </dev/null
    sed -i -E "s/^#?create_main_cluster.*/create_main_cluster = false/" /etc/postgresql-common/createcluster.conf
  fi
  # Debian's Prometheus must not start on port 9090: with this policy, packages are installed but their services are not started.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null
fi

# For the tests of the page at /, which say that they did not run without it. Some distributions have no such package.
has_browser() {
  [ -n "${CHROMIUM:-}" ] || has chromium || has chromium-browser || has google-chrome || has google-chrome-stable
}
if [ -n "$tests" ] && ! has_browser; then
  if [ "$(id -u)" -eq 0 ] && has apt-get; then
    echo "Installing: chromium"
    { apt-cache show chromium >/dev/null 2>&1 || apt-get update -q </dev/null; } &&
      DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium </dev/null || true
  fi
  has_browser || echo "Chromium is missing: the page at / will NOT be tested in a browser (apt-get install chromium)." >&2
fi

if ! has cargo; then
  echo "Missing: cargo. Install Rust with rustup (https://rustup.rs); the version is in rust-toolchain.toml." >&2
  exit 1
fi
# Some versions of rustup do not install the toolchain automatically. A cargo without rustup is used as it is.
if has rustup && ! { cargo --version && cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
  rustup toolchain install
fi
