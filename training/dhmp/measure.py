"""Every figure of an evaluation: diversity, accuracy, their multimodal forms, anatomy, motion; over all windows and by action.

Distances of ADE, FDE and APD are L2 norms over the whole pose vector (metres), as in the literature; errors at a horizon are mean
distances per joint (millimetres), the root left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from pose_rt.metrics import diversity
from pose_rt.metrics.distribution import cumulative_motion_difference, speeds

from .angles import COSINES, Limits, violation_share
from .predictors import Predictor
from .windows import EvalWindows

HORIZONS_MS = (80, 160, 320, 400, 560, 1000, 2000)
BEST_OF = (1, 5, 10, 50)
SCALARS = {
    "apd_m": 3, "apd_of_10_m": 3, "mmade_m": 4, "mmfde_m": 4, "bone_length_error_mm": 2, "bone_length_error_percent": 2,
    "joint_limits_violated_percent": 2, "joint_limits_violated_by_truth_percent": 2, "first_frame_jump_mm": 2,
}  # fmt: skip
"""Figures of one number a window, with the decimals they are reported with."""


def joint_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance per joint without the root, millimetres: (..., T, J, 3) twice -> (..., T)."""
    return 1000.0 * np.linalg.norm(a[..., 1:, :] - b[..., 1:, :], axis=-1).mean(-1)


def limit_violations(joints: np.ndarray, limits: Limits) -> float:
    """Percent of joint-limit checks that fail over the poses (..., J, 3), every 10th frame; NaN for a skeleton without checks."""
    nodes = joints.shape[-2] - 1
    if nodes not in COSINES:
        return float("nan")
    poses = np.ascontiguousarray(joints[..., 9::10, 1:, :]).reshape(-1, 3 * nodes)
    return 100 * violation_share(torch.from_numpy(poses), limits)


def baselines(history: np.ndarray, frames: int) -> dict[str, np.ndarray]:
    """Futures (T_pred, J, 3) that need no model: stand still, or go on with the last frame's velocity."""
    steps = np.arange(1, frames + 1, dtype=np.float32)[:, None, None]
    still = np.repeat(history[-1:], frames, 0)
    return {"zero velocity": still, "constant velocity": still + steps * (history[-1] - history[-2])}


class Measured:
    """Figures of the windows seen so far."""

    def __init__(self, windows: EvalWindows, limits: Limits, best_of: Sequence[int], k: int) -> None:
        self.windows, self.limits, self.best_of, self.k = windows, limits, list(best_of), k
        columns = {ms: round(ms * windows.rate_hz / 1000) - 1 for ms in HORIZONS_MS}
        self.columns = {ms: column for ms, column in columns.items() if column < windows.truth.shape[1]}
        self.rows: dict[str, list[Any]] = defaultdict(list)
        self.at: dict[str, list[np.ndarray]] = defaultdict(list)
        self.protocol: list[diversity.DiversityScores] = []
        self.speeds: list[np.ndarray] = []
        self.true_speeds: list[np.ndarray] = []

    def add(self, i: int, futures: np.ndarray, neighbours: np.ndarray) -> None:
        """Take the futures (K, T_pred, J, 3) of window i; `neighbours` are the windows with similar pasts."""
        w = self.windows
        truth, frames = w.truth[i], w.truth.shape[1]
        error = diversity.errors(futures[:, :, 1:], truth[:, 1:])
        ade = [float(error[:n].mean(-1).min()) for n in self.best_of]
        fde = [float(error[:n, -1].min()) for n in self.best_of]
        apd = diversity.apd(futures)
        similar = [diversity.errors(futures[:, :, 1:], other[:, 1:]) for other in w.similar_futures(i, neighbours)]
        every = [error, *similar]
        mmade = float(np.mean([e.mean(-1).min() for e in every]))
        mmfde = float(np.mean([e[:, -1].min() for e in every]))
        if len(neighbours):
            self.protocol.append(diversity.DiversityScores(apd, ade[-1], fde[-1], mmade, mmfde))
        lengths, wanted = diversity.bone_lengths(futures, w.parents), diversity.bone_lengths(truth, w.parents)
        values = {
            "action": str(w.action[i]), "ade_m": ade, "fde_m": fde, "apd_m": apd, "apd_of_10_m": diversity.apd(futures[:10]),
            "mmade_m": mmade, "mmfde_m": mmfde, "bone_length_error_mm": 1000 * float(np.abs(lengths - wanted).mean()),
            "bone_length_error_percent": 100 * float(diversity.bone_percent_error(futures, truth, w.parents).mean()),
            "joint_limits_violated_percent": limit_violations(futures, self.limits),
            "joint_limits_violated_by_truth_percent": limit_violations(truth, self.limits),
            "first_frame_jump_mm": float(joint_error(futures[:, :1], w.observed[i][-1:]).mean()),
        }  # fmt: skip
        for name, value in values.items():
            self.rows[name].append(value)
        joint = joint_error(futures, truth)
        rows = {
            f"best of {self.k} (one future, least ADE)": joint[error.mean(-1).argmin()],
            f"best of {self.k} (at each horizon)": joint.min(0),
            "mean of all futures": joint_error(futures.mean(0), truth),
            "first sample": joint[0],
        }
        rows |= {name: joint_error(future, truth) for name, future in baselines(w.observed[i], frames).items()}
        for name, row in rows.items():
            self.at[name].append(row[list(self.columns.values())])
        self.speeds.append(speeds(futures, w.rate_hz).mean(0))
        self.true_speeds.append(speeds(truth, w.rate_hz))

    def _part(self, chosen: np.ndarray) -> dict[str, Any]:
        """The figures of some windows."""
        part: dict[str, Any] = {"windows": len(chosen)}
        for name in ("ade_m", "fde_m"):
            mean = np.asarray(self.rows[name])[chosen].mean(0).round(4).tolist()
            part[name] = dict(zip(map(str, self.best_of), mean, strict=True))
        for name, decimals in SCALARS.items():
            part[name] = round(float(np.asarray(self.rows[name])[chosen].mean()), decimals)
        moving, truly = np.stack(self.speeds)[chosen], np.stack(self.true_speeds)[chosen]
        part["mean_speed_m_s"] = round(float(moving.mean()), 3)
        part["true_mean_speed_m_s"] = round(float(truly.mean()), 3)
        part["cmd"] = round(cumulative_motion_difference(moving.mean(0), float(truly.mean())), 3)
        return part

    def report(self) -> dict[str, Any]:
        """Everything; `reference` holds the five scores of the published protocol, proper and as published."""
        count = len(self.rows["apd_m"])
        actions = np.asarray(self.rows["action"])
        by_action = {str(a): self._part(np.flatnonzero(actions == a)) for a in np.unique(actions)}
        whole = {"k": self.k, **self._part(np.arange(count))}
        # The published CMD is the average over the actions, weighted by their windows.
        whole["cmd"] = round(sum(part["cmd"] * part["windows"] for part in by_action.values()) / count, 3)
        whole["with_similar_past"] = len(self.protocol)
        if self.protocol:
            for name, divisor in (("protocol_mean", "mean"), ("protocol_reference", "reference")):
                scores = diversity.average(self.protocol, count, "mean" if divisor == "mean" else "reference")
                whole[name] = {key: round(value, 4) for key, value in scores._asdict().items()}
        whole["error_mm"] = {
            name: dict(zip(map(str, self.columns), np.stack(rows).astype(np.float64).mean(0).round(1).tolist(), strict=True))
            for name, rows in self.at.items()
        }
        return {**whole, "by_action": by_action}


def measure(
    predictor: Predictor,
    windows: EvalWindows,
    neighbours: Sequence[np.ndarray],
    limits: Limits,
    k: int = 50,
    seed: int = 0,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Any]:
    """Every figure of the report for one data set.

    Args:
        neighbours: for each window the rows with similar pasts (`training.dhmp.windows.neighbours`).
        track: wraps the loop over the windows, for a progress bar.
    """
    measured = Measured(windows, limits, [n for n in BEST_OF if n <= k], k)
    for i in track(range(len(windows))):
        measured.add(i, predictor.futures(windows.observed[i], k, seed, i), neighbours[i])
    return measured.report()
