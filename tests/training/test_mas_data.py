"""MAS data: the published layouts, augmentations, one's own tracks."""

import json
from pathlib import Path

import numpy as np
import pytest

from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.errors import InputError
from tests.training.mas_files import LENGTHS, person_px, write_set, write_tracks
from training.mas import make_dataset
from training.mas.batches import joined, measure, pad
from training.mas.clips import augment, open_folder
from training.mas.projections import Projections
from training.mas.sources import open_source
from training.mas.subjects import from_files, seen_once
from training.mas.tracks import BODY_M, SPEC, Cut, cut_track, read_tracks


@pytest.mark.parametrize("name", list(LENGTHS))
def test_the_published_layouts_are_read(tmp_path: Path, name: str) -> None:
    spec = MOTION_SETS[name]
    folder = write_set(tmp_path, name)
    source = open_source(name, str(folder), "train")
    batch = source.batch(np.random.default_rng(0), 6)
    assert batch.motion.shape[:3] == (6, spec.joints, 2) and batch.motion.shape[3] == batch.lengths.max() <= spec.longest
    for row, length in enumerate(batch.lengths):
        assert not batch.motion[row, ..., length:].any() and not batch.mask[row, ..., length:].any()
    inside = batch.mask[0, ..., : batch.lengths[0]]
    assert inside.all() if spec.confidence is None else 0.2 < inside.mean() <= 1
    assert bool(batch.texts) == spec.texts and set(batch.texts) <= {"a person waves", "a wave"}
    assert len(open_source(name, str(folder), "test").batch(np.random.default_rng(0), 3).lengths) == 3


def test_a_recorded_split_and_recorded_normalisation_are_kept(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "nba")
    (folder / "split.json").write_text(json.dumps({"train": ["clip03"], "test": ["clip01", "clip02"]}))
    np.save(folder / "Mean.npy", np.full((16, 2), 2.0))
    np.save(folder / "Std.npy", np.full((16, 2), 4.0))
    source = open_folder(MOTION_SETS["nba"], folder, "test", None, (), 0)
    assert [clip.name for clip in source.clips] == ["clip01", "clip02"]
    raw = np.load(folder / "motions" / "clip01.npy")[::2, :, :2]
    np.testing.assert_allclose(source.clips[0].motion, (raw - 2) / 4, atol=1e-6)
    again = source.normalised(measure([raw]))
    np.testing.assert_allclose(again.normaliser.back(again.clips[0].motion), raw, atol=1e-5)
    (folder / "split.json").write_text(json.dumps({"train": [], "test": ["gone"]}))
    with pytest.raises(InputError, match="names gone, which is not there"):
        open_source("nba", str(folder), "test")


def test_augmentations_do_what_they_say(tmp_path: Path) -> None:
    spec = MOTION_SETS["gymnastics"]
    source = open_folder(spec, write_set(tmp_path, "gymnastics"), "train", None, (), 0)
    clip, normaliser, rng = source.clips[0], source.normaliser, np.random.default_rng(0)
    raw = normaliser.back(clip.motion)
    scaled = normaliser.back(augment(clip, ("scale_aug",), spec, normaliser, rng).motion)
    factor = scaled / raw
    assert np.ptp(factor) < 1e-6 and abs(factor.mean() - 1) > 1e-3
    shifted = normaliser.back(augment(clip, ("shift_aug",), spec, normaliser, rng).motion) - raw
    assert np.ptp(shifted, axis=(0, 1)).max() < 1e-9 and np.abs(shifted).max() > 1e-3
    lengths = {len(augment(clip, ("length_aug",), spec, normaliser, rng).motion) for _ in range(20)}
    assert min(lengths) >= 81 and len(lengths) > 3
    short = augment(type(clip)(clip.motion[:50], None), ("length_aug",), spec, normaliser, rng)
    assert len(short.motion) == 50  # the published one would look for ever


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: [p.unlink() for p in f.glob("motions/*")], "holds no .npy clips"),
        (lambda f: np.save(f / "motions" / "clip05.npy", np.zeros((50, 5, 3))), r"has shape \(50, 5, 3\), wanted \(T, 16, 3\) for nba"),
        (lambda f: (f / "motions" / "clip05.npy").write_bytes(b"no array"), "clip05.npy: cannot be read"),
    ],
)
def test_spoilt_folders_are_refused(tmp_path: Path, spoil, sentence: str) -> None:  # type: ignore[no-untyped-def]
    folder = write_set(tmp_path, "nba")
    spoil(folder)
    with pytest.raises(InputError, match=sentence):
        open_source("nba", str(folder), "train")


def test_clips_that_are_too_short_are_said_to_be(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "nba")
    with pytest.raises(InputError, match=r"none of the .* has 90 frames"):
        open_folder(MOTION_SETS["nba"].__class__(**{**vars(MOTION_SETS["nba"]), "shortest": 90}), folder, "train", None, (), 0)
    with pytest.raises(InputError, match="no such folder"):
        open_source("nba", str(tmp_path / "gone"), "train")


def test_batches_are_joined_to_the_longest() -> None:
    a, b = pad([np.ones((3, 2, 2))]), pad([2 * np.ones((5, 2, 2)), np.ones((4, 2, 2))])
    both = joined([a, b])
    assert both.motion.shape == (3, 2, 2, 5) and both.lengths.tolist() == [3, 5, 4]
    assert both.motion[0].sum() == 12 and both.mask[0, ..., 3:].sum() == 0


def test_projections_look_from_anywhere_and_know_no_depth() -> None:
    from training.data.motion import Clips

    rng = np.random.default_rng(0)
    body = rng.normal(0, 0.4, (17, 3))
    joints = np.repeat(body[None], 400, 0).astype(np.float32)
    joints[..., 0] += np.linspace(0, 2, 400)[:, None]
    clips = Clips(joints, np.array([0]), np.array([400]), np.array(["walk"]), np.array(["a"]))
    projections = Projections(clips, MOTION_SETS["cmu17"])
    rows = projections.windows(rng, 5)
    size = np.sort(np.linalg.norm(body - body[0], axis=-1)[1:])  # sorted: mirrored motions have left and right exchanged
    for motion in rows:
        found = np.sort(np.linalg.norm(motion[:, 1:], axis=-1), axis=1)
        np.testing.assert_allclose(found, np.repeat(size[None], len(motion), 0), atol=1e-4)
    seen = projections.look(rng, rows[0])
    assert seen.shape == (len(rows[0]), 17, 2)
    angles = [np.arctan2(motion[0, 1, 2], motion[0, 1, 0]) for motion in projections.windows(rng, 40)]
    assert np.ptp(angles) > 5  # radians, of 6.28


def test_files_of_lifters_are_made_nba(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "motionBert_predictions"
    folder.mkdir()
    values = rng.normal(size=(20, 17, 3))
    for i in range(3):
        np.save(folder / f"{i}.npy", values)
    (motion,) = from_files("motionBert", tmp_path, 1, rng)
    assert motion.shape == (10, 16, 3)
    np.testing.assert_allclose(motion[:, 7], values[::2, 8] * [1.7, -1.7, 1.7], rtol=1e-6)
    assert len(seen_once([motion] * 3, MOTION_SETS["nba"], "side", rng, shared=True)) == 3
    with pytest.raises(InputError, match="holds 3 motions, wanted 4"):
        from_files("motionBert", tmp_path, 4, rng)


def test_tracks_are_cut_scaled_and_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk, good = person_px(120), np.full((120, 17), 0.9)
    jump = walk.copy()
    jump[60:] += 600  # the track goes over to somebody else
    low = good.copy()
    low[:, :8] = 0.1
    gone = walk.copy()
    gone[50:65] = np.nan  # half a second out of sight
    write_tracks(tmp_path / "a.jsonl", {1: (walk, good), 2: (walk[:30], good[:30])})
    write_tracks(tmp_path / "b.jsonl", {1: (jump, good), 2: (walk, low), 3: (gone, good)})
    out = tmp_path / "set"
    sources = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    assert make_dataset.main([*sources, "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    lost = {name: line["lost_s"] for name, line in report["tracks"].items()}
    assert lost["a_person1"] == {} and lost["a_person2"]["too short"] == pytest.approx(0.97, abs=0.02)
    assert lost["b_person1"]["jumps and gaps"] > 0 and lost["b_person2"]["not seen well"] == pytest.approx(3.97, abs=0.02)
    assert len(report["tracks"]["b_person1"]["kept"]) == 2 and len(report["tracks"]["b_person3"]["kept"]) == 2
    assert report["clips"] == 5 == len(list((out / "pictures").glob("*.png")))
    assert "kept 4.0 of 4.0 s in 1 clips" in capsys.readouterr().out
    split = json.loads((out / "split.json").read_text())
    assert {name[0] for name in split["train"]} ^ {name[0] for name in split["test"]} == {"a", "b"}  # no source in both
    clip = np.load(out / "motions" / "a_person1_0.npy")
    assert clip.shape == (40, 17, 3)
    joints = SPEC.joints_of(clip[..., :2])
    torso, leg = np.linalg.norm(joints[0, 8] - joints[0, 0]), np.linalg.norm(joints[0, 1] - joints[0, 2]) * 2
    assert torso + leg == pytest.approx(BODY_M, rel=0.1)
    assert joints[0, 10, 1] > joints[0, 3, 1] and joints[-1, 0, 0] > joints[0, 0, 0]  # up is up, right is right
    assert make_dataset.main([*sources, "--out", str(out)]) == 1 and "holds a data set already" in capsys.readouterr().err
    assert len(open_source("tracks", str(out), "train").batch(np.random.default_rng(0), 4).lengths) == 4


def test_a_joint_that_is_hidden_goes_along_and_does_not_count(tmp_path: Path) -> None:
    walk, score = person_px(90), np.full((90, 17), 0.9)
    walk[30:, 13] = 0.0
    score[30:, 13] = 0.05
    (track,) = read_tracks(write_tracks(tmp_path / "a.jsonl", {4: (walk, score)}))
    (clip,) = cut_track(track, Cut()).clips
    assert (clip[:10, 13, 2] > 0.8).all() and (clip[12:, 13, 2] == 0).all()
    assert np.abs(clip[12:, 13, :2] - clip[9, 13, :2]).max() < 0.05  # relative to the pelvis it stays where it was


def test_no_track_long_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tracks(tmp_path / "a.jsonl", {1: (person_px(20), np.ones((20, 17)))})
    assert make_dataset.main([str(path), "--out", str(tmp_path / "o")]) == 1
    assert "no track is long enough: none of 1 (the longest 0.6 s) has 1.6 s in one piece; give longer clips" in capsys.readouterr().err
    assert make_dataset.main([str(tmp_path / "no.mp4"), "--out", str(tmp_path / "p")]) == 2
    assert "does not exist, wanted a video" in capsys.readouterr().err


def test_a_video_goes_through_the_pipeline_and_is_not_gone_through_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten grey pictures: nobody is in them, and that is what is said; the tracks stay for the next time."""
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "empty.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), 90 + i, np.uint8))
    writer.release()
    out = tmp_path / "set"
    for _ in range(2):
        assert make_dataset.main([str(tmp_path / "empty.avi"), "--out", str(out)]) == 1
        assert "no track is long enough: none of 0" in capsys.readouterr().err
    assert read_tracks(out / "tracks" / "empty.jsonl") == [] and not list((out / "tracks").glob("*part*"))
