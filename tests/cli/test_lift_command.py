"""`pose-rt lift` on the bundled model: what comes out, that it means something, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose_rt.cli.app import run
from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import H36M17
from pose_rt.core.viewpoint import fill_missing

# A standing adult, H36M-17, metres relative to the pelvis, camera axes, and one who raises the right arm.
STANDING = np.array(
    [
        (0, 0, 0), (-0.1, 0, 0), (-0.1, 0.45, 0.02), (-0.1, 0.88, 0.05), (0.1, 0, 0), (0.1, 0.45, 0.02), (0.1, 0.88, 0.05), (0, -0.25, 0),
        (0, -0.5, 0), (0, -0.58, -0.08), (0, -0.7, 0), (0.17, -0.45, 0), (0.2, -0.17, 0), (0.2, 0.08, -0.03), (-0.17, -0.45, 0),
        (-0.2, -0.17, 0), (-0.2, 0.08, -0.03),
    ],
    np.float32,
)  # fmt: skip
PLACE = np.array([0.3, 0.1, 4.0], np.float32)
CAMERA = Camera.from_fov(1280, 720, 60)


def seen(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses (F, 17, 3) that turn a little and raise the right arm, and their pixels."""
    poses = np.repeat(STANDING[None], frames, 0)
    up = np.linspace(0, 1, frames)[:, None]
    poses[:, 15] += up * np.array([-0.05, -0.5, 0], np.float32)
    poses[:, 16] += up * np.array([-0.1, -1.0, 0], np.float32)
    placed = poses + PLACE
    return poses, (CAMERA.focal_px * placed[..., :2] / placed[..., 2:] + CAMERA.center).astype(np.float32)


def save(path: Path, xy: np.ndarray, **more: object) -> Path:
    np.savez(path, xy_px=xy, width=1280, height=720, fps=25.0, skeleton="h36m17", **more)
    return path


def test_exact_keypoints_are_lifted_to_the_pose(tmp_path: Path) -> None:
    poses, xy = seen(40)
    out = tmp_path / "lifted.npz"
    source = str(save(tmp_path / "k.npz", xy))
    assert run(["lift", source, "--out", str(out), "--fov", "60", "--hypotheses", "4"]) == 0
    with np.load(out, allow_pickle=False) as z:
        shapes = {name: z[name].shape for name in ("joints_m", "hypotheses_m", "sigma_m", "root_m", "fps")}
        assert shapes == {"joints_m": (40, 17, 3), "hypotheses_m": (40, 4, 17, 3), "sigma_m": (40, 17), "root_m": (40, 3), "fps": ()}
        joints, root, hypotheses = z["joints_m"], z["root_m"], z["hypotheses_m"]
    assert np.linalg.norm(joints - poses, axis=-1).mean() < 0.12  # metres; the model's own error on clean 2D is about half of that
    assert np.linalg.norm(root.mean(0) - PLACE) < 0.6
    np.testing.assert_array_equal(joints[:, 0], 0.0)
    every = np.abs(hypotheses - joints[:, None]).max(-1)
    assert (every.min(1) < 1e-5).all()  # J-Agg: each joint is one of the hypotheses


def test_the_mean_lies_amid_the_hypotheses_and_runs_repeat(tmp_path: Path) -> None:
    source = str(save(tmp_path / "k.npz", seen(12)[1]))
    results = []
    for name in ("a.npz", "b.npz"):
        assert run(["lift", source, "--out", str(tmp_path / name), "--aggregate", "mean"]) == 0
        with np.load(tmp_path / name, allow_pickle=False) as z:
            results.append((z["joints_m"], z["hypotheses_m"]))
    np.testing.assert_allclose(results[0][0], results[0][1].mean(1), atol=1e-6)
    np.testing.assert_array_equal(results[0][0], results[1][0])


def test_one_frame_gaps_and_lost_joints_are_lifted_too(tmp_path: Path) -> None:
    xy = seen(40)[1]
    xy[:, 3] = np.nan
    xy[15:30] = np.nan
    assert run(["lift", str(save(tmp_path / "k.npz", xy)), "--out", str(tmp_path / "l.npz")]) == 0
    with np.load(tmp_path / "l.npz", allow_pickle=False) as z:
        done = np.isfinite(z["joints_m"]).all((1, 2))
        np.testing.assert_array_equal(done, np.isfinite(z["sigma_m"]).all(1))
    assert done.tolist() == [True] * 15 + [False] * 15 + [True] * 10
    assert run(["lift", str(save(tmp_path / "one.npz", xy[:1])), "--out", str(tmp_path / "one_lifted.npz")]) == 0
    with np.load(tmp_path / "one_lifted.npz", allow_pickle=False) as z:
        assert np.isfinite(z["joints_m"]).all()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--hypotheses", "0"], 2, "hypotheses is 0"),
        (["--steps", "0"], 2, "steps is 0"),
        (["--size", "big"], 2, "wanted WIDTHxHEIGHT"),
        (["--size", "90x60"], 1, "give the right --size"),
        (["--skeleton", "coco17"], 1, "give --skeleton h36m17"),
        (["--skeleton", "blazepose33"], 1, "17 joints, blazepose33 has 33"),
        (["--lifter", "nobody"], 2, "nobody"),
    ],
)
def test_misuse_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str) -> None:
    source = str(save(tmp_path / "k.npz", seen(3)[1]))
    assert run(["lift", source, "--out", str(tmp_path / "l.npz"), *arguments]) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "l.npz").exists()


def test_parents_of_every_input_order_come_first() -> None:
    from pose_rt.stages.lifter import _PARENTS

    for parents in _PARENTS.values():
        assert parents is not None
        assert all(parent < joint for joint, parent in enumerate(parents) if parents is not H36M17.parents)
        xy = np.full((3, len(parents), 2), np.nan, np.float32)
        xy[:, 5] = 7.0
        assert np.isfinite(fill_missing(xy, parents)).all()
