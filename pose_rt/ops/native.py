"""Lazy access to the compiled module: which kernels run here, and why CUDA is or is not among them."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

REBUILD = "pip install --no-build-isolation -e ."
REBUILD_CUDA = "POSE_RT_CUDA=ON pip install --no-build-isolation -e ."


@cache
def core() -> ModuleType | None:
    """`pose_rt._core`, or None when it is not built or ``POSE_RT_OPS=reference`` asks for the NumPy definitions."""
    return _load()[0]


@cache
def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("POSE_RT_OPS", "") == "reference":
        return None, "NumPy reference (POSE_RT_OPS=reference)"
    try:
        module = import_module("pose_rt._core")
    except ImportError as error:
        return None, f"NumPy reference, slow: the compiled kernels cannot be loaded ({error}); build them: {REBUILD}"
    return module, f"C++ kernels, {module.isa()}"


def backend() -> str:
    """One sentence: what computes the ops in this process."""
    return _load()[1]


def isa() -> str | None:
    """The instruction set the C++ kernels use ("base", "avx2", "avx512"), None without the compiled module."""
    module = core()
    return None if module is None else module.isa()


def cuda_status() -> tuple[bool, str]:
    """Whether CUDA kernels can run here, and the reason or the device's name."""
    module = core()
    if module is None:
        return False, backend()
    available, reason = module.cuda_status()
    return bool(available), str(reason)


def is_cuda(value: Any) -> bool:
    """Whether `value` lies on a CUDA device (CUDA array interface, or DLPack device type 2)."""
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and int(device()[0]) == 2
