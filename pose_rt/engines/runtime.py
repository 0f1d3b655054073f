"""The one door to TensorRT: `tensorrt` 10.3 or newer, 11, or `tensorrt_rtx`, and what their failures mean.

Failures of the bindings come as ImportError, as None, as TypeError ("factory function returned nullptr") or as lines of the log;
here each becomes a sentence with its cure.
"""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import BackendError

T = TypeVar("T")

MODULES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
OLDEST = (10, 3)
"""Of `tensorrt`; JetPack 6 has 10.3."""
INSTALL = "pip install 'pose-rt[tensorrt]' (needs NVIDIA's index and a GPU) or pip install tensorrt-rtx, or use --backend onnxruntime"

_MEANING: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("cudaError 35", "error: 35", "insufficient for CUDA"),
        "the NVIDIA driver is missing or too old for this TensorRT (cudaError 35)",
        "install or update the driver, then check it with nvidia-smi",
    ),
    (
        ("cudaError 100", "error: 100", "no CUDA-capable device"),
        "there is no NVIDIA GPU here (cudaError 100)",
        "check with nvidia-smi, or use --backend onnxruntime",
    ),
    (
        ("cudaError 101", "error: 101", "invalid device ordinal"),
        "there is no GPU of that number (cudaError 101)",
        "nvidia-smi lists them; choose one with --device",
    ),
    (
        ("OutOfMemory", "out of memory", "cudaError 2:", "cudaError 2 ", "cudaError 2)", "insufficient memory", "bad_alloc"),
        "there is too little memory",
        "close other programs on the GPU, or build for fewer people with --batch 1",
    ),
    (
        ("not supported on this", "nsupported SM", "Target GPU SM", "compute capability"),
        "this TensorRT does not know this GPU",
        "install one that does (full TensorRT covers data-centre GPUs), or use --backend cuda",
    ),
)
"""Marks in a log line, what they mean, and the cure."""


class Log:
    """The last warnings and errors of TensorRT."""

    def __init__(self) -> None:
        self.errors: deque[str] = deque(maxlen=20)
        self.warnings: deque[str] = deque(maxlen=20)

    def take(self) -> list[str]:
        """The errors since the last call."""
        taken = list(self.errors)
        self.errors.clear()
        return taken


@dataclass(frozen=True)
class Runtime:
    """A TensorRT that was imported: its module, its name (as people say it) and its version."""

    module: Any
    title: str
    version: str

    def logger(self, log: Log) -> Any:
        """A TensorRT logger that writes into `log` and never to the terminal."""
        module = self.module

        class Logger(module.ILogger):  # type: ignore[name-defined]
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                    log.errors.append(" ".join(message.split()))
                elif severity == module.ILogger.WARNING:
                    log.warnings.append(" ".join(message.split()))

        return Logger()

    def network_bits(self) -> int:
        """Flags of a network: always strongly typed with explicit batch; a name that is gone became the only way (11, RTX)."""
        flags = self.module.NetworkDefinitionCreationFlag
        return sum(1 << int(getattr(flags, name)) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(flags, name))


def load() -> Runtime:
    """Import a TensorRT; ``POSE_RT_TENSORRT=tensorrt|tensorrt_rtx`` asks for one of the two.

    Raises:
        BackendError: none can be imported (with the reason of each), or it is too old.
    """
    wanted = os.environ.get("POSE_RT_TENSORRT", "")
    if wanted and wanted not in MODULES:
        raise BackendError(f"POSE_RT_TENSORRT is {wanted!r}, wanted {' or '.join(MODULES)}")
    reasons = []
    for name in [wanted] if wanted else MODULES:
        try:
            module = importlib.import_module(name)
            version = str(module.__version__)
        except Exception as error:  # the bindings raise what their loader raises: ImportError, OSError, RuntimeError, AttributeError
            reasons.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        if name == "tensorrt" and _numbers(version) < OLDEST:
            reasons.append(f"tensorrt {version} is too old, wanted {'.'.join(map(str, OLDEST))} or newer")
            continue
        return Runtime(module, MODULES[name], version)
    raise BackendError(f"TensorRT cannot be used here ({'; '.join(reasons)})", INSTALL)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def made(factory: Callable[[], T | None], what: str, log: Log) -> T:
    """What `factory` makes.

    Raises:
        BackendError: it gave None or raised; the sentence says what the log says of it.
    """
    reason = ""
    try:
        result = factory()
    except MemoryError:
        raise failure(what, ["out of memory"]) from None
    except (TypeError, RuntimeError) as error:  # TypeError: "factory function returned nullptr", which is how a missing driver looks
        reason = " ".join(str(error).split())
        result = None
    if result is None:
        lines = log.take()
        if not lines and "nullptr" in reason:
            raise BackendError(
                f"{what} failed: TensorRT found no working NVIDIA driver or GPU ({reason.rsplit(': ', maxsplit=1)[-1]})",
                "check with nvidia-smi, or use --backend onnxruntime",
            )
        raise failure(what, lines or [reason])
    return result


def failure(what: str, lines: list[str]) -> BackendError:
    """An error from what TensorRT logged: a known cause in plain words with its cure, else the first line as it is."""
    text = " ".join(lines)
    for marks, meaning, cure in _MEANING:
        if any(mark in text for mark in marks):
            return BackendError(f"{what} failed: {meaning}", cure)
    said = lines[0] if lines and lines[0] else "TensorRT gave no reason"
    return BackendError(f"{what} failed: {said}", "pose-rt doctor shows what is installed; --backend onnxruntime works without TensorRT")
