"""DDIM on a GPU: the K steps of a denoiser without a copy to the host or a wait between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pose_rt import ops
from pose_rt.backends import Backend
from pose_rt.backends.base import DeviceView, check_finite
from pose_rt.core.skeleton import Skeleton, mirror_points
from pose_rt.diffusion.ddim import StepCoefficients, ddim_coefficients, ddim_times, network_input
from pose_rt.diffusion.schedule import Schedule

ROWS = 64
"""Rows in one run of a backend that names no limit of its own."""


def device_sampler(backend: Backend, schedule: Schedule, steps: int, scale: float, mirror: Skeleton | None) -> DeviceSampler | None:
    """A sampler on the backend's GPU; None where the backend has none or our CUDA kernels are not there."""
    if not hasattr(backend, "run_device") or not ops.cuda_status()[0]:
        return None
    return DeviceSampler(backend, schedule, steps, scale, mirror)


class DeviceSampler:
    """`pose_rt.diffusion.ddim.ddim_sample` with the network and the steps between (`ops.ddim_step`) on one stream of a GPU.

    Args:
        backend: a `DeviceBackend` that runs the denoiser (see `stages.lifter.Lifter`).
        mirror: the skeleton whose mirrored prediction is averaged in, in the same run; None = no averaging.
    """

    def __init__(self, backend: Any, schedule: Schedule, steps: int, scale: float, mirror: Skeleton | None) -> None:
        self._backend, self._schedule, self._steps, self._scale = backend, schedule, steps, scale
        self._skeleton = mirror
        self._mirror = None if mirror is None else mirror.mirror.astype(np.int32)
        self._step_dtype = next(np.dtype(t.dtype) for t in backend.inputs if t.name == "step")
        self._stream: int = backend.stream

    def __call__(
        self,
        xy: np.ndarray,
        noise_init: np.ndarray,
        noise_steps: Sequence[np.ndarray],
        start: int | None = None,
        shown: np.ndarray | None = None,
    ) -> np.ndarray:
        """Denoise.

        Args:
            xy: (N, F, J, 2) condition, a row for each hypothesis of each window.
            noise_init: (N, F, J, 3), what the first step starts from.
            noise_steps: K - 1 arrays like it.
            start: diffusion step of `noise_init`; None = the last, pure noise.
            shown: what the network is shown in the first step in place of `noise_init` (hypotheses that share its answer there).

        Returns:
            (N, F, J, 3) float32, the last clean prediction.

        Raises:
            ModelError: it is not finite.
        """
        clean = np.empty(noise_init.shape, np.float32)
        shown = noise_init if shown is None else shown
        halves = 1 if self._mirror is None else 2
        rows = max(getattr(self._backend, "max_batch", ROWS) // halves, 1)
        for first in range(0, len(xy), rows):
            part = slice(first, first + rows)
            clean[part] = self._sample(xy[part], noise_init[part], [noise[part] for noise in noise_steps], start, shown[part])
        check_finite(self._backend.name, {"clean": clean})
        return clean

    def _sample(
        self, xy: np.ndarray, noise_init: np.ndarray, noise_steps: Sequence[np.ndarray], start: int | None, shown: np.ndarray
    ) -> np.ndarray:
        self._backend.activate()  # the GPU on which the copies are made
        y = np.ascontiguousarray(noise_init, np.float32)
        condition, state = self._send(self._with_mirrored(xy)), self._send(y)
        network = self._send(self._with_mirrored(network_input(shown.astype(np.float32), self._scale)))
        noises = [self._send(np.ascontiguousarray(noise, np.float32)) for noise in noise_steps]
        times = ddim_times(self._schedule.timesteps, self._steps, start)
        runs = condition.shape[0]
        at = [self._send(np.full(runs, step, self._step_dtype)) for step in times[:-1]]
        # From here to the last line nothing waits for the GPU.
        for k, (step, following) in enumerate(pairwise(times)):
            prediction = self._backend.run_device({"xy": condition, "noisy": network, "step": at[k]})["clean"]
            last = following < 0
            coefficients = (
                StepCoefficients(float(self._schedule.alphas_cumprod[step]), 1.0, 0.0, 0.0)
                if last
                else ddim_coefficients(self._schedule, step, following)
            )
            ops.ddim_step(
                state.owner, prediction, None if last else noises[k].owner, coefficients, scale=self._scale, mirror=self._mirror,
                out=(state.owner, network.owner), stream=self._stream,
            )  # fmt: skip
        result: np.ndarray = state.owner.to_host(self._stream)
        return result

    def _with_mirrored(self, points: np.ndarray) -> np.ndarray:
        if self._skeleton is not None:
            points = np.concatenate([points, mirror_points(points, self._skeleton)])
        return np.ascontiguousarray(points, np.float32)

    def _send(self, array: np.ndarray) -> _Sent:
        return _Sent(ops.to_device(array, stream=self._stream), self._stream)


class _Sent(DeviceView):
    """A copy on the GPU that says on which stream work on it may be under way."""

    def __init__(self, array: Any, stream: int) -> None:
        view = DeviceView.of(array)
        super().__init__(view.pointer, view.shape, view.dtype, stream=stream, owner=array)
