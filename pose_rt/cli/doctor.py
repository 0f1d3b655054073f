"""`pose-rt doctor`: what works on this machine, what is missing, and the command that cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import typer

OK, OPTIONAL, BROKEN = "ok", "not here", "BROKEN"


class Finding(NamedTuple):
    part: str
    state: str
    detail: str
    cure: str = ""


def doctor() -> int:
    """Check the installation. Exit code 1 if something that the default pipeline needs is broken."""
    worst = 0
    for finding in examine():
        mark = typer.style(f"{finding.state:<10}", fg={OK: "green", BROKEN: "red"}.get(finding.state, "yellow"))
        typer.echo(f"{finding.part:<13}{mark}{finding.detail}")
        if finding.cure:
            typer.echo(f"{'':<23}-> {finding.cure}")
        worst = max(worst, finding.state == BROKEN)
    return int(worst)


def examine() -> Iterator[Finding]:
    """Every check in turn; one that raises is a broken part, never an end of the examination."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("native ops", _native),
        ("CUDA ops", _cuda),
        ("onnxruntime", _onnxruntime),
        ("tensorrt", _tensorrt),
        ("video", _video),
        ("models", _models),
        ("training", _training),
        ("viewer", _viewer),
    ]
    for part, check in checks:
        try:
            yield check()
        except Exception as error:
            yield Finding(part, BROKEN, f"{type(error).__name__}: {error}", "pip install --force-reinstall pose-rt")


def _python() -> Finding:
    import platform

    from pose_rt import __version__

    return Finding("python", OK, f"pose-rt {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")


def _native() -> Finding:
    from pose_rt import ops

    if ops.isa() is None:
        return Finding(
            "native ops", OPTIONAL, ops.backend(), "install a C++20 compiler, then: pip install --force-reinstall --no-cache-dir pose-rt"
        )
    return Finding("native ops", OK, f"{ops.backend()}, instruction set {ops.isa()}")


def _cuda() -> Finding:
    from pose_rt import ops

    there, reason = ops.cuda_status()
    return Finding("CUDA ops", OK if there else OPTIONAL, reason)


def _onnxruntime() -> Finding:
    import onnxruntime

    providers = ", ".join(p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers())
    return Finding("onnxruntime", OK, f"{onnxruntime.__version__} ({providers})")


def _tensorrt() -> Finding:
    from importlib.util import find_spec

    if find_spec("tensorrt") is None:
        return Finding(
            "tensorrt", OPTIONAL, "not installed; models run on ONNX Runtime", "with an NVIDIA GPU: pip install 'pose-rt[tensorrt]'"
        )
    from importlib.metadata import version

    return Finding("tensorrt", OK, f"{version('tensorrt')} installed")


def _video() -> Finding:
    import av

    if "libx264" not in av.codecs_available:
        return Finding("video", BROKEN, f"PyAV {av.__version__} without libx264", "pip install --force-reinstall av")
    return Finding("video", OK, f"PyAV {av.__version__}, H.264 through libx264")


def _models() -> Finding:
    from pose_rt import zoo
    from pose_rt.errors import ModelError

    bundled = [e for e in zoo.entries() if e.bundled]
    for entry in bundled:
        try:
            zoo.load_path(entry.name)
        except ModelError as error:
            return Finding("models", BROKEN, error.message, error.cure or "")
    return Finding("models", OK, f"{len(bundled)} bundled, checksums right")


def _training() -> Finding:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return Finding("training", OPTIONAL, "torch is not installed (only training and export need it)", "pip install 'pose-rt[train]'")
    from importlib.metadata import version

    return Finding("training", OK, f"torch {version('torch')}")


def _viewer() -> Finding:
    from .views import has_display

    display = has_display()
    return Finding("display", OK if display else OPTIONAL, "a screen is there" if display else "no screen: files only")
