#!/usr/bin/env python3
"""Keeps the configuration's part of the chart's values.schema.json the same as docs/reference.md.

    config_schema.py            writes it
    config_schema.py --check    exits 1 when it is not current

The reference is made from the binaries' own schema, so a key that the binaries know can be set by the chart's values, and
no other can.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference.md"
SCHEMA = ROOT / "helm/livescores/values.schema.json"

SCALAR = {"type": ["string", "number", "boolean"]}


def of_values(values: str, key: str, sections: dict) -> dict:
    """The JSON schema of a column `values` of the reference."""
    integer = re.fullmatch(r"(\d+) to (\d+)( \w+)?", values)
    if key == "errors.breaker_ratio":
        return {"type": "number", "minimum": 0, "maximum": 1}
    if integer:
        return {"type": "integer", "minimum": int(integer[1]), "maximum": int(integer[2])}
    if bounded := re.fullmatch(r"from (\d+)", values):
        # Beyond 2^53 YAML's way through JSON would change the number.
        return {"type": "integer", "minimum": int(bounded[1]), "maximum": 2**53}
    if values == "text":
        return {"type": "string"}
    if values == "list of text":
        return {"type": "array", "items": {"type": "string"}}
    if values == "properties":
        return {"type": "object", "additionalProperties": SCALAR}
    if values == "`true`, `false`":
        return {"type": "boolean"}
    if re.fullmatch(r"`\w+`(, `\w+`)*", values):
        return {"type": "string", "enum": re.findall(r"`(\w+)`", values)}
    if values == "map of text":
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if names := re.fullmatch(r"map of text; names: (.*)", values):
        allowed = re.findall(r"`(\w+)`", names[1])
        return closed({name: {"type": "string"} for name in allowed})
    if values == "tables with the keys of `[sink]`":
        return {"type": "object", "additionalProperties": sections["sink"]}
    sys.exit(f"{REFERENCE.name}: {key} has values that {pathlib.Path(__file__).name} does not know: {values}")


def closed(properties: dict) -> dict:
    """An object that has these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def of_binary(name: str, text: str) -> dict:
    """The JSON schema of a binary's configuration."""
    table = text.split(f"## {name}: configuration\n", 1)[1].split("\n## ", 1)[0]
    top = closed({})
    for row in table.splitlines():
        if not row.startswith("| `"):
            continue
        key, values, _default, _variable, purpose = (cell.strip() for cell in row.strip("|").split(" | "))
        key = key.strip("`")
        *path, leaf = key.split(".")
        place = top
        for section in path:
            place = place["properties"].setdefault(section, closed({}))
        place["properties"][leaf] = {"description": purpose} | of_values(values, key, top["properties"])
    return top


def main() -> None:
    text = REFERENCE.read_text()
    schema = json.loads(SCHEMA.read_text())
    for name, place in (("sink-connector", "sinkConfig"), ("producer", "producerConfig")):
        schema["$defs"][place] = of_binary(name, text)
    current = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        if current != SCHEMA.read_text():
            sys.exit(f"{SCHEMA.relative_to(ROOT)} is not current: run tests/kubernetes/chart.sh --write")
    else:
        SCHEMA.write_text(current)


main()
