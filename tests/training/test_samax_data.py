"""Data sets of sampling-argmax: layouts, what is left out and why, crops that carry joints with them, batches of worker processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

from pose_rt.core.skeleton import COCO17  # noqa: E402
from pose_rt.errors import InputError, UsageError  # noqa: E402
from tests.training.samax_files import SIDE, change, write_coco, write_h36m, write_mtfl  # noqa: E402
from training.sampling_argmax import coco, h36m, mtfl  # noqa: E402
from training.sampling_argmax.annotations import pairs_by_name  # noqa: E402
from training.sampling_argmax.config import PUBLISHED  # noqa: E402
from training.sampling_argmax.data import Places, parts_for  # noqa: E402
from training.sampling_argmax.dataset import People, batches, plain_places, read_picture, training_places  # noqa: E402
from training.sampling_argmax.figures import draw_picture, draw_poses  # noqa: E402
from training.sampling_argmax.objective import gaussian_targets  # noqa: E402
from training.sampling_argmax.transforms import AUGMENTATIONS, CropTransform, Draws, occlude  # noqa: E402

ANNOTATIONS = "coco/annotations/person_keypoints_train2017.json"


def test_coco_layout_and_what_is_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path)
    path = tmp_path / ANNOTATIONS

    def spoil(value: dict) -> None:
        entries = value["annotations"]
        entries[0]["iscrowd"] = 1
        entries[1]["keypoints"] = [0] * 51
        entries[2]["bbox"] = [500.0, 500.0, 20.0, 20.0]
        entries[3]["category_id"] = 2
        del value["images"][5]["coco_url"]

    change(path, spoil)
    (found,) = Places(tmp_path).read("coco", training=True)
    assert len(found) == 2 and found.names == COCO17.joints and found.joints.shape == (2, 17, 2)
    assert [f.relative_to(tmp_path / "coco").as_posix() for f in found.files] == [
        "train2017/000000000005.jpg",
        "train2017/000000000006.jpg",
    ]
    assert all(f.is_file() for f in found.files)
    assert sorted(found.skipped) == [
        "crowds",
        "of another category",
        "with an empty box or one outside the picture",
        "without visible keypoints",
    ]
    assert set(found.skipped.values()) == {1} and "1 skipped: crowds" in found.describe()
    assert found.mirror == COCO17.mirror.tolist()


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda v: v["annotations"][1].update(keypoints=[1.0, 1.0, 2] * 5), "entry 2 has 5 joints, its category 17"),
        (lambda v: v["categories"][0].pop("keypoints"), "no category has keypoints; wanted person_keypoints"),
        (lambda v: v["categories"][0].update(keypoints=["a", "b"]), "has 2 joints, the network 17; train with --task images"),
        (lambda v: v.pop("images"), "not in COCO's layout"),
        (lambda v: [a.update(iscrowd=1) for a in v["annotations"]], "no person to use .6 crowds"),
        (lambda v: [a.update(category_id=9) for a in v["annotations"]], "no person to use .6 of another category"),
    ],
)
def test_coco_files_that_cannot_be_used(tmp_path: Path, edit: object, sentence: str) -> None:
    write_coco(tmp_path)
    change(tmp_path / ANNOTATIONS, edit)
    with pytest.raises(InputError, match=sentence):
        Places(tmp_path).read("coco", training=True)


def test_missing_files_and_categories_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Places(tmp_path / "none").read("coco", training=True)
    for task in ("coco", "h36m", "mtfl", "images"):
        with pytest.raises(InputError, match="no such annotation file"):
            Places(tmp_path).read(task, training=True)
    write_coco(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="not a JSON file"):
        Places(tmp_path, tmp_path / "broken.json").read("coco", training=True)
    change(tmp_path / ANNOTATIONS, lambda v: v["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose", "tail"]}))
    with pytest.raises(UsageError, match="no category 'cat' with keypoints; it has person, dog"):
        Places(tmp_path, tmp_path / ANNOTATIONS, category="cat").read("images", training=True)
    change(tmp_path / ANNOTATIONS, lambda v: v["categories"][0].update(name="man"))
    with pytest.raises(UsageError, match="2 categories have keypoints; choose by --category: man, dog"):
        Places(tmp_path, tmp_path / ANNOTATIONS).read("images", training=True)


def test_own_pictures_need_no_box_and_no_area(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    points = [10, 10, 2, 30, 20, 1, 0, 0, 0]
    value = {
        "images": [{"id": 7, "file_name": "a.png"}], "annotations": [{"image_id": 7, "category_id": 3, "keypoints": points}],
        "categories": [{"id": 3, "name": "crane", "keypoints": ["left_tip", "right_tip", "hook"], "skeleton": [[1, 3], [2, 3]]}],
    }  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(value))
    (found,) = Places(tmp_path).read("images", training=True)
    np.testing.assert_allclose(found.box, [[8, 8, 32, 22]])
    assert found.pairs == ((0, 1),) or set(map(frozenset, found.pairs)) == {frozenset({0, 1})}
    assert found.edges == ((0, 2), (1, 2)) and found.visible[0, :, 0].tolist() == [1, 1, 0]
    assert pairs_by_name(("l_eye", "r_eye", "ball")) == ((0, 1),)


def test_h36m_projects_and_leaves_corrupt_sequences_out(tmp_path: Path) -> None:
    write_h36m(tmp_path)
    path = tmp_path / "h36m/annotations/Sample_64_test_Human36M_protocol_2.json"
    change(path, lambda v: v["images"][0].update(file_name="s_09_act_05_subact_02_ca_01/x.jpg"))
    (found,) = Places(tmp_path).read("h36m", training=False)
    assert found.skipped == {"of a corrupt sequence of S9": 1} and found.joints.shape == (5, 18, 3)
    world = np.array(json.loads(path.read_text())["annotations"][1]["keypoints_world"])
    x, y, z = world[4, 0], -(world[4, 2] - 900), world[4, 1]  # the camera looks along +y
    np.testing.assert_allclose(found.joints[0, 4], [114.5 * x / z + 48, 114.4 * y / z + 48, z - world[0, 1]], atol=1e-4)
    camera = found.extra["camera_mm"][0]
    np.testing.assert_allclose(camera[17], (camera[11] + camera[14]) / 2)
    assert found.extra["action"].tolist() == [1, 2, 0, 1, 2]
    back = h36m.from_pixels(found.joints, found.extra["camera_mm"][:, 0, 2], found.extra["focal"], found.extra["centre"])
    np.testing.assert_allclose(back, found.extra["camera_mm"], atol=1e-4)
    change(path, lambda v: v["annotations"][2].update(keypoints_world=[[0, 0, 0]] * 16))
    with pytest.raises(InputError, match="16 joints, wanted 17"):
        Places(tmp_path).read("h36m", training=False)


def test_mpii_goes_onto_the_18_joints_without_depth(tmp_path: Path) -> None:
    write_h36m(tmp_path)
    own, mpii = Places(tmp_path).read("h36m", training=True)
    assert mpii.joints[0, 1, :2].tolist() == [22, 42] and mpii.visible[0, 1].tolist() == [1, 1, 0]  # the right hip is MPII's 2
    assert not mpii.visible[:, [7, 9]].any()
    people = People(parts_for(PUBLISHED["h36m"], [own, mpii], training=True), seed=1)
    order = people.order(0)
    assert len(order) == 12 and sorted(order[order < 6].tolist()) == list(range(6)) and ((order >= 6) & (order < 9)).sum() == 6


def test_mtfl_and_detections(tmp_path: Path) -> None:
    write_mtfl(tmp_path)
    (found,) = Places(tmp_path).read("mtfl", training=False)
    assert len(found) == 6 and found.names == mtfl.NAMES
    change(tmp_path / "mtfl/testing.json", lambda v: v[3].update(landmarks=[[1, 2]] * 4))
    with pytest.raises(InputError, match="4 points, wanted 5"):
        Places(tmp_path).read("mtfl", training=False)
    write_coco(tmp_path / "c")
    (truth,) = Places(tmp_path / "c").read("coco", training=False)
    boxes = [{"image_id": 1, "bbox": [5, 5, 50, 60], "score": 0.9}, {"image_id": 99, "bbox": [0, 0, 9, 9], "score": 0.9}]
    (tmp_path / "det.json").write_text(json.dumps(boxes))
    detected = coco.read_detections(tmp_path / "det.json", truth)
    assert len(detected) == 1 and detected.files[0] == truth.files[0] and detected.skipped == {"in pictures without annotated people": 1}
    (tmp_path / "det.json").write_text("{}")
    with pytest.raises(InputError, match="not a list of detections"):
        coco.read_detections(tmp_path / "det.json", truth)


@pytest.mark.parametrize("task", ["coco", "images", "mtfl", "h36m"])
def test_augmented_crops_carry_their_joints_with_them(task: str) -> None:
    # A white dot at the joint that the target names must be found in the crop at the target's place.
    pairs = ((0, 1),)
    augmentation = replace(AUGMENTATIONS[task], occlude=False)
    transform = CropTransform((128, 96), pairs, augmentation, whole=task == "mtfl")
    moved = set()
    for seed in range(12):
        image = np.zeros((160, 200, 3), np.uint8)
        joints = np.array([[90.0, 70.0], [120.0, 95.0]])
        cv2.circle(image, (90, 70), 4, (255, 255, 255), -1, cv2.LINE_AA)
        sample = transform(image, np.array([60.0, 40.0, 140.0, 130.0]), joints, np.ones(2), Draws(seed))
        target = (sample.target.reshape(2, 2) + 0.5) * (96, 128)
        y, x = np.mgrid[:128, :96]
        light = sample.image[0].astype(float)
        centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
        distance = np.linalg.norm(target - centre, axis=-1)
        assert distance.min() < 0.6, (task, seed)
        moved.add(int(distance.argmin()))
    assert moved == {0, 1}  # the mirror exchanged the names in some of them


def test_crops_of_ones_own_pictures_are_displaced() -> None:
    image, box = np.zeros((160, 201, 3), np.uint8), np.array([60.0, 40.0, 140.0, 130.0])  # its middle is the picture's: no mirror moves it
    away = {"coco": [], "images": []}
    for task, found in away.items():
        transform = CropTransform((128, 96), (), AUGMENTATIONS[task])
        for seed in range(40):
            corners = transform(image, box, np.array([[100.0, 85.0]]), np.ones(1), Draws(seed)).box
            found.append(((corners[:2] + corners[2:]) / 2 - (100, 85)) / (corners[2:] - corners[:2]))
    assert np.abs(away["coco"]).max() < 1e-6
    assert 0.12 < np.abs(away["images"]).max() < 0.15 and np.abs(np.mean(away["images"], axis=0)).max() < 0.04


def test_targets_outside_the_crop() -> None:
    image, joints = np.zeros((100, 100, 3), np.uint8), np.array([[50.0, 50.0], [-40.0, 50.0]])
    box = np.array([30.0, 30.0, 70.0, 70.0])
    keep = CropTransform((64, 64))(image, box, joints, np.ones(2), Draws(0))
    drop = CropTransform((64, 64), inside_only=True)(image, box, joints, np.ones(2), Draws(0))
    assert keep.weight.tolist() == [1, 1, 1, 1] and drop.weight.tolist() == [1, 1, 0, 0]
    maps, weight = gaussian_targets(torch.from_numpy(keep.target)[None], torch.from_numpy(keep.weight)[None], (16, 16))
    assert weight.flatten().tolist() == [1, 0] and float(maps[0, 0, 8, 8]) == 1 and not maps[0, 1].any()


def test_occlusion_stays_inside_the_box() -> None:
    image = np.full((100, 120, 3), 7, np.uint8)
    draws = Draws(3)
    changed = occlude(image, np.array([20.0, 30.0, 80.0, 90.0]), draws.python, draws.numpy)
    rows, columns = np.nonzero((changed != 7).any(-1))
    assert len(rows) > 20 and rows.min() >= 30 and rows.max() < 90 and columns.min() >= 20 and columns.max() < 80
    assert (image == 7).all()


def _people(tmp_path: Path) -> People:
    found = Places(write_coco(tmp_path)).read("coco", training=True)
    return People(parts_for(replace(PUBLISHED["coco"], image=(64, 64)), found, training=True), seed=5)


def test_batches_of_workers_are_those_of_this_process(tmp_path: Path) -> None:
    people = _people(tmp_path)
    places = training_places(people, 3, 2, 0)
    assert sorted(row for batch in places for _, row in batch) == list(range(6))
    here, there = list(batches(people, places, 0)), list(batches(people, places, 1))
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.target, b.target) and torch.equal(a.row, b.row)
    again = list(batches(people, training_places(people, 3, 2, 1), 0))  # resumed after a batch
    assert torch.equal(again[0].images, here[1].images)
    other = next(iter(batches(people, [[(4, int(here[0].row[0]))]], 0)))
    assert not torch.equal(other.target[0], here[0].target[0])  # another epoch, another augmentation
    halves = [training_places(people, 3, 2, 0, rank, 2) for rank in range(2)]
    assert [a + b for a, b in zip(*halves, strict=True)] == places


def test_pictures_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    people = _people(tmp_path)
    files = people.parts[0][0].files
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-200])  # cut off: the decoder alone would fill up with grey
    files[2].write_bytes(b"not a picture")
    files[3].write_bytes(b"")
    (batch,) = batches(people, plain_places(6, 6), 0)
    assert batch.row.tolist() == [4, 5] and batch.broken == tuple(str(f) for f in files[:4])
    (nothing,) = batches(people, [[(0, 0), (0, 1)]], 0)
    assert len(nothing.row) == 0 and len(nothing.broken) == 2
    assert read_picture(files[4]) is not None


def test_figures_are_where_their_keypoints_say() -> None:
    rng = np.random.default_rng(0)
    pose = draw_poses(rng, 1)[0]
    drawn = draw_picture(rng, pose, SIDE, SIDE, occlusion=0.0)
    assert drawn.image.shape == (SIDE, SIDE, 3) and drawn.xy.shape == (17, 2) and set(drawn.visible.tolist()) <= {0, 2}
