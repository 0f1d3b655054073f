"""A network over a data set: predictions, and the numbers of its task."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_rt.core.skeleton import COCO17
from pose_rt.errors import InputError
from pose_rt.models.sampling_argmax import Decoded, HeatmapNetwork, decode_peaks, merge_flipped, to_image
from pose_rt.models.sampling_argmax.checkpoint import Trained

from . import scoring
from .annotations import Annotations
from .calibration import calibrate, spread_of
from .dataset import Batch, People, batches, plain_places
from .trainer import normalised
from .transforms import CropTransform

Progress = Callable[[float], None]
_OWN_SIGMA = 0.05
"""OKS spread of joints that COCO has not."""
_BODY_SHARE = 0.53
"""Of a person's box that the body covers, where annotations give no area."""


@dataclass(frozen=True)
class Predictions:
    """Of the people whose picture could be read.

    Attributes:
        points: (N, K, 2 or 3) px of the pictures, z in [-1/2, 1/2].
        scores: (N, K).
        spread: (N, K) px of the pictures, one standard deviation a coordinate.
        box: (N, 4) of the crops.
        row: (N,) of the annotations.
        broken: files that could not be read.
    """

    points: np.ndarray
    scores: np.ndarray
    spread: np.ndarray
    box: np.ndarray
    row: np.ndarray
    broken: tuple[str, ...]


def _decoded(network: HeatmapNetwork, images: Tensor, peaks: bool) -> Decoded:
    if peaks:
        return decode_peaks(network.logits(images))
    found = network(images)
    assert isinstance(found, Decoded)
    return found


@torch.no_grad()
def predict(
    trained: Trained,
    annotations: Annotations,
    transform: CropTransform,
    *,
    batch: int = 64,
    workers: int = 0,
    flip: bool = False,
    shift: bool = True,
    peaks: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = lambda _done: None,
) -> Predictions:
    """Run the network over all people.

    Args:
        flip: average with the mirrored picture; `shift` as in `merge_flipped`.
        peaks: read off the highest cell instead of the mean.

    Raises:
        InputError: another number of joints than the network's, or no picture can be read.
    """
    network = trained.network.to(device).eval()
    config = network.config.head
    if len(annotations.names) != config.joints:
        raise InputError(f"the annotations have {len(annotations.names)} joints, the network {config.joints}", "give other annotations")
    people = People([(annotations, transform)], seed=0)
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    broken: list[str] = []
    for count, found in enumerate(batches(people, places := plain_places(len(people), batch), workers)):
        broken += found.broken
        if len(found.row):
            for column, value in zip(columns, _one(network, trained, annotations, found, (flip, shift, peaks), device), strict=True):
                column.append(value)
        progress((count + 1) / len(places))
    if not columns[0]:
        raise InputError(f"none of the {len(people)} pictures can be read, such as {broken[0]}", "give their folder with --images")
    points, scores, spread, box, row = (np.concatenate(column) for column in columns)
    return Predictions(points, scores, spread, box, row, tuple(sorted(set(broken))))


def _one(
    network: HeatmapNetwork, trained: Trained, annotations: Annotations, batch: Batch, how: tuple[bool, bool, bool], device: Any
) -> list[np.ndarray]:
    flip, shift, peaks = how
    images = normalised(batch.images.to(device), trained)
    decoded = _decoded(network, images, peaks)
    points, scores = decoded.pred_jts, decoded.maxvals
    grid = network.config.head.grid
    if flip:
        mirrored = _decoded(network, images.flip(-1), peaks)
        points, scores = merge_flipped(
            points, scores, mirrored.pred_jts, mirrored.maxvals, mirror=annotations.mirror, width=grid[-1], shift=shift
        )
    box = batch.box.to(points.device)
    cell = (box[:, 2] - box[:, 0]) / grid[-1]
    spread = spread_of(decoded, network.config.head) * cell[:, None]
    return [np.asarray(t.cpu()) for t in (to_image(points, box, grid), scores[..., 0], spread, batch.box, batch.row)]


def score(trained: Trained, annotations: Annotations, found: Predictions, truth_json: Path | None = None) -> dict[str, Any]:
    """The numbers of the task.

    COCO and one's own pictures: AP where `truth_json` (COCO annotations) is given, and the mean point error in px over labelled joints.
    Human3.6M: MPJPE and PA-MPJPE, by action. MTFL: Abs and Rel. The flat tasks also tell how well the spread is calibrated.
    """
    row, target, known = found.row, annotations.joints[found.row], annotations.visible[found.row]
    values: dict[str, Any] = {"people": len(row), "broken_pictures": len(found.broken)}
    if trained.task == "h36m":
        extra = annotations.extra
        poses = scoring.h36m_poses(found.points, extra["camera_mm"][row, 0, 2], extra["focal"][row], extra["centre"][row])
        return {**values, **scoring.h36m_errors(poses, extra["camera_mm"][row], extra["action"][row])}
    labelled = known[..., 0] > 0
    if labelled.any():
        offset = (found.points - target)[labelled]
        values["error_px"] = float(np.linalg.norm(offset, axis=-1).mean())
        if len(offset) >= 100:
            values["calibration"] = calibrate(offset, found.spread[labelled]).to_dict()
    if trained.task == "mtfl":
        return {**values, **scoring.mtfl_errors(found.points, target)}
    if truth_json is not None:
        truth = json.loads(truth_json.read_text(encoding="utf-8"))
        people = results_of(trained, annotations, found)
        if "score" in annotations.extra:
            people = [people[i] for i in scoring.suppress(people)]
        known_sigmas = trained.task == "coco" or trained.names == COCO17.joints
        values.update(scoring.coco_ap(with_areas(truth), people, None if known_sigmas else np.full(len(trained.names), _OWN_SIGMA)))
    return values


def results_of(trained: Trained, annotations: Annotations, found: Predictions) -> list[dict[str, Any]]:
    """COCO's result entries."""
    detection = annotations.extra.get("score")
    scores = scoring.person_score(found.scores, 0.0 if detection is None else detection[found.row])
    return scoring.coco_results(found.points[..., :2], found.scores, annotations.image_id[found.row], scores, found.box)


def with_areas(truth: dict[str, Any]) -> dict[str, Any]:
    """A COCO object whose entries have all that the evaluation reads; own annotations may lack area, iscrowd and num_keypoints."""
    entries = []
    for entry in truth["annotations"]:
        points = np.array(entry.get("keypoints") or [0, 0, 0], float).reshape(-1, 3)
        seen = points[points[:, 2] > 0, :2]
        span = np.ptp(seen, axis=0) if len(seen) else np.zeros(2)
        left, top = seen.min(0) if len(seen) else np.zeros(2)
        box = entry.get("bbox", [float(left), float(top), float(span[0]), float(span[1])])
        standard = {"area": float(box[2] * box[3]) * _BODY_SHARE, "iscrowd": 0, "num_keypoints": len(seen), "bbox": box}
        entries.append({**standard, **entry})
    return {**truth, "annotations": entries}


HEADLINES = {"coco": "AP", "images": "error_px", "h36m": "mpjpe_mm", "mtfl": "rel_percent"}
"""The number by which the best epoch of a task is chosen; AP is better when it is larger, the others when smaller."""
