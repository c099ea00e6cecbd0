#!/usr/bin/env bash
# The part of `make lint` that needs more than the Rust toolchain: workflows, dependencies, spelling, scripts. Each linter runs
# where it is installed; one that is missing is named in a line and fails nothing. actionlint is installed where Go is.
set -euo pipefail
cd "$(dirname "$0")/.."

ACTIONLINT=1.7.12

tools=${LIVESCORES_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/livescores-tools}
PATH=$PATH:$tools/bin:$tools/python/bin:$HOME/go/bin:$HOME/.cargo/bin
has() { command -v "$1" >/dev/null; }

# lint WHAT INSTALL COMMAND…: runs the command, or says what was not checked and how to install it.
lint() {
    local what=$1 install=$2
    shift 2
    if has "$1"; then
        "$@"
    else
        echo "$what NOT checked: $1 is not installed ($install)."
    fi
}

if ! has actionlint && has go; then
    echo "Installing actionlint $ACTIONLINT"
    # Without a network it is missing, as without Go.
    GOBIN=$tools/bin timeout 300 go install "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT" || true
fi
lint "The workflows were" "go install github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT" actionlint
lint "Licences and sources of the dependencies were" "cargo install --locked cargo-deny" \
    cargo-deny --log-level error check bans licenses sources
lint "Spelling was" "cargo install --locked typos-cli" typos
tests/pipes.sh
lint "The scripts were" "apt-get install shellcheck" shellcheck --exclude=SC2329 .ci/run tests/*.sh tests/kubernetes/*.sh
