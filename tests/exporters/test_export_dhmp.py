"""The exported forecaster: same numbers, free numbers of people and futures, metadata, refusal of what is no forecaster."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from exporters import checkpoint as checkpoint_reader  # noqa: E402
from exporters.dhmp import export, main, read_checkpoint, trial_inputs  # noqa: E402
from exporters.report import run_onnx  # noqa: E402
from pose_rt.core.skeleton import H36M17  # noqa: E402
from pose_rt.errors import InputError  # noqa: E402
from pose_rt.models.dhmp import PUBLISHED, Basis, DHMPConfig, Forecaster, build_cvae, build_sampler  # noqa: E402
from training.common import checkpoint  # noqa: E402

CONFIG = DHMPConfig(hidden=8, z=4, sampler_hidden=8, base_dim=4, bases=5, dct_n=8)


@pytest.fixture(scope="module")
def network() -> Forecaster:
    torch.manual_seed(0)
    basis = Basis.blank(CONFIG.nodes, CONFIG.history, CONFIG.frames, CONFIG.dct_n)
    return Forecaster(CONFIG, H36M17.parents or (), build_cvae(CONFIG), build_sampler(CONFIG), basis).eval()


def test_graph_gives_the_networks_numbers(network: Forecaster, tmp_path: Path) -> None:
    out = tmp_path / "forecaster.onnx"
    parity = export(network, out)
    assert parity.ok, parity
    model = onnx.load(out)
    assert model.opset_import[0].version == 17
    meta = json.loads({p.key: p.value for p in model.metadata_props}["pose_rt"])
    sizes = {"history": 25, "future": 100, "rate_hz": 50, "bases": 5, "z": 4}
    assert meta == {"kind": "dhmp", **sizes, "temperature": 0.85, "skeleton": "h36m17"}
    for people, k in ((1, 1), (4, 2), (2, 11)):
        futures = run_onnx(out, trial_inputs(CONFIG, people, k, 9))[0]
        assert futures.shape == (people, k, 100, 17, 3) and futures.dtype == np.float32
        assert np.abs(futures[..., 0, :]).max() == 0


def test_half_stored_weights_stay_near(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = replace(CONFIG, sampler_hidden=64, base_dim=32, bases=20)
    wide = Forecaster(config, H36M17.parents or (), build_cvae(config), build_sampler(config), None).eval()
    whole, half = export(wide, tmp_path / "whole.onnx"), export(wide, tmp_path / "half.onnx", half=True)
    assert half.ok and half.max > whole.max
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * (tmp_path / "whole.onnx").stat().st_size


def test_command_line(network: Forecaster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    basis = {"extension": network.dct.extension, "scale": torch.ones(CONFIG.dct_n)}
    stage1 = {"config": CONFIG.to_dict(), "model": network.cvae.state_dict(), "basis": basis}
    checkpoint.save(tmp_path / "stage1.pt", stage1)
    checkpoint.save(tmp_path / "stage2.pt", {**stage1, "model": network.sampler.state_dict(), "cvae": network.cvae.state_dict()})
    out = tmp_path / "out" / "f.onnx"
    assert main(["--checkpoint", str(tmp_path / "stage2.pt"), "--out", str(out)]) == 0
    assert json.loads(out.with_suffix(".parity.json").read_text())["parity"][0]["output"] == "futures"
    assert main(["--checkpoint", str(tmp_path / "stage1.pt"), "--out", str(out)]) == 1
    assert "stage 2" in capsys.readouterr().err
    (tmp_path / "text.pt").write_text("no checkpoint")
    assert main(["--checkpoint", str(tmp_path / "text.pt"), "--out", str(out)]) == 1


def published(folder: Path, wanted: DHMPConfig) -> tuple[Path, Path]:
    """Two files as the original training writes them: a NumPy scalar and an optimiser beside the weights of one stage each."""
    torch.manual_seed(3)
    files = []
    for name, network in (("t1.pth", build_cvae(wanted)), ("t2.pth", build_sampler(wanted))):
        optimizer = torch.optim.Adam(network.parameters())
        values = {
            "epoch": 500,
            "lr": 1e-4,
            "curr_err": np.float64(0.37),
            "model": network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        torch.save(values, folder / name)
        files.append(folder / name)
    return files[0], files[1]


@pytest.mark.parametrize(("nodes", "skeleton"), [(16, "h36m17"), (14, "humaneva15")])
def test_published_files_convert(nodes: int, skeleton: str, tmp_path: Path) -> None:
    sizes = {config.nodes: config for config in PUBLISHED.values()}[nodes]
    wanted = replace(sizes, hidden=8, z=4, sampler_hidden=6, base_dim=4, bases=5)
    stage1, stage2 = published(tmp_path, wanted)
    out = tmp_path / "f.onnx"
    assert main(["--checkpoint", str(stage2), "--cvae", str(stage1), "--out", str(out)]) == 0
    assert read_checkpoint(stage2, stage1).config == wanted
    meta = json.loads({p.key: p.value for p in onnx.load(out).metadata_props}["pose_rt"])
    assert (meta["skeleton"], meta["history"], meta["future"], meta["rate_hz"]) == (skeleton, sizes.history, sizes.future, sizes.rate_hz)


def test_published_files_that_do_not_fit(tmp_path: Path) -> None:
    stage1, stage2 = published(tmp_path, replace(PUBLISHED["h36m"], hidden=8, z=4, sampler_hidden=6, base_dim=4, bases=5))
    with pytest.raises(InputError, match="--cvae"):
        read_checkpoint(stage2)
    with pytest.raises(InputError, match="stage 1 only"):
        read_checkpoint(stage1)
    values = checkpoint_reader.read(stage2)
    del values["model"]["condition_enc.1.gcb1.gcn.att"]
    torch.save(values, stage2)
    with pytest.raises(InputError, match=r"condition_enc.1.gcb1.gcn.att \(16, 16\) is missing"):
        read_checkpoint(stage2, stage1)
