"""The pose prior at run time: a GFPose score network behind a backend, sampled by the exact flow in a few steps of NumPy.

Poses go in and come out as metres relative to the root in camera axes. Inside they are turned so that the camera looks straight at
the root, and are seen in perspective where the root's place is known (`pose_rt.core.image_space`), as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pose_rt.backends import Backend
from pose_rt.core.image_space import from_image_space, to_image_space
from pose_rt.core.rng import STREAM_PRIOR, normal
from pose_rt.core.skeleton import H36M17
from pose_rt.core.viewpoint import look_at_rotation
from pose_rt.diffusion.guess import Mixture, from_text, mixture_guess
from pose_rt.diffusion.sde import Sde, SubVpSde, VeSde, VpSde
from pose_rt.diffusion.sde_samplers import Known, Score, flow_solver, imputed, mean_and_std
from pose_rt.errors import InputError, ModelError, UsageError

SDES: dict[str, type[VpSde | SubVpSde | VeSde]] = {"subvp": SubVpSde, "vp": VpSde, "ve": VeSde}
START, WARM_START = 0.9, 0.6
"""Times at which sampling starts: from pure noise (beyond, noise outweighs every pose), and from an earlier sample (0.2 m of noise)."""
MAX_ROWS = 512
"""Poses in one run of the network."""
_JOINTS = H36M17.num_joints


class Completed(NamedTuple):
    """`samples_m` (B, H, 17, 3), and `mean_m` (B, 17, 3) of all poses that fit, both float32, relative to the origin of what was given;
    known joints as they came."""

    samples_m: np.ndarray
    mean_m: np.ndarray


class Prior:
    """Samples poses given what is known of them.

    Args:
        backend: runs the score network: ``x``, ``label`` and ``condition``, ``mask``, or ``guess``, ``deviation`` -> ``noise``.
        hypotheses: samples for each pose.
        steps: score evaluations for each.
        seed: of the noise, which a track keeps: a hypothesis is one motion and not a new draw a frame.

    Raises:
        ModelError: the model is no score network, or of another joint set.
        UsageError: no hypothesis, or no step.
    """

    def __init__(self, backend: Backend, *, hypotheses: int = 8, steps: int = 5, seed: int = 0) -> None:
        meta = backend.metadata
        if meta.get("kind") != "gfpose":
            cure = "export one with: python -m exporters gfpose --checkpoint FILE --out FILE.onnx"
            raise ModelError(f"{backend.name} is not a pose prior (kind {meta.get('kind')!r})", cure)
        if meta["skeleton"] != H36M17.name:
            raise ModelError(f"{backend.name} is of the skeleton {meta['skeleton']}, wanted {H36M17.name}")
        for name, value in (("hypotheses", hypotheses), ("steps", steps)):
            if value < 1:
                raise UsageError(f"{name} is {value}, wanted at least 1")
        self.hypotheses, self.steps = hypotheses, steps
        self._backend, self._seed = backend, seed
        self._scale = np.float32(meta["data_scale"])
        self._sde: Sde = SDES[meta["sde"]]()
        texts = meta.get("mixture")
        self._mixture: Mixture | None = None if texts is None else from_text(texts, 3 * _JOINTS)
        self._known_noise_m = float(meta.get("known_deviation") or 0.0)
        self._sigma: dict[str, Any] | None = meta.get("sigma")
        self._noise = lru_cache(maxsize=64)(self._draw)

    def complete(
        self,
        poses_m: np.ndarray,
        known: np.ndarray,
        tracks: Sequence[int],
        root_m: np.ndarray | None = None,
        previous_m: np.ndarray | None = None,
        vague_m: np.ndarray | None = None,
        vague_noise_m: np.ndarray | None = None,
    ) -> Completed:
        """Samples of whole poses given some of their joints.

        Known joints are put in their place in every estimate of the clean pose (imputation), and are the network's condition.

        Args:
            poses_m: (B, 17, 3) metres, camera axes; what a joint is that is not known does not matter, NaN included.
            known: (B, 17) bool.
            tracks: (B,) ids, the address of the noise.
            root_m: (B, 3) place of the root, NaN where unknown; None = nowhere known.
            previous_m: (B, H, 17, 3) samples of the frame before, NaN where there are none: sampling starts from them, noised up.
            vague_m, vague_noise_m: (B, 17, 3), (B, 17) where unknown joints may be, give or take how much a coordinate; infinity =
                anywhere. A prior without a first guess makes no use of it.

        Raises:
            InputError: a known joint is not finite.
        """
        if not np.isfinite(poses_m[known]).all():
            raise InputError("a joint that is said to be known is not finite", "leave joints that are NaN to be completed")
        place = _Place(root_m, len(poses_m))
        noise_m = np.where(known, self._known_noise_m, np.inf if vague_noise_m is None else vague_noise_m)
        value = np.where(known[..., None], poses_m, 0.0 if vague_m is None else np.where(np.isfinite(noise_m)[..., None], vague_m, 0.0))
        given = place.enter(value) * self._scale
        mask = np.repeat(known[..., None], 3, -1).astype(np.float32)
        spread = np.repeat(noise_m[..., None], 3, -1).astype(np.float32) * self._scale
        warm = None
        if previous_m is not None:
            has: np.ndarray = np.isfinite(previous_m).all((1, 2, 3))
            warm = place.enter(np.nan_to_num(previous_m)) * self._scale
        out = np.empty((len(poses_m), self.hypotheses, _JOINTS, 3), np.float32)
        mean = np.empty((len(poses_m), _JOINTS, 3), np.float32)
        noise = np.stack([self._noise(track) for track in tracks]) if len(poses_m) else out.copy()
        for from_before in (True, False):
            rows = np.flatnonzero(has if from_before else ~has) if warm is not None else np.arange(0 if from_before else len(out))
            for part in np.array_split(rows, max(1, -(-len(rows) * self.hypotheses // MAX_ROWS))):
                if len(part):
                    start = None if not from_before or warm is None else warm[part]
                    shown = self._shown(given[part], mask[part], spread[part])
                    out[part] = self._sample(noise[part], given[part], mask[part], start, shown)
                    mean[part] = self._mean(given[part], mask[part], shown)
        samples, expected = (place.leave(poses / self._scale) for poses in (out, mean))
        return Completed(
            np.where(known[:, None, :, None], poses_m[:, None], samples).astype(np.float32),
            np.where(known[..., None], poses_m, expected).astype(np.float32),
        )

    def generate(self, count: int) -> np.ndarray:
        """(count, 17, 3) poses out of nothing, metres relative to the root, camera axes."""
        if count < 1:
            raise UsageError(f"got {count} poses, wanted at least 1")
        nothing = np.zeros((1, _JOINTS, 3), np.float32)
        drawn = normal((count, 1, _JOINTS, 3), seed=self._seed, stream=STREAM_PRIOR)
        parts = [
            self._sample(part, np.repeat(nothing, len(part), 0), np.repeat(nothing, len(part), 0), None)
            for part in np.array_split(drawn, -(-count // MAX_ROWS))
        ]
        poses = np.concatenate(parts)[:, 0] / self._scale
        return poses - poses[:, :1]

    def denoise(self, poses_m: np.ndarray, noise_m: float, root_m: np.ndarray | None = None) -> np.ndarray:
        """The likeliest clean poses behind noisy ones: the flow, run from the time at which it has as much noise.

        Args:
            poses_m: (B, 17, 3) metres, camera axes.
            noise_m: standard deviation of the noise, metres.
            root_m: (B, 3), NaN where unknown.

        Returns:
            (B, 17, 3) relative to the root.

        Raises:
            UsageError: negative noise.
            InputError: a value that is not finite.
        """
        if not (np.isfinite(noise_m) and noise_m >= 0):
            raise UsageError(f"the noise is {noise_m}, wanted 0 or more")
        if not np.isfinite(poses_m).all():
            raise InputError("a pose has joints that are not finite", "fill them first: pose-rt complete")
        if noise_m == 0:
            return poses_m - poses_m[:, :1]
        place = _Place(root_m, len(poses_m))
        time = self._time_of(noise_m * float(self._scale))
        a, _ = mean_and_std(self._sde, time)
        x = place.enter(poses_m) * self._scale
        nothing = np.zeros_like(x)
        clean = [
            flow_solver(self._sde, self._score(nothing[rows], nothing[rows]), x[rows] * np.float32(a), self.steps, start_time=time)
            for rows in (slice(i, i + MAX_ROWS) for i in range(0, len(x), MAX_ROWS))
        ]
        out = place.leave(np.concatenate(clean) / self._scale if clean else x)
        return (out - out[:, :1]).astype(np.float32)

    def sigma(self, spread_m: np.ndarray) -> np.ndarray:
        """Spread of the hypotheses (..., 17) -> standard deviation of a coordinate, metres: ``sqrt(a^2 + (b spread)^2)``, as calibrated."""
        if self._sigma is None:
            return spread_m
        a, b = (np.asarray(self._sigma[name], np.float32) for name in ("a_m", "b"))
        return np.sqrt(a**2 + (b * spread_m) ** 2).astype(np.float32)

    def close(self) -> None:
        self._backend.close()

    def _sample(
        self, noise: np.ndarray, given: np.ndarray, mask: np.ndarray, before: np.ndarray | None, shown: dict[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Noise (B, H, 17, 3) -> samples like it, network units.

        Args:
            given, mask: (B, 17, 3) values, and 1 where they are known.
            before: (B, H, 17, 3) where sampling starts, noised up.
            shown: what the network is told, from `_shown`.
        """
        shape = noise.shape
        score = self._score(given, mask, shown, shape[1])
        x, time = noise.reshape(-1, *shape[2:]), START
        if before is not None:
            time = WARM_START
            a, s = mean_and_std(self._sde, time)
            x = np.float32(a) * before.reshape(x.shape) + np.float32(s) * x
        return flow_solver(self._sde, score, x, self.steps, start_time=time).reshape(shape)

    def _mean(self, given: np.ndarray, mask: np.ndarray, shown: dict[str, np.ndarray]) -> np.ndarray:
        """The mean of all poses that fit (B, 17, 3): the network's estimate of the clean pose where noise says nothing about it."""
        a, _ = mean_and_std(self._sde, START)
        x = np.float32(a) * shown.get("guess", given * mask)
        return flow_solver(self._sde, self._score(given, mask, shown), x, 1, start_time=START)

    def _score(self, given: np.ndarray, mask: np.ndarray, shown: dict[str, np.ndarray] | None = None, hypotheses: int = 1) -> Score:
        """The network's score, with known coordinates in the place of its own estimate of them."""
        told = self._shown(given, mask, None) if shown is None else shown
        told = {name: np.repeat(part, hypotheses, 0) for name, part in told.items()}

        def score(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            x, label = x.astype(np.float32, copy=False), self._sde.label(t).astype(np.float32)
            result: np.ndarray = self._sde.score(self._backend.run({"x": x, "label": label, **told})["noise"], t)
            return result

        known = Known(np.repeat(given, hypotheses, 0), np.repeat(mask, hypotheses, 0))
        return imputed(self._sde, score, known) if mask.any() else score

    def _shown(self, given: np.ndarray, mask: np.ndarray, spread: np.ndarray | None) -> dict[str, np.ndarray]:
        """What the network is told of poses (B, 17, 3): the condition itself, or a first guess that goes by it.

        `spread` (B, 17, 3) is how uncertain `given` is, finite also where it is merely likely; None: known or not.
        """
        if self._mixture is None:
            return {"condition": given * mask, "mask": mask}
        spread = np.where(mask > 0, self._known_noise_m * self._scale, np.float32(np.inf)) if spread is None else spread
        value, known = given.reshape(len(given), -1), np.isfinite(spread).reshape(len(given), -1).astype(np.float32)
        noise = np.where(np.isfinite(spread), spread, 1.0).reshape(known.shape).astype(np.float32)
        if not known.any():  # all of them are told the same
            value, known, noise = value[None], known[:1], noise[:1]
        else:
            value = value[:, None]
        found = mixture_guess(self._mixture, value, known, noise)
        return {name: part.reshape(given.shape).astype(np.float32) for name, part in zip(("guess", "deviation"), found, strict=True)}

    def _time_of(self, noise: float) -> float:
        """The time at which the process has that much noise for one unit of signal."""
        times = np.linspace(self._sde.eps, self._sde.horizon, 2000)
        ratio = [s / a for a, s in (mean_and_std(self._sde, float(t)) for t in times)]
        return float(np.interp(noise, ratio, times))

    def _draw(self, track: int) -> np.ndarray:
        """Noise of a track's hypotheses, every second one the opposite of that before: their mean is not pushed anywhere."""
        half = normal((-(-self.hypotheses // 2), _JOINTS, 3), seed=self._seed, track=track, stream=STREAM_PRIOR)
        return np.stack([half, -half], 1).reshape(-1, _JOINTS, 3)[: self.hypotheses]


class _Place:
    """Camera axes <-> the prior's space, for poses (B, ..., 17, 3) with roots (B, 3)."""

    def __init__(self, root_m: np.ndarray | None, count: int) -> None:
        root = np.full((count, 3), np.nan, np.float32) if root_m is None else root_m
        known: np.ndarray = np.isfinite(root).all(-1) & (np.nan_to_num(root)[:, 2] > 0)
        ahead = np.where(known[:, None], np.nan_to_num(root), [0.0, 0.0, 1.0])
        self._rotation = look_at_rotation(ahead).astype(np.float32)
        self._depth = np.where(known, np.linalg.norm(ahead, axis=-1), np.inf).astype(np.float32)

    def enter(self, poses: np.ndarray) -> np.ndarray:
        turned = np.einsum("b...k,bik->b...i", poses.astype(np.float32), self._rotation)
        return to_image_space(turned, self._like(turned))

    def leave(self, poses: np.ndarray) -> np.ndarray:
        return np.einsum("b...i,bik->b...k", from_image_space(poses, self._like(poses)), self._rotation)

    def _like(self, poses: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self._depth.reshape(-1, *([1] * (poses.ndim - 3))), poses.shape[:-2])
