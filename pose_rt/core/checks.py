"""Array checks with messages that name the argument, what came and what was wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Shape = Sequence[int | str | None]


def describe(value: Any) -> str:
    """A short description of a value for an error message, such as ``float64 (3, 17, 2)``."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__


def check_array(name: str, value: Any, shape: Shape, dtype: Any = None, sizes: dict[str, int] | None = None) -> np.ndarray:
    """Check that `value` is an array of the wanted shape and dtype, and return it unchanged.

    Args:
        name: the argument's name, for the message.
        value: what came.
        shape: one entry an axis: a number (exact), a letter (bound on first use, then equal), None (anything).
        dtype: the wanted dtype, or None for any.
        sizes: letters bound so far; shared by the arguments of one call.

    Raises:
        ValueError: with what came, what was wanted and where they differ.
    """
    wanted = f"{np.dtype(dtype).name + ' ' if dtype is not None else ''}({', '.join(str(s) if s is not None else '*' for s in shape)})"
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name}: got {describe(value)}, wanted an array {wanted}; convert it with numpy.asarray")
    if dtype is not None and value.dtype != np.dtype(dtype):
        raise ValueError(f"{name}: got {describe(value)}, wanted {wanted}; convert it with .astype(numpy.{np.dtype(dtype).name})")
    if value.ndim != len(shape):
        raise ValueError(f"{name}: got {describe(value)}, wanted {len(shape)} axes {wanted}")
    sizes = {} if sizes is None else sizes
    for axis, (got, want) in enumerate(zip(value.shape, shape, strict=True)):
        expected = sizes.setdefault(want, got) if isinstance(want, str) else want
        if expected is not None and got != expected:
            letter = f" ({want}={expected})" if isinstance(want, str) else ""
            raise ValueError(f"{name}: got {describe(value)}, wanted {wanted}{letter}: axis {axis} has {got}")
    return value
