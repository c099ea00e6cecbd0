#!/usr/bin/env python3
"""Checks the links of a built book: every relative link and image of every page leads to a file and, after #, to an element of it.

Usage: book_links.py FOLDER
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the names that links can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.update(given[key] for key in ("id", "name") if given.get(key))
        self.links += [given[key] for key in ("href", "src") if given.get(key)]


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    # print.html repeats all pages, toc.html is a frame for browsers without scripts, and 404.html is served at any path.
    skipped = {"print.html", "toc.html", "404.html"}
    pages = {path: Page(path.read_text()) for path in root.rglob("*.html") if path.name not in skipped}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            name = unquote(parts.fragment)
            if not target.is_relative_to(root) or not target.exists():
                broken.append(f"{path.relative_to(root)}: {link}: there is no such file")
            elif name and target in pages and name not in pages[target].names:
                broken.append(f"{path.relative_to(root)}: {link}: no such place in the page")
    for line in sorted(set(broken)):
        print(line)
    links = sum(len(page.links) for page in pages.values())
    print(f"{len(pages)} pages, {links} links, {len(set(broken))} broken", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
