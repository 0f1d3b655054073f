"""The D3DP lifter at run time: windows of 2D keypoints -> H hypotheses of 3D windows, by K DDIM steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pose_rt.backends import Backend
from pose_rt.core.camera import Camera, normalise_screen
from pose_rt.core.rng import STREAM_LIFT, normal
from pose_rt.core.skeleton import COCO17, H36M17, SKELETONS, Skeleton, mirror_points
from pose_rt.core.viewpoint import fill_missing, normalise_window
from pose_rt.diffusion.ddim import Predict, ddim_sample, flip_average, renoise
from pose_rt.diffusion.schedule import cosine_schedule
from pose_rt.errors import ModelError

from .device_sampler import device_sampler

RUN_WINDOWS = 8
"""Windows in one run of the network: more make nothing faster on a CPU, and their activations leave the cache and fill memory."""

WARM_NOISE = 0.7
"""Below, errors of the last window come back in the next: docs/live_quality.md."""


_PARENTS: dict[str, tuple[int, ...] | None] = {
    H36M17.name: H36M17.parents,
    COCO17.name: (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
}
"""Joint orders of the 2D that lifters take, and whose place a joint gets that is never seen."""


class Lifter:
    """A denoiser behind a backend, and the settings of its sampler.

    Args:
        backend: runs the denoiser: ``xy`` (N, F, J, 2), ``noisy`` (N, F, J, 3), ``step`` (N,) -> ``clean`` (N, F, J, 3); its metadata
            say frames, rate, units and the form of the 2D input.
        hypotheses: H, samples per window.
        steps: K, denoising steps.
        flip: average with the mirrored input (test-time augmentation; doubles the cost).
        warm_noise: diffusion time, as a share of all, to which `previous` is noised; the nearer to 1, the more of it is forgotten.
        share_first: with several steps, the hypotheses of a window share the network's first answer. It is given to pure noise, which the
            network all but ignores; what tells the hypotheses apart comes after it. On cmu17/test errors and spread stay the same to
            0.02 mm, and H = 3, K = 2 costs 4 evaluations in place of 6.
        seed: of the noise. A hypothesis keeps its noise over a whole track, so that it is one motion and not a new draw a frame.

    Raises:
        ModelError: the model is no lifter, or of a joint set that this stage does not have.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        hypotheses: int = 3,
        steps: int = 2,
        flip: bool = False,
        warm_noise: float = WARM_NOISE,
        share_first: bool = True,
        seed: int = 0,
    ) -> None:
        meta = backend.metadata
        if meta.get("kind") != "d3dp":
            raise ModelError(
                f"{backend.name} is not a lifter (kind {meta.get('kind')!r})", "export one with: python -m exporters d3dp --checkpoint FILE"
            )
        if meta["skeleton_in"] not in _PARENTS or meta["skeleton_out"] != H36M17.name:
            wanted = f"{' or '.join(_PARENTS)} to {H36M17.name}"
            raise ModelError(f"{backend.name} lifts {meta['skeleton_in']} to {meta['skeleton_out']}, the pipeline lifts {wanted}")
        if hypotheses < 1 or not 1 <= steps <= meta["timesteps"]:
            raise ValueError(f"got {hypotheses} hypotheses and {steps} steps, wanted at least 1 and 1 to {meta['timesteps']}")
        if not 0 < warm_noise <= 1:
            raise ValueError(f"warm_noise: got {warm_noise}, wanted more than 0 and at most 1")
        self.hypotheses, self.steps, self.flip = hypotheses, steps, flip
        self._share_first = share_first and steps > 1
        self.warm_step = max(round(warm_noise * meta["timesteps"]), steps) - 1
        self.skeleton_in: Skeleton = SKELETONS[meta["skeleton_in"]]
        self.frames: int = meta["frames"]
        self.step_ns = round(1e9 / meta["rate_hz"])
        self._backend, self._seed = backend, seed
        self._scale, self._unit_m, self._view = float(meta["scale"]), float(meta["unit_m"]), meta["input"] == "view"
        self._schedule = cosine_schedule(meta["timesteps"])
        self._on_device = device_sampler(backend, self._schedule, steps, self._scale, H36M17 if flip else None)
        if flip and self.skeleton_in is not H36M17:
            self._on_device = None  # the sampler on the device mirrors 2D and 3D by the same joints
        self._sigma_a, self._sigma_b = self._calibration(meta.get("sigma"))
        self._noise = lru_cache(maxsize=64)(self._draw_noise)

    def __call__(self, xy_px: np.ndarray, camera: Camera, tracks: Sequence[int], previous: np.ndarray | None = None) -> np.ndarray:
        """Lift windows.

        Args:
            xy_px: (W, F, J, 2) pixels, NaN = not seen.
            camera: that took them.
            tracks: W track ids, the address of the noise.
            previous: (W, H, F, J, 3) metres, camera axes, an earlier estimate of the same windows: they are denoised from it, noised up
                to `warm_step`, instead of from pure noise.

        Returns:
            (W, H, F, J, 3) float32, metres, camera axes, relative to the root.
        """
        windows = len(xy_px)
        filled = fill_missing(xy_px, _PARENTS[self.skeleton_in.name])
        if self._view:
            xy, rotation = normalise_window(filled, camera.focal_px, camera.center)
        else:
            xy, rotation = normalise_screen(filled, 2 * camera.cx, 2 * camera.cy).astype(np.float32), None
        xy = np.nan_to_num(xy)  # a window in which nothing was ever seen: the network answers with its mean pose
        noise = np.stack([self._noise(track) for track in tracks], 1).reshape(self.steps, windows * self.hypotheses, self.frames, -1, 3)
        start, step = noise[0], None
        if previous is not None:
            known = previous if rotation is None else np.einsum("whfjk,wik->whfji", previous, rotation)
            known = known.astype(np.float32).reshape(start.shape) * np.float32(self._scale / self._unit_m)
            start, step = renoise(known, start, self._schedule, self.warm_step), self.warm_step
        shared = self._share_first and previous is None
        if self._on_device is not None:
            shown = np.repeat(start[:: self.hypotheses], self.hypotheses, 0) if shared else start
            clean = self._on_device(np.repeat(xy, self.hypotheses, 0), start, list(noise[1:]), step, shown=shown)
        else:
            predict = self._predictor(xy, shared)
            if self.flip:
                predict = flip_average(predict, self._predictor(mirror_points(xy, self.skeleton_in), shared), _mirror)
            clean = ddim_sample(predict, start, list(noise[1:]), self._schedule, self.steps, self._scale, start=step)[-1]
        lifted = clean.reshape(windows, self.hypotheses, self.frames, -1, 3) * np.float32(self._unit_m / self._scale)
        if rotation is not None:
            lifted = np.einsum("whfji,wik->whfjk", lifted, rotation)
        return lifted - lifted[..., :1, :]

    def sigma(self, spread_m: np.ndarray) -> np.ndarray:
        """Spread of the hypotheses (..., J) -> calibrated standard deviation of a coordinate, metres: ``sqrt(a^2 + (b spread)^2)``.

        a and b were fitted per joint and number of steps when the model was made, see training/d3dp; without them sigma is the spread.
        """
        return np.sqrt(self._sigma_a**2 + (self._sigma_b * spread_m) ** 2).astype(np.float32)

    def close(self) -> None:
        self._backend.close()

    def _calibration(self, sigma: dict[str, Any] | None) -> tuple[np.ndarray, np.ndarray]:
        """a (J,) metres and b (J,) of these settings.

        Hypotheses lie closer together after one step than after more, and a single one has no spread at all. The spread of H samples
        about their own mean is too small by ``sqrt((H - 1) / H)``; b was fitted with another H, so it takes the ratio of the two along.
        """
        if sigma is None:
            return np.zeros(1, np.float32), np.ones(1, np.float32)
        if self.hypotheses == 1 and "alone_m" in sigma:
            return np.asarray(sigma["alone_m"], np.float32), np.zeros(1, np.float32)
        fitted = sigma.get("by_steps", {}).get(str(min(self.steps, 2)), sigma)
        h, of = self.hypotheses, sigma.get("hypotheses", self.hypotheses)
        ratio = np.sqrt((1 - 1 / of) / (1 - 1 / h)) if h > 1 < of else 1.0
        return np.asarray(fitted["a_m"], np.float32), np.asarray(fitted["b"], np.float32) * np.float32(ratio)

    def _predictor(self, xy: np.ndarray, shared: bool) -> Predict:
        """The network with the windows (W, F, J, 2) bound; `shared`: its answer to pure noise is one for all hypotheses of a window."""
        repeated = np.ascontiguousarray(np.repeat(xy, self.hypotheses, 0))

        def predict(noisy: np.ndarray, step: int) -> np.ndarray:
            if shared and step == self._schedule.timesteps - 1:
                return np.repeat(self._evaluate(xy, noisy[:: self.hypotheses], step), self.hypotheses, 0)
            return self._evaluate(repeated, noisy, step)

        return predict

    def _evaluate(self, xy: np.ndarray, noisy: np.ndarray, step: int) -> np.ndarray:
        """The network's answer (N, F, J, 3), a few rows at a time."""
        clean = np.empty(noisy.shape, np.float32)
        rows = getattr(self._backend, "max_batch", RUN_WINDOWS)  # an engine on a GPU says how many it holds
        for start in range(0, len(xy), rows):
            part = slice(start, start + rows)
            feeds = {"xy": xy[part], "noisy": np.ascontiguousarray(noisy[part], np.float32)}
            clean[part] = self._backend.run({**feeds, "step": np.full(len(feeds["xy"]), step, self._step_dtype)})["clean"]
        return clean

    @property
    def _step_dtype(self) -> np.dtype:
        return next(np.dtype(t.dtype) for t in self._backend.inputs if t.name == "step")

    def _draw_noise(self, track: int) -> np.ndarray:
        shape = (self.steps, self.hypotheses, self.frames, H36M17.num_joints, 3)
        return normal(shape, seed=self._seed, track=track, stream=STREAM_LIFT)


def _mirror(points: np.ndarray) -> np.ndarray:
    return mirror_points(points, H36M17)
