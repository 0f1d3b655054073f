"""The commands of DHMP end to end on tiny files in the published formats: convert, train, evaluate, classify, score."""

import json
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_rt.errors import InputError  # noqa: E402
from training.data.convert import main as convert  # noqa: E402
from training.dhmp.evaluate import main as evaluate  # noqa: E402
from training.dhmp.fid_acc import main as fid_acc  # noqa: E402
from training.dhmp.multimodal import load as load_multimodal  # noqa: E402
from training.dhmp.multimodal import main as multimodal  # noqa: E402
from training.dhmp.networks import load_networks  # noqa: E402
from training.dhmp.predictors import load  # noqa: E402
from training.dhmp.published import H36M, HUMANEVA, PublishedSet, open_published  # noqa: E402
from training.dhmp.published_train import load_training  # noqa: E402
from training.dhmp.retarget import bone_lengths, retarget, unit_bones  # noqa: E402
from training.dhmp.train import main as train  # noqa: E402
from training.dhmp.train_classifier import main as train_classifier  # noqa: E402
from training.dhmp.windows import neighbours, published_windows  # noqa: E402

SIZES = ["hidden=8", "z=4", "sampler_hidden=8", "base_dim=4", "bases=5"]


def person(about: PublishedSet, frames: int, seed: int) -> np.ndarray:
    """A body that sways, (frames, joints in the file, 3)."""
    rng = np.random.default_rng(seed)
    offsets = np.random.default_rng(0).normal(0, 0.2, (about.joints_in_file, 3))
    time = np.arange(frames)[:, None, None] / about.rate_hz
    sway = 0.03 * np.sin(2 * np.pi * (time * rng.uniform(0.3, 1, (1, about.joints_in_file, 1)) + rng.random((1, about.joints_in_file, 3))))
    return (offsets + sway + [0.3, -0.2, 0.9]).astype(np.float32)


def write_files(about: PublishedSet, folder: Path) -> None:
    """Motion, candidate clips, similar clips and joint limits as their publishers pickle them."""
    frames, nodes = about.frames, len(about.parents) - 1
    classes = about.classes
    positions: dict[str, dict[str, np.ndarray]] = {}
    for n, subject in enumerate((*about.train, *about.test)):
        positions[subject] = {
            f"{classes[(n + i) % 2]} {i + 1}": person(about, frames + about.history + 4 * i + 2, 10 * n + i) for i in range(2)
        }
    for subject, action in about.dropped:
        positions[subject][action] = person(about, frames + 1, 99)
    np.savez(folder / about.motion_file, positions_3d=np.array(positions, dtype=object))
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(6, frames, nodes, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    name = f"data_candi_t_his{about.history}_t_pred{about.future}_skiprate20.npz"
    np.savez(folder / name, **{"data_candidate.npy": directions})
    similar = {
        s: {a: np.array([rng.integers(0, 6, rng.integers(0, 4)) for _ in range(len(x))], dtype=object) for a, x in positions[s].items()}
        for s in about.train
    }
    name = f"t_his{about.history}_1_thre0.500_t_pred{about.future}_thre0.100_filtered_dlow.npz"
    np.savez(folder / name, data_multimodal=np.array(similar, dtype=object))
    names = ("Neck2Spine", "Shoulder2Shoulder") if about.name == "h36m" else ("Head2Neck", "Shoulder2Shoulder")
    write_pickle(folder / about.limits_file, {n: np.array([-0.5, 0.5], np.float32) for n in names})


def write_pickle(path: Path, value: dict[str, np.ndarray]) -> None:
    """A plain pickle, as it is published."""
    path.write_bytes(ForkingPickler.dumps(value, 2))


@pytest.fixture(scope="module", params=[H36M, HUMANEVA], ids=lambda about: about.name)
def about(request: pytest.FixtureRequest) -> PublishedSet:
    return request.param


@pytest.fixture(scope="module")
def data(about: PublishedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(about.name)
    write_files(about, folder)
    assert convert([str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(about: PublishedSet, data: Path) -> Path:
    out = data / "run"
    for stage in ("1", "2"):
        argv = ["--stage", stage, "--dataset", about.name, "--data", str(data), "--out", str(out), "--epochs", "1"]
        assert train([*argv, "--samples", "8", "--batch", "4", "--k", "25", "--size", *SIZES]) == 0
    return out


def test_published_settings_are_the_default(about: PublishedSet, trained: Path) -> None:
    first, second = load_networks(trained / "stage1.pt"), load_networks(trained / "stage2.pt")
    assert first.dataset == second.dataset == about.name and first.basis is None
    assert not second.config.canonical and not second.config.finish and second.config.dct_n == 10
    assert (second.config.history, second.config.future, second.config.rate_hz) == (about.history, about.future, about.rate_hz)


def test_evaluation_with_both_divisors(about: PublishedSet, data: Path, trained: Path, tmp_path: Path) -> None:
    similar = tmp_path / "similar.npz"
    assert multimodal(["--dataset", about.name, "--data", str(data), "--out", str(similar)]) == 0
    argv = ["--model", str(trained / "stage2.pt"), "--data", str(data), "--k", "6", "--reference", "--multimodal", str(similar)]
    assert evaluate([*argv, "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv"), "--pictures", str(tmp_path / "p")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())["clean history"]
    windows = published_windows(about, data)
    matched = sum(len(rows) > 0 for rows in neighbours(windows))
    assert report["windows"] == len(windows) and report["with_similar_past"] == matched > 0
    for name, value in report["protocol_mean"].items():
        assert report["protocol_reference"][name] == pytest.approx(value * matched / len(windows), abs=2e-4)
    assert report["ade_m"]["1"] >= report["ade_m"]["5"] and set(report["by_action"]) == set(windows.action)
    assert (tmp_path / "r.csv").read_text().count("\n") == 2 + len(report["by_action"])
    names = {p.name for p in (tmp_path / "p").iterdir()}
    assert {"last_poses.png", "window_0.mp4", "window_0.gif"} <= names


def test_classifier_then_fid_and_accuracy(about: PublishedSet, data: Path, trained: Path, tmp_path: Path) -> None:
    classifier, target = tmp_path / "c.pt", tmp_path / "f.json"
    assert train_classifier(["--dataset", about.name, "--data", str(data), "--out", str(classifier), "--epochs", "2"]) == 0
    argv = [
        "--model",
        str(trained / "stage2.pt"),
        "--classifier",
        str(classifier),
        "--dataset",
        about.name,
        "--data",
        str(data),
        "--k",
        "4",
    ]
    scores = []
    for more in ([], [], ["--reference"]):
        assert fid_acc([*argv, "--json", str(target), *more]) == 0
        scores.append(json.loads(target.read_text()))
    assert scores[0] == scores[1]  # the initial state is fixed
    assert scores[0]["fid"] >= 0 and 0 <= scores[0]["accuracy"] <= 1 and scores[2]["fid"] != scores[0]["fid"]
    assert sum(map(sum, scores[0]["confusion"])) == 4 * scores[0]["counted"]


def test_published_checkpoints_are_read(about: PublishedSet, data: Path, tmp_path: Path) -> None:
    from pose_rt.models.dhmp import PUBLISHED, build_cvae, build_sampler

    config = PUBLISHED[about.name]
    for stage, network in ((1, build_cvae(config)), (2, build_sampler(config))):
        values = {"epoch": 1, "lr": 1e-3, "curr_err": np.float64(0.5) if stage == 2 else torch.tensor(0.5), "model": network.state_dict()}
        torch.save(values, tmp_path / f"{about.name}_t{stage}.pth")
    history = published_windows(about, data).history[0]
    second = load(tmp_path / f"{about.name}_t2.pth", about.name).futures(history, 3, 0, 0)
    first = load(tmp_path / f"{about.name}_t1.pth", about.name).futures(history, 3, 0, 0)
    assert first.shape == second.shape == (3, about.future, len(about.parents), 3)


def test_one_sentence_for_what_is_missing_or_wrong(
    about: PublishedSet, data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "humaneva" if about.name == "h36m" else "h36m"
    assert evaluate(["--model", str(trained / "stage2.pt"), "--dataset", other, "--data", str(data)]) == 1
    assert f"trained on {about.name}, wanted {other}" in capsys.readouterr().err
    assert evaluate(["--model", str(trained / "stage2.pt"), "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "no such file" in said and "training.data.convert" in said
    assert evaluate(["--model", str(trained / "stage2.pt"), "--data", str(data), "--k", "0"]) == 2
    argv = ["--stage", "2", "--dataset", other, "--data", str(data), "--out", str(tmp_path), "--stage1", str(trained / "stage1.pt")]
    assert train(argv) == 1
    assert train(["--stage", "1", "--dataset", about.name, "--data", str(data), "--out", str(tmp_path), "--weight", "kll=1"]) == 2
    assert train(["--stage", "1", "--dataset", about.name, "--data", str(data), "--out", str(tmp_path), "--resume"]) == 1
    capsys.readouterr()
    with pytest.raises(InputError, match=r"training\.dhmp\.multimodal"):
        load_multimodal(tmp_path / "none.npz", published_windows(about, data))
    with pytest.raises(InputError, match="unknown action 'Juggling'"):
        about.label("Juggling 1")


def test_unconverted_files_name_the_command(about: PublishedSet, tmp_path: Path) -> None:
    (tmp_path / about.motion_file).write_bytes(b"x")
    with pytest.raises(InputError, match=r"training\.data\.convert"):
        open_published(tmp_path, about.motion_file, "somewhere")


def test_pseudo_windows_keep_the_true_past_and_the_subjects_bones(about: PublishedSet, data: Path) -> None:
    windows = load_training(about, data, about.history, about.future, pseudo=True)
    pairs = list(windows.stage2_batches(np.random.RandomState(0), 12, 4, similar=2))
    nodes = len(about.parents) - 1
    used = [(m, s) for pair in pairs for m, many in zip(pair.motions, pair.similar, strict=True) for s in many if np.abs(s).max() > 0]
    assert used
    for motion, similar in used:
        np.testing.assert_array_equal(similar[:, : about.history], motion[:, : about.history])
        joints = np.concatenate([np.zeros((about.future, 1, 3)), similar[:, about.history :].T.reshape(-1, nodes, 3)], 1)
        assert np.ptp(bone_lengths(joints, about.parents), axis=0).max() < 1e-4


def test_retargeting_keeps_directions(about: PublishedSet) -> None:
    joints = np.random.default_rng(0).normal(size=(3, len(about.parents), 3))
    joints[:, 0] = 0
    lengths = np.random.default_rng(1).uniform(0.1, 0.5, len(about.parents) - 1)
    moved = retarget(joints, lengths, about.parents)
    np.testing.assert_allclose(bone_lengths(moved, about.parents), np.repeat(lengths[None], 3, 0), atol=1e-12)
    np.testing.assert_allclose(unit_bones(moved, about.parents), unit_bones(joints, about.parents), atol=1e-9)
