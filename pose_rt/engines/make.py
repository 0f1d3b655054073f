"""One model's engine from start to end: precision, lock, build, check on the GPU, store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..backends.base import Backend, TensorInfo
from ..backends.cuda_memory import Cuda, NoSuchGpu
from ..backends.onnxruntime import OnnxRuntimeBackend
from ..backends.tensorrt import TensorRtBackend, machine
from ..errors import BackendError, ModelError, UsageError
from . import cache, lock
from .build import Progress, compile_plan, parse
from .precision import fit_fp16, to_fp16
from .profiles import PEOPLE, shapes
from .runtime import Log, Runtime, made
from .trials import BUDGET, UNITS, trial_feeds
from .verify import verify

SAMPLED = frozenset({"gfpose", "mas"})
"""Kinds of networks that a sampler runs many times over."""


@dataclass(frozen=True)
class Settings:
    """How engines are built.

    Attributes:
        precision: "fp32", or "fp16" for the layers that it does not spoil.
        people: the most people in one run.
        force: build also when one that fits is there.
        verify: compare with ONNX Runtime and time it, where there is a GPU.
        folder: of the cache.
    """

    precision: str = "fp32"
    people: int = PEOPLE
    force: bool = False
    verify: bool = True
    folder: Path | None = None


@dataclass(frozen=True)
class Made:
    """An engine in the cache, and whether it was there already."""

    path: Path
    sidecar: cache.Sidecar
    found: bool


def gpu_or_reason(device: int) -> tuple[Cuda | None, str]:
    """The GPU, or why there is none.

    Raises:
        NoSuchGpu: another GPU than the first was asked for, and it is not there.
    """
    try:
        return Cuda(device), ""
    except BackendError as error:
        if device != 0:
            raise NoSuchGpu(f"GPU {device} cannot be used: {error.message}", error.cure) from error
        return None, error.message


def make_engine(
    name: str,
    path: Path,
    runtime: Runtime,
    cuda: Cuda | None,
    settings: Settings,
    progress: Progress = lambda _what, _done: None,
    waiting: Callable[[], None] = lambda: None,
) -> Made:
    """The engine of a model in the cache: the one that is there if it fits, else a new one.

    Args:
        name: the model's name in messages and in the cache.
        path: its ONNX file, fp32.
        cuda: the GPU; None builds without one, which TensorRT-RTX can.
        progress: see `build.Progress`.
        waiting: called when another process builds the same engine.

    Raises:
        UsageError: an unknown precision, or no people.
        ModelError: the file cannot become an engine, or its engine gives other numbers.
        BackendError: TensorRT or the GPU failed.
        OutputError: the cache cannot be written.
    """
    if settings.precision not in cache.PRECISIONS:
        raise UsageError(f"unknown precision {settings.precision!r}", f"wanted one of {', '.join(cache.PRECISIONS)}")
    if settings.people < 1:
        raise UsageError(f"--batch {settings.people} is no number of people", "wanted at least 1")
    reference = _reference(name, path, runtime)
    try:
        spans = shapes(reference.inputs, reference.metadata, settings.people)
        key = cache.Key(name, cache.file_sha256(path), settings.precision, cache.describe(spans), machine(runtime, cuda))
        folder = settings.folder or cache.folder()
        cache.prepare(folder)
        with lock.locked(folder / f".{key.stem}{cache.LOCK}", waiting) as waited:
            there = _there(key, folder)
            if there is not None and (waited or not settings.force):
                return there
            sidecar, plan = _build(key, spans, path, reference, runtime, cuda, settings, progress)
            return Made(cache.store(sidecar, plan, folder), sidecar, False)
    finally:
        reference.close()


def _reference(name: str, path: Path, runtime: Runtime) -> OnnxRuntimeBackend:
    """The model in ONNX Runtime; where that refuses it, TensorRT's parser says which node is to blame."""
    try:
        return OnnxRuntimeBackend(path, name=name)
    except ModelError:
        log = Log()
        logger = runtime.logger(log)
        builder = made(lambda: runtime.module.Builder(logger), f"{runtime.title}: making a builder", log)
        data = path.read_bytes() if path.is_file() else b""
        if data:
            parse(runtime, builder, data, name, log, logger)
        raise


def _there(key: cache.Key, folder: Path) -> Made | None:
    path = folder / f"{key.stem}{cache.ENGINE}"
    try:
        sidecar = cache.parse_sidecar(path.with_suffix(cache.SIDECAR).read_text(encoding="utf-8"))
        cache.read_engine(path, sidecar)
    except (OSError, ValueError, BackendError):
        return None
    return Made(path, sidecar, True) if sidecar.key == key else None


def _build(
    key: cache.Key,
    spans: dict[str, list[list[int]]],
    path: Path,
    reference: OnnxRuntimeBackend,
    runtime: Runtime,
    cuda: Cuda | None,
    settings: Settings,
    progress: Progress,
) -> tuple[cache.Sidecar, bytes]:
    onnx, layers, note = path.read_bytes(), "fp32", ""
    if settings.precision == "fp16":
        onnx, layers, note = half(path, reference.metadata, progress)
    while True:
        start = time.perf_counter()
        plan = compile_plan(runtime, onnx, spans, key.model, progress)
        sidecar = cache.Sidecar(
            key=key,
            sha256=sha256(plan).hexdigest(),
            size=len(plan),
            built=datetime.now(UTC).isoformat(timespec="seconds"),
            build_s=round(time.perf_counter() - start, 2),
            layers=layers,
            tensors={"inputs": _listed(reference.inputs), "outputs": _listed(reference.outputs)},
            shapes=spans,
            metadata=reference.metadata,
            verification=None,
            note=note,
        )
        if cuda is None or not settings.verify:
            return sidecar, plan
        progress("comparing with ONNX Runtime", 1.0)
        checked = replace(sidecar, verification=_verified(sidecar, plan, path, reference, runtime, cuda))
        off = over_budget(checked)
        if not off:
            return checked, plan
        if layers == "fp32":
            raise ModelError(f"the engine of {key.model} is {off} away from ONNX Runtime and was not kept", "use --backend onnxruntime")
        onnx, layers, note = path.read_bytes(), "fp32", f"stays fp32: fp16 is {off} off on this GPU"


def half(path: Path, metadata: dict[str, Any], progress: Progress) -> tuple[bytes, str, str]:
    """The model in fp16 as far as its budget allows: ONNX bytes, the precision they have in words, and what there is to say."""
    if metadata.get("kind") in SAMPLED:
        return path.read_bytes(), "fp32", "stays fp32: what rounding does to a sample at its end was not measured"
    if metadata.get("kind") not in UNITS:
        return to_fp16(path), "fp16", "fp16 was not checked: no recorded inputs for this model"
    fit = fit_fp16(path, progress=progress)
    budget = f"{BUDGET[fit.error.unit]:g} {fit.error.unit}"
    if not fit.half:
        off = f"{fit.refused.max:.2g} {fit.refused.unit}" if fit.refused else "too far"
        return fit.model, "fp32", f"stays fp32: in fp16 results move by {off}, allowed are {budget}"
    moves = f"rounding to fp16 moves results by {fit.error.max:.2g} {fit.error.unit}"
    if not fit.kept:
        return fit.model, "fp16", moves
    off = f"{fit.refused.max:.2g}" if fit.refused else "more"
    return fit.model, f"fp16, {len(fit.kept)} layers fp32", f"{moves} ({off} if all layers were, allowed are {budget})"


def over_budget(sidecar: cache.Sidecar) -> str:
    """How far the engine is off, if that is more than its budget or was not finite; else nothing."""
    found = sidecar.verification
    if found is None or "max" not in found or found["max"] <= BUDGET[found["unit"]]:
        return ""
    return f"{found['max']:.3g} {found['unit']}"


def _verified(sidecar: cache.Sidecar, plan: bytes, path: Path, reference: Backend, runtime: Runtime, cuda: Cuda) -> dict[str, Any] | None:
    if reference.metadata.get("kind") not in UNITS:
        return None  # a model of the user's own, without recorded inputs
    candidate = TensorRtBackend(path, cuda.device, sidecar.key.model, runtime=runtime, cuda=cuda, engine=(plan, sidecar))
    try:
        return verify(candidate, reference, trial_feeds(reference.metadata))
    finally:
        candidate.close()


def _listed(infos: tuple[TensorInfo, ...]) -> list[list[Any]]:
    return [[info.name, info.dtype.name, list(info.shape)] for info in infos]
