"""Imports are a promise: who may use whom inside pose_rt, and which libraries may be used where."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("pose_rt", "exporters", "training", "demos")

_FOUNDATION = {"errors", "core"}
_MIDDLE = _FOUNDATION | {"ops", "diffusion", "metrics", "backends", "zoo", "stream", "config"}
_UPPER = _MIDDLE | {"engines", "stages", "io"}
MAY_USE: dict[str, set[str]] = {
    "errors": set(),
    "core": set(),
    "config": _FOUNDATION,
    "ops": _FOUNDATION,
    "diffusion": _FOUNDATION,
    "metrics": _FOUNDATION,
    "backends": _FOUNDATION | {"engines"},  # only engines.cache and engines.runtime, which stand on the foundation: see below
    "zoo": _FOUNDATION,
    "stream": _FOUNDATION,
    "engines": _MIDDLE,
    "stages": _MIDDLE - {"stream"},
    "io": _MIDDLE,
    "pipeline": _UPPER,
    "bench": _UPPER | {"pipeline"},
    "cli": _UPPER | {"pipeline", "bench", "models"},  # models inside commands only: `pose-rt --help` loads no torch
    "models": _FOUNDATION | {"diffusion"},
}
"""The arrows of ARCHITECTURE.md. A part may always use itself."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "torch": ("pose_rt/models/", "pose_rt/backends/torch_module.py", "exporters/", "training/"),
    "lightning_fabric": ("training/",),
    "tensorboard": ("training/",),
    "scipy": ("training/", "exporters/"),
    "safetensors": ("pose_rt/models/", "pose_rt/backends/torch_module.py", "exporters/", "training/"),
    "onnx": ("pose_rt/engines/fp16_graph.py", "exporters/"),
    "tflite": ("exporters/",),
    "tensorrt": ("pose_rt/backends/tensorrt.py", "pose_rt/engines/"),
    "tensorrt_rtx": ("pose_rt/backends/tensorrt.py", "pose_rt/engines/"),
    "onnxruntime": ("pose_rt/backends/onnxruntime.py", "pose_rt/cli/doctor.py", "exporters/", "training/"),
    "typer": ("pose_rt/cli/", "exporters/", "training/"),
    "rich": ("pose_rt/cli/", "exporters/", "training/"),
    "av": ("pose_rt/io/", "pose_rt/bench/", "pose_rt/cli/doctor.py"),
    "pygame": ("pose_rt/io/",),
    "rerun": ("pose_rt/io/", "training/"),
    "aiohttp": ("pose_rt/io/sinks/web/",),
    "mediapipe": (),
}
"""Where each heavy library may be named; the last is allowed nowhere."""

MAY_UNPICKLE = ("training/data/unpickle.py",)
"""The restricted reader of published data files; `training.data.convert` is its only user."""
NEVER_UNPICKLE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


class Import(NamedTuple):
    """One imported module, written out in full, and whether it runs when the file is imported."""

    module: str
    line: int
    eager: bool


def imports_of(source: str, package: str) -> list[Import]:
    """Every import of a file, wherever it stands; `package` resolves relative ones. A `TYPE_CHECKING` block is not eager."""
    found: list[Import] = []

    def visit(node: ast.AST, eager: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], node.module or ""]).strip(".") if node.level else node.module or ""
            # `from pose_rt import ops` uses pose_rt.ops; `from pose_rt.ops import project` uses pose_rt.ops.
            found.extend(Import(f"{base}.{alias.name}" if base == "pose_rt" else base, node.lineno, eager) for alias in node.names)
        elif isinstance(node, ast.expr):
            return
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing_only = node.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) else []
        for child in ast.iter_child_nodes(node):
            visit(child, eager and not inside and child not in typing_only)

    visit(ast.parse(source), True)
    return found


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def imports_in(path: Path) -> list[Import]:
    return imports_of(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parent.parts))


def part_of(module: str) -> str | None:
    """The part of pose_rt that a module belongs to: ``pose_rt.io.draw`` -> ``io``; None for others and for names of the package."""
    names = module.split(".")
    if names[0] != "pose_rt" or len(names) < 2 or names[1].startswith("_"):
        return None
    return names[1]


def test_arrows_inside_the_package() -> None:
    wrong = []
    for path in files("pose_rt"):
        part = path.relative_to(ROOT / "pose_rt").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        allowed = MAY_USE.get(part)
        assert allowed is not None, f"pose_rt/{part} is not in the table of arrows: add it with what it may use"
        for used in imports_in(path):
            other = part_of(used.module)
            if other is not None and other != part and other not in allowed:
                wrong.append(f"{relative(path)}:{used.line}: {part} -> {other}")
    assert not wrong, "\n".join(wrong)


def test_what_backends_use_of_engines_stands_on_the_foundation() -> None:
    """`backends.tensorrt` loads engines, `engines.build` and others make them with backends: no circle between files."""
    low = {"pose_rt.engines.cache", "pose_rt.engines.runtime"}
    for path in files("pose_rt/backends"):
        used = {used.module for used in imports_in(path) if part_of(used.module) == "engines"}
        assert used <= low, f"{relative(path)}: {used - low}"
    for module in low:
        path = ROOT / f"{module.replace('.', '/')}.py"
        assert {part_of(used.module) for used in imports_in(path)} <= {None, "errors"}, relative(path)


def test_libraries_stay_in_their_rooms() -> None:
    wrong = []
    for path in files("pose_rt", "exporters", "training"):
        for used in imports_in(path):
            rooms = ONLY_IN.get(used.module.split(".")[0])
            if rooms is not None and not relative(path).startswith(rooms):
                wrong.append(f"{relative(path)}:{used.line}: {used.module} (allowed in: {', '.join(rooms) or 'no file'})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", ["core", "diffusion", "metrics", "ops", "errors"])
def test_arithmetic_needs_numpy_and_the_standard_library_only(part: str) -> None:
    paths = [path for path in files("pose_rt") if path.relative_to(ROOT / "pose_rt").parts[0].removesuffix(".py") == part]
    assert paths
    known = {"numpy", "pose_rt", *sys.stdlib_module_names}
    outside = [f"{relative(p)}:{i.line}: {i.module}" for p in paths for i in imports_in(p) if i.module.split(".")[0] not in known]
    assert not outside, "\n".join(outside)


def test_the_package_never_imports_the_workshops_when_it_is_imported() -> None:
    wrong = []
    for path in files("pose_rt"):
        for used in imports_in(path):
            workshop = used.module.split(".")[0] in ("exporters", "training", "demos", "tests")
            if workshop and (used.eager or not relative(path).startswith("pose_rt/cli/")):
                wrong.append(f"{relative(path)}:{used.line}: {used.module}")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_ever_unpickled() -> None:
    """No pickle modules; `numpy.load` without allow_pickle=True; every `torch.load` says weights_only=True."""
    wrong = []
    for path in files(*FOLDERS, "tests"):
        pickles = [i for i in imports_in(path) if i.module.split(".")[0] in NEVER_UNPICKLE]
        wrong += [f"{relative(path)}:{i.line}: {i.module}" for i in pickles if relative(path) not in MAY_UNPICKLE]
        wrong += [f"{relative(path)}:{line}: {what}" for line, what in unsafe_loads(path.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


def unsafe_loads(source: str) -> list[tuple[int, str]]:
    """Calls that would unpickle a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        given = {word.arg: word.value.value if isinstance(word.value, ast.Constant) else None for word in node.keywords}
        if owner in ("np", "numpy") and given.get("allow_pickle", False) is not False:
            found.append((node.lineno, "numpy.load with allow_pickle"))
        if owner == "torch" and given.get("weights_only") is not True:
            found.append((node.lineno, "torch.load without weights_only=True"))
    return found


def test_a_file_reads_in_one_sitting() -> None:
    limit = 360  # about 300 lines, with some patience; past that a file has found its second subject
    long = [
        f"{relative(path)}: {count} lines"
        for path in files(*FOLDERS)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > limit
    ]
    assert not long, "\n".join(long)


def test_the_reader_of_imports_sees_what_it_should() -> None:
    source = """
from typing import TYPE_CHECKING
import numpy as np
from ..ops import native
from . import window
from pose_rt import zoo
if TYPE_CHECKING:
    import torch
def run():
    import av
"""
    found = imports_of(source, "pose_rt.stages")
    assert [(i.module, i.eager) for i in found] == [
        ("typing", True), ("numpy", True), ("pose_rt.ops", True), ("pose_rt.stages", True), ("pose_rt.zoo", True),
        ("torch", False), ("av", False),
    ]  # fmt: skip
    assert [part_of(i.module) for i in found] == [None, None, "ops", "stages", "zoo", None, None]


@pytest.mark.parametrize(
    ("source", "unsafe"),
    [
        ("np.load(p)", 0),
        ("np.load(p, allow_pickle=False)", 0),
        ("np.load(p, allow_pickle=True)", 1),
        ("np.load(p, allow_pickle=flag)", 1),
        ("torch.load(p)", 1),
        ("torch.load(p, weights_only=True)", 0),
        ("torch.load(p, weights_only=False)", 1),
        ("json.load(f)", 0),
    ],
)
def test_the_reader_of_loads_sees_what_it_should(source: str, unsafe: int) -> None:
    assert len(unsafe_loads(source)) == unsafe
