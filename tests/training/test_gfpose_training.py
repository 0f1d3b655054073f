"""Training of GFPose: laws of the mixture and of the network's scaling, a toy density learned, runs that resume, the export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from exporters.gfpose import job_of, main, read_checkpoint  # noqa: E402
from exporters.report import run_onnx  # noqa: E402
from exporters.torch_export import export  # noqa: E402
from pose_rt.diffusion.guess import Mixture  # noqa: E402
from pose_rt.diffusion.sde import SubVpSde  # noqa: E402
from pose_rt.diffusion.sde_samplers import flow_solver  # noqa: E402
from pose_rt.errors import InputError  # noqa: E402
from pose_rt.models.gfpose import GROUP, Preconditioned, ScoreNetwork, score_function  # noqa: E402
from tests.training.gfpose_files import write_cmu17, write_h36m  # noqa: E402
from training.common import checkpoint  # noqa: E402
from training.data.convert import main as convert  # noqa: E402
from training.gfpose.config import TIME_FOCUS, TrainConfig, published  # noqa: E402
from training.gfpose.mixture import fit_mixture  # noqa: E402
from training.gfpose.train import main as train  # noqa: E402
from training.gfpose.trainer import Trainer, focused  # noqa: E402

SMALL = TrainConfig(hidden=64, embed=8, blocks=1, components=2, batch=64, minutes=None, epochs=1)
SIZES = ["--hidden", "64", "--embed", "8", "--blocks", "1", "--no-tensorboard", "--threads", "1"]


@pytest.fixture(scope="module")
def cmu17(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cmu17")
    write_cmu17(folder)
    return folder


def test_two_clouds_of_poses_are_found_again() -> None:
    rng = np.random.default_rng(0)
    means = np.zeros((2, 17, 3))
    means[0, 4], means[1, 4] = [1.0, 0.0, 0.3], [-1.0, 0.0, -0.3]  # they face opposite ways
    poses = np.concatenate([m + 0.1 * rng.standard_normal((n, 17, 3)) for m, n in zip(means, (3000, 1000), strict=True)])
    found = fit_mixture(poses, 2)
    order = np.argsort(found.log_weight)[::-1]
    np.testing.assert_allclose(np.exp(found.log_weight[order]), [0.75, 0.25], atol=0.01)
    np.testing.assert_allclose(found.mean[order].reshape(2, 17, 3), means, atol=0.02)
    np.testing.assert_allclose(np.sqrt(found.covariance[:, range(51), range(51)]), 0.1, rtol=0.15)


def test_an_untrained_network_is_the_score_of_its_guess() -> None:
    """Law: with F = 0 and everything hidden, samples have the guess's moments."""
    torch.manual_seed(0)
    sde = SubVpSde()
    network = Preconditioned(ScoreNetwork(64, 8, 1, second_input=True), sde, 9.0, 0.9)
    network.take(Mixture(np.zeros(1), np.linspace(-5, 5, 51)[None], np.diag(np.linspace(1, 3, 51) ** 2)[None]))
    network.eval()
    nothing = torch.zeros(4000, 17, 3)
    with torch.no_grad():
        drawn = flow_solver(sde, score_function(network, sde, nothing, nothing), torch.randn(4000, 17, 3), 30).flatten(1)
    np.testing.assert_allclose(drawn.mean(0), np.linspace(-5, 5, 51), atol=0.2)
    np.testing.assert_allclose(drawn.std(0), np.linspace(1, 3, 51), rtol=0.08)


def test_a_toy_density_is_learned_and_its_samples_have_its_moments() -> None:
    """One number moves all coordinates, at random up or down: no Gaussian is like that, the samples must be."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal((17, 3)) / 10

    def poses(count: int) -> np.ndarray:
        side = np.where(rng.random((count, 1, 1)) < 0.5, 1.0, -1.0)
        return (side * direction + 0.1 * rng.standard_normal((count, 17, 3))).astype(np.float32)

    config = replace(SMALL, components=1, lr=4e-3, hide_pose=1.0, condition_3d=1.0, minutes=1.0, deviation=0.15, time_focus=0.8)
    trainer = Trainer(config)
    trainer.fit(poses(4000))
    for step in range(350):
        trainer.seconds = 60 * step / 350  # the learning rate falls with the budget that is spent
        batch = torch.from_numpy(poses(128))
        trainer.train_step((batch, batch, torch.zeros(128, 17)))
    network, nothing = trainer.averaged(), torch.zeros(1000, 17, 3)
    with torch.no_grad():
        start = torch.randn(1000, 17, 3, generator=torch.Generator().manual_seed(0))
        drawn = flow_solver(trainer.sde, score_function(network, trainer.sde, nothing, nothing), start, 30, start_time=0.95) / 30
    side = (drawn.numpy() * direction).sum((1, 2)) / (direction**2).sum()
    assert abs(side.mean()) < 0.15 and side.std() == pytest.approx(1.0, abs=0.2)
    assert (np.abs(side) > 0.6).mean() > 0.68, "a Gaussian of these moments would have 55 % there"
    spread, wanted = drawn.numpy().std(0), np.sqrt(direction**2 + 0.1**2)
    assert (spread / wanted).mean() == pytest.approx(1.0, abs=0.25)
    assert np.abs(drawn.numpy().mean(0)).max() < 0.06


def test_batches_draw_the_same_joints_for_a_group_and_times_where_they_matter() -> None:
    trainer = Trainer(SMALL)
    seen = []
    network = trainer.network
    assert isinstance(network, Preconditioned)
    guess = network.guess
    network.guess = lambda condition, known: seen.append(known) or guess(condition, known)  # type: ignore[func-returns-value,method-assign]
    batch = torch.randn(64, 17, 3) / 3
    trainer.train_step((batch, batch, torch.zeros(64, 17)))
    groups = seen[0].reshape(-1, GROUP, 51)
    assert (groups == groups[:, :1]).all() and len(torch.unique(groups[:, 0], dim=0)) > 1
    u = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    times = focused(u, 0.7)
    inside = ((times > TIME_FOCUS[0]) & (times < TIME_FOCUS[1])).float().mean()
    assert float(inside) == pytest.approx(0.7 + 0.3 * (TIME_FOCUS[1] - TIME_FOCUS[0]), abs=0.02)
    assert torch.equal(focused(u, 0.0), u)


def test_groups_are_a_matter_of_speed_alone() -> None:
    network = SMALL.network().eval()
    assert isinstance(network, Preconditioned)
    condition = torch.randn(GROUP, 17, 3)
    known = torch.ones(GROUP, 17, 3)
    known[:, 5] = 0
    together = network.guess(condition, known)
    alone = [network.guess(c[None], k[None]) for c, k in zip(condition, known, strict=True)]
    for i, part in enumerate(together):
        np.testing.assert_allclose(part, torch.cat([a[i] for a in alone]), atol=1e-4)


@pytest.fixture(scope="module")
def trained(cmu17: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    more = ["--batch", "32", "--minutes", "0.03", "--report-minutes", "1", "--components", "2"]
    assert train(["--data", "cmu17", "--folder", str(cmu17), "--out", str(out), *SIZES, *more]) == 0
    return out


def test_a_run_leaves_what_it_was_made_of(trained: Path) -> None:
    facts = json.loads((trained / "run.json").read_text())
    assert facts["config"]["components"] == 2 and set(facts["data_sha256"]) == {"train.npz", "test.npz"}
    header, *rows = (trained / "log.csv").read_text().splitlines()
    assert header.startswith("step,epoch,seconds,lr,loss,hidden_mm") and rows
    network, config = read_checkpoint(trained / "best.pt")
    assert isinstance(network, Preconditioned) and config.hidden == 64
    assert float(network.covariance.diagonal(dim1=1, dim2=2).min()) > 0


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(cmu17: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = [torch.from_numpy(rng.normal(0, 0.3, (32, 17, 3)).astype(np.float32)) for _ in range(6)]
    batches = [(p, p, torch.zeros(32, 17)) for p in poses]
    whole = Trainer(SMALL)
    whole.fit(poses[0].numpy())
    for batch in batches[:3]:
        whole.train_step(batch)
    whole.save(tmp_path / "last.pt")
    for batch in batches[3:]:
        whole.train_step(batch)
    again = Trainer(SMALL)
    again.restore(tmp_path / "last.pt")
    for batch in batches[3:]:
        again.train_step(batch)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_the_published_recipe_trains_on_published_files(tmp_path: Path) -> None:
    write_h36m(tmp_path)
    assert convert([str(tmp_path)]) == 0
    out = tmp_path / "run"
    more = ["--epochs", "1", "--batch", "16", "--evaluate-steps", "3", "--evaluate-every", "1"]
    assert train(["--data", "h36m", "--folder", str(tmp_path), "--out", str(out), *SIZES, *more]) == 0
    config = json.loads((out / "run.json").read_text())["config"]
    assert {config["lr"], config["warmup"], config["ema"]} == {2e-4, 5000, 0.9999} and config["deviation"] is None
    assert (out / "log.csv").read_text().splitlines()[0].endswith("mpjpe_mm,pa_mpjpe_mm")
    network, _ = read_checkpoint(out / "last.pt")
    assert isinstance(network, ScoreNetwork)


@pytest.mark.parametrize("kind", ["plain", "preconditioned"])
def test_export_gives_the_networks_numbers(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = SMALL if kind == "preconditioned" else replace(published(), hidden=64, embed=8)
    network = config.network().eval()
    if isinstance(network, Preconditioned):  # it begins with an answer of zero
        torch.nn.init.normal_(network.network.post_dense.weight, std=0.02)
    job = job_of(network, config)
    assert export(job, tmp_path / "p.onnx", source="test").ok
    meta = json.loads({p.key: p.value for p in onnx.load(tmp_path / "p.onnx").metadata_props}["pose_rt"])
    assert meta["kind"] == "gfpose" and meta["sde"] == "subvp" and ("mixture" in meta) == (kind == "preconditioned")
    feeds = job.trials(3)
    assert run_onnx(tmp_path / "p.onnx", feeds)[0].shape == (200, 17, 3)


def published_checkpoint(path: Path, **changes: object) -> ScoreNetwork:
    """``best_model.pth`` of a small network; its averages are the weights, a tenth larger."""
    torch.manual_seed(0)
    network = ScoreNetwork(128, 8)
    ema = {"decay": 0.9999, "num_updates": 3, "shadow_params": [p.detach() * 1.1 for p in network.parameters() if p.requires_grad]}
    torch.save({"model_state_dict": network.state_dict(), "epoch": 1, "step": 3, "ema": ema} | changes, path)
    return network


def test_published_checkpoints_are_read_with_their_averages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = published_checkpoint(tmp_path / "best_model.pth")
    read, config = read_checkpoint(tmp_path / "best_model.pth")
    assert (config.hidden, config.embed, config.blocks) == (128, 8, 2)
    np.testing.assert_allclose(read.state_dict()["post_dense.weight"], network.post_dense.weight.detach() * 1.1)
    assert main(["--checkpoint", str(tmp_path / "best_model.pth"), "--out", str(tmp_path / "p.onnx")]) == 0
    assert "ok" in capsys.readouterr().out and (tmp_path / "p.safetensors").is_file()


def test_one_sentence_for_checkpoints_that_are_not_right(tmp_path: Path, trained: Path) -> None:
    published_checkpoint(tmp_path / "a.pth", ema=None)
    with pytest.raises(InputError, match="no averaged weights"):
        read_checkpoint(tmp_path / "a.pth")
    published_checkpoint(tmp_path / "b.pth", ema={"shadow_params": [torch.zeros(1)]})
    with pytest.raises(InputError, match="averages 1 parameters"):
        read_checkpoint(tmp_path / "b.pth")
    values = torch.load(trained / "last.pt", weights_only=True)
    checkpoint.save(tmp_path / "c.pt", {k: v for k, v in values.items() if k != "weights"})
    with pytest.raises(InputError, match="no averaged weights"):
        read_checkpoint(tmp_path / "c.pt")
    torch.save({"model_state_dict": {"other": torch.zeros(2)}}, tmp_path / "d.pth")
    with pytest.raises(InputError, match="not a GFPose score network"):
        read_checkpoint(tmp_path / "d.pth")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--hidden", "40"], 2, "hidden"),
        (["--sde", "cold"], 2, "sde"),
        (["--hide-part", "2"], 2, "hide_part"),
        (["--folder", "none"], 1, "none"),
    ],
)
def test_one_sentence_for_settings(
    cmu17: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    given = ["--folder", str(cmu17), "--out", str(tmp_path / "run"), "--minutes", "0.01", "--no-tensorboard", *arguments]
    assert train(given) == code
    assert message in " ".join(capsys.readouterr().err.split())
