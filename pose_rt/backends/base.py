"""The contract of an inference runtime, and the checks that every implementation shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import ModelError


class TensorInfo(NamedTuple):
    """Name, dtype and shape of an input or output; a name in the shape is an axis of free length."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


class Backend(Protocol):
    """A loaded network. `run` takes an array per input and gives an array per output, valid until the next `run`.

    Attributes:
        name: the model's name, for messages.
        choice: one sentence: which runtime runs it and why.
        inputs, outputs: what goes in and comes out.
        metadata: what the file says of itself (the JSON property `pose_rt`), empty if nothing.
    """

    name: str
    choice: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, Any]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    def close(self) -> None: ...


def check_feeds(model: str, inputs: Sequence[TensorInfo], feeds: Mapping[str, np.ndarray]) -> None:
    """Check names, dtypes and shapes of what goes into a network; free axes of one name must agree.

    Raises:
        ValueError: with what came and what was wanted.
    """
    wanted = [info.name for info in inputs]
    if sorted(feeds) != sorted(wanted):
        raise ValueError(f"{model}: got inputs {sorted(feeds)}, wanted {sorted(wanted)}")
    free: dict[str, int] = {}
    for info in inputs:
        value = feeds[info.name]
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{model}: {info.name} is {type(value).__name__}, wanted a NumPy array; convert it with numpy.asarray")
        fits = value.dtype == info.dtype and value.ndim == len(info.shape)
        for axis, want in enumerate(info.shape if fits else ()):
            expected = free.setdefault(want, value.shape[axis]) if isinstance(want, str) else want
            fits &= value.shape[axis] == expected
        if not fits:
            shape = ", ".join(map(str, info.shape))
            raise ValueError(f"{model}: {info.name} is {value.dtype} {value.shape}, wanted {info.dtype} ({shape})")


def check_finite(model: str, outputs: Mapping[str, np.ndarray]) -> None:
    """Refuse outputs that hold a NaN or an infinity.

    Raises:
        ModelError: with the model's and the output's name.
    """
    for name, value in outputs.items():
        # A NaN or infinity never leaves a sum finite, so the fast sum clears nearly all; large finite values may overflow it.
        if value.dtype.kind != "f":
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            cleared = np.isfinite(value.sum())
        if not cleared and not np.isfinite(value).all():
            raise ModelError(
                f"model {model!r} gave values that are not finite in {name!r}",
                "check the model file with `pose-rt doctor`, or use another --backend",
            )


def free_axis_zero(infos: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> dict[str, np.ndarray] | None:
    """Empty outputs for a batch of nothing, or None where an output's shape cannot be told without running."""
    batch = infos[0].shape[0] if infos and infos[0].shape else None
    empty = {}
    for info in outputs:
        rest = [n for n in info.shape[1:] if isinstance(n, int)]
        if info.shape[:1] != (batch,) or not isinstance(batch, str) or len(rest) != len(info.shape) - 1:
            return None
        empty[info.name] = np.zeros((0, *rest), info.dtype)
    return empty
