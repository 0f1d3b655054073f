"""The rows a packet comes to when it is saved: one a person, the parts of each stage joined by the person's track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.types import PARTS, Packet


@dataclass(frozen=True)
class Person:
    """What is known of one person in one frame; None where a stage has not run or not seen this person.

    Attributes:
        track: the person's number.
        box_px: (4,) left, top, right, bottom.
        score: of the person, in [0, 1]: the presence the 2D network gave, else the mean of the joint scores.
        xy_px: (J, 2); joint_score: (J,); spread_px: (J,) or None.
        joints_m, sigma_m, root_m, provenance: (17, 3), (17,), (3,), (17,) or None.
        hypotheses_m: (H, 17, 3) or None.
        futures_m: (K, T, 17, 3) or None.
        swapped: parts ("legs", "arms") whose left and right were put right.
    """

    track: int
    box_px: np.ndarray
    score: float
    xy_px: np.ndarray
    joint_score: np.ndarray
    spread_px: np.ndarray | None
    joints_m: np.ndarray | None
    sigma_m: np.ndarray | None
    root_m: np.ndarray | None
    provenance: np.ndarray | None
    hypotheses_m: np.ndarray | None
    futures_m: np.ndarray | None
    swapped: tuple[str, ...] = ()


def people_of(packet: Packet) -> list[Person]:
    """The people of a packet in the order of its 2D keypoints; none where the 2D stage has not run."""
    points, pose, forecast = packet.keypoints, packet.pose, packet.forecast
    if points is None:
        return []
    presence = {} if packet.heatmaps is None else dict(zip(packet.heatmaps.track.tolist(), packet.heatmaps.presence.tolist(), strict=True))
    in_pose = {} if pose is None else {track: row for row, track in enumerate(pose.track.tolist())}
    in_forecast = {} if forecast is None else {track: row for row, track in enumerate(forecast.track.tolist())}
    people = []
    for row, track in enumerate(points.track.tolist()):
        p, f = in_pose.get(track), in_forecast.get(track)
        seen = pose if p is not None else None
        people.append(
            Person(
                track=track,
                box_px=points.box_px[row],
                score=presence.get(track, _mean(points.score[row])),
                xy_px=points.xy_px[row],
                joint_score=points.score[row],
                spread_px=None if points.spread_px is None else points.spread_px[row],
                joints_m=None if seen is None else seen.joints_m[p],
                sigma_m=None if seen is None else seen.sigma_m[p],
                root_m=None if seen is None or seen.root_m is None else seen.root_m[p],
                provenance=None if seen is None else seen.provenance[p],
                hypotheses_m=None if seen is None else seen.hypotheses_m[p],
                futures_m=None if forecast is None or f is None else forecast.futures_m[f],
                swapped=() if points.swapped is None else tuple(part for part, yes in zip(PARTS, points.swapped[row], strict=True) if yes),
            )
        )
    return people


def _mean(score: np.ndarray) -> float:
    finite = score[np.isfinite(score)]
    return float(finite.mean()) if finite.size else 0.0
