#!/usr/bin/env python3
"""Writes what tests/round_trip.rs knows of Kafka's message schemas: one line a field, nested by indentation.

usage: schemas.py SCHEMA_DIR OUTPUT_FILE

A message:  request|response KEY NAME VERSIONS flexible=VERSIONS, or data|header - NAME VERSIONS flexible=VERSIONS.
A field:    NAME TYPE VERSIONS, then as needed null=VERSIONS tag=NUMBER:VERSIONS default=VALUE ignorable inflexible.
Structs that a message defines once and uses often stand wherever they are used.
"""
import os
import re
import sys

from generate import load

HEAD = """# Made by ci/wire/generate from the message schemas of kafka-clients 4.4.0 (Apache-2.0). Do not edit.
"""


def field_lines(field, common, depth):
    element = re.sub(r"^\[\]", "", field["type"])
    # A field that is only ever tagged may leave its versions out.
    versions = field.get("versions", field.get("taggedVersions"))
    words = [field["name"], ("[]" if element != field["type"] else "") + element, versions]
    inner = field.get("fields", common.get(element))
    if inner is not None:
        words[1] = words[1].replace(element, "struct")
    if field.get("nullableVersions", "none") != "none":
        words.append("null=" + field["nullableVersions"])
    if "tag" in field:
        words.append(f"tag={field['tag']}:{field['taggedVersions']}")
    if field.get("default", "") != "":
        words.append(f"default={field['default']}")
    if field.get("ignorable"):
        words.append("ignorable")
    if field.get("flexibleVersions") == "none":
        words.append("inflexible")
    yield " " * depth + " ".join(words) + "\n"
    for one in inner or []:
        yield from field_lines(one, common, depth + 1)


def message_lines(raw):
    if raw["type"] in ("request", "response"):
        words = [raw["type"], str(raw["apiKey"]), re.sub("(Request|Response)$", "", raw["name"])]
    else:
        words = ["header" if raw["type"] == "header" else "data", "-", raw["name"]]
    yield " ".join([*words, raw["validVersions"], "flexible=" + raw.get("flexibleVersions", "none")]) + "\n"
    common = {one["name"]: one["fields"] for one in raw.get("commonStructs", [])}
    for field in raw["fields"]:
        yield from field_lines(field, common, 1)


def main():
    source, output = sys.argv[1:3]
    raws = [load(os.path.join(source, name)) for name in sorted(os.listdir(source)) if name.endswith(".json")]
    raws = [raw for raw in raws if raw["validVersions"] != "none"]
    api = ("request", "response")
    raws.sort(key=lambda raw: (raw["apiKey"] if raw["type"] in api else 1000, raw["type"], raw["name"]))
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with open(output, "w", encoding="utf-8") as file:
        file.write(HEAD)
        for raw in raws:
            file.writelines(message_lines(raw))


if __name__ == "__main__":
    main()
