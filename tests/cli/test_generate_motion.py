"""`pose-rt generate motion2d|motion3d`: files that are promised, what is refused, what is kept after Ctrl-C."""

from pathlib import Path

import av
import numpy as np
import pytest

from pose_rt.cli.app import run
from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.io.bvh_write import bone_tree, write_bvh
from pose_rt.io.generated_film import between_frames, smooth_factor
from pose_rt.io.motion import read_motion
from pose_rt.io.motion_bvh import read_bvh
from pose_rt.io.motion_results import read_generated
from pose_rt.metrics.motion_quality import bone_asymmetry, bone_variation, foot_sliding
from pose_rt.stages.motion import MotionModel
from training.data.unpickle import RestrictedUnpickler

SHORT = ["--motion-length", "0.8", "--steps", "3"]


def test_motion3d_writes_what_it_promises(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    assert run(["generate", "motion3d", "--num-samples", "2", "--num-views", "3", "--out", str(out), "--rerun", *SHORT]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["results.npy", "results.npz", *(f"result_{i}.{end}" for i in range(2) for end in ("mp4", "bvh", "rrd"))]
    )
    made = read_generated(out / "results.npz")
    assert made.values.shape == (2, 8, 17, 3) and np.isfinite(made.values).all()
    assert made.about["seed"] == 0 and made.about["task"] == "mas" and made.spec.name == "cmu17"
    with av.open(str(out / "result_0.mp4")) as film:
        stream = film.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
        assert float(stream.average_rate or 0) == 30
    assert len(pictures) == 2 * (7 * 3 + 1)  # ten frames a second are shown as thirty, twice
    assert np.abs(pictures[0].astype(int) - pictures[20].astype(int)).mean() > 0.5  # the camera turns
    (motion,) = read_motion(out / "result_1.bvh")
    assert motion.joints_m.shape == (8, 17, 3) and motion.rate_hz == pytest.approx(10)


def test_a_sample_does_not_depend_on_how_many_are_made(tmp_path: Path) -> None:
    quick = ["--num-views", "3", "--no-films", "--no-bvh", *SHORT]
    for name, more in (("a", ["--num-samples", "3", "--batch-size", "3"]), ("b", ["--num-samples", "2", "--batch-size", "1"])):
        assert run(["generate", "motion3d", "--out", str(tmp_path / name), *more, *quick]) == 0
    a, b = (read_generated(tmp_path / name / "results.npz").values for name in "ab")
    np.testing.assert_allclose(a[:2], b, atol=1e-4)  # other batches, other order of sums
    assert np.abs(a[0] - a[1]).max() > 0.05


def test_motion2d_writes_the_published_layout(tmp_path: Path) -> None:
    assert run(["generate", "motion2d", "--num-samples", "1", "--out", str(tmp_path), "--seed", "4", *SHORT]) == 0
    made = read_generated(tmp_path / "results.npz")
    assert made.values.shape == (1, 17, 2, 8) and made.motion(0).shape == (8, 17, 2)
    assert (tmp_path / "result_0.mp4").stat().st_size > 1000
    with (tmp_path / "results.npy").open("rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0) and np.lib.format.read_array_header_1_0(file)[0] == ()
        content = RestrictedUnpickler(file).load().item()  # a pickle as published, of nothing but arrays
    assert set(content) == {"motions", "model_kwargs"}
    np.testing.assert_array_equal(content["motions"], made.values)
    np.testing.assert_array_equal(content["model_kwargs"]["y"]["lengths"], [8])


@pytest.mark.parametrize("method", ["dreamfusion", "random_angles", "prominent_angle_no_3d_noise"])
def test_ablations_run(tmp_path: Path, method: str) -> None:
    arguments = ["--num-samples", "1", "--num-views", "3", "--method", method, "--iterations", "4", "--no-films", "--no-bvh", *SHORT]
    assert run(["generate", "motion3d", "--out", str(tmp_path), *arguments]) == 0
    assert np.isfinite(read_generated(tmp_path / "results.npz").values).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--num-samples", "0"], "--num-samples is 0, wanted at least 1"),
        (["--num-views", "1"], "--num-views is 1, wanted at least 2: one view does not tell the depth"),
        (["--motion-length", "9"], "--motion-length is 9 s, wanted 0.2 to 6"),
        (["--motion-length", "0.1"], "--motion-length is 0.1 s, wanted 0.2 to 6"),
        (["--method", "magic"], "--method is 'magic', wanted one of mas, dreamfusion"),
        (["--steps", "1"], "--steps is 1, wanted 2 to 100"),
        (["--published", "--steps", "5"], "--published does all steps"),
        (["--checkpoint", "gone.pt"], "'gone.pt' does not exist, wanted a 2D motion model"),
        (["--model", "lifter_s"], "is not a 2D motion model (kind 'd3dp')"),
        (["--use-data"], "--use-data needs the data set; name its folder with --datapath"),
        (["--show-input-motions"], "--show-input-motions has no motions to show"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run(["generate", "motion3d", "--out", str(tmp_path / "out"), *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert sentence in said and said.startswith("pose-rt: ") and said.count("\n") == 1
    assert not list(tmp_path.glob("out/*"))


def test_results_are_not_replaced_unasked_and_other_files_never(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", "motion3d", "--num-samples", "1", "--num-views", "3", "--no-films", "--no-bvh", "--out", str(tmp_path), *SHORT]
    (tmp_path / "result_7.mp4").write_bytes(b"of an earlier run")
    (tmp_path / "notes.txt").write_text("mine")
    assert run(arguments) == 1
    assert "holds results already (result_7.mp4); add --overwrite" in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 0
    assert not (tmp_path / "result_7.mp4").exists() and (tmp_path / "notes.txt").read_text() == "mine"


def test_an_interrupted_run_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = MotionModel.motions3d

    def interrupted(self: MotionModel, *args: object, first: int = 0, **more: object) -> object:
        if first == 2:
            raise KeyboardInterrupt
        return sample(self, *args, first=first, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(MotionModel, "motions3d", interrupted)
    arguments = ["generate", "motion3d", "--num-samples", "4", "--num-views", "3", "--no-films", "--out", str(tmp_path), *SHORT]
    assert run(arguments) == 130
    assert len(read_generated(tmp_path / "results.npz").values) == 2
    assert sorted(path.name for path in tmp_path.glob("*.bvh")) == ["result_0.bvh", "result_1.bvh"]
    assert not list(tmp_path.glob(".*part*"))


@pytest.mark.parametrize("name", sorted(MOTION_SETS))
def test_bvh_holds_a_rigid_motion_exactly(tmp_path: Path, name: str) -> None:
    """A body that turns and moves as a whole: every joint of the tree comes back, whatever the skeleton."""
    skeleton = MOTION_SETS[name].skeleton
    rest = np.random.default_rng(0).normal(0, 0.5, (skeleton.num_joints, 3))
    angle = np.linspace(0, 3, 9)
    c, s, zero = np.cos(angle), np.sin(angle), np.zeros(9)
    turn = np.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], -1).reshape(9, 3, 3)
    motion = np.einsum("tij,kj->tki", turn, rest) + np.linspace(0, 1, 9)[:, None, None]
    bvh = read_bvh(write_bvh(tmp_path / "m.bvh", motion, skeleton, 20.0))
    assert bvh.frame_time_s == pytest.approx(0.05)
    tree = bone_tree(skeleton)
    wanted = {"".join(word.capitalize() for word in skeleton.joints[j].split("_")): motion[:, j] for j, _ in tree}
    assert [joint.name for joint in bvh.joints] == list(wanted)
    for i, joint in enumerate(bvh.joints):
        np.testing.assert_allclose(bvh.positions[:, i] / 100, wanted[joint.name], atol=1e-5)  # five decimals of centimetres and degrees


def test_pictures_between_frames_keep_the_frames() -> None:
    line = np.arange(5.0)[:, None, None] * np.ones((5, 2, 3))
    smooth = between_frames(line, 3)
    np.testing.assert_allclose(smooth[:, 0, 0], np.arange(13) / 3)
    curve = np.random.default_rng(0).normal(size=(6, 4))
    np.testing.assert_allclose(between_frames(curve, 4)[::4], curve)
    assert [smooth_factor(fps) for fps in (10.0, 20.0, 30.0, 24.0)] == [3, 2, 1, 1]


def test_measures_of_a_motion() -> None:
    rng = np.random.default_rng(0)
    body = rng.normal(size=(4, 3))
    rigid = np.repeat(body[None], 10, 0) + np.arange(10)[:, None, None] * np.array([0.1, 0, 0])
    edges = ((0, 1), (1, 2), (2, 3))
    assert bone_variation(rigid, edges) == pytest.approx(0, abs=1e-12)
    breathing = rigid * np.where(np.arange(10) % 2, 1.1, 0.9)[:, None, None]
    assert bone_variation(breathing - breathing[:, :1], edges) > 0.05
    assert bone_asymmetry(rigid, [((0, 1), (0, 1))]) == 0
    feet = np.zeros((10, 2, 3))
    feet[:, 1, 1] = 0.5  # one foot in the air, and away
    feet[:, 1, 0] = np.arange(10)
    assert foot_sliding(feet, (0, 1), 10.0) == 0
    feet[:, 0, 0] = 0.02 * np.arange(10)
    assert foot_sliding(feet, (0, 1), 10.0) == pytest.approx(0.2)
