"""Picture -> regions of interest: those of the people being followed, and new ones from the person detector."""

from __future__ import annotations

import time

import numpy as np

from .. import ops
from ..backends import Backend
from ..core.types import Frame, Packet, Rois
from .base import finish
from .crop import letterbox_roi, rois_from_points, usable
from .identity import Tracker

SIZE = 224


def find_people(backend: Backend, frame: Frame, min_score: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Run the detector on a whole picture.

    Returns:
        keypoints (n, 4, 2) float32 px: mid-hip, scale point of the whole body, mid-shoulder, scale point of the upper body; score
        (n,) float32; best first.
    """
    square = letterbox_roi(frame.width, frame.height)
    image = ops.crop_warp(frame.bgr, square, SIZE, border="zero", scale=2 / 255, bias=-1.0, fixed_point=True)
    raw = backend.run({"image": image})
    _, keypoints, score = ops.decode_detections(raw["boxes"][0], np.ascontiguousarray(raw["scores"][0, :, 0]), threshold=min_score)
    return (keypoints - np.float32(0.5)) * square[0, 2] + square[0, :2], score


class Detect:
    """Packets out with `rois`: the people of the tracker, and new ones while there are fewer than it may follow.

    With nobody to follow the detector runs on every frame; with some, but fewer than the most, on every `every`-th; with all, never.

    Args:
        backend: the detector network.
        tracker: shared with the Track stage.
        min_score: least score of a detection.
        every: frames from one run of the detector to the next while somebody is followed.
    """

    name = "detect"

    def __init__(self, backend: Backend, tracker: Tracker, min_score: float = 0.5, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"every: got {every}, wanted at least 1")
        self.backend, self.tracker, self.min_score, self.every = backend, tracker, min_score, every
        self.reset()

    def reset(self) -> None:
        """Forget the people and the picture's size."""
        self.tracker.reset()
        self._since = 0
        self._size: tuple[int, int] | None = None

    def close(self) -> None:
        self.backend.close()

    def __call__(self, packet: Packet) -> Packet:
        start, frame = time.monotonic_ns(), packet.frame
        if self._size not in (None, (frame.width, frame.height)):
            self.tracker.lose_all()  # another picture size: the old places mean nothing
        self._size = (frame.width, frame.height)
        live = self.tracker.live()
        self._since += 1
        people = len(live.track)
        if people == 0 or (people < self.tracker.max_people and self._since >= self.every):
            self._since = 0
            keypoints, _ = find_people(self.backend, frame, self.min_score)
            found = rois_from_points(keypoints[:, 0], keypoints[:, 1])
            new = self.tracker.propose(found[usable(found, frame.width, frame.height)], frame.media_ns)
            live = Rois(np.concatenate([live.roi, new.roi]), np.concatenate([live.track, new.track]))
        return finish(packet, self.name, start, rois=live)
