"""Every test that takes `native` runs on each instruction set that was built and that this processor has.

``POSE_RT_TEST_CORE`` names another build of the compiled module to test (tests/sanitize.sh does).
"""

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

if "POSE_RT_TEST_CORE" in os.environ:
    _loader = importlib.machinery.ExtensionFileLoader("pose_rt._core", os.environ["POSE_RT_TEST_CORE"])
    _module = importlib.util.module_from_spec(importlib.util.spec_from_loader(_loader.name, _loader))
    _loader.exec_module(_module)
    sys.modules["pose_rt._core"] = _module

try:
    _core = importlib.import_module("pose_rt._core")
except ImportError:
    _core = None


@pytest.fixture(params=_core.isas() if _core else ["none"])
def native(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """pose_rt.ops on one instruction set."""
    if _core is None:
        pytest.skip("pose_rt._core is not built")
    from pose_rt import ops

    if ops.isa() is None:
        pytest.skip("POSE_RT_OPS=reference")
    before = _core.isa()
    _core.use_isa(request.param)
    yield ops
    _core.use_isa(before)


@pytest.fixture
def reference_face(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """pose_rt.ops as it is without the compiled module."""
    from pose_rt import ops

    monkeypatch.setattr(ops, "core", lambda: None)
    return ops
