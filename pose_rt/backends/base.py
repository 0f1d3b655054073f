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


class DeviceView:
    """Contiguous memory on a GPU that `owner` keeps alive, seen through the CUDA array interface, version 3.

    Attributes:
        pointer, shape, dtype: of a C-contiguous array.
        stream: where work on it may still be under way, to be waited for before it is read elsewhere; None = nothing pending.
            As the interface wants it, the default stream is written 1 (legacy) or 2 (per thread), never 0.
    """

    def __init__(self, pointer: int, shape: Sequence[int], dtype: Any, *, stream: int | None = None, owner: Any = None) -> None:
        self.pointer, self.shape, self.dtype, self.stream = pointer, tuple(shape), np.dtype(dtype), stream
        self.owner = owner

    @classmethod
    def of(cls, value: Any, name: str = "array") -> DeviceView:
        """What an array of CuPy, torch, Numba or `pose_rt._core` says of itself.

        Raises:
            ValueError: no device array, or one whose rows do not follow each other.
        """
        if isinstance(value, cls):
            return value
        try:
            seen = value.__cuda_array_interface__
        except AttributeError:
            raise ValueError(f"{name} is {type(value).__name__}, wanted an array on the GPU (with __cuda_array_interface__)") from None
        view = cls(seen["data"][0], seen["shape"], seen["typestr"], stream=seen.get("stream"), owner=value)
        if seen.get("strides") is not None and not contiguous(view.shape, seen["strides"], view.dtype.itemsize):
            raise ValueError(f"{name} has strides {tuple(seen['strides'])}, wanted a C-contiguous array; make a contiguous copy")
        return view

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3, "shape": self.shape, "typestr": self.dtype.str, "data": (self.pointer, False), "strides": None,
            "stream": self.stream,
        }  # fmt: skip


def contiguous(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Whether byte strides are those of a C-contiguous array; axes of length one and empty arrays do not matter."""
    wanted = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length == 0:
            return True
        if length > 1 and stride != wanted:
            return False
        wanted *= length
    return True


class DeviceBackend(Backend, Protocol):
    """A backend on a GPU, whose inputs and outputs can stay there.

    `run_device` takes anything with `__cuda_array_interface__` on the backend's GPU (C-contiguous, of the dtype and shape in `inputs`)
    and gives a `DeviceView` an output, in memory of the backend: valid until the next run. The host waits for nothing. The GPU waits
    for the stream that an input names before it reads, unless it is `stream`; the outputs are being made there. Values are not examined:
    whoever brings them to the host does so (`check_finite`).

    Attributes:
        device: GPU number.
        stream: of the GPU, on which the backend works. What is put there before or after a run comes before or after it.
    """

    device: int
    stream: int

    def run_device(self, feeds: Mapping[str, Any]) -> dict[str, DeviceView]: ...

    def activate(self) -> None: ...


def check_feeds(model: str, inputs: Sequence[TensorInfo], feeds: Mapping[str, np.ndarray]) -> None:
    """Check names, dtypes and shapes of what goes into a network; free axes of one name must agree.

    Raises:
        ValueError: with what came and what was wanted.
    """
    for name, value in feeds.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{model}: {name} is {type(value).__name__}, wanted a NumPy array; convert it with numpy.asarray")
    _check_shapes(model, inputs, feeds)


def check_device_feeds(model: str, inputs: Sequence[TensorInfo], feeds: Mapping[str, Any]) -> dict[str, DeviceView]:
    """The same for arrays on a GPU; returns them as views.

    Raises:
        ValueError: as `check_feeds`, or not a contiguous array on a GPU.
    """
    views = {name: DeviceView.of(value, f"{model}: {name}") for name, value in feeds.items()}
    _check_shapes(model, inputs, views)
    return views


def _check_shapes(model: str, inputs: Sequence[TensorInfo], feeds: Mapping[str, np.ndarray | DeviceView]) -> None:
    wanted = [info.name for info in inputs]
    if sorted(feeds) != sorted(wanted):
        raise ValueError(f"{model}: got inputs {sorted(feeds)}, wanted {sorted(wanted)}")
    free: dict[str, int] = {}
    for info in inputs:
        value = feeds[info.name]
        fits = value.dtype == info.dtype and len(value.shape) == len(info.shape)
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
