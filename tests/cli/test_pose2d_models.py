"""A 2D model of one's own as a user brings it: exported, added, run by its name or its path; and every one that cannot run is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from exporters.sampling_argmax import main as export  # noqa: E402
from pose_rt.cli.app import run  # noqa: E402
from pose_rt.core.skeleton import COCO17  # noqa: E402
from pose_rt.models.sampling_argmax import NETWORKS, HeadConfig, NetworkConfig  # noqa: E402
from pose_rt.models.sampling_argmax.checkpoint import KIND, Trained  # noqa: E402

CLIP = Path(__file__).parents[2] / "demos" / "clips" / "woman_walking.mp4"
PART = ["--start", "1.2", "--max-frames", "6", "-q"]


def write_model(path: Path, task: str = "images", joints: int = 17) -> Path:
    """A small untrained network, as checkpoint and as ONNX file."""
    torch.manual_seed(0)
    network = NETWORKS[task](NetworkConfig(HeadConfig(joints, (16, 16)), layers=18, width=4, filters=8))
    for module in (*network.deconv_layers, network.final_layer):  # maps with peaks
        if isinstance(module, torch.nn.ConvTranspose2d | torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.3)
    names = COCO17.joints if joints == 17 else tuple(f"point_{i}" for i in range(joints))
    trained = Trained(network, task, names, (), (), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.25)
    torch.save({"kind": KIND, "about": trained.about(), "weights": network.state_dict(), "epoch": 1}, path.with_suffix(".pt"))
    assert export(["--checkpoint", str(path.with_suffix(".pt")), "--out", str(path)]) == 0
    return path


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSE_RT_MODELS", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def test_an_added_model_and_a_file_give_the_same(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_model(tmp_path / "mine.onnx")
    assert run(["models", "add", str(file)]) == 0
    assert "added mine" in capsys.readouterr().out
    assert sorted(p.name for p in models.iterdir()) == ["mine.json", "mine.onnx", "mine.parity.json"]
    assert run(["models", "--details"]) == 0
    listed = capsys.readouterr().out
    assert "mine" in listed and "image (N, 3, 64, 64)" in listed and "not measured" in listed
    results = {}
    for word in ("mine", str(file)):
        out = tmp_path / f"{len(results)}.jsonl"
        assert run(["video", str(CLIP), "--pose2d", word, "--save-json", str(out), "--conf", "0.01", *PART]) == 0
        results[word] = [json.loads(line) for line in out.read_text().splitlines()]
    by_name, by_path = results.values()
    assert by_name[1:] == by_path[1:] and len(by_name) == 7
    assert by_name[0]["models"]["pose2d"]["sha256"] == by_path[0]["models"]["pose2d"]["sha256"]
    people = [p for frame in by_name[1:] for p in frame["persons"]]
    assert people and all(len(p["kpts2d"]) == 17 and len(p["spread2d"]) == 17 for p in people)
    assert any(p.get("kpts3d") for p in people)  # COCO-17 is lifted


def test_other_joints_are_followed_in_2d_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_model(tmp_path / "five.onnx", joints=5)
    out, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    assert run(["video", str(CLIP), "--pose2d", str(file), "--save-json", str(out), *PART]) == 2
    assert "images5 joints, which cannot be lifted" in (said := capsys.readouterr().err) and "--no-3d" in said
    command = ["video", str(CLIP), "--pose2d", str(file), "--no-3d", "--conf", "0.01", "--save-json", str(out), "--out", str(video)]
    assert run([*command, *PART]) == 0
    people = [p for line in out.read_text().splitlines()[1:] for p in json.loads(line)["persons"]]
    assert people and all(len(p["kpts2d"]) == 5 for p in people) and video.stat().st_size > 1000


def test_models_that_cannot_run_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, face = write_model(tmp_path / "mine.onnx"), write_model(tmp_path / "face.onnx", "mtfl", 5)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    cases = [
        ([str(tmp_path / "none.onnx")], 2, "no such model file"),
        ([str(other)], 2, "does not say what it is"),
        ([str(face)], 1, "task mtfl"),
        ([str(file), "--refine", "mediapipe"], 2, "BlazePose"),
    ]
    for words, code, sentence in cases:
        assert run(["video", str(CLIP), "--pose2d", *words, "--save-json", str(tmp_path / "out.jsonl"), *PART]) == code, words
        said = capsys.readouterr().err
        assert sentence in said and "Traceback" not in said, said
    assert run(["models", "add", str(other)]) == 2
    assert "--like" in capsys.readouterr().err
