"""Who is who from frame to frame: steady identities, smoothed landmarks, and the region where each person is looked for next."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .. import ops
from ..core.types import Heatmaps, Keypoints2D, Packet, Rois
from .base import finish
from .crop import ENLARGE, bounding_boxes, rois_from_points, to_image, usable
from .identity import Tracker
from .pose2d import AUXILIARY

MERGE_DISTANCE = 0.04
"""Two followed people whose landmarks lie apart, in the median, by less than this part of the ROI's side are one."""
_SCORE_ALPHA = 0.1
_MARGIN = 0.06
"""Of the larger side of the box of the joints: head, hands and feet reach beyond them."""
_SURE, _ENOUGH = 0.3, 4
"""The score of joints that place the next region, and how many there must be; else all do."""


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


def steering_points(heatmaps: Heatmaps, keypoints: Keypoints2D) -> np.ndarray:
    """(P, 2, 2) px: the centre of the next region, and the point straight above it on the circle round the body.

    BlazePose's networks find both. Of other models' keypoints the circle is half as wide as the box that training would cut: grown to
    the aspect ratio of the input, and a little (`_MARGIN`) since a body reaches beyond its joints.
    """
    if heatmaps.basis is None:
        refined, _, _ = ops.refine_heatmaps(
            np.ascontiguousarray(heatmaps.logits[:, AUXILIARY]), np.ascontiguousarray(heatmaps.points[:, AUXILIARY]), mode="mediapipe"
        )
        return to_image(refined, heatmaps.roi)
    points = np.empty((len(keypoints.track), 2, 2), np.float32)
    share = np.array(heatmaps.extent[2:])  # of the crop's side, on x and y
    for person, (xy, score) in enumerate(zip(keypoints.xy_px, keypoints.score, strict=True)):
        sure = xy[score >= _SURE] if (score >= _SURE).sum() >= _ENOUGH else xy
        low, high = sure.min(0), sure.max(0)
        extent = (high - low) + 2 * _MARGIN * (high - low).max()
        side = float((extent / share).max()) * heatmaps.enlarge / ENLARGE
        centre = (low + high) / 2
        points[person] = centre, centre - (0.0, side / 2)
    return points


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
        auxiliary = steering_points(heatmaps, keypoints)
        size = 2.0 * np.hypot(*(auxiliary[:, 1] - auxiliary[:, 0]).T.astype(np.float64))
        kept = self._distinct(keypoints, heatmaps.roi, np.flatnonzero((heatmaps.presence > self.min_presence) & (size > 1e-6)))
        here, remembered = set(keypoints.track[kept].tolist()), self.tracker.remembered()
        self._filters = {t: f for t, f in self._filters.items() if t in remembered or t in here}
        another = self.tracker.take_exchanged()
        for track, filters in self._filters.items():
            if track not in here or track in another:
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
