#!/usr/bin/env python3
"""Keeps the configuration's part of the chart's values.schema.json the same as what the binaries accept.

    config_schema.py            writes it
    config_schema.py --check    exits 1 if it is not current

BINARIES is the folder of the binaries. They print the JSON schema of their configuration, so a key that they know can be set
by the chart's values, and no other can.
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ.get("BINARIES") or ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "checked")
SCHEMA = ROOT / "helm/livescores/values.schema.json"

# The chart has defaults of its own.
LEFT_OUT = ("$schema", "default", "x-default", "x-section", "x-unit")


def of_values(schema: dict) -> dict:
    """A schema as the chart needs it."""
    kept = {key: value for key, value in schema.items() if key not in LEFT_OUT}
    if kept.get("type") == "integer":
        # Beyond 2^53 YAML's way through JSON would change the number.
        kept.setdefault("maximum", 2**53)
    if "properties" in kept:
        kept["properties"] = {name: of_values(below) for name, below in kept["properties"].items()}
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = of_values(kept["additionalProperties"])
    return kept


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    for name, place in (("sink-connector", "sinkConfig"), ("producer", "producerConfig")):
        printed = subprocess.run([BINARIES / name, "reference", "--json-schema"], check=True, stdout=subprocess.PIPE)
        schema["$defs"][place] = of_values(json.loads(printed.stdout))
    current = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        if current != SCHEMA.read_text():
            sys.exit(f"{SCHEMA.relative_to(ROOT)} is not current: run tests/kubernetes/chart.sh --write")
    else:
        SCHEMA.write_text(current)


main()
