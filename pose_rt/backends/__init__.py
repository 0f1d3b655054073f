"""Inference runtimes behind one small contract."""

from .base import Backend, TensorInfo
from .select import BACKENDS, open_backend

__all__ = ["BACKENDS", "Backend", "TensorInfo", "open_backend"]
