"""Evaluation of GFPose: five tasks on both kinds of data, what is written, scores whose values are known, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.training.gfpose_files import write_cmu17, write_h36m  # noqa: E402
from training.data.convert import main as convert  # noqa: E402
from training.gfpose.config import TrainConfig, published  # noqa: E402
from training.gfpose.evaluate import main as evaluate  # noqa: E402
from training.gfpose.hidden import PATTERNS, hidden_joints  # noqa: E402
from training.gfpose.metrics import calibration, hypothesis_errors, over_actions, scores  # noqa: E402
from training.gfpose.pictures import read_results  # noqa: E402
from training.gfpose.tasks import RANDOM_JOINTS, start_and_mask  # noqa: E402
from training.gfpose.trainer import Trainer  # noqa: E402

TASKS = {
    "est": [], "comp2d": ["--randj", "2"], "comp3d": ["--jlist", "1,2,3"], "gen": [], "den": ["--std", "25", "--t", "0.05"],
}  # fmt: skip


@pytest.fixture(scope="module", params=["cmu17", "h36m"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name tiny data and a network for it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "h36m":
        write_h36m(folder)
        assert convert([str(folder)]) == 0
        base = published()
    else:
        write_cmu17(folder)
        base = TrainConfig(components=2)
    torch.manual_seed(0)
    trainer = Trainer(TrainConfig.from_dict({**base.to_dict(), "hidden": 64, "embed": 8, "blocks": 1}))
    if request.param == "cmu17":
        trainer.fit(np.random.default_rng(0).normal(0, 0.3, (500, 17, 3)))
    trainer.save(folder / "network.pt")
    return ["--data", request.param, "--folder", str(folder), "--checkpoint", str(folder / "network.pt"), "--count", "12", "--threads", "1"]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_and_says_what_it_measured(world: list[str], task: str, tmp_path: Path) -> None:
    out = {name: tmp_path / f"r.{name}" for name in ("json", "csv", "npz", "png")}
    files = ["--json", str(out["json"]), "--csv", str(out["csv"]), "--out", str(out["npz"]), "--picture", str(out["png"])]
    assert evaluate([task, *world, *TASKS[task], "--hypo", "3", "--flow", "3", *files]) == 0
    report = json.loads(out["json"].read_text())
    assert report["task"] == task and "DPM-Solver++ in 3 steps" in report["sampler"]
    found = report["scores"]
    if task == "gen":
        assert {"bones", "nearest_real_mm", "spread_ratio"} <= set(found)
    else:
        assert found["min_mpjpe_mm"] <= found["mean_mpjpe_mm"] and found["min_pa_mpjpe_mm"] <= found["mean_pa_mpjpe_mm"]
        assert {"pck_150mm", "auc", "spread_xyz_mm", "within_1_sd", "rank_distance"} <= set(found)
    if task.startswith("comp"):
        assert found["missing_min_mm"] > 0
    if task == "den":
        assert found["noisy_mpjpe_mm"] > 5
    with out["csv"].open() as file:
        assert next(csv.DictReader(file))["task"] == task
    states, truth = read_results(out["npz"])
    assert states.shape[0] == 1 and states.shape[2:] == (3, 17, 3) and truth is not None and len(truth) == states.shape[1]
    assert out["png"].stat().st_size > 500


def test_the_published_sampler_and_an_adaptive_one_with_all_states(world: list[str], tmp_path: Path) -> None:
    for name, more, steps in (("p", ["--steps", "4", "--pflow"], 4), ("e", ["--ode", "--start", "0.5"], None)):
        out = tmp_path / f"{name}.npz"
        given = ["est", *world, "--hypo", "2", "--save", "trajs", "--out", str(out), *more]
        if name == "e":
            pytest.importorskip("torchdiffeq")
        assert evaluate(given) == 0
        states, _ = read_results(out)
        assert states.shape[2] == 2 and (states.shape[0] == steps if steps else states.shape[0] > 6)


def test_results_do_not_depend_on_the_batch_they_are_drawn_in_twice(world: list[str], tmp_path: Path) -> None:
    for name in "ab":
        assert evaluate(["est", *world, "--hypo", "2", "--flow", "2", "--seed", "5", "--out", str(tmp_path / f"{name}.npz")]) == 0
    a, b = (read_results(tmp_path / f"{n}.npz")[0] for n in "ab")
    np.testing.assert_array_equal(a, b)


def test_a_film_for_rerun(world: list[str], tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    out = tmp_path / "r.rrd"
    assert evaluate(["est", *world, "--hypo", "2", "--flow", "2", "--save", "trajs", "--rerun", str(out), "--people", "3"]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["est", "--hypo", "0"], "--hypo is 0, wanted at least 1"),
        (["comp2d"], "wanted one of --randj K and --jlist LIST"),
        (["est", "--randj", "2"], "wanted neither --randj nor --jlist"),
        (["comp3d", "--randj", "9"], "--randj is 9, wanted 1 to 8"),
        (["den", "--std", "5"], "den: wanted --std and --t"),
        (["den", "--std", "-1", "--t", "0.1"], "--std is -1, wanted 0 or more"),
        (["den", "--std", "5", "--t", "0"], "--t is 0, wanted more than 0 and at most 1"),
        (["den", "--std", "5", "--t", "1.5"], "--t is 1.5, wanted more than 0 and at most 1"),
        (["est", "--flow", "2", "--start", "2"], "from time 2"),
        (["est", "--steps", "0"], "got 0 steps"),
        (["est", "--data", "h36m", "--checkpoint", "nothing.pt"], "nothing.pt"),
    ],
)
def test_one_sentence_for_each_mistake(world: list[str], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate([arguments[0], *world, *arguments[1:]]) in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())


def test_scores_of_hypotheses_whose_errors_are_known() -> None:
    rng = np.random.default_rng(0)
    truth = 300 * rng.standard_normal((4, 17, 3))
    predicted = np.repeat(truth[:, None], 3, 1)
    predicted[:, 0, :, 0] += 30.0
    predicted[:, 1, :, 1] -= 10.0
    found = scores(predicted, truth)
    assert found["min_mpjpe_mm"] == pytest.approx(0.0) and found["mean_mpjpe_mm"] == pytest.approx(40 / 3)
    assert found["mean_pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-6), "the alignment takes a shift away"
    assert found["pck_150mm"] == 100 and found["hypotheses"] == 3
    mirrored = truth * np.array([-1.0, 1.0, 1.0])
    strict, free = (hypothesis_errors(mirrored[:, None], truth, protocol=2, reference=r).max() for r in (False, True))
    assert free == pytest.approx(0.0, abs=1e-6) and strict > 50, "the published alignment may mirror"


def test_actions_count_alike_and_spread_that_tells_the_error_is_called_calibrated() -> None:
    values, action = np.array([1.0, 1.0, 1.0, 5.0]), np.array([2, 2, 2, 3])
    assert over_actions(values, action) == pytest.approx(3.0)
    assert np.isnan(over_actions(values, action, reference=True)), "an absent action is NaN, as published"
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((400, 1, 17, 3))
    drawn, truth = centre + rng.standard_normal((400, 20, 17, 3)), (centre + rng.standard_normal((400, 1, 17, 3)))[:, 0]
    good, narrow = calibration(drawn, truth), calibration(centre + 0.3 * (drawn - centre), truth)
    assert good["within_1_sd"] == pytest.approx(0.683, abs=0.02) and good["within_1.96_sd"] == pytest.approx(0.94, abs=0.02)
    assert good["rank_distance"] < 0.02 < 0.2 < narrow["rank_distance"]
    assert calibration(drawn[:, :1], truth) == {}


def test_tasks_show_what_they_should() -> None:
    condition, noise = torch.ones(2, 17, 3), torch.full((2, 17, 3), 7.0)
    _, _, mask = start_and_mask("est", condition, noise)
    assert mask[..., :2].all() and not mask[..., 2].any()
    start, _, mask = start_and_mask("comp3d", condition, noise, missing=[[1], [2, 3]])
    assert not mask[1, [2, 3]].any() and mask.sum() == 2 * 51 - 9 and start[0, 1, 0] == 7 and start[0, 0, 0] == 1
    with pytest.raises(ValueError, match="missing joints for 1 samples"):
        start_and_mask("comp2d", condition, noise, missing=[[1]])
    with pytest.raises(ValueError, match="no pose to denoise"):
        start_and_mask("den", condition, noise)
    hidden = hidden_joints(np.random.default_rng(0), PATTERNS["2 joints"], 50)
    assert (hidden.sum(1) == 2).all() and set(np.flatnonzero(hidden.any(0))) == set(RANDOM_JOINTS)
