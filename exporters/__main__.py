"""``python -m exporters NAME [ARGUMENTS]``: run the exporter of that name (``python -m exporters NAME --help``)."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def available() -> list[str]:
    """Names of the exporters: the modules and packages of this folder that can be run."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if not m.name.startswith("_"))


def main(argv: list[str]) -> int:
    """Hand the arguments to ``exporters.NAME.main(argv) -> exit status``."""
    if not argv or argv[0] not in available():
        came = f"got {argv[0]!r}" if argv and not argv[0].startswith("-") else "which exporter?"
        print(f"python -m exporters NAME [ARGUMENTS]: {came}; NAME is one of {', '.join(available())}", file=sys.stderr)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    status: int = importlib.import_module(f"exporters.{argv[0]}").main(argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
