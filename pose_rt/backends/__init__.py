"""Inference runtimes behind one small contract."""

from .base import Backend, DeviceBackend, DeviceView, TensorInfo
from .select import BACKENDS, open_backend

__all__ = ["BACKENDS", "Backend", "DeviceBackend", "DeviceView", "TensorInfo", "open_backend"]
