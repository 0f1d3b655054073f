"""The measures of the three data sets: AP by OKS (faster-coco-eval), MPJPE and PA-MPJPE, absolute and relative point errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pose_rt.errors import UsageError
from pose_rt.metrics.pose3d import mpjpe, pa_mpjpe

from .h36m import from_pixels
from .transforms import DEPTH_MM

COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000.0
"""COCO's spread of each joint, as a share of the root of the person's area."""
COCO_STATS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting", "SittingDown", "Smoking", "Photo",
    "Waiting", "Walking", "WalkDog", "WalkTogether",
)  # fmt: skip
NMS_THRESHOLD = 0.9
_TINY_INTEROCULAR_PX = 1e-3


def oks(one: np.ndarray, others: np.ndarray, area: float, areas: np.ndarray, sigmas: np.ndarray = COCO_SIGMAS) -> np.ndarray:
    """Object keypoint similarity of a person (K, 2) with others (n, K, 2): mean over joints of exp(-d^2 / (2 (2 sigma)^2 A)).

    A is the mean of the two areas; all joints count.
    """
    distance = ((others - one) ** 2).sum(-1)
    mean = (area + areas) / 2 + np.spacing(1)
    return np.asarray(np.exp(-distance / (2 * (2 * sigmas) ** 2) / mean[:, None]).mean(-1))


def oks_nms(points: np.ndarray, scores: np.ndarray, areas: np.ndarray, threshold: float = NMS_THRESHOLD) -> list[int]:
    """Greedy suppression by score among the people of one picture: rows that stay, best first.

    Args:
        points: (n, K, 2) px.
        scores, areas: (n,).
    """
    order = np.argsort(scores)[::-1]
    kept: list[int] = []
    while len(order):
        best = int(order[0])
        kept.append(best)
        rest = order[1:]
        order = rest[oks(points[best], points[rest], float(areas[best]), areas[rest]) <= threshold] if len(rest) else rest
    return kept


def suppress(people: Sequence[dict[str, Any]], threshold: float = NMS_THRESHOLD) -> list[int]:
    """`oks_nms` picture by picture, for COCO results that have an area; rows that stay."""
    by_image: dict[Any, list[int]] = {}
    for row, person in enumerate(people):
        by_image.setdefault(person["image_id"], []).append(row)
    kept: list[int] = []
    for rows in by_image.values():
        points = np.array([people[r]["keypoints"] for r in rows], np.float64).reshape(len(rows), -1, 3)[..., :2]
        scores, areas = (np.array([people[r][key] for r in rows], np.float64) for key in ("score", "area"))
        kept += [rows[i] for i in oks_nms(points, scores, areas, threshold)]
    return kept


def person_score(joint_scores: np.ndarray, detection: np.ndarray | float = 0.0) -> np.ndarray:
    """(N, K) joint scores -> (N,): their mean plus their maximum, plus the score of the detection where there is one."""
    return np.asarray(joint_scores.mean(-1) + joint_scores.max(-1) + detection)


def coco_results(
    points: np.ndarray, joint_scores: np.ndarray, image_id: np.ndarray, scores: np.ndarray, box: np.ndarray, category: int = 1
) -> list[dict[str, Any]]:
    """COCO's result entries, with the area of the crop's box (N, 4) for `suppress`."""
    keypoints = np.concatenate([points, joint_scores[..., None]], -1).reshape(len(points), -1)
    areas = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    return [
        {"image_id": int(i), "category_id": category, "keypoints": k.tolist(), "score": float(s), "area": float(a),
         "bbox": [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]}
        for i, k, s, a, b in zip(image_id, keypoints, scores, areas, box, strict=True)
    ]  # fmt: skip


def coco_ap(truth: dict[str, Any], results: Sequence[dict[str, Any]], sigmas: np.ndarray | None = None) -> dict[str, float]:
    """COCO's ten keypoint numbers, AP averaged over OKS 0.50:0.05:0.95.

    Args:
        truth: a COCO annotation object.
        results: COCO result entries, at least one.
        sigmas: of the joints; None = COCO's.

    Raises:
        UsageError: the package faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise UsageError("COCO AP needs the package faster-coco-eval", "pip install 'pose-rt[train]'") from error

    def silent(*_: object) -> None:
        return None

    known = COCO({"info": {}, **truth}, print_function=silent)
    found = known.loadRes([{key: value for key, value in entry.items() if key != "area"} for entry in results])
    judge = COCOeval_faster(
        known, found, iouType="keypoints", print_function=silent, kpt_oks_sigmas=None if sigmas is None else sigmas.tolist()
    )
    judge.params.imgIds = sorted({entry["image_id"] for entry in truth["annotations"]} | {entry["image_id"] for entry in results})
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return {name: float(value) for name, value in zip(COCO_STATS, judge.stats, strict=False)}


def h36m_poses(uvd: np.ndarray, root_depth_mm: np.ndarray, focal: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Predictions (N, 18, 3) in px, px, normalised z -> root-relative camera poses (N, 17, 3) in mm, the thorax left out."""
    scaled = uvd.astype(np.float64) * np.array([1.0, 1.0, DEPTH_MM])
    camera = from_pixels(scaled, root_depth_mm, focal, centre)
    return np.asarray((camera - camera[:, :1])[:, :17])


def h36m_errors(predicted: np.ndarray, camera_mm: np.ndarray, action: np.ndarray) -> dict[str, Any]:
    """MPJPE and PA-MPJPE over 17 joints (the root with 0), over all poses and by action; mm.

    Args:
        predicted: (N, 17, 3) root-relative.
        camera_mm: (N, 18, 3).
    """
    target = (camera_mm - camera_mm[:, :1])[:, :17]
    errors = {"mpjpe_mm": mpjpe(predicted, target), "pa_mpjpe_mm": pa_mpjpe(predicted, target)}
    by_action = {
        ACTIONS[a]: {name: float(values[action == a].mean()) for name, values in errors.items()}
        for a in sorted(set(action.tolist())) if 0 <= a < len(ACTIONS)
    }  # fmt: skip
    return {**{name: float(values.mean()) for name, values in errors.items()}, "by_action": by_action}


def mtfl_errors(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Abs: the mean point error, px. Rel: 100 x the error over the distance of the eyes, averaged over pictures; (N, 5, 2) each.

    Pictures whose eyes coincide count in neither.
    """
    error = np.linalg.norm(predicted - target, axis=-1).mean(-1)
    eyes = np.linalg.norm(target[:, 0] - target[:, 1], axis=-1)
    use = eyes >= _TINY_INTEROCULAR_PX
    if not use.any():
        return {"abs_px": float("nan"), "rel_percent": float("nan")}
    return {"abs_px": float(error[use].mean()), "rel_percent": 100 * float((error[use] / eyes[use]).mean())}
