"""Keypoints of other tools: each form is read as what it is, and what cannot be lifted is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_rt.core.skeleton import COCO17, H36M17, MPI17, to_h36m
from pose_rt.errors import InputError, PoseRtError, UsageError
from pose_rt.io.keypoints import Given, follow, likely_skeleton, read_keypoints
from pose_rt.io.keypoints_json import Person

# A person seen from the front, COCO-17 order, px.
BODY = np.array(
    [
        (640, 190), (648, 182), (632, 182), (656, 188), (624, 188), (690, 250), (590, 250), (705, 320), (575, 320), (712, 390), (568, 390),
        (670, 400), (610, 400), (672, 500), (608, 500), (674, 600), (606, 600),
    ],
    np.float32,
)  # fmt: skip
GIVEN = Given(size=(1280, 720), fps=25.0)
FRAMES = 4


def clip(frames: int = FRAMES) -> np.ndarray:
    """(F, 17, 2): the body moves 3 px to the right every frame."""
    return BODY + np.arange(frames)[:, None, None] * np.array([3.0, 0.0], np.float32)


def triples(xy: np.ndarray) -> list[float]:
    return np.concatenate([xy, np.full((len(xy), 1), 0.9)], 1).reshape(-1).tolist()


def openpose(xy: np.ndarray) -> list[float]:
    """BODY_25 with COCO's points in their places."""
    points = np.zeros((25, 3))
    points[[0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11], :2] = xy
    points[[0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11], 2] = 0.9
    return points.reshape(-1).tolist()


FORMS: dict[str, Any] = {
    "coco": lambda xy: [{"image_id": i, "category_id": 1, "keypoints": triples(p), "score": 0.9} for i, p in enumerate(xy)],
    "coco shuffled": lambda xy: [{"image_id": i, "keypoints": triples(xy[i]), "score": 0.9} for i in (2, 0, 3, 1)],
    "alphapose": lambda xy: [{"image_id": f"{i}.jpg", "keypoints": triples(p), "score": 2.0, "idx": [7]} for i, p in enumerate(xy)],
    "halpe": lambda xy: [{"image_id": f"{i}.jpg", "keypoints": triples(np.vstack([p, p[:9]])), "idx": 7} for i, p in enumerate(xy)],
    "openpose list": lambda xy: [{"people": [{"person_id": [-1], "pose_keypoints_2d": openpose(p)}]} for p in xy],
    "mmpose": lambda xy: {
        "meta_info": {"dataset_name": "coco"},
        "instance_info": [
            {"frame_id": i, "instances": [{"keypoints": p.tolist(), "keypoint_scores": [0.9] * 17}]} for i, p in enumerate(xy)
        ],
    },
    "mmpose lists": lambda xy: [[{"keypoints": p.tolist(), "keypoint_scores": [0.9] * 17, "bbox": [[0, 0, 9, 9]]}] for p in xy],
}


def written(folder: Path, value: Any) -> Path:
    path = folder / "keypoints.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_other_tools_mean_the_same(tmp_path: Path, form: str) -> None:
    read = read_keypoints(written(tmp_path, FORMS[form](clip())), GIVEN)
    np.testing.assert_array_equal(read.xy_px, clip())
    assert read.score.min() == pytest.approx(0.9)
    assert (read.skeleton, read.width, read.fps) == (COCO17, 1280, 25.0)


def test_a_folder_of_openpose_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for i, xy in enumerate(clip(12)):
        value = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": openpose(xy)}]}
        (tmp_path / f"cam_{i}_keypoints.json").write_text(json.dumps(value))
    np.testing.assert_array_equal(read_keypoints(tmp_path, GIVEN).xy_px, clip(12))


def test_our_own_lines_say_everything_themselves(tmp_path: Path) -> None:
    header = {"schema": "pose-rt/1", "fps": [30000, 1001], "width": 640, "height": 480, "skeleton2d": {"name": "coco17"}}
    lines = [header]
    for i, xy in enumerate(clip()):
        points = [[*map(float, p), 0.8] for p in xy / 2]
        points[3] = [None, None, 0.0]
        lines.append({"frame": i, "people": [{"id": 4, "kpts2d": points}] if i != 2 else []})
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    read = read_keypoints(path)
    assert (read.width, read.height, read.skeleton) == (640, 480, COCO17)
    assert read.fps == pytest.approx(29.97, abs=0.01)
    assert np.isnan(read.xy_px[2]).all()
    assert np.isnan(read.xy_px[:, 3]).all()
    np.testing.assert_allclose(read.xy_px[1, 5], clip()[1, 5] / 2)


def test_frames_in_which_nobody_is_are_kept(tmp_path: Path) -> None:
    entries = [{"image_id": i, "keypoints": triples(p)} for i, p in enumerate(clip(8)) if i not in (2, 3)]
    read = read_keypoints(written(tmp_path, entries), GIVEN)
    assert np.isfinite(read.xy_px).all((1, 2)).tolist() == [True, True, False, False, True, True, True, True]


def test_openpose_says_not_seen_by_a_zero(tmp_path: Path) -> None:
    points = openpose(BODY)
    points[3 * 4 : 3 * 4 + 3] = [0.0, 0.0, 0.0]  # the right wrist
    read = read_keypoints(written(tmp_path, {"people": [{"pose_keypoints_2d": points}]}), GIVEN)
    assert np.isnan(read.xy_px[0, COCO17.joints.index("right_wrist")]).all()
    assert np.isfinite(read.xy_px[0]).all(-1).sum() == 16


def test_people_without_ids_are_followed_by_where_they_stand() -> None:
    far = np.array([500.0, 0.0], np.float32)
    score = np.ones(17, np.float32)
    frames = [[Person(xy, score), Person(xy + far, score)][:: 1 if i % 2 else -1] for i, xy in enumerate(clip(6))]
    for i, frame in enumerate(follow(frames)):
        for person in frame:
            first = follow(frames)[0]
            start = next(p for p in first if p.track == person.track)
            np.testing.assert_allclose(person.xy - start.xy, np.broadcast_to([3.0 * i, 0.0], (17, 2)), atol=1e-3)


def test_the_person_of_most_frames_is_taken_and_others_are_named(tmp_path: Path) -> None:
    entries = [{"image_id": i, "keypoints": triples(p), "idx": 1} for i, p in enumerate(clip(6))]
    entries += [{"image_id": i, "keypoints": triples(p + 100), "idx": 2} for i, p in enumerate(clip(2))]
    path = written(tmp_path, entries)
    assert read_keypoints(path, GIVEN).people == ((1, 6), (2, 2))
    other = read_keypoints(path, GIVEN, person=2)
    np.testing.assert_allclose(other.xy_px[:2], clip(2) + 100)
    with pytest.raises(UsageError, match="no person 9; it has 1, 2"):
        read_keypoints(path, GIVEN, person=9)


def save(path: Path, **arrays: Any) -> Path:
    values = {"xy_px": clip(), "width": 1280, "height": 720, "fps": 25.0, "skeleton": "coco17"}
    np.savez(path, **{k: v for k, v in {**values, **arrays}.items() if v is not None})
    return path


def test_arrays_need_no_words(tmp_path: Path) -> None:
    read = read_keypoints(save(tmp_path / "k.npz"))
    np.testing.assert_array_equal(read.xy_px, clip())
    assert (read.fps, read.width, read.height, read.skeleton) == (25.0, 1280, 720, COCO17)


@pytest.mark.parametrize("skeleton", [H36M17, COCO17, MPI17])
def test_the_order_of_seventeen_joints_shows(skeleton: Any) -> None:
    """The three orders are told apart by their midpoints; noise without shape is none of them."""
    h36m = to_h36m(clip(), None, COCO17)[0]
    body = {"coco17": clip(), "h36m17": h36m, "mpi17": h36m[:, np.argsort([14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4])]}
    rng = np.random.default_rng(0)
    noisy = body[skeleton.name] + rng.normal(0, 4, (FRAMES, 17, 2)).astype(np.float32)
    assert likely_skeleton(noisy) is skeleton
    assert likely_skeleton(rng.uniform(0, 700, (9, 17, 2)).astype(np.float32)) is None


@pytest.mark.parametrize(
    ("arrays", "error", "match"),
    [
        ({"xy_px": clip()[:, :15]}, InputError, "15 joints, coco17 has 17"),
        ({"xy_px": np.full((4, 17, 2), np.nan, np.float32)}, InputError, "no joint is seen in any of its 4 frames"),
        ({"xy_px": clip()[:0]}, InputError, "has no frames"),
        ({"xy_px": clip()[..., :1]}, InputError, r"wanted numbers \(F, J, 2\)"),
        ({"xy_px": clip() / 1280}, InputError, "not normalised coordinates"),
        ({"xy_px": None}, InputError, "no array xy_px"),
        ({"score": np.ones((4, 16))}, InputError, r"score is \(4, 16\), wanted \(4, 17\)"),
        ({"width": 100, "height": 80}, InputError, "give the right --size"),
        ({"width": 0}, InputError, "the pictures are 0 x 720 px"),
        ({"width": None}, UsageError, "give --size"),
        ({"fps": None}, UsageError, "give --fps"),
        ({"fps": 0.0}, InputError, "0.0 frames a second"),
        ({"skeleton": "h36m17"}, InputError, "lie as those of coco17 do, not h36m17"),
        ({"skeleton": "robot"}, InputError, "its skeleton is 'robot'"),
        ({"xy_px": np.random.default_rng(0).uniform(0, 700, (4, 17, 2)), "skeleton": None}, UsageError, "give --skeleton"),
    ],
)
def test_what_cannot_be_lifted_is_said_in_a_sentence(tmp_path: Path, arrays: dict[str, Any], error: type[PoseRtError], match: str) -> None:
    with pytest.raises(error, match=match):
        read_keypoints(save(tmp_path / "k.npz", **arrays))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "is no JSON"),
        ("[]", "has no frames"),
        ('{"a": 1}', "of no known form"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3, 4]}]', "4 numbers"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3]}]', "1 joints"),
        ('[{"people": []}]', "nobody is seen in any of its 1 frames"),
        ('[{"people": [{"pose_keypoints_2d": [1, 2, 1]}]}]', "wanted OpenPose's 25 or 18"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_keypoints(path, GIVEN)
