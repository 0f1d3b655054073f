"""``python -m tests.parity PATH...``: a line per golden vector, then the totals; exit status 1 on any failure or unmapped file.

Handlers live in the other modules of this package: ``HANDLERS = [("d3dp/jpma_*.npz", function(path) -> list[Check]), ...]``.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import tests.parity
from tests.parity.check import Check

Handler = Callable[[Path], list[Check]]
_NOT_HANDLERS = {"__main__", "check"}
_VECTORS = {".npz", ".json"}


class Result(NamedTuple):
    """The outcome of one file; `check` is the worst relative to its tolerance, None where nothing could be measured."""

    status: str
    name: str
    check: Check | None
    note: str

    def line(self) -> str:
        numbers = f"{self.check.error:9.2e}  {self.check.tolerance:9.2e}" if self.check else f"{'-':>9}  {'-':>9}"
        return f"{self.status:<8}  {self.name:<44}  {numbers}  {self.note}".rstrip()


def discover() -> tuple[list[tuple[str, Handler]], list[str]]:
    """Every (pattern, handler) of the modules beside this one, and a sentence for each module that cannot be imported."""
    handlers: list[tuple[str, Handler]] = []
    problems: list[str] = []
    for module in sorted(pkgutil.iter_modules(tests.parity.__path__), key=lambda m: m.name):
        if module.name in _NOT_HANDLERS or module.name.startswith("test_"):
            continue
        try:
            handlers += getattr(importlib.import_module(f"tests.parity.{module.name}"), "HANDLERS", [])
        except ImportError as error:
            problems.append(f"tests.parity.{module.name} cannot be imported, its vectors stay unmapped: {error}")
    if "torch" in sys.modules:
        # The vectors were made on one thread: more draw other dropout masks from the same seed and add in another order.
        sys.modules["torch"].set_num_threads(1)
    return handlers, problems


def find_handler(path: Path, handlers: Iterable[tuple[str, Handler]]) -> tuple[Handler | None, str]:
    """The handler of a file and, where there is none, the reason.

    A pattern ``folder/name`` is matched against the end of the path. A file that lies in a folder of another name is matched by
    its own name, if that name belongs to one system alone.
    """
    handlers = list(handlers)
    parts = path.resolve().parts
    for pattern, handler in handlers:
        if fnmatch("/".join(parts[-1 - pattern.count("/") :]), pattern):
            return handler, ""
    split = [(*pattern.rsplit("/", 1), handler) for pattern, handler in handlers]
    if parts[-2] in {folder for folder, _, _ in split}:
        return None, "no handler"
    # A bare wildcard says nothing about a file's name.
    by_name = {folder: handler for folder, name, handler in split if not name.startswith("*") and fnmatch(path.name, name)}
    if len(by_name) == 1:
        return next(iter(by_name.values())), ""
    return None, f"name fits several systems ({', '.join(sorted(by_name))}): put it in a folder of that name" if by_name else "no handler"


def collect(paths: Iterable[Path]) -> list[Path]:
    """Files as given; folders searched through for vectors (.npz, .json), in order of name.

    Raises:
        FileNotFoundError: for a path that does not exist.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        files += sorted(p for p in path.rglob("*") if p.suffix in _VECTORS) if path.is_dir() else [path]
    return files


def run_file(path: Path, handlers: Iterable[tuple[str, Handler]]) -> Result:
    """Run one vector. A handler that raises, or that checks nothing, is a failure."""
    name = "/".join(path.resolve().parts[-2:])
    handler, reason = find_handler(path, handlers)
    if handler is None:
        return Result("unmapped", name, None, reason)
    try:
        checks = handler(path)
    except Exception as error:  # whatever the handler hit, the other files still run
        return Result("FAIL", name, None, f"{type(error).__name__}: {' '.join(str(error).split())}")
    if not checks:
        return Result("FAIL", name, None, "the handler checked nothing")
    worst = max(checks, key=lambda check: (not check.ok, check.badness))
    failed = sum(not check.ok for check in checks)
    note = f"{worst.name} ({failed} of {len(checks)} checks failed)" if failed else f"{worst.name} (worst of {len(checks)})"
    return Result("FAIL" if failed else "ok", name, worst, note)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a golden vector, or a folder of them")
    try:
        files = collect(parser.parse_args(argv).paths)
    except FileNotFoundError as error:
        parser.error(str(error))
    if not files:
        parser.error("no vectors (.npz, .json) found there")
    handlers, problems = discover()
    for problem in problems:
        print(problem, file=sys.stderr)
    counts = {"ok": 0, "FAIL": 0, "unmapped": 0}
    for path in files:
        result = run_file(path, handlers)
        counts[result.status] += 1
        print(result.line(), flush=True)
    unmapped = f", {counts['unmapped']} unmapped" if counts["unmapped"] else ""
    print(f"{counts['ok']} passed, {counts['FAIL']} failed{unmapped}")
    return 1 if counts["FAIL"] or counts["unmapped"] else 0


if __name__ == "__main__":
    sys.exit(main())
