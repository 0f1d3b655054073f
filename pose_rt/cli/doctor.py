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
        ("GPU", _gpu),
        ("TensorRT", _tensorrt),
        ("engines", _engines),
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


def _gpu() -> Finding:
    from pose_rt.backends.cuda_memory import Cuda
    from pose_rt.errors import BackendError

    try:
        cuda = Cuda()
        cuda.activate()
        free, total = cuda.memory()
    except BackendError as error:
        return Finding(
            "GPU", OPTIONAL, error.message, "only GPUs of NVIDIA are used; with one, install its driver and check with nvidia-smi"
        )
    gpu = cuda.gpu
    memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    return Finding("GPU", OK, f"{gpu.name}, capability {gpu.capability}, driver {gpu.driver}, {memory}")


def _tensorrt() -> Finding:
    from pose_rt.engines import runtime
    from pose_rt.errors import BackendError

    try:
        found = runtime.load()
    except BackendError as error:
        return Finding("TensorRT", OPTIONAL, error.message, f"models run on ONNX Runtime; with an NVIDIA GPU: {error.cure}")
    return Finding("TensorRT", OK, f"{found.title} {found.version}")


def _engines() -> Finding:
    from pose_rt.engines import cache

    from .engines import FITS, states, this_machine

    where = cache.folder()
    found = states(where)
    if not found:
        return Finding("engines", OPTIONAL, f"none in {where}", "where TensorRT works: pose-rt build-engines")
    unfit = [f"{one.path.stem}: {state}" for one, state in found if state != FITS]
    fitting = sorted({one.sidecar.key.model for one, state in found if state == FITS and one.sidecar is not None})
    detail = f"{len(found)} in {where}" + (f"; fit here: {', '.join(fitting)}" if fitting else "")
    if unfit:
        return Finding("engines", OPTIONAL, f"{detail}; not used: {'; '.join(unfit)}", "pose-rt build-engines; pose-rt engines clean")
    machine = this_machine()
    if machine is None or machine.gpu == cache.NO_GPU:
        return Finding("engines", OPTIONAL, f"{detail}; built without a GPU, and to run them takes one")
    return Finding("engines", OK, detail)


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
