#!/usr/bin/env python3
"""Replaces an Argo CD Application in a file by its Helm values. Exits 1 for any other object."""

import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    document = yaml.safe_load(file)
if document["kind"] != "Application":
    sys.exit(1)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    yaml.safe_dump(document["spec"]["source"]["helm"]["valuesObject"], file)
