"""What the native ops are compared with: the plain formulas of the papers in torch (if installed), and OpenCV's crop."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

Call = Callable[[], Any]


class Formulas:
    """The papers' own steps, written as their code writes them; one thread, no gradients."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        torch.set_num_threads(1)

    def _without_gradients(self, call: Call) -> Call:
        def guarded() -> Any:
            with self.torch.inference_mode():
                return call()

        return guarded

    def _gumbel(self, shape: tuple[int, ...]) -> Any:
        return -self.torch.log(-self.torch.log(self.torch.rand(shape)))

    def sampling_argmax(self, heatmap: np.ndarray, samples: int, tau: float) -> Call:
        """The training head of sampling-argmax with the triangular basis."""
        torch = self.torch
        joints, h, w = heatmap.shape
        logits = torch.from_numpy(heatmap).reshape(joints, 1, h * w)

        def axis(p: Any, size: int) -> Any:
            v = torch.rand(joints, samples, size)
            e = torch.where(v < 0.5, torch.sqrt(2 * v) - 1, 1 - torch.sqrt(2 - 2 * v))
            position = torch.arange(size) + e
            padded = torch.nn.functional.pad(p, (1, 1))
            low = torch.floor(position)
            a = torch.gather(padded, 2, (low + 1).long())
            b = torch.gather(padded, 2, (low + 2).long().clamp(max=size + 1))
            weight = a + (position - low) * (b - a)
            return (weight / weight.sum(-1, keepdim=True) * position).sum(-1)

        def call() -> Any:
            p = torch.softmax(logits + self._gumbel((joints, samples, h * w)) / tau, -1).reshape(joints, samples, h, w)
            return axis(p.sum(2), w), axis(p.sum(3), h)

        return self._without_gradients(call)

    def gumbel_softmax(self, logits: np.ndarray, samples: int, tau: float) -> Call:
        x = self.torch.from_numpy(logits)[:, None]
        shape = (len(logits), samples, logits.shape[1])
        return self._without_gradients(lambda: self.torch.softmax((x + self._gumbel(shape)) / tau, -1))

    def blend(self, bases: np.ndarray, draws: int, tau: float) -> Call:
        x = self.torch.from_numpy(bases)
        shape = (len(bases), draws, bases.shape[1])
        return self._without_gradients(lambda: self.torch.softmax(self._gumbel(shape) / tau, -1) @ x)

    def _project(self, points: Any, camera: Any) -> Any:
        torch = self.torch
        a = torch.clamp(points[..., :2] / points[..., 2:], -1, 1)
        r2 = (a * a).sum(-1, keepdim=True)
        radial = 1 + (camera[4:7] * torch.cat([r2, r2**2, r2**3], -1)).sum(-1, keepdim=True)
        tangential = (camera[7:] * a).sum(-1, keepdim=True)
        return camera[:2] * (a * (radial + tangential) + camera[7:] * r2) + camera[2:4]

    def project(self, points: np.ndarray, camera: np.ndarray) -> Call:
        x, c = self.torch.from_numpy(points), self.torch.from_numpy(camera)
        return self._without_gradients(lambda: self._project(x, c))

    def jpma(self, hypotheses: np.ndarray, target: np.ndarray, root: np.ndarray, camera: np.ndarray) -> Call:
        torch = self.torch
        x, t, r, c = (torch.from_numpy(a) for a in (hypotheses, target, root, camera))

        def call() -> Any:
            distance = torch.norm(self._project(x + r[:, None, :, None], c) - t[:, None], dim=-1)
            best = distance.argmin(1, keepdim=True)
            return torch.gather(x, 1, best[..., None].expand(*best.shape, 3))[:, 0]

        return self._without_gradients(call)


def load() -> Formulas | None:
    """The torch formulas, or None where torch is not installed. Loaded by name: the run-time path never needs torch."""
    try:
        return Formulas(import_module("torch"))
    except ImportError:
        return None


def opencv_crop(image: np.ndarray, roi: np.ndarray, size: int) -> Call:
    """Warp, reverse the channels, cast, scale and transpose with OpenCV and NumPy."""
    import cv2

    cv2.setNumThreads(1)
    cx, cy, side, angle = (float(v) for v in roi)
    cos, sin = np.cos(angle) * side / size, np.sin(angle) * side / size
    half = size / 2
    matrix = np.array([[cos, -sin, cx - half * cos + half * sin], [sin, cos, cy - half * sin - half * cos]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def call() -> Any:
        warped = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.ascontiguousarray((warped[..., ::-1].astype(np.float32) / 255).transpose(2, 0, 1))

    return call
