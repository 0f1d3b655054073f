"""Where the CUDA kernels run: on the device if there is one, or emulated on the host.

``POSE_RT_EMULATED_CORE`` names a module built with POSE_RT_CUDA=EMULATE (tests/emulate_cuda.sh builds one and runs these tests).
"""

import importlib.machinery
import importlib.util
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pose_rt import ops


def _load(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("pose_rt_emulated._core", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


_EMULATED = _load(os.environ["POSE_RT_EMULATED_CORE"]) if "POSE_RT_EMULATED_CORE" in os.environ else None


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """pose_rt.ops with CUDA kernels behind it."""
    if _EMULATED is not None:
        monkeypatch.setattr(ops, "core", lambda: _EMULATED)
    elif not ops.cuda_status()[0]:
        pytest.skip(ops.cuda_status()[1])
    return ops


@pytest.fixture
def on_device(device: ModuleType) -> Callable[[np.ndarray], Any]:
    """Copies a NumPy array to the device."""
    return device.core().to_device


@pytest.fixture
def emulated() -> bool:
    return _EMULATED is not None
