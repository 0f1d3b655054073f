"""The lifter's input: 2D keypoints of a window seen from a camera that looks straight at the person.

A lifter that is fed raw screen coordinates has to learn every camera, image size and place in the picture. Instead the pixels
become viewing rays, the rays are turned so that the person's mean direction is the optical axis, and the result is centred and
scaled to unit size. The same function makes the training input (`training.d3dp`) and the run-time input (`stages.lift`);
predictions are turned back by the transposed rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .skeleton import H36M17

_H36M_PARENTS = H36M17.parents or ()
_MIN_SCALE = 1e-4


class View(NamedTuple):
    """A normalised window: `xy` (..., F, J, 2) float32, unit size; `rotation` (..., 3, 3) float32 takes camera axes to the centred
    view's axes (row vectors: ``centred = camera @ rotation.T``)."""

    xy: np.ndarray
    rotation: np.ndarray


def look_at_rotation(direction: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes `direction` (..., 3), any length and z > 0, to +z; (..., 3, 3), acts on column vectors."""
    d = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    x, y, z = d[..., 0], d[..., 1], d[..., 2]
    k = 1.0 / (1.0 + z)
    rows = [1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z]
    return np.stack(rows, -1).reshape(*d.shape[:-1], 3, 3)


def normalise_window(xy: np.ndarray, focal: float | np.ndarray, center: np.ndarray) -> View:
    """Pixels of one person over a window -> unit-size coordinates in the view that looks straight at the person.

    rays = ((x - cx) / f, (y - cy) / f, 1); the mean finite ray of the window becomes the optical axis; image-plane coordinates
    are then centred on their mean over the window and divided by the root-mean-square radius about each frame's own mean.

    Args:
        xy: (..., F, J, 2) pixels; NaN where a joint is not known (it stays NaN).
        focal: focal length in px, scalar or (...,).
        center: (2,) or (..., 2) principal point in px.

    Returns:
        View; with no finite point at all, `xy` is NaN and the rotation is the identity.
    """
    lead = xy.shape[:-3]
    f = np.broadcast_to(np.asarray(focal, np.float64), lead)[..., None, None, None]
    c = np.broadcast_to(np.asarray(center, np.float64), (*lead, 2))[..., None, None, :]
    plane = (xy.astype(np.float64) - c) / f
    seen: np.ndarray = np.all(np.isfinite(plane), axis=-1)
    plane = np.where(seen[..., None], plane, 0.0)
    rays = np.concatenate([plane, np.ones((*plane.shape[:-1], 1))], -1)
    count = np.maximum(seen.sum((-2, -1)), 1)
    direction = (rays * seen[..., None]).sum((-3, -2)) / count[..., None]
    direction[..., 2] = 1.0
    rotation = look_at_rotation(direction)
    turned = np.einsum("...ij,...fkj->...fki", rotation, rays)
    # A joint more than ~84 degrees off the person's mean direction cannot be projected: keep it finite, it is noise anyway.
    view = turned[..., :2] / np.maximum(turned[..., 2:], 0.1)
    weight = seen[..., None].astype(np.float64)
    mean = (view * weight).sum((-3, -2), keepdims=True) / count[..., None, None, None]
    per_frame = np.maximum(seen.sum(-1), 1)[..., None, None]
    frame_mean = (view * weight).sum(-2, keepdims=True) / per_frame
    radius2 = (((view - frame_mean) ** 2).sum(-1) * seen).sum((-2, -1)) / count
    scale = np.maximum(np.sqrt(radius2), _MIN_SCALE)
    out = np.where(seen[..., None], (view - mean) / scale[..., None, None, None], np.nan)
    return View(out.astype(np.float32), rotation.astype(np.float32))


def fill_missing(xy: np.ndarray, parents: Sequence[int] | None = None) -> np.ndarray:
    """Replace unknown joints of a window by a plain guess, the same in training and at run time.

    In this order: linear interpolation in time, the nearest known time at either end, and for a joint that is never known the
    position of its parent (for the root: the mean of the known joints of the frame).

    Args:
        xy: (..., F, J, 2), NaN where a joint is not known.
        parents: J parents, -1 for the root, a parent before its children; default Human3.6M-17.

    Returns:
        A new array like `xy`; all NaN where a window has no known joint at all.
    """
    parents = _H36M_PARENTS if parents is None else parents
    out = xy.reshape(-1, *xy.shape[-3:]).copy()
    todo = np.flatnonzero(~np.isfinite(out).all((1, 2, 3)))
    if len(todo) == 0:
        return out.reshape(xy.shape)
    window = out[todo]
    frames = window.shape[1]
    seen = np.isfinite(window).all(-1)
    time = np.arange(frames)[None, :, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), 1)
    after = np.flip(np.minimum.accumulate(np.flip(np.where(seen, time, frames), 1), 1), 1)
    left = np.where(before >= 0, before, np.minimum(after, frames - 1))
    right = np.where(after < frames, after, left)
    weight = ((time - left) / np.maximum(right - left, 1)).clip(0.0, 1.0)[..., None]
    a, b = (np.take_along_axis(window, index[..., None], 1) for index in (left, right))
    window = (a + (b - a) * weight).astype(xy.dtype, copy=False)
    known = seen.any(1)
    for joint, parent in enumerate(parents):
        lost = np.flatnonzero(~known[:, joint])
        if len(lost) == 0:
            continue
        if parent >= 0:
            window[lost, :, joint] = window[lost, :, parent]
            continue
        mask = known[lost][:, None, :, None]
        total = np.where(mask, window[lost], 0.0).sum(2)
        with np.errstate(invalid="ignore"):
            window[lost, :, joint] = total / np.where(mask.any(2), mask.sum(2), np.nan)
    out[todo] = window
    return out.reshape(xy.shape)
