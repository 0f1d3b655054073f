"""Export of sampling-argmax checkpoints: every task, any batch size, fp16, what the file says of itself, and files to refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from exporters.report import run_onnx  # noqa: E402
from exporters.sampling_argmax import main  # noqa: E402
from pose_rt.core.skeleton import COCO17  # noqa: E402
from pose_rt.models.sampling_argmax import NETWORKS, HeadConfig, HeatmapNetwork, NetworkConfig  # noqa: E402
from pose_rt.models.sampling_argmax.checkpoint import KIND, Trained  # noqa: E402
from pose_rt.zoo.manifest import file_entry  # noqa: E402

HEADS = {
    "coco": HeadConfig(17, (16, 8)), "images": HeadConfig(5, (8, 8), norm="soft-argmax"), "mtfl": HeadConfig(5, (8, 8)),
    "h36m": HeadConfig(18, (4, 8, 8)),
}  # fmt: skip


def _network(task: str) -> HeatmapNetwork:
    torch.manual_seed(0)
    network = NETWORKS[task](NetworkConfig(HEADS[task], layers=18, width=4, filters=8))
    for module in (*network.deconv_layers, network.final_layer):  # logits of a size that a difference would show in
        if isinstance(module, torch.nn.ConvTranspose2d | torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.2)
    return network


def write_checkpoint(task: str, path: Path) -> HeatmapNetwork:
    """A checkpoint as the trainer writes it."""
    network = _network(task)
    joints = network.config.head.joints
    names = COCO17.joints if joints == 17 else tuple(f"point_{i}" for i in range(joints))
    trained = Trained(network, task, names, ((0, 1),), ((0, 1),), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), 1.25)
    torch.save({"kind": KIND, "about": trained.about(), "weights": network.state_dict(), "epoch": 3}, path)
    return network.eval()


@pytest.mark.parametrize("task", list(HEADS))
def test_the_file_is_the_network(task: str, tmp_path: Path) -> None:
    network = write_checkpoint(task, tmp_path / "last.pt")
    out = tmp_path / "mine.onnx"
    assert main(["--checkpoint", str(tmp_path / "last.pt"), "--out", str(out)]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.pt", "mine.onnx", "mine.parity.json", "mine.safetensors"]
    height, width = network.config.image
    for count in (1, 4):
        image = np.random.default_rng(count).standard_normal((count, 3, height, width), np.float32)
        with torch.no_grad():
            wanted = network.logits(torch.from_numpy(image)).numpy()
        (got,) = run_onnx(out, {"image": image})
        assert got.shape == (count, network.config.channels, height // 4, width // 4)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4 * float(np.abs(wanted).max()))  # float32, folded batch norms
    report = json.loads(out.with_suffix(".parity.json").read_text())
    assert 0 < report["parity"][0]["max"] <= report["parity"][0]["tolerance"]


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    write_checkpoint("coco", tmp_path / "last.pt")
    write_checkpoint("images", tmp_path / "own.pt")
    said = {}
    for name in ("last", "own"):
        out = tmp_path / f"{name}.onnx"
        assert main(["--checkpoint", str(tmp_path / f"{name}.pt"), "--out", str(out)]) == 0
        model = onnx.load(str(out))
        said[name] = json.loads({p.key: p.value for p in model.metadata_props}["pose_rt"])
        assert [o.version for o in model.opset_import if o.domain == ""] == [17]
    coco, own = said["last"], said["own"]
    assert (coco["kind"], coco["task"], coco["dims"], coco["image"], coco["grid"]) == (KIND, "coco", 2, [64, 32], [16, 8])
    assert (coco["mean"], coco["deviation"], coco["enlarge"]) == ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25], 1.25)
    assert (coco["basis"], coco["skeleton"]["name"]) == ("triangular", "coco17")
    # Trained without a kernel, and with joints of its own.
    assert (own["basis"], own["skeleton"]["name"], own["skeleton"]["pairs"]) == (None, "images5", [[0, 1]])
    entry = file_entry(tmp_path / "own.onnx")
    assert (entry.name, entry.kind, entry.skeleton, entry.bundled) == ("own", "pose2d", "images5", False)
    assert entry.load() == (tmp_path / "own.onnx").resolve()


def test_a_measured_spread_goes_into_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint("images", tmp_path / "last.pt")
    out, results = tmp_path / "mine.onnx", tmp_path / "results.json"
    command = ["--checkpoint", str(tmp_path / "last.pt"), "--out", str(out), "--results", str(results)]
    for text in ("{}", '{"results": {"calibration": {"factor": NaN}}}'):
        results.write_text(text)
        assert main(command) == 1 and "calibration" in capsys.readouterr().err and not out.exists()
    results.write_text('{"results": {"calibration": {"factor": 2.6}}}')
    assert main(command) == 0
    assert json.loads({p.key: p.value for p in onnx.load(str(out)).metadata_props}["pose_rt"])["spread_factor"] == 2.6


def test_fp16_reports_its_error(tmp_path: Path) -> None:
    write_checkpoint("coco", tmp_path / "last.pt")
    out = tmp_path / "half.onnx"
    assert main(["--checkpoint", str(tmp_path / "last.pt"), "--out", str(out), "--precision", "fp16"]) == 0
    model = onnx.load(str(out))
    assert any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer)
    assert {i.name: i.type.tensor_type.elem_type for i in model.graph.input} == {"image": onnx.TensorProto.FLOAT}
    error = json.loads(out.with_suffix(".parity.json").read_text())["fp16"]
    assert error["unit"] == "px" and 0 < error["mean"] <= error["max"] <= 0.5 and error["layers"] > 20
    full = tmp_path / "full.onnx"
    assert main(["--checkpoint", str(tmp_path / "last.pt"), "--out", str(full)]) == 0
    assert out.stat().st_size < 0.75 * full.stat().st_size


@pytest.mark.parametrize("what", ["missing", "damaged", "foreign"])
def test_other_files_are_refused_and_nothing_is_written(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "last.pt"
    if what == "damaged":
        path.write_bytes(b"PK\x03\x04 and no more")
    elif what == "foreign":
        torch.save({"kind": "d3dp"}, path)
    assert main(["--checkpoint", str(path), "--out", str(tmp_path / "mine.onnx")]) == 1
    said = capsys.readouterr().err
    assert {"missing": "no such checkpoint", "damaged": "weights_only", "foreign": "'d3dp'"}[what] in said
    assert not list(tmp_path.glob("mine*"))
