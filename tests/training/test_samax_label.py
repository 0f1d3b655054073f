"""One's own clips labelled by pose-rt itself, and the plain folder that holds the labels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from pose_rt.core.skeleton import BLAZEPOSE33, COCO17
from pose_rt.core.types import Keypoints2D
from training.sampling_argmax import label
from training.sampling_argmax.data import Places
from training.sampling_argmax.folder import CocoFolder

CLIP = Path(__file__).parents[2] / "demos" / "clips" / "woman_walking.mp4"


def _keypoints(score: np.ndarray) -> Keypoints2D:
    xy = np.stack([np.arange(33) * 10.0, np.arange(33) * 5.0], -1).astype(np.float32)[None]
    box = np.array([[0, 0, 330, 170]], np.float32)
    return Keypoints2D(xy, score.astype(np.float32)[None], None, box, np.zeros(1, np.int64), BLAZEPOSE33)


def test_only_sure_joints_inside_the_picture_are_labelled() -> None:
    score = np.full(33, 0.9)
    score[BLAZEPOSE33.joints.index("left_wrist")] = 0.3
    ((xy, flags),) = label.people_of(_keypoints(score), 270, 200, conf=0.6)
    expected = np.full(17, 2)
    expected[COCO17.joints.index("left_wrist")] = 0
    for name in ("left_ankle", "right_ankle"):  # x = 270 and 280: outside
        expected[COCO17.joints.index(name)] = 0
    assert flags.tolist() == expected.tolist()
    assert xy[COCO17.joints.index("right_hip")].tolist() == [240, 120]
    assert label.people_of(_keypoints(np.full(33, 0.5)), 400, 200, conf=0.6) == []
    assert label.people_of(_keypoints(score), 60, 30, conf=0.6) == []  # too few joints in the picture


def test_large_pictures_are_scaled_with_their_joints() -> None:
    bgr = np.zeros((100, 200, 3), np.uint8)
    bgr[60:64, 120:124] = 255  # a square round pixel (121.5, 61.5)
    small, ((xy, flags),) = label.shrunk(bgr, [(np.array([[121.5, 61.5]]), np.array([2]))], 50)
    assert small.shape == (25, 50, 3) and flags.tolist() == [2]
    assert xy.tolist() == [[30, 15]] and small[15, 30].min() == 255 and small.astype(int).sum() == 3 * 255
    same, _ = label.shrunk(bgr, [], 200)
    assert same is bgr


def test_the_folder_reads_as_it_was_written(tmp_path: Path) -> None:
    folder = CocoFolder(tmp_path, COCO17)
    xy = np.stack([20.0 + np.arange(17), 90.0 - 2 * np.arange(17)], -1)
    flags = np.array([2] * 15 + [1, 0])
    folder.add("a.jpg", np.zeros((100, 80, 3), np.uint8), [(xy, flags), (xy + 3, flags)])
    assert len(folder) == 2
    folder.save("train")
    assert len(folder) == 0 and sorted(p.name for p in tmp_path.iterdir()) == ["images", "train.json"]
    (found,) = Places(tmp_path).read("images", training=True)
    assert len(found) == 2 and found.names == COCO17.joints and (1, 2) in found.pairs and (0, 1) in found.edges
    np.testing.assert_array_equal(found.joints[0, :16], xy[:16])
    assert found.visible[0, :, 0].tolist() == [1] * 16 + [0]
    # The box of the 16 known joints, 15 by 30 px, and 0.06 of the larger side round it; COCO counts its last pixel.
    np.testing.assert_allclose(found.box[0], [20 - 1.8, 60 - 1.8, 34 + 1.8, 89 + 1.8], rtol=0, atol=0.011)  # written to 0.01 px


def test_a_clip_becomes_a_folder_to_train_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    video = cv2.VideoCapture(str(CLIP))
    for i in range(70):
        read, bgr = video.read()
        assert read
        if i >= 58:
            cv2.imwrite(str(shots / f"{i}.jpg"), bgr)
    video.release()
    assert label.main([str(shots), "--out", str(tmp_path / "own"), "--every", "2", "--held-out", "0.3", "--model", "lite"]) == 0
    counts = {split: json.loads((tmp_path / "own" / f"{split}.json").read_text()) for split in ("train", "val")}
    assert [len(counts[s]["annotations"]) for s in ("train", "val")] == [5, 1]
    assert len(list((tmp_path / "own" / "images").iterdir())) == 6
    (found,) = Places(tmp_path / "own").read("images", training=True)
    height = found.joints[:, 15:17, 1].mean(1) - found.joints[:, 0, 1]
    assert ((0.7 * (found.box[:, 3] - found.box[:, 1]) < height) & (found.visible[:, :, 0].mean(1) > 0.7)).all()
    assert "5 people to train on, 1 to validate on" in capfd.readouterr().err


def test_what_cannot_be_labelled_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for i in range(3):
        cv2.imwrite(str(shots / f"{i}.png"), np.full((64, 64, 3), 90, np.uint8))
    assert label.main([str(shots), "--out", str(tmp_path / "own")]) == 1
    assert "nobody was found" in (said := capfd.readouterr().err) and "--conf" in said
    assert label.main([str(shots), "--out", str(tmp_path / "own"), "--every", "0"]) == 2
    assert label.main([str(tmp_path / "no.mp4"), "--out", str(tmp_path / "own")]) != 0
    assert "no.mp4" in capfd.readouterr().err
    assert not list((tmp_path / "own").glob("*.json"))
