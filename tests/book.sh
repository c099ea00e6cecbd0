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
# Below an index, the pages that it lists.
for index in decisions bench; do
  indent="  "
  [ "$index" != bench ] || indent="    "
  pages=$(for page in docs/"$index"/*.md docs/"$index"/*/*.md; do
    [ ! -f "$page" ] || [ "${page##*/}" = README.md ] || echo "$indent- [$(sed -n '1s/^# *//p' "$page")]($page)"
  done)
  PAGES=$pages awk -v index_page="(docs/$index/README.md)" '{ print } index($0, index_page) && ENVIRON["PAGES"] != "" { print ENVIRON["PAGES"] }' \
    "$source/SUMMARY.md" >"$source/SUMMARY.new"
  mv "$source/SUMMARY.new" "$source/SUMMARY.md"
done
# mdbook makes an index.html of each README.md, and does not follow with the links.
find "$source" -name '*.md' ! -name SUMMARY.md -exec sed -i -E 's|(\]\([^):]*)README\.md|\1index.md|g' {} +
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
if command -v python3 >/dev/null; then python3 tests/book_links.py "$target/book"; else echo "Its links were NOT checked: that needs Python 3."; fi
echo "The book is in $target/book/index.html"
