"""The measure of completed joints: each way to fill in does what its name says, and the live stages run on simulated streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from pose_rt import zoo
from pose_rt.backends import open_backend
from tests.io.packets import BODY_M
from tests.training.gfpose_files import write_cmu17
from training.data.motion import load_clips
from training.gfpose.evaluate_hidden import (
    conditional_gaussian,
    gaussian_of,
    held,
    hide,
    interpolated,
    mean_of,
    mean_pose,
    measure,
)

WRIST = 13


def swinging() -> tuple[np.ndarray, np.ndarray]:
    """Ten frames in which the wrist moves evenly and is hidden in frames 3 to 6."""
    poses = np.repeat(BODY_M[None], 10, 0)
    poses[:, WRIST, 0] += np.arange(10, dtype=np.float32) / 10
    hidden = np.zeros((10, 17), bool)
    hidden[3:7, WRIST] = True
    return poses, hidden


def test_held_and_interpolated_joints() -> None:
    poses, hidden = swinging()
    wrong = np.where(hidden[..., None], 9.0, poses)
    np.testing.assert_allclose(interpolated(wrong, hidden), poses, atol=1e-6)
    np.testing.assert_array_equal(held(wrong, hidden)[3:7, WRIST], np.repeat(poses[2:3, WRIST], 4, 0))
    np.testing.assert_array_equal(held(wrong, hidden)[~hidden], poses[~hidden])


def test_the_mean_pose_is_turned_and_sized_to_what_is_seen() -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    truth = 1.2 * BODY_M[None] @ turn.T + 0.5
    hidden = np.zeros((1, 17), bool)
    hidden[0, [5, 6]] = True
    np.testing.assert_allclose(mean_pose(np.where(hidden[..., None], 0.0, truth), hidden, BODY_M), truth, atol=1e-5)


def test_the_stages_run_and_every_way_is_measured(tmp_path: Path) -> None:
    write_cmu17(tmp_path)
    train, test = load_clips(tmp_path, "train"), load_clips(tmp_path, "test")
    gaussian = gaussian_of(train)
    poses, hidden = swinging()
    guess = conditional_gaussian(poses, hidden, gaussian)
    np.testing.assert_array_equal(guess[~hidden], poses[~hidden])
    assert np.abs(guess[hidden] - poses[hidden]).max() > 1e-3
    lifter, prior = (open_backend(zoo.find(name), backend="onnxruntime") for name in ("lifter_s", "prior_s"))
    row = measure(test, mean_of(train), gaussian, lifter, prior, (5, 6), 3.0, 1, 15.0)
    assert set(row) == {"completed", "lifter", "held", "interpolated (knows the future)", "mean pose", "conditional Gaussian"}
    assert all(0 < value < 1500 for value in row.values())
    prior.close()
    lifter.close()


def test_joints_are_hidden_for_a_second_after_they_were_seen(tmp_path: Path) -> None:
    from training.data.stream import StreamConfig, simulate

    write_cmu17(tmp_path)
    tracks = simulate(load_clips(tmp_path, "test"), StreamConfig(rate_hz=20.0, seconds=3.6), 5)
    changed, hidden = hide(tracks, (5, 6), np.random.default_rng(0), 20.0)
    assert not hidden[0][:12].any() and hidden[0][12:32, 5].all() and not hidden[0][32:44].any()
    assert np.isnan(changed[0].xy_px[hidden[0]]).all()
