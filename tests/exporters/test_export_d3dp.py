"""Export of D3DP checkpoints: ours and the published kind, full and half storage, and files that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from safetensors import safe_open  # noqa: E402

from exporters import checkpoint  # noqa: E402
from exporters.d3dp import export, main, read_checkpoint  # noqa: E402
from pose_rt.errors import InputError  # noqa: E402
from pose_rt.models.d3dp import D3DP, MixSTEConfig  # noqa: E402
from training.d3dp.config import TrainConfig  # noqa: E402
from training.d3dp.trainer import Trainer  # noqa: E402


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A file as the original training script writes it: keys of a DataParallel model, a NumPy generator among tensors."""
    torch.manual_seed(0)
    model = D3DP(MixSTEConfig(frames=4, width=16, depth=2, heads=8))
    generator = np.random.RandomState(3)
    generator.rand(5)
    path = tmp_path / "best_epoch.bin"
    values = {
        "epoch": 3, "lr": 6e-5, "random_state": generator, "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
        "model_pos": {f"module.{key}": value for key, value in model.state_dict().items()},
    }  # fmt: skip
    torch.save(values, path)
    return path


def test_a_published_checkpoint_converts(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    assert main(["--checkpoint", str(published), "--out", str(out)]) == 0
    model = onnx.load(str(out))
    metadata = json.loads({p.key: p.value for p in model.metadata_props}["pose_rt"])
    assert (metadata["kind"], metadata["frames"], metadata["timesteps"], metadata["input"]) == ("d3dp", 4, 1000, "screen")
    assert [(o.domain, o.version) for o in model.opset_import if o.domain == ""] == [("", 17)]
    report = json.loads(out.with_suffix(".parity.json").read_text())
    parity = report["parity"][0]
    assert 0 < parity["mean"] <= parity["max"] <= parity["tolerance"]
    assert (parity["unit"], parity["seeds"], report["source"]) == ("mm", [1, 2, 3], "best_epoch.bin")
    with safe_open(out.with_suffix(".safetensors"), "np") as file:
        assert json.loads(file.metadata()["pose_rt"]) == metadata
        assert sorted(file.keys()) == sorted(read_checkpoint(published).network.state_dict())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best_epoch.bin", "model.onnx", "model.parity.json", "model.safetensors"]


def test_fp16_arithmetic_keeps_to_its_budget(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    assert main(["--checkpoint", str(published), "--out", str(out), "--precision", "fp16"]) == 0
    kinds = {t.data_type for t in onnx.load(str(out)).graph.initializer if np.prod(t.dims) > 64}
    assert onnx.TensorProto.FLOAT16 in kinds
    fp16 = json.loads(out.with_suffix(".parity.json").read_text())["fp16"]
    assert fp16["unit"] == "mm" and 0 < fp16["max"] <= 1 and len(fp16["kept_fp32"]) < fp16["layers"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("module.pose_estimator.STEblocks.1.attn.qkv.weight"),
            r"1.attn.qkv.weight \(48, 16\) is missing",
        ),
        (lambda state: state.update({"module.pose_estimator.head.1.bias": torch.zeros(4)}), r"head.1.bias is \(4,\), wanted \(3,\)"),
        (lambda state: state.update({"module.more": torch.zeros(2)}), r"more \(2,\) is no part of a D3DP"),
        (lambda state: state["module.pose_estimator.head.0.weight"].fill_(np.nan), r"head.0.weight holds values that are not finite"),
        (lambda state: state.pop("module.pose_estimator.Temporal_pos_embed"), r"Temporal_pos_embed is missing"),
    ],
)
def test_the_first_tensor_that_differs_is_named(published: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    values = checkpoint.read(published)
    change(values["model_pos"])
    torch.save(values, published)
    with pytest.raises(InputError, match=message):
        read_checkpoint(published)


def test_half_storage_halves_the_file_and_stays_near(published: Path, tmp_path: Path) -> None:
    source = read_checkpoint(published)
    full, half = tmp_path / "full.onnx", tmp_path / "half.onnx"
    assert export(source, full).ok
    assert export(source, half, half=True).ok
    weights = [sum(len(t.raw_data) for t in onnx.load(str(path)).graph.initializer) for path in (full, half)]
    assert weights[1] < 0.6 * weights[0]


def test_our_own_checkpoint_carries_its_constants(tmp_path: Path) -> None:
    trainer = Trainer(TrainConfig(frames=3, width=8, depth=1, heads=2, unit_m=1.3, minutes=None, steps=1))
    trainer.save(tmp_path / "last.pt")
    metadata = read_checkpoint(tmp_path / "last.pt").metadata
    assert (metadata["frames"], metadata["unit_m"], metadata["rate_hz"], metadata["input"]) == (3, 1.3, 12.5, "view")
    assert len(metadata["sigma"]["a_m"]) == len(metadata["sigma"]["b"]) == 17


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (__import__("os").system, ("touch pickle_was_run",))


def test_a_file_that_carries_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.bin").write_bytes(b"cos\nsystem\n(S'touch pickle_was_run'\ntR.")  # a call of os.system, as a bare pickle
    torch.save({"model_pos": _Evil()}, tmp_path / "evil_torch.bin")
    for name in ("evil.bin", "evil_torch.bin"):
        with pytest.raises(InputError, match="weights_only"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "pickle_was_run").exists()


def test_other_files_get_a_sentence_and_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weights": {}}, tmp_path / "other.pt")
    for path in (tmp_path / "other.pt", tmp_path / "absent.pt"):
        assert main(["--checkpoint", str(path), "--out", str(tmp_path / "x.onnx")]) == 1
    assert "not a D3DP checkpoint" in (errors := capsys.readouterr().err)
    assert "no such checkpoint" in errors
    assert not (tmp_path / "x.onnx").exists()
