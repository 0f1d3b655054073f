"""``python -m exporters refresh NAME``: rewrite sha256 and bytes (and metric, made) of a manifest entry after a new export."""

from __future__ import annotations

import argparse
import json
import re
import sys

from pose_rt.zoo.manifest import BUNDLED_FOLDER, MANIFEST, project_entries, sha256_of


def refreshed(text: str, name: str, fields: dict[str, str | int]) -> str:
    """The manifest's text with some fields of one entry replaced; comments, order and all other entries stay.

    Raises:
        KeyError: no such entry, or the entry has no such field.
    """
    blocks = re.split(r"(?m)^(?=\[\[model\]\])", text)
    for i, block in enumerate(blocks):
        if not re.search(rf'(?m)^name = "{re.escape(name)}"$', block):
            continue
        for field, value in fields.items():
            # A JSON string is a TOML basic string.
            line = f"{field} = {json.dumps(value, ensure_ascii=False)}"
            block, count = re.subn(rf"(?m)^{field} = .*$", lambda _, line=line: line, block)
            if count != 1:
                raise KeyError(f"{name}: the entry has no field {field}")
        blocks[i] = block
        return "".join(blocks)
    raise KeyError(f"no entry called {name}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m exporters refresh", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries to refresh (default: every bundled one)")
    parser.add_argument("--metric", help="new text of `metric` (one NAME only)")
    parser.add_argument("--made", help="new text of `made` (one NAME only)")
    options = parser.parse_args(argv)
    if (options.metric or options.made) and len(options.names) != 1:
        parser.error("--metric and --made need exactly one NAME")
    known = {entry.name: entry for entry in project_entries()}
    names = options.names or [entry.name for entry in known.values() if entry.bundled]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{', '.join(unknown)} not in {MANIFEST}; known: {', '.join(known)}")
    text = MANIFEST.read_text(encoding="utf-8")
    for name in names:
        path = BUNDLED_FOLDER / known[name].file
        if not path.is_file():
            print(f"{path}: missing, the entry stays as it is", file=sys.stderr)
            return 1
        fields: dict[str, str | int] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        fields |= {key: value for key, value in (("metric", options.metric), ("made", options.made)) if value}
        text = refreshed(text, name, fields)
        print(f"{name}: {fields['bytes']} bytes, sha256 {fields['sha256']}")
    MANIFEST.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
