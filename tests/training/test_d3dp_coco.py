"""The variant for COCO keypoints: trained on detections in COCO order, exported, and used by `pose-rt lift` without a mapping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("lightning_fabric")

from exporters import d3dp as exporter  # noqa: E402
from pose_rt.backends import open_backend  # noqa: E402
from pose_rt.cli.app import run  # noqa: E402
from pose_rt.core.camera import Camera  # noqa: E402
from pose_rt.core.skeleton import COCO17  # noqa: E402
from pose_rt.stages.lifter import Lifter  # noqa: E402
from tests.training.published_files import random_h36m  # noqa: E402
from training.d3dp import train  # noqa: E402
from training.data import convert  # noqa: E402

BODY = np.array(
    [
        (640, 190), (648, 182), (632, 182), (656, 188), (624, 188), (690, 250), (590, 250), (705, 320), (575, 320), (712, 390), (568, 390),
        (670, 400), (610, 400), (672, 500), (608, 500), (674, 600), (606, 600),
    ],
    np.float32,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny lifter trained on COCO keypoints for an epoch, as ONNX."""
    folder = tmp_path_factory.mktemp("coco")
    random_h36m(folder, {"S1": {"Walking": 12}, "S9": {"Walking": 9}}, layout=COCO17)
    convert.main([str(folder)])
    options = ["--dataset", "h36m", "--data", str(folder), "--keypoints", "detectron_pt_coco", "--subjects-train", "S1"]
    sizes = ["--frames", "9", "--width", "16", "--depth", "1", "--heads", "2", "--epochs", "1", "--threads", "1", "--no-tensorboard"]
    assert train.main([*options, "--subjects-test", "S9", "--out", str(folder / "run"), *sizes]) == 0
    assert exporter.main(["--checkpoint", str(folder / "run" / "last.pt"), "--out", str(folder / "coco.onnx")]) == 0
    return folder / "coco.onnx"


def test_the_model_says_which_joints_it_wants(model: Path) -> None:
    metadata = open_backend(model, backend="onnxruntime").metadata
    assert (metadata["skeleton_in"], metadata["skeleton_out"], metadata["input"]) == ("coco17", "h36m17", "screen")


@pytest.mark.parametrize("more", [[], ["--flip"]])
def test_coco_keypoints_reach_it_as_they_are(model: Path, tmp_path: Path, more: list[str]) -> None:
    xy = BODY + np.arange(12)[:, None, None].astype(np.float32)
    np.savez(tmp_path / "k.npz", xy_px=xy, width=1280, height=720, fps=50.0, skeleton="coco17")
    out = tmp_path / f"lifted{len(more)}.npz"
    assert run(["lift", str(tmp_path / "k.npz"), "--out", str(out), "--lifter", str(model), "--hypotheses", "2", *more]) == 0
    with np.load(out, allow_pickle=False) as z:
        assert np.isfinite(z["joints_m"]).all()
        hypotheses = z["hypotheses_m"]
    lifter = Lifter(open_backend(model, backend="onnxruntime"), hypotheses=2, steps=2, flip=bool(more))
    alone = lifter(xy[None, :9], Camera.default(1280, 720), tracks=[0])[0]
    np.testing.assert_allclose(hypotheses[0], alone[:, 0], atol=1e-5)


def test_other_joints_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "k.npz", xy_px=np.random.default_rng(0).uniform(0, 700, (9, 33, 2)), width=1280, height=720, fps=50.0)
    assert run(["lift", str(tmp_path / "k.npz"), "--out", str(tmp_path / "l.npz"), "--lifter", str(model)]) == 2
    assert "the lifter takes coco17 keypoints" in capsys.readouterr().err
