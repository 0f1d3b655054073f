"""Left and right that a 2D detector has exchanged, put right by the continuity of motion.

A detector that sees one picture at a time takes the left leg for the right one where both look alike: from behind, while a person
turns, while legs cross. Then a knee and an ankle jump to where the other side was and back. No body does that.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.skeleton import BLAZEPOSE33, COCO17, H36M17, Skeleton
from ..core.types import PARTS, Keypoints2D, Packet
from .base import finish
from .window import MAX_GAP_NS

COSTS = {(False, False): 0.0, (True, True): 4.0, (True, False): 6.0, (False, True): 6.0}
"""Evidence (nats) that an exchange of (legs, arms) has to bring: mostly a detector exchanges the whole body. What holds already costs
nothing more."""
MAX_HOLD_NS = 800_000_000
"""The detector is right in the long run: what it has said for so long is believed, so that no mistake of this stage lasts. It is held
against the detector no longer, either, than both had agreed before: a person may be met with exchanged sides."""
POSITION_SIGMA, SPEED_SIGMA = 0.06, 1.0
"""Standard deviation of a keypoint about its prediction: torso lengths, and torso lengths a second of the time passed."""
VELOCITY_TIME_S = 0.08
"""Time constant of the velocity's running mean."""
JUMP = 1.5
"""Torso lengths: a person whose points lie farther, in the median, from where they were expected is somebody else, or seen anew."""
_OUTLIER = 1e-3

_MEMBERS: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
    # skeleton: legs, arms, and the points that follow when both are exchanged
    H36M17.name: (np.arange(1, 7), np.arange(11, 17), np.arange(0)),
    BLAZEPOSE33.name: (np.arange(23, 33), np.arange(11, 23), np.arange(1, 11)),
    COCO17.name: (np.arange(11, 17), np.arange(5, 11), np.arange(1, 5)),
}
SWAPPABLE = frozenset(_MEMBERS)
"""Names of the skeletons whose sides can be put right."""
_TRUNK = {H36M17.name: ((11, 14), (1, 4)), BLAZEPOSE33.name: ((11, 12), (23, 24)), COCO17.name: ((5, 6), (11, 12))}
# Hands and feet are several points of one place: they would vote many times.
_VOTERS = {
    H36M17.name: (np.array([1, 2, 3, 4, 5, 6]), np.array([11, 12, 13, 14, 15, 16])),
    BLAZEPOSE33.name: (np.array([23, 24, 25, 26, 27, 28]), np.array([11, 12, 13, 14, 15, 16])),
    COCO17.name: (np.arange(11, 17), np.arange(5, 11)),
}


@dataclass
class _State:
    """One person: where the repaired points were and how they moved, from when on each part's sides were taken as the detector
    gave them, and since when they are exchanged."""

    time_ns: int
    xy: np.ndarray
    velocity: np.ndarray
    torso: float
    agreed: list[int]
    since: list[int | None] = field(default_factory=lambda: [None, None])


class Swaps:
    """Packets with `keypoints` in, the same with the sides of legs and arms put right out, one for one.

    Every point is predicted from where it was and how it moved. With ``p(d) = exp(-d^2 / 2 s^2) + eps`` the evidence that a part's
    sides are exchanged is ``sum_j log p(|z_mirror(j) - prediction_j|) - log p(|z_j - prediction_j|)`` over its hips, knees and ankles
    or shoulders, elbows and wrists, halved because a pair is exchanged as one. Of neither, legs, arms and both, what has most evidence
    left after its cost holds. Where both sides lie together the evidence is near zero, and nothing changes. `Keypoints2D.swapped` says
    what was exchanged in a frame, `repairs` how often a run of such frames began.
    """

    name = "swaps"

    def __init__(self) -> None:
        self.repairs = 0
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._states: dict[int, _State] = {}

    def close(self) -> None:
        """Nothing is held."""

    def __call__(self, packet: Packet) -> Packet:
        start, keypoints = time.monotonic_ns(), packet.keypoints
        if keypoints is None:
            raise ValueError("swaps: the packet has no keypoints; run the pose2d and refine stages first")
        if keypoints.skeleton.name not in _MEMBERS:
            raise ValueError(f"swaps: got keypoints of skeleton {keypoints.skeleton.name}, wanted one of {', '.join(_MEMBERS)}")
        now = packet.frame.media_ns
        self._states = {t: s for t, s in self._states.items() if 0 <= now - s.time_ns <= MAX_GAP_NS}
        swapped = np.zeros((keypoints.people, len(PARTS)), bool)
        for person, track in enumerate(keypoints.track.tolist()):
            swapped[person] = self._follow(track, keypoints.xy_px[person], now, keypoints.skeleton)
        return finish(packet, self.name, start, keypoints=exchanged(keypoints, swapped))

    def _follow(self, track: int, xy: np.ndarray, now: int, skeleton: Skeleton) -> np.ndarray:
        """Which parts (2,) bool of this person are exchanged now."""
        state = self._states.get(track)
        torso = _torso(xy, skeleton)
        if state is None or state.time_ns == now or not (state.torso > 0 or torso > 0):
            self._states[track] = _State(now, xy.copy(), np.zeros_like(xy), torso, [now, now])
            return np.zeros(len(PARTS), bool)
        seconds = (now - state.time_ns) / 1e9
        predicted = state.xy + state.velocity * seconds
        off = np.hypot(*(xy - predicted).T)
        off = off[np.isfinite(off)]
        if len(off) == 0 or np.median(off) > JUMP * (state.torso or torso):
            self._states[track] = _State(now, xy.copy(), np.zeros_like(xy), torso, [now, now])
            return np.zeros(len(PARTS), bool)
        evidence = self._evidence(xy, predicted, state.torso or torso, seconds, skeleton)
        before = tuple(since is not None for since in state.since)
        best = max(COSTS, key=lambda parts: np.dot(parts, evidence) - (0.0 if parts == before else COSTS[parts]))
        for part, active in enumerate(best):
            since = state.since[part]
            if since is None and active:
                state.since[part] = now
                self.repairs += 1
                logging.getLogger(__name__).info("left and right of the %s of person %d exchanged at %.3f s", PARTS[part], track, now / 1e9)
            elif since is not None and not active:
                state.since[part] = None
            elif since is not None and now - since > min(MAX_HOLD_NS, since - state.agreed[part]):
                # Given up: the detector's sides are taken as they are, and so is where they were.
                members = _MEMBERS[skeleton.name][part]
                state.since[part], state.agreed[part] = None, now
                state.xy[members], state.velocity[members] = xy[members], 0.0
        swapped = np.array([since is not None for since in state.since])
        self._update(state, xy[_order(swapped, skeleton)], now, torso)
        return swapped

    @staticmethod
    def _evidence(xy: np.ndarray, predicted: np.ndarray, torso: float, seconds: float, skeleton: Skeleton) -> list[float]:
        sigma = torso * float(np.hypot(POSITION_SIGMA, SPEED_SIGMA * seconds))
        out = []
        for voters in _VOTERS[skeleton.name]:
            logs = []
            for points in (xy[skeleton.mirror][voters], xy[voters]):
                squared = np.square(points - predicted[voters]).sum(-1) / (2 * sigma**2)
                logs.append(np.log(np.exp(-squared) + _OUTLIER))
            out.append(float(np.nansum(logs[0] - logs[1])) / 2)
        return out

    @staticmethod
    def _update(state: _State, xy: np.ndarray, now: int, torso: float) -> None:
        seconds = (now - state.time_ns) / 1e9
        share = 1 - np.exp(-seconds / VELOCITY_TIME_S)
        moved = (xy - state.xy) / seconds
        state.velocity += share * np.where(np.isfinite(moved), moved - state.velocity, -state.velocity)
        state.xy = np.where(np.isfinite(xy), xy, state.xy)
        state.time_ns, state.torso = now, torso or state.torso


def exchanged(keypoints: Keypoints2D, swapped: np.ndarray) -> Keypoints2D:
    """The keypoints with left and right of the parts in `swapped` (P, 2) exchanged, with all that belongs to a point."""
    result = replace(keypoints, swapped=swapped)
    if not swapped.any():
        return result
    order = np.stack([_order(row, keypoints.skeleton) for row in swapped])
    people = np.arange(keypoints.people)[:, None]
    return replace(
        result,
        xy_px=keypoints.xy_px[people, order],
        score=keypoints.score[people, order],
        spread_px=None if keypoints.spread_px is None else keypoints.spread_px[people, order],
        second_px=None if keypoints.second_px is None else keypoints.second_px[people, order],
    )


def _order(swapped: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(J,) index that exchanges the sides of the given parts (2,), and of the face where both are."""
    order = np.arange(skeleton.num_joints)
    parts = _MEMBERS[skeleton.name]
    for members, active in zip(parts, (*swapped, swapped.all()), strict=True):
        if active:
            order[members] = skeleton.mirror[members]
    return order


def _torso(xy: np.ndarray, skeleton: Skeleton) -> float:
    """Distance from the middle of the shoulders to that of the hips, px; 0 where unknown. A person who bends down keeps some of it."""
    (shoulders, hips) = (xy[list(pair)].mean(0) for pair in _TRUNK[skeleton.name])
    length = float(np.hypot(*(shoulders - hips)))
    width = float(np.hypot(*(xy[_TRUNK[skeleton.name][0][0]] - xy[_TRUNK[skeleton.name][0][1]])))
    return max(length, width) if np.isfinite(length + width) else 0.0
