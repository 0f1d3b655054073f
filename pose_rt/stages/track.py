"""Who is who from frame to frame: steady identities, smoothed landmarks, and the region where each person is looked for next."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from .. import ops
from ..core.types import Keypoints2D, Packet, Rois
from .base import finish
from .crop import bounding_boxes, rois_from_points, to_image, usable
from .pose2d import AUXILIARY

SAME_DISTANCE = 0.2
"""A detection nearer to a followed person's centre than this part of their ROI's side is that person."""
MERGE_DISTANCE = 0.04
"""Two followed people whose landmarks lie apart, in the median, by less than this part of the ROI's side are one."""
MEMORY_NS = 2_000_000_000
"""A person found again within this time, near where they were lost and of like size, keeps their identity."""
RETURN_DISTANCE, RETURN_SIZE = 0.5, 1.5
_SCORE_ALPHA = 0.1


@dataclass(frozen=True)
class _Lost:
    track: int
    roi: np.ndarray
    media_ns: int


class Tracker:
    """Identities and regions of the people being followed; shared by the Detect stage (which proposes) and Track (which updates).

    A proposed identity becomes permanent with the first frame in which the landmark network confirms a person there.
    """

    def __init__(self, max_people: int = 1) -> None:
        if max_people < 1:
            raise ValueError(f"max_people: got {max_people}, wanted at least 1")
        self.max_people = max_people
        self.reset()

    def reset(self) -> None:
        """Forget everybody; identities start again from zero."""
        self.lose_all()
        self._next = 0

    def lose_all(self) -> None:
        """Stop following everybody, for good; later people get new identities."""
        self._live = Rois(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        self._lost: list[_Lost] = []

    def live(self) -> Rois:
        """The people being followed, in order of identity as they came."""
        return self._live

    def remembered(self) -> set[int]:
        """Identities that are followed, or were so lately that they can be taken up again."""
        return {*self._live.track.tolist(), *(person.track for person in self._lost)}

    def propose(self, found: np.ndarray, media_ns: int) -> Rois:
        """New people among detected ROIs (n, 4), best first: none that is followed already, and no more than there is room for."""
        taken = list(self._live.roi)
        used = set(self._live.track.tolist())
        rois, tracks, fresh = [], [], self._next
        for roi in found:
            if len(taken) >= self.max_people:
                break
            if any(np.hypot(*(roi[:2] - other[:2])) < SAME_DISTANCE * max(roi[2], other[2]) for other in taken):
                continue
            track = self._recall(roi, media_ns, used)
            if track is None:
                track, fresh = fresh, fresh + 1
            taken.append(roi)
            used.add(track)
            rois.append(roi)
            tracks.append(track)
        return Rois(np.array(rois, np.float32).reshape(-1, 4), np.array(tracks, np.int64))

    def update(self, rois: Rois, media_ns: int, followed: np.ndarray) -> None:
        """Where the confirmed people are to be looked for next; those not `followed` (P,) bool, and everybody else, are lost."""
        self._next = max([self._next, *(track + 1 for track in rois.track.tolist())])
        rois = Rois(rois.roi[followed], rois.track[followed])
        now = set(rois.track.tolist())
        gone = [
            _Lost(track, roi, media_ns) for track, roi in zip(self._live.track.tolist(), self._live.roi, strict=True) if track not in now
        ]
        self._lost = [p for p in self._lost + gone if p.track not in now and 0 <= media_ns - p.media_ns <= MEMORY_NS]
        self._live = rois

    def _recall(self, roi: np.ndarray, media_ns: int, used: set[int]) -> int | None:
        """The identity of the person lost nearest to this ROI, if time, place and size fit."""
        best, nearest = None, RETURN_DISTANCE
        for person in self._lost:
            distance = float(np.hypot(*(roi[:2] - person.roi[:2])) / max(roi[2], person.roi[2]))
            alike = max(roi[2], person.roi[2]) <= RETURN_SIZE * min(roi[2], person.roi[2])
            if person.track not in used and alike and distance < nearest and 0 <= media_ns - person.media_ns <= MEMORY_NS:
                best, nearest = person.track, distance
        return best


class _Filters:
    """One-Euro and score filters of one person (BlazePose's constants); x and y in px, speeds in body sizes."""

    def __init__(self, joints: int) -> None:
        self.auxiliary = ops.OneEuroState.empty(1, 4)
        self.landmarks = ops.OneEuroState.empty(1, 2 * joints)
        self.score: np.ndarray | None = None

    def interrupt(self) -> None:
        """The person was lost: positions start anew. The scores go on, as MediaPipe's do (measured)."""
        self.auxiliary.reset()
        self.landmarks.reset()

    def steer(self, auxiliary: np.ndarray, seconds: float, size: float) -> np.ndarray:
        """Filter the two points (2, 2) that place the next ROI."""
        flat = np.ascontiguousarray(auxiliary.reshape(1, 4))
        return ops.one_euro(flat, self.auxiliary, seconds, min_cutoff=0.01, beta=10.0, value_scale=1.0 / size).reshape(2, 2)

    def smooth(self, xy: np.ndarray, score: np.ndarray, seconds: float, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Filter landmarks (J, 2) and their scores (J,)."""
        flat = np.ascontiguousarray(xy.reshape(1, -1))
        smoothed = ops.one_euro(flat, self.landmarks, seconds, min_cutoff=0.05, beta=80.0, value_scale=1.0 / size).reshape(-1, 2)
        alpha = np.float32(_SCORE_ALPHA)
        self.score = score if self.score is None else alpha * score + (1 - alpha) * self.score
        return smoothed, self.score


class Track:
    """Packets with `heatmaps` and `keypoints` in; out go the keypoints of the people who are really there, smoothed.

    A person whose presence is not above `min_presence` is lost, and the filters forget where they were. The next ROI comes from the two
    auxiliary points, refined as MediaPipe does and always filtered. Two regions that came to hold one person are merged: the older
    stays. Smoothing uses the frames' own times.

    Args:
        tracker: shared with the Detect stage.
        min_presence: presence above which a person is there.
        smooth: filter the landmarks and their scores.
    """

    name = "track"

    def __init__(self, tracker: Tracker, min_presence: float = 0.5, smooth: bool = True) -> None:
        self.tracker, self.min_presence, self.smooth = tracker, min_presence, smooth
        self._filters: dict[int, _Filters] = {}

    def reset(self) -> None:
        """Forget everybody."""
        self.tracker.reset()
        self._filters = {}

    def close(self) -> None:
        """Nothing is held."""

    def __call__(self, packet: Packet) -> Packet:
        start, frame = time.monotonic_ns(), packet.frame
        heatmaps, keypoints = packet.heatmaps, packet.keypoints
        if heatmaps is None or keypoints is None:
            raise ValueError("track: the packet has no keypoints; run the pose2d and refine stages first")
        refined, _, _ = ops.refine_heatmaps(
            np.ascontiguousarray(heatmaps.logits[:, AUXILIARY]), np.ascontiguousarray(heatmaps.points[:, AUXILIARY]), mode="mediapipe"
        )
        auxiliary = to_image(refined, heatmaps.roi)
        size = 2.0 * np.hypot(*(auxiliary[:, 1] - auxiliary[:, 0]).T.astype(np.float64))
        kept = self._distinct(keypoints, heatmaps.roi, np.flatnonzero((heatmaps.presence > self.min_presence) & (size > 1e-6)))
        here, remembered = set(keypoints.track[kept].tolist()), self.tracker.remembered()
        self._filters = {t: f for t, f in self._filters.items() if t in remembered or t in here}
        for track, filters in self._filters.items():
            if track not in here:
                filters.interrupt()

        seconds = frame.media_ns * 1e-9
        xy, score = keypoints.xy_px[kept], keypoints.score[kept]
        steered = np.empty((len(kept), 2, 2), np.float32)
        for row, person in enumerate(kept):
            filters = self._filters.setdefault(int(keypoints.track[person]), _Filters(keypoints.skeleton.num_joints))
            steered[row] = filters.steer(auxiliary[person], seconds, size[person])
            if self.smooth:
                xy[row], score[row] = filters.smooth(xy[row], score[row], seconds, size[person])
        roi = rois_from_points(steered[:, 0], steered[:, 1])
        track = keypoints.track[kept]
        self.tracker.update(Rois(roi, track), frame.media_ns, usable(roi, frame.width, frame.height))
        result = replace(
            keypoints,
            xy_px=xy,
            score=score,
            spread_px=None if keypoints.spread_px is None else keypoints.spread_px[kept],
            second_px=None if keypoints.second_px is None else keypoints.second_px[kept],
            swapped=None if keypoints.swapped is None else keypoints.swapped[kept],
            box_px=bounding_boxes(xy, frame.width, frame.height),
            track=track,
        )
        return finish(packet, self.name, start, keypoints=result)

    @staticmethod
    def _distinct(keypoints: Keypoints2D, roi: np.ndarray, present: np.ndarray) -> np.ndarray:
        """The present people without those who are a second view of an older one (smaller identity)."""
        kept: list[int] = []
        for person in sorted(present.tolist(), key=lambda p: int(keypoints.track[p])):
            apart = [np.median(np.hypot(*(keypoints.xy_px[person] - keypoints.xy_px[other]).T)) / roi[other, 2] for other in kept]
            if all(distance >= MERGE_DISTANCE for distance in apart):
                kept.append(person)
        return np.array(sorted(kept), np.int64)
