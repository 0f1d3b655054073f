"""Joints that the camera did not see, filled in from the pose prior: the GFPose stage.

A joint is unseen where its 2D score is low or where it lies outside the picture. The others, as lifted, and the samples of the frame
before are what the prior goes by. What it fills in is marked, with an uncertainty of its own, and comes and goes in a short fade.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ..core.types import COMPLETED, MEASURED, Packet, Pose3D
from .base import finish
from .lift import h36m_keypoints
from .lost import drift_noise, one_pose
from .prior import Prior
from .window import MAX_GAP_NS

MIN_SCORE, SEEN_SCORE = 0.3, 0.45
"""Below the first a joint is lost, above the second it is found again."""
MIN_KNOWN = 4
"""With fewer seen joints there is nothing to go by: such people are left as they are."""
FADE_S = 0.15
MARGIN = 0.02
"""Of the picture: a point that lies outside by less may still be the edge's own."""


@dataclass
class _Track:
    """What is remembered of a person: when, which joints are lost,
    how much of each is the prior's (17,), where it was last seen (17, 3) and how long ago (17,), and the last samples (H, 17, 3)."""

    seen_ns: int
    lost: np.ndarray
    weight: np.ndarray
    place: np.ndarray
    unseen_s: np.ndarray
    samples: np.ndarray | None = None


class Complete:
    """Packets with `pose` and `keypoints` in; out go poses whose unseen joints are the prior's, with `provenance` COMPLETED.

    Args:
        prior: samples poses; its first hypotheses replace those of the lifter.
        budget_ms: of one frame; where the prior takes longer its steps are fewer from the next frame on. None = always all of them, so
            that a run can be repeated exactly.
        min_score: 2D score below which a joint counts as unseen.
    """

    name = "complete"

    def __init__(self, prior: Prior, *, budget_ms: float | None = None, min_score: float = MIN_SCORE) -> None:
        if budget_ms is not None and budget_ms <= 0:
            raise ValueError(f"budget_ms: got {budget_ms}, wanted more than 0")
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score: got {min_score}, wanted 0 to 1")
        self.prior, self.budget_ms = prior, budget_ms
        self._low, self._high = min_score, min(min_score + SEEN_SCORE - MIN_SCORE, 1.0)
        self._steps = prior.steps
        self.completed = 0
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: dict[int, _Track] = {}

    def close(self) -> None:
        """Release the prior; safe to call twice."""
        self.prior.close()

    def samples(self, track: int) -> np.ndarray | None:
        """The last samples (H, 17, 3) of a person, relative to the root that came in; None: there are none."""
        state = self._tracks.get(track)
        return None if state is None else state.samples

    def __call__(self, packet: Packet) -> Packet:
        start, pose = time.monotonic_ns(), packet.pose
        if pose is None or packet.keypoints is None:
            raise ValueError("complete: the packet has no pose or no keypoints; run the lift stage first")
        now = packet.frame.media_ns
        self._tracks = {t: s for t, s in self._tracks.items() if 0 <= now - s.seen_ns <= MAX_GAP_NS}
        xy, score = h36m_keypoints(packet.keypoints)
        beyond = _outside(xy, packet.frame.width, packet.frame.height)
        states = [self._advance(t, now, beyond[p], score[p], pose.joints_m[p]) for p, t in enumerate(pose.track.tolist())]
        due = [p for p, state in enumerate(states) if state.weight.any() and (~state.lost).sum() >= MIN_KNOWN]
        for person, state in enumerate(states):
            if person not in due:  # what is lost next frame is looked for near where it was last seen
                state.samples = np.repeat(pose.joints_m[person][None], self.prior.hypotheses, 0)
        if not due:
            return finish(packet, self.name, start, pose=pose)
        filled = self._fill(pose, states, due)
        self._spend((time.monotonic_ns() - start) / 1e6)
        self.completed += int(sum(states[p].lost.sum() for p in due))
        return finish(packet, self.name, start, pose=filled)

    def _advance(self, track: int, now: int, beyond: np.ndarray, score: np.ndarray, joints: np.ndarray) -> _Track:
        state = self._tracks.get(track)
        if state is None:
            lost = beyond | ~(score >= self._low)
            never = np.where(lost, np.inf, 0.0)
            state = self._tracks[track] = _Track(now, lost, lost.astype(np.float32), joints.copy(), never)
            return state
        passed = (now - state.seen_ns) / 1e9
        state.lost = beyond | np.where(state.lost, ~(score >= self._high), ~(score >= self._low))
        state.weight = np.where(state.lost, 1.0, np.maximum(state.weight - np.float32(passed / FADE_S), 0.0)).astype(np.float32)
        state.place = np.where(state.lost[:, None], state.place, joints)
        state.unseen_s = np.where(state.lost, state.unseen_s + passed, 0.0)
        state.seen_ns = now
        return state

    def _fill(self, pose: Pose3D, states: list[_Track], due: list[int]) -> Pose3D:
        wanted = self.prior.steps
        unknown = np.full((self.prior.hypotheses, *pose.joints_m.shape[1:]), np.nan, np.float32)
        before = [states[p].samples for p in due]
        known = np.stack([~states[p].lost for p in due])
        self.prior.steps = self._steps
        try:
            samples, mean = self.prior.complete(
                pose.joints_m[due],
                known,
                pose.track[due].tolist(),
                None if pose.root_m is None else pose.root_m[due],
                np.stack([unknown if b is None else b for b in before]),
                np.stack([states[p].place for p in due]),
                drift_noise(np.stack([states[p].unseen_s for p in due])),
            )
        finally:
            self.prior.steps = wanted
        joints, sigma, provenance = pose.joints_m.copy(), pose.sigma_m.copy(), pose.provenance.copy()
        hypotheses, root = pose.hypotheses_m.copy(), None if pose.root_m is None else pose.root_m.copy()
        for person, drawn, completed in zip(due, samples, one_pose(mean, samples, known), strict=True):
            state = states[person]
            state.samples = drawn
            weight = state.weight[:, None]
            joints[person] += weight * (completed - joints[person])
            own = np.resize(np.arange(len(drawn)), hypotheses.shape[1])
            hypotheses[person] += weight * (drawn[own] - hypotheses[person])
            guessed = self.prior.sigma(np.sqrt(drawn.var(0).mean(-1)))
            sigma[person] = np.maximum(sigma[person], state.weight * guessed)
            provenance[person] = np.where(state.lost, COMPLETED, MEASURED)
            shift = joints[person, :1].copy()  # the root itself may have been filled in
            joints[person] -= shift
            hypotheses[person] -= hypotheses[person, :, :1]
            if root is not None:
                root[person] += shift[0]
        return replace(pose, joints_m=joints, sigma_m=sigma, provenance=provenance, hypotheses_m=hypotheses, root_m=root)

    def _spend(self, took_ms: float) -> None:
        """Fewer steps after a frame over the budget, one more again after one that took less than two thirds of it."""
        if self.budget_ms is None:
            return
        if took_ms > self.budget_ms:
            self._steps = max(int(self._steps * self.budget_ms / took_ms), 1)
        elif took_ms < 0.66 * self.budget_ms:
            self._steps = min(self._steps + 1, self.prior.steps)


def _outside(xy: np.ndarray, width: int, height: int) -> np.ndarray:
    """(P, J) bool: points (P, J, 2) that are unknown or lie outside the picture."""
    size = np.array([width, height], np.float32)
    beyond: np.ndarray = ~np.isfinite(xy).all(-1) | (xy < -MARGIN * size).any(-1) | (xy > (1 + MARGIN) * size).any(-1)
    return beyond
