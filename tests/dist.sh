#!/usr/bin/env bash
# Completions and manual pages beside the binaries of a release. Usage: tests/dist.sh FOLDER, which holds the binaries.
set -euo pipefail

folder=$(realpath "$1")
mkdir -p "$folder/completions" "$folder/man/man1"
for binary in sink-connector producer; do
  "$folder/$binary" completions bash >"$folder/completions/$binary"
  "$folder/$binary" completions zsh >"$folder/completions/_$binary"
  "$folder/$binary" completions fish >"$folder/completions/$binary.fish"
  "$folder/$binary" man-pages "$folder/man/man1"
done
