"""Motion in files: our own, arrays of any axes and unit, BVH; resampling, gaps."""

import json
from pathlib import Path

import numpy as np
import pytest

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError, UsageError
from pose_rt.io.motion import Motion, history_before, read_motion, resample
from pose_rt.io.motion_bvh import read_bvh

# Camera axes: x right, y down, z forward, metres.
STANDING = np.zeros((17, 3))
STANDING[:, 1] = [0, 0, 0.45, 0.9, 0, 0.45, 0.9, -0.25, -0.5, -0.6, -0.75, -0.5, -0.25, 0, -0.5, -0.25, 0]
STANDING[[1, 2, 3, 14, 15, 16], 0], STANDING[[4, 5, 6, 11, 12, 13], 0] = -0.15, 0.15


def walking(frames: int = 40, fps: float = 50.0) -> np.ndarray:
    """Absolute joints (T, 17, 3): the root moves along x at 1 m/s, the right wrist swings."""
    joints = np.repeat(STANDING[None], frames, 0)
    time = np.arange(frames) / fps
    joints[:, :, 0] += time[:, None]
    joints[:, 16, 2] += np.sin(time)
    return joints


@pytest.mark.parametrize("scale", [1.0, 100.0, 1000.0])
@pytest.mark.parametrize("up", ["-y", "y", "z"])
def test_axes_and_unit_are_found_out(tmp_path: Path, scale: float, up: str) -> None:
    joints = walking()
    turned = {
        "-y": joints,
        "y": joints * [1, -1, -1],
        "z": np.stack([joints[..., 0], joints[..., 2], -joints[..., 1]], -1),
    }[up]  # fmt: skip
    path = tmp_path / "m.npz"
    np.savez(path, positions=(scale * turned).astype(np.float32), fps=25)
    (motion,) = read_motion(path)
    np.testing.assert_allclose(motion.joints_m, joints - joints[:, :1], atol=1e-5)  # float32
    assert motion.root_m is not None and motion.rate_hz == pytest.approx(25)
    np.testing.assert_allclose(motion.root_m[:, 0], joints[:, 0, 0], atol=1e-5)


def test_what_a_user_says_wins_over_guesses(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, joints=walking())
    (motion,) = read_motion(path, rate_hz=30, up="y", unit="m")
    assert motion.rate_hz == pytest.approx(30)
    assert motion.joints_m[0, 10, 1] == pytest.approx(0.75)  # head down, as told
    with pytest.raises(InputError, match="--rate"):
        read_motion(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"joints": np.zeros((5, 14, 3)), "fps": 50}, "wanted \\(frames, 17, 3\\)"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "wanted one of"),
        ({"joints": np.zeros((5, 17, 3)), "fps": 50}, "no human size"),
        ({"joints": np.full((5, 17, 3), np.nan), "fps": 50}, "every joint of every frame is unknown"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message):
        read_motion(path)


def test_missing_files_and_endings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wanted a file of motion"):
        read_motion(tmp_path / "none.npz")
    other = tmp_path / "m.fbx"
    other.write_text("x")
    with pytest.raises(UsageError, match=r"wanted \.npz"):
        read_motion(other)
    broken = tmp_path / "m.npz"
    broken.write_bytes(b"not a zip file")
    with pytest.raises(InputError, match="cannot be read"):
        read_motion(broken)


def test_json_lines_of_two_people(tmp_path: Path) -> None:
    skeleton = {"name": "h36m17", "joints": list(H36M17.joints), "edges": []}
    lines = [{"schema": "pose-rt/1", "skeleton3d": skeleton}]
    joints = walking() - walking()[:, :1]
    for i, frame in enumerate(joints):
        people = [{"id": 4, "kpts3d": frame.tolist(), "root": [0.0, 0.0, 3.0]}]
        if i % 2:
            people.append({"id": 7, "kpts3d": (2 * frame).tolist(), "root": None})
        lines.append({"frame": i, "pts_s": i / 30, "persons": people})
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = read_motion(path)
    assert (first.track, second.track) == (4, 7) and second.root_m is None
    assert first.rate_hz == pytest.approx(30) and second.rate_hz == pytest.approx(15)
    np.testing.assert_allclose(second.joints_m, 2 * joints[1::2], atol=1e-5)
    path.write_text(json.dumps({"schema": "pose-rt/1", "skeleton3d": None}) + "\n")
    with pytest.raises(InputError, match="2D only"):
        read_motion(path)


def ramp(times: np.ndarray) -> Motion:
    joints = np.zeros((len(times), 17, 3), np.float32)
    joints[:, 3, 0] = times
    return Motion(joints, times, None, 0, "ramp")


def test_resampling_is_exact_on_straight_lines_at_any_rate() -> None:
    for fps in (24, 30, 60, 120):
        motion = ramp(np.arange(2 * fps) / fps)
        history, moment = history_before(motion, 25, 50)
        wanted = moment - np.arange(24, -1, -1) / 50
        np.testing.assert_allclose(history[:, 3, 0], wanted, atol=1e-6)


def test_short_holes_are_bridged_and_long_ones_are_not() -> None:
    times = np.arange(60) / 30
    short, long = ramp(times), ramp(times)
    short.joints_m[40:44, 3] = np.nan
    long.joints_m[40:52, 3] = np.nan
    assert np.isfinite(resample(short, np.arange(90) / 50)).all()
    history_before(short, 25, 50)
    with pytest.raises(InputError, match="unknown for more than"):
        history_before(long, 25, 50)
    early, _ = history_before(long, 25, 50, at_s=1.2)
    assert np.isfinite(early).all()


def test_too_short_and_outside() -> None:
    motion = ramp(np.arange(10) / 30)
    with pytest.raises(InputError, match=r"wants 0\.48 s"):
        history_before(motion, 25, 50)
    with pytest.raises(InputError, match=r"nothing at 9\.00 s"):
        history_before(motion, 25, 50, at_s=9.0)


def bvh_text(frames: list[list[float]]) -> str:
    """A Mixamo-like body in centimetres, y up, in T-pose but for the channels given: root position, root turn, left shoulder."""

    def leg(side: str, x: int) -> str:
        return f"""JOINT mixamorig:{side}UpLeg {{ OFFSET {x} 0 0 CHANNELS 0
          JOINT mixamorig:{side}Leg {{ OFFSET 0 -45 0 CHANNELS 0
            JOINT mixamorig:{side}Foot {{ OFFSET 0 -45 0 CHANNELS 0 End Site {{ OFFSET 0 0 10 }} }} }} }}"""

    def arm(side: str, x: int, channels: str) -> str:
        return f"""JOINT mixamorig:{side}Shoulder {{ OFFSET {x} 0 0 CHANNELS 0
          JOINT mixamorig:{side}Arm {{ OFFSET {2 * x} 0 0 {channels}
            JOINT mixamorig:{side}ForeArm {{ OFFSET {5 * x} 0 0 CHANNELS 0
              JOINT mixamorig:{side}Hand {{ OFFSET {5 * x} 0 0 CHANNELS 0 End Site {{ OFFSET {x} 0 0 }} }} }} }} }}"""

    body = f"""HIERARCHY
ROOT mixamorig:Hips {{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  {leg("Left", 10)} {leg("Right", -10)}
  JOINT mixamorig:Spine {{ OFFSET 0 25 0 CHANNELS 0
    JOINT mixamorig:Neck {{ OFFSET 0 25 0 CHANNELS 0 JOINT mixamorig:Head {{ OFFSET 0 10 0 CHANNELS 0 End Site {{ OFFSET 0 15 0 }} }} }}
    {arm("Left", 5, "CHANNELS 3 Zrotation Yrotation Xrotation")} {arm("Right", -5, "CHANNELS 0")} }} }}
MOTION
Frames: {len(frames)}
Frame Time: 0.01
"""
    return body + "\n".join(" ".join(map(str, frame)) for frame in frames)


def test_bvh_kinematics_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "m.bvh"
    still = [0, 90, 0, 0, 0, 0, 0, 0, 0]
    path.write_text(bvh_text([still, [5, 90, 0, 0, 0, 0, -90, 0, 0], [0, 90, 0, 0, 0, 90, 0, 0, 0]]))
    (motion,) = read_motion(path)
    assert motion.rate_hz == pytest.approx(100) and any("cm" in note for note in motion.notes)
    joint = {name: motion.joints_m[:, i] for i, name in enumerate(H36M17.joints)}
    np.testing.assert_allclose(joint["left_hip"][0], [0.1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(joint["left_ankle"][0], [0.1, 0.9, 0], atol=1e-6)
    np.testing.assert_allclose(joint["head"][0], [0, -0.75, 0], atol=1e-6)
    np.testing.assert_allclose(joint["left_wrist"][0], [0.65, -0.25, 0], atol=1e-6)
    # The arm turned down about z: half a metre below its shoulder.
    np.testing.assert_allclose(joint["left_wrist"][1] - joint["left_shoulder"][1], [0, 0.5, 0], atol=1e-6)
    # A quarter turn about the vertical: what was at +x is at -z in y-up axes, so at +z in camera axes.
    np.testing.assert_allclose(joint["left_hip"][2], [0, 0, 0.1], atol=1e-6)
    assert motion.root_m is not None
    np.testing.assert_allclose(motion.root_m[1] - motion.root_m[0], [0.05, 0, 0], atol=1e-6)


@pytest.mark.parametrize("change", [("Frames: 1", "Frames: 2"), ("HIERARCHY", "HELLO"), ("MOTION", ""), ("LeftUpLeg", "Tentacle")])
def test_broken_bvh_files_are_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    path = tmp_path / "m.bvh"
    path.write_text(bvh_text([[0, 90, 0, 0, 0, 0, 0, 0, 0]]).replace(*change))
    with pytest.raises(InputError):
        read_motion(path)


def test_a_name_may_hold_blanks_and_cut_files_do_not_hang(tmp_path: Path) -> None:
    text = bvh_text([[0, 90, 0, 0, 0, 0, 0, 0, 0]]).replace("mixamorig:Neck", "Bip01 Neck")
    path = tmp_path / "m.bvh"
    path.write_text(text)
    assert any(joint.name == "Bip01 Neck" for joint in read_bvh(path).joints)
    for share in (0.1, 0.5, 0.9):
        path.write_text(text[: int(share * text.index("MOTION"))])
        with pytest.raises(InputError):
            read_bvh(path)
