#!/usr/bin/env bash
# Builds the documents as a book, with mdbook: target/book/index.html. The pages keep their places, so that their links hold.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
if ! command -v mdbook >/dev/null; then
  echo "The book was NOT built: that needs mdbook (cargo install --locked mdbook)."
  [ "${1:-}" = --required ] && exit 1
  exit 0
fi
source=$target/book-source
rm -rf "$source"
mkdir -p "$source"
cp -r docs config monitoring LICENSE ./*.md "$source"
mkdir -p "$source/helm/livescores"
cp helm/livescores/*.md helm/livescores/values.yaml "$source/helm/livescores"
# mdbook wants the summary at the top.
sed -e 's|](\([^)]*\))|](docs/\1)|' -e 's|](docs/\.\./|](|' docs/SUMMARY.md >"$source/SUMMARY.md"
rm "$source/docs/SUMMARY.md"
cat >"$source/book.toml" <<TOML
[book]
title = "livescores"
src = "."

[build]
build-dir = "$(realpath "$target")/book"
create-missing = false
TOML
mdbook build "$source"
echo "The book is in $target/book/index.html"
