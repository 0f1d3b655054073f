"""Export of D3DP checkpoints: ours and the published kind, full and half storage, and files that must be refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

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
    assert main([str(published), "--out", str(out)]) == 0
    model = onnx.load(str(out))
    metadata = json.loads({p.key: p.value for p in model.metadata_props}["pose_rt"])
    assert (metadata["kind"], metadata["frames"], metadata["timesteps"], metadata["input"]) == ("d3dp", 4, 1000, "screen")
    assert [(o.domain, o.version) for o in model.opset_import if o.domain == ""] == [("", 17)]
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["parity"][0]["max_abs"] <= report["parity"][0]["tolerance"]


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
        assert main([str(path), "--out", str(tmp_path / "x.onnx")]) == 1
    assert "not a D3DP checkpoint" in (errors := capsys.readouterr().err)
    assert "no such checkpoint" in errors
    assert not (tmp_path / "x.onnx").exists()
