"""Argument checks of the reference path; the compiled module makes the same ones in C++ (same errors, tested on both)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pose_rt.core.checks import Shape, check_array, describe
from pose_rt.ops.native import REBUILD_CUDA, is_cuda

MODES = ("mean", "jpma", "weighted")
BORDERS = ("replicate", "zero")
QUANTISE = ("none", "u8")
REFINE_MODES = ("sampling_argmax", "mediapipe")


def array(name: str, value: Any, shape: Shape, dtype: Any = np.float32, sizes: dict[str, int] | None = None, finite: bool = False) -> None:
    """A contiguous host array of the given shape and dtype, without NaN or inf if `finite`; ValueError otherwise."""
    if is_cuda(value) and not isinstance(value, np.ndarray):
        raise ValueError(f"{name}: got an array on a CUDA device, but no CUDA kernels are built; rebuild with: {REBUILD_CUDA}")
    check_array(name, value, shape, dtype, sizes)
    if not value.flags.c_contiguous:
        raise ValueError(f"{name}: got {describe(value)} with strides {value.strides}, wanted it contiguous; use numpy.ascontiguousarray")
    if finite and not np.isfinite(value).all():
        raise ValueError(f"{name}: got NaN or inf, wanted finite values; mask or replace them first")


def output(name: str, value: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
    """A writable `out=` array of exactly the given shape."""
    array(name, value, shape, dtype)
    if not value.flags.writeable:
        raise ValueError(f"{name}: got a read-only array, wanted a writable one; pass a copy")


def choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(allowed)}")


def positive(name: str, value: float) -> None:
    if not (0 < value < np.inf):
        raise ValueError(f"{name}: got {value}, wanted a finite number above 0")


def within(name: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high):
        raise ValueError(f"{name}: got {value}, wanted a number in [{low:g}, {high:g}]")


def count(name: str, value: int, least: int = 0) -> None:
    if not (least <= value < 2**31):
        raise ValueError(f"{name}: got {value}, wanted a whole number in [{least}, 2**31)")


def odd(name: str, value: int) -> None:
    if not (1 <= value <= 1023 and value % 2 == 1):
        raise ValueError(f"{name}: got {value}, wanted an odd number in [1, 1023]")


def address(seed: int, frame: int, track: int, stream: int = 0) -> None:
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: got {seed}, wanted a whole number in [0, 2**64)")
    for name, word in (("frame", frame), ("track", track), ("stream", stream)):
        if not 0 <= word < 2**32:
            raise ValueError(f"{name}: got {word}, wanted a whole number in [0, 2**32)")


def draws(total: int) -> None:
    """One address holds 2**34 numbers."""
    if total > 2**34:
        raise ValueError(f"samples: got {total} draws for one address, wanted at most 2**34; split the call over frames or tracks")


def camera(value: Any, distortion: bool | None) -> None:
    array("camera", value, (None,), finite=True)
    if len(value) not in (4, 9):
        raise ValueError(f"camera: got {describe(value)}, wanted (4,) fx, fy, cx, cy or (9,) with k1, k2, k3, p1, p2")
    if distortion and len(value) == 4:
        raise ValueError("distortion: got True with a camera of 4 numbers, wanted 9; append k1, k2, k3, p1, p2 or set distortion=False")


def noise(name: str, value: Any, shape: Shape) -> None:
    """Recorded draws: -inf is allowed (a uniform of 0), NaN and inf are not."""
    array(name, value, shape)
    if np.isnan(value).any() or (value == np.inf).any():
        raise ValueError(f"{name}: got NaN or inf, wanted finite values or -inf")


MAX_MIRROR = 64


def ddim_step(noisy: Any, prediction: Any, noise: Any, coefficients: Sequence[float], scale: float, mirror: Any) -> None:
    """What `pose_rt.ops.ddim_step` takes."""
    sizes: dict[str, int] = {}
    array("noisy", noisy, ("N", "F", "J", 3), sizes=sizes)
    if mirror is not None:
        joints = noisy.shape[2]
        array("mirror", mirror, (joints,), np.int32)
        if joints > MAX_MIRROR:
            raise ValueError(f"mirror: got {joints} joints, wanted at most {MAX_MIRROR}")
        if ((mirror < 0) | (mirror >= joints)).any() or (mirror[mirror] != np.arange(joints)).any():
            raise ValueError("mirror: got partners that are not mutual, wanted pairs")
    array("prediction", prediction, (len(noisy) * (1 if mirror is None else 2), "F", "J", 3), sizes=sizes)
    if noise is not None:
        array("noise", noise, ("N", "F", "J", 3), sizes=sizes)
    alpha, alpha_next, sigma, c = coefficients
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: got {alpha}, wanted a number between 0 and 1")
    within("alpha_next", alpha_next, alpha, 1)
    within("sigma", sigma, 0, 1)
    within("c", c, 0, 1)
    positive("scale", scale)
    if noise is None and sigma != 0:
        raise ValueError(f"noise: got None with sigma {sigma}, wanted an array; only sigma 0 needs none")


def detections(out: Any) -> None:
    """The `out=` of `pose_rt.ops.decode_detections`: room for C detections."""
    if not isinstance(out, tuple) or len(out) != 3:
        came = f"{len(out)} arrays" if isinstance(out, tuple) else type(out).__name__
        raise ValueError(f"out: got {came}, wanted a tuple (boxes, keypoints, score)")
    array("out[2]", out[2], ("C",))
    room = len(out[2])
    for i, shape in enumerate(((room, 4), (room, 4, 2), (room,))):
        output(f"out[{i}]", out[i], shape)


def into(out: np.ndarray | None, result: np.ndarray) -> np.ndarray:
    """`result`, or `out` with the result in it."""
    if out is None:
        return result
    output("out", out, result.shape)
    out[...] = result
    return out


def into_all(out: tuple[np.ndarray, ...] | None, results: tuple[np.ndarray, ...], names: str) -> tuple[np.ndarray, ...]:
    """`results`, or `out` with the results in it; `names` for the error."""
    if out is None:
        return results
    if not isinstance(out, tuple) or len(out) != len(results):
        came = f"{len(out)} arrays" if isinstance(out, tuple) else type(out).__name__
        raise ValueError(f"out: got {came}, wanted a tuple ({names})")
    for i, (target, result) in enumerate(zip(out, results, strict=True)):
        output(f"out[{i}]", target, result.shape, result.dtype)
        target[...] = result
    return out


def channels(name: str, value: float | np.ndarray) -> np.ndarray:
    """One number or (3,) -> (3,) float32."""
    numbers = np.asarray(value, np.float32)
    if numbers.shape not in ((), (3,)) or not np.isfinite(numbers).all():
        raise ValueError(f"{name}: got {value!r}, wanted one finite number or three")
    return np.ascontiguousarray(np.broadcast_to(numbers, (3,)))
