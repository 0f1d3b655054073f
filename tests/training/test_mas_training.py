"""MAS end to end on tiny data: train, resume, export, generate, evaluate; the networks' laws; bodies."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exporters import mas as export_mas  # noqa: E402
from pose_rt.cli.app import run  # noqa: E402
from pose_rt.io.motion_results import read_generated  # noqa: E402
from pose_rt.models.mas import MDM, Evaluator, EvaluatorConfig, MDMConfig, guided  # noqa: E402
from tests.training.mas_files import write_set  # noqa: E402
from training.mas import evaluate, train, train_evaluator  # noqa: E402
from training.mas.load import load_motion_model  # noqa: E402

SMALL = ["--layers", "1", "--latent_dim", "16", "--ff_size", "32", "--num_heads", "2", "--diffusion_steps", "10", "--dropout", "0"]
QUICK = ["--num_steps", "3", "--train_batch_size", "4", "--log_interval", "1", "--lr", "1e-3"]


def trained(folder: Path, name: str, *more: str, steps: str = "3") -> Path:
    data = write_set(folder / name, name)
    out = folder / f"model_{name}"
    arguments = ["--dataset", name, "--datapath", str(data), "--save_dir", str(out), *SMALL, *QUICK, "--num_steps", steps, *more]
    assert train.main(arguments) == 0
    return out / "latest.pt"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("nba", ["--arch", "trans_dec", "--emb_trans_dec", "true"]), ("gymnastics", ["--arch", "gru"]), ("horse", ["--ema", "0.9"]),
        ("humanml", ["--model_mean_type", "epsilon", "--noise_schedule", "cosine"]), ("tracks", ["--velocity", "1", "--cosine"]),
    ],
)  # fmt: skip
def test_every_data_set_from_training_to_3d_motion(tmp_path: Path, name: str, more: list[str]) -> None:
    checkpoint = trained(tmp_path, name, *more)
    onnx = tmp_path / "m.onnx"
    assert export_mas.main(["--checkpoint", str(checkpoint), "--out", str(onnx)]) == 0
    assert onnx.with_suffix(".safetensors").is_file()
    arguments = ["--num-samples", "1", "--num-views", "3", "--motion-length", "0.8", "--steps", "4", "--no-films", "--no-bvh"]
    for file, out in ((checkpoint, "a"), (onnx, "b")):
        assert run(["generate", "motion3d", "--checkpoint", str(file), "--out", str(tmp_path / out), *arguments]) == 0
    a, b = (read_generated(tmp_path / out / "results.npz") for out in "ab")
    assert a.spec.name == name and np.isfinite(a.values).all()
    np.testing.assert_allclose(a.values, b.values, atol=1e-3)  # ONNX Runtime's sums through four steps


def test_resuming_goes_where_the_whole_run_went(tmp_path: Path) -> None:
    whole = load_motion_model(trained(tmp_path / "a", "tracks", steps="6"))
    half = trained(tmp_path / "b", "tracks", steps="3")
    assert train.main(["--resume_checkpoint", str(half), "--num_steps", "6"]) == 0
    other = load_motion_model(half)
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(other.network.state_dict()[key], value)
    assert len((half.parent / "log.csv").read_text().splitlines()) == 7
    assert train.main(["--dataset", "tracks", "--datapath", str(tmp_path / "a" / "tracks"), "--save_dir", str(half.parent), *SMALL]) == 1


def test_use_data_takes_lengths_and_shows_the_clips(tmp_path: Path) -> None:
    checkpoint = trained(tmp_path, "tracks")
    arguments = ["--checkpoint", str(checkpoint), "--num-samples", "2", "--num-views", "3", "--steps", "3", "--no-bvh", "--no-films",
                 "--out", str(tmp_path / "out"), "--use-data", "--datapath", str(tmp_path / "tracks"), "--show-input-motions"]  # fmt: skip
    assert run(["generate", "motion3d", *arguments]) == 0
    made = read_generated(tmp_path / "out" / "results.npz")
    assert len(set(made.lengths.tolist())) > 1 and made.lengths.min() >= 24 and made.values.shape[1] == made.lengths.max()
    assert len(list((tmp_path / "out").glob("input_motions_*.mp4"))) == 2


def test_evaluation_tells_real_motion_from_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = trained(tmp_path, "tracks")
    data = ["--dataset", "tracks", "--datapath", str(tmp_path / "tracks")]
    small = ["--e_latent_dim", "16", "--e_ff_size", "32", "--e_num_layers", "1", "--e_num_heads", "2", "--e_dropout", "0"]
    assert train_evaluator.main([*data, "--save_dir", str(tmp_path / "e"), *small, *QUICK, "--num_steps", "30"]) == 0
    out = tmp_path / "r.json"
    arguments = [
        "--model_path",
        str(checkpoint),
        "--evaluator_path",
        str(tmp_path / "e" / "latest.pt"),
        "--datapath",
        str(tmp_path / "tracks"),
    ]
    arguments += ["--subjects", "test_data", "train_data", "model", "mas", "--steps", "3", "--num_views", "3", "--eval_num_samples", "8"]
    assert evaluate.main([*arguments, "--num_eval_iterations", "2", "--pool", "10", "--out", str(out)]) == 0
    subjects = json.loads(out.read_text())["subjects"]
    assert list(subjects) == ["test_data", "train_data", "model", "mas"]
    assert subjects["train_data"]["fid"]["mean"] < subjects["model"]["fid"]["mean"]  # an untrained model makes noise
    assert subjects["mas"]["bone_variation"] > 0 and 0 <= subjects["mas"]["precision"]["mean"] <= 1
    assert (checkpoint.parent / "latest_eval_uniform.txt").read_text().count("\n") == 5
    capsys.readouterr()
    assert evaluate.main([*arguments, "--subjects", "motionBert"]) == 2
    assert "motionBert is of the nba data set" in capsys.readouterr().err
    assert evaluate.main([*arguments, "--subjects", "nobody"]) == 2
    assert evaluate.main([*arguments, "--pool", "2"]) == 2


def network(**changes: object) -> MDM:
    torch.manual_seed(0)
    return MDM(MDMConfig(joints=4, latent_dim=16, ff_size=32, layers=2, num_heads=2, **changes)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("arch", ["trans_enc", "trans_dec", "gru"])
def test_padding_and_neighbours_change_nothing(arch: str) -> None:
    net = network(arch=arch)
    x, t, lengths = torch.randn(3, 4, 2, 12), torch.tensor([1, 5, 9]), torch.tensor([12, 7, 9])
    together = net(x, t, lengths)
    for i, length in enumerate(lengths.tolist()):
        alone = net(x[i : i + 1, ..., :length], t[i : i + 1], lengths[i : i + 1])
        torch.testing.assert_close(together[i, ..., :length], alone[0], atol=1e-5, rtol=1e-4)


def test_the_published_recurrence_runs_over_the_batch() -> None:
    net = network(arch="gru", over_time=False)
    x, t = torch.randn(3, 4, 2, 5), torch.zeros(3, dtype=torch.long)
    changed = x.clone()
    changed[0] += 1
    assert not torch.allclose(net(x, t)[2], net(changed, t)[2])
    frames = x.clone()
    frames[..., 0] += 1
    torch.testing.assert_close(net(x, t)[..., 1:], net(frames, t)[..., 1:])


def test_guidance_mixes_with_and_without_the_condition() -> None:
    net = network(cond="action", num_actions=3)
    x, t, action = torch.randn(2, 4, 2, 5), torch.tensor([3, 4]), torch.tensor([[0], [2]])
    with_it, without = net(x, t, None, action), net(x, t, None, action, uncond=True)
    for scale, want in ((0.0, without), (1.0, with_it), (2.5, without + 2.5 * (with_it - without))):
        torch.testing.assert_close(guided(net, action, torch.full((2,), scale))(x, t, None), want, atol=1e-5, rtol=1e-4)


def test_the_evaluators_code_knows_no_padding() -> None:
    torch.manual_seed(0)
    net = Evaluator(EvaluatorConfig(joints=4, e_latent_dim=16, e_ff_size=32, e_num_layers=1, e_num_heads=2)).eval()
    x, lengths = torch.randn(2, 4, 2, 9), torch.tensor([9, 5])
    mean, _ = net.encode(x, lengths)
    alone, _ = net.encode(x[1:, ..., :5], lengths[1:])
    torch.testing.assert_close(mean[1], alone[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="wanted the longest of the lengths"):
        net.encode(x, torch.tensor([5, 5]))


def test_checkpoints_of_other_sizes_are_refused(tmp_path: Path) -> None:
    checkpoint = trained(tmp_path, "tracks")
    args = json.loads((checkpoint.parent / "args.json").read_text())
    (checkpoint.parent / "args.json").write_text(json.dumps({**args, "latent_dim": 32}))
    with pytest.raises(Exception, match=r"is .*, wanted"):
        load_motion_model(checkpoint)
    (checkpoint.parent / "args.json").unlink()
    with pytest.raises(Exception, match="copy it beside the checkpoint"):
        load_motion_model(checkpoint)
