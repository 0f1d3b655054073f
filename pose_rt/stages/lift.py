"""2D keypoints over time -> 3D hypotheses -> one pose with its uncertainty: the D3DP stage.

A pose needs the keypoints around it in time, so this stage may hold packets back: `push` returns those that are ready, in order.
With `lookahead` None (files) every frame is seen by overlapping windows centred on it; with `lookahead` N (live) a packet leaves
when N newer frames have come, and its window ends there.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pose_rt import ops
from pose_rt.core.camera import Camera
from pose_rt.core.root import estimate_root
from pose_rt.core.skeleton import H36M17, Skeleton, to_h36m
from pose_rt.core.types import MEASURED, Keypoints2D, Packet, Pose3D, Span

from .segment import Segment
from .window import MAX_GAP_NS, between, causal_times

if TYPE_CHECKING:
    from .lifter import Lifter

ROOT_MIN_CUTOFF_HZ, ROOT_BETA = 0.5, 0.3
"""One-Euro filter of the root's place: its depth is the least certain thing a single camera sees."""

JUMP = 0.7
"""Of a person's extent in the picture: farther does nobody get within `MAX_GAP_NS`, at 5 m/s."""


class Lift:
    """Packets with `keypoints` in, the same packets with `pose` out, in order.

    Args:
        lifter: the model and its sampler.
        camera: of the source.
        lookahead: frames a packet waits for; None = centred windows with overlap blending.
        aggregate: "mean", or "jpma" (per joint, the hypothesis that reprojects nearest).
        warm_start: with look-ahead, denoise each window from the one before, moved along in time, instead of from pure noise.
    """

    name = "lift"

    def __init__(
        self, lifter: Lifter, camera: Camera, *, lookahead: int | None = None, aggregate: str = "mean", warm_start: bool = False
    ) -> None:
        if lookahead is not None and lookahead < 0:
            raise ValueError(f"lookahead: got {lookahead}, wanted a number of frames, 0 or more")
        if aggregate not in ("jpma", "mean"):
            raise ValueError(f"aggregate: got {aggregate!r}, wanted 'jpma' or 'mean'")
        self.lifter, self.camera, self.lookahead, self.aggregate, self.warm_start = lifter, camera, lookahead, aggregate, warm_start
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pose-rt-lift")  # starts its thread with the first block
        self.reset()

    def reset(self) -> None:
        """Forget all tracks and packets."""
        self._waiting: deque[tuple[Packet, list[Segment]]] = deque()
        self._segments: dict[int, Segment] = {}
        self._root_state: dict[int, tuple[Segment, ops.OneEuroState]] = {}

    def close(self) -> None:
        """End the worker and release the model; safe to call twice."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        self.lifter.close()

    def push(self, packet: Packet) -> list[Packet]:
        """Take the next packet; return those whose pose is settled."""
        keypoints = packet.keypoints
        if keypoints is None:
            raise ValueError("lift: the packet has no keypoints; run the 2D stages first")
        now = packet.frame.media_ns
        start = time.monotonic_ns()
        xy, score = lifter_keypoints(keypoints, self.lifter.skeleton_in)
        present = set(keypoints.track.tolist())
        for track, segment in list(self._segments.items()):
            if not 0 <= now - segment.series.last_ns <= MAX_GAP_NS:  # lost for too long, or the source has jumped back
                if self.lookahead is None:
                    segment.finish()
                del self._segments[track]
        segments = []
        for person, track in enumerate(keypoints.track.tolist()):
            if track not in self._segments or teleported(self._segments[track], xy[person]):
                if track in self._segments and self.lookahead is None:
                    self._segments[track].finish()
                self._segments[track] = Segment(track, now, self.lifter, self.camera, self._worker)
            segment = self._segments[track]
            segment.series.append(now, np.concatenate([xy[person], score[person][:, None]], -1))
            if self.lookahead is None:
                segment.advance()
            segments.append(segment)
        for track in [t for t, (s, _) in self._root_state.items() if t not in present and s not in self._segments.values()]:
            del self._root_state[track]
        self._waiting.append((packet, segments))
        return self._release(now, start)

    def flush(self) -> list[Packet]:
        """The source has ended: settle and return all that is held back."""
        start = time.monotonic_ns()
        out = []
        if self.lookahead is None:
            for segment in self._segments.values():
                segment.finish()
            out = self._release_settled(start, wait=True)
        else:
            newest = self._waiting[-1][0].frame.media_ns if self._waiting else 0
            while self._waiting:
                out.append(self._lift_causal(newest, start))
        self._segments.clear()
        return out

    def _release(self, now: int, start: int) -> list[Packet]:
        if self.lookahead is None:
            return self._release_settled(start)
        return [self._lift_causal(now, start)] if len(self._waiting) > self.lookahead else []

    def _release_settled(self, start: int, wait: bool = False) -> list[Packet]:
        """Packets from the front of the queue whose blocks are done; with `wait`, those too whose blocks are in work."""
        out = []
        while self._waiting:
            packet, segments = self._waiting[0]
            if not all(s.settled(packet.frame.media_ns) if wait else s.ready(packet.frame.media_ns) for s in segments):
                break
            self._waiting.popleft()
            hypotheses = [segment.at(packet.frame.media_ns) for segment in segments]
            out.append(self._finish(packet, segments, np.stack(hypotheses) if hypotheses else self._nobody(), start))
            start = time.monotonic_ns()
        return out

    def _lift_causal(self, newest_ns: int, start: int) -> Packet:
        packet, segments = self._waiting.popleft()
        target, frames, step_ns = packet.frame.media_ns, self.lifter.frames, self.lifter.step_ns
        if not segments:
            return self._finish(packet, segments, self._nobody(), start)
        times, windows, hypotheses = [], [], []
        for segment in segments:
            at = causal_times(target, min(newest_ns, segment.series.last_ns), frames, step_ns)
            times.append(at)
            windows.append(segment.series.sample(at)[..., :2])
            segment.series.drop_before(target - frames * step_ns)
        known = [segment.previous is not None for segment in segments]
        lifted = np.empty((len(segments), self.lifter.hypotheses, frames, H36M17.num_joints, 3), np.float32)
        for warm in (True, False):
            rows = [row for row, has in enumerate(known) if has is warm]
            if rows:
                previous = np.stack([segments[row].moved_to(times[row]) for row in rows]) if warm else None
                tracks = [segments[row].track for row in rows]
                lifted[rows] = self.lifter(np.stack([windows[row] for row in rows]), self.camera, tracks, previous)
        for segment, at, window in zip(segments, times, lifted, strict=True):
            if self.warm_start:
                segment.previous = (int(at[0]), window)
            # Window frames before the first measurement hold that measurement: they stand for its time.
            place = np.interp(target, np.maximum(at, segment.series.first_ns), np.arange(frames))
            hypotheses.append(between(window, float(place), 1))
        return self._finish(packet, segments, np.stack(hypotheses), start)

    def _nobody(self) -> np.ndarray:
        return np.zeros((0, self.lifter.hypotheses, H36M17.num_joints, 3), np.float32)

    def _finish(self, packet: Packet, segments: list[Segment], hypotheses: np.ndarray, start: int) -> Packet:
        """Aggregate hypotheses (P, H, J, 3) into the packet's pose."""
        assert packet.keypoints is not None
        xy, score = h36m_keypoints(packet.keypoints)
        hypotheses = np.ascontiguousarray(hypotheses)
        mean = hypotheses.mean(1)
        root = estimate_root(xy, mean, self.camera.focal_px, self.camera.center, weight=score, robust_iterations=1)
        joints, spread, chosen = _aggregate(hypotheses, self.aggregate, xy, root, self.camera)
        pose = Pose3D(
            joints_m=joints,
            hypotheses_m=hypotheses,
            sigma_m=self.lifter.sigma(spread),
            root_m=self._smooth_root(root, segments, packet.frame.media_ns),
            provenance=np.full(joints.shape[:2], MEASURED, np.uint8),
            track=packet.keypoints.track,
            skeleton=H36M17,
            chosen=chosen,
        )
        return replace(packet, pose=pose, spans=(*packet.spans, Span(self.name, start, time.monotonic_ns())))

    def _smooth_root(self, root: np.ndarray, segments: list[Segment], time_ns: int) -> np.ndarray:
        out = np.empty(root.shape, np.float32)
        for person, segment in enumerate(segments):
            known, state = self._root_state.get(segment.track, (None, None))
            if known is not segment or state is None:
                state = ops.OneEuroState.empty(1, 3)
                self._root_state[segment.track] = (segment, state)
            row = np.ascontiguousarray(root[person : person + 1])
            ops.one_euro(row, state, time_ns / 1e9, min_cutoff=ROOT_MIN_CUTOFF_HZ, beta=ROOT_BETA, out=out[person : person + 1])
        return out


def teleported(segment: Segment, xy: np.ndarray) -> bool:
    """Whether a person's points (J, 2) lie farther from where they were than anybody gets within a gap: a cut of the film, or somebody
    else under the same number."""
    middles, sizes = [], []
    for points in (segment.series.last[:, :2], xy):
        seen = points[np.isfinite(points).all(-1)]
        if len(seen) == 0:
            return False
        middles.append(seen.mean(0))
        sizes.append(float(np.ptp(seen, axis=0).max()))
    return float(np.hypot(*(middles[1] - middles[0]))) > JUMP * max(sizes)


def h36m_keypoints(keypoints: Keypoints2D) -> tuple[np.ndarray, np.ndarray]:
    """The lifter's 17 points (P, 17, 2) px and their scores (P, 17) from whatever the 2D model gives."""
    if keypoints.skeleton is H36M17:
        return keypoints.xy_px, keypoints.score
    xy, score = to_h36m(keypoints.xy_px, keypoints.score, keypoints.skeleton)
    assert score is not None
    return xy, score


def lifter_keypoints(keypoints: Keypoints2D, wanted: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The points (P, J, 2) px and scores (P, J) in the joint order that a lifter was trained with.

    Raises:
        ValueError: the order is neither that of the keypoints nor H36M-17, to which others are mapped.
    """
    if keypoints.skeleton is wanted:
        return keypoints.xy_px, keypoints.score
    if wanted is not H36M17:
        raise ValueError(f"lift: got keypoints of skeleton {keypoints.skeleton.name}, this lifter takes {wanted.name} only")
    return h36m_keypoints(keypoints)


def _aggregate(
    hypotheses: np.ndarray, mode: str, xy: np.ndarray, root: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(P, H, J, 3) -> joints (P, J, 3), spread (P, J), chosen (P, J) or None: one frame through `ops.aggregate`."""
    one_frame = hypotheses[:, :, None]
    if mode == "mean":
        joints, spread, _ = ops.aggregate(one_frame, mode="mean")
        return joints[:, 0], spread[:, 0], None
    # A root that could not be estimated is NaN: its reprojections are NaN, and the op falls back to the mean for those joints.
    joints, spread, chosen = ops.aggregate(
        one_frame,
        mode="jpma",
        target_xy=np.ascontiguousarray(xy[:, None]),
        root=np.ascontiguousarray(root[:, None]),
        camera=camera.intrinsics,
        clamp=False,
    )
    return joints[:, 0], spread[:, 0], chosen[:, 0]
