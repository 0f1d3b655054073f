"""JSON lines and NumPy arrays: the schema, the round trip, what is left of an interrupted run."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
from pose_rt.core.types import COMPLETED, Forecast, Frame, Heatmaps, Keypoints2D, Packet, Pose3D
from pose_rt.errors import InputError, OutputError, UsageError
from pose_rt.io.results import read_jsonl, read_npz
from pose_rt.io.sinks import JsonlSink, NpzSink, RunInfo

INFO = RunInfo(
    source="walk äö.mp4",
    fps=Fraction(30000, 1001),
    width=640,
    height=480,
    skeleton2d=BLAZEPOSE33,
    skeleton3d=H36M17,
    camera={"focal_px": 700.0, "cx": 320.0, "cy": 240.0, "how": "assumed from a field of view of 50 degrees"},
    models={"pose2d": {"name": "blazepose-full", "sha256": "0" * 64}},
    settings={"seed": 0, "future_step_s": 0.02},
)


def packet(index: int, tracks: list[int], with_pose: list[int] | None = None, seed: int = 0) -> Packet:
    """People `tracks` in 2D, those of `with_pose` in 3D and with futures; joint 5 of the first is not seen."""
    rng = np.random.default_rng(seed + index)
    people, posed = len(tracks), tracks if with_pose is None else with_pose

    def random(*shape: int) -> np.ndarray:
        return rng.uniform(0, 1, shape).astype(np.float32)

    xy = random(people, 33, 2) * 640
    if people:
        xy[0, 5] = np.nan
    keypoints = Keypoints2D(
        xy, random(people, 33), random(people, 33) * 9, random(people, 4) * 640, np.array(tracks, np.int64), BLAZEPOSE33
    )
    provenance = np.zeros((len(posed), 17), np.uint8)
    provenance[:, 3] = COMPLETED
    root = random(len(posed), 3)
    root[1:] = np.nan
    pose = Pose3D(random(len(posed), 17, 3), random(len(posed), 4, 17, 3), random(len(posed), 17), root, provenance,
                  np.array(posed, np.int64), H36M17)  # fmt: skip
    forecast = Forecast(random(len(posed), 3, 5, 17, 3), 20_000_000, np.array(posed, np.int64), H36M17)
    presence = np.full(people, 0.75, np.float32)
    heatmaps = Heatmaps(random(people, 33, 2, 2), random(people, 33, 2), random(people, 4), random(people, 33), presence,
                        np.array(tracks, np.int64))  # fmt: skip
    frame = Frame(np.zeros((2, 2, 3), np.uint8), index, round(index * 1001 * 1e9 / 30000), 0)
    return Packet(frame, heatmaps=heatmaps, keypoints=keypoints, pose=pose, forecast=forecast)


PACKETS = [packet(0, []), packet(1, [7]), packet(2, [7, 9], with_pose=[9]), packet(3, [9, 7])]


def check_header(header: dict[str, Any]) -> None:
    assert list(header) == [
        "schema",
        "source",
        "fps",
        "width",
        "height",
        "skeleton2d",
        "skeleton3d",
        "camera",
        "units",
        "models",
        "settings",
    ]
    assert header["schema"] == "pose-rt/1" and header["units"] == {"kpts2d": "px", "kpts3d": "m"}
    assert all(isinstance(n, int) for n in (*header["fps"], header["width"], header["height"])) and len(header["fps"]) == 2
    for skeleton in (header["skeleton2d"], header["skeleton3d"]):
        assert list(skeleton) == ["name", "joints", "edges"]
        assert all(0 <= joint < len(skeleton["joints"]) for edge in skeleton["edges"] for joint in edge)
    assert set(header["camera"]) == {"focal_px", "cx", "cy", "how"}
    assert all(set(model) == {"name", "sha256"} for model in header["models"].values())


def shape(value: Any) -> tuple[int, ...]:
    return () if not isinstance(value, list) else (len(value), *shape(value[0]))


def check_frame(record: dict[str, Any], extras: set[str]) -> None:
    assert (
        [key for key in record if key != "size"] == ["frame", "pts_s", "persons"]
        and isinstance(record["frame"], int)
        and isinstance(record["pts_s"], float)
    )
    for person in record["persons"]:
        always = {"id", "box", "score", "kpts2d", "spread2d", "kpts3d", "sigma3d", "root", "provenance"}
        assert set(person) == always | extras
        assert isinstance(person["id"], int) and shape(person["box"]) == (4,) and 0 <= person["score"] <= 1
        assert shape(person["kpts2d"]) == (33, 3) and shape(person["spread2d"]) == (33,)
        if person["kpts3d"] is None:
            assert all(person[key] is None for key in ("sigma3d", "root", "provenance", *extras))
            continue
        assert shape(person["kpts3d"]) == (17, 3) and shape(person["sigma3d"]) == (17,)
        assert person["root"] is None or shape(person["root"]) == (3,)
        assert len(person["provenance"]) == 17 and set(person["provenance"]) <= {"measured", "completed"}


@pytest.mark.parametrize("extras", [set(), {"hypotheses", "futures"}])
def test_json_lines_follow_the_schema_and_come_back(tmp_path: Path, extras: set[str]) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(path, INFO, **dict.fromkeys(extras, True))
    for number, item in enumerate(PACKETS):
        sink.write(item)
        assert len(path.read_bytes().splitlines()) == number + 2  # the header and every frame so far are on disk
    sink.close()
    sink.close()
    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    result = read_jsonl(path)
    assert result.complete and len(result.frames) == 4
    check_header(result.header)
    for record, item in zip(result.frames, PACKETS, strict=True):
        check_frame(record, extras)
        assert record["frame"] == item.frame.index and abs(record["pts_s"] - item.frame.media_ns / 1e9) <= 5e-7
        assert item.keypoints is not None and [p["id"] for p in record["persons"]] == item.keypoints.track.tolist()
    first, second = result.frames[2]["persons"]
    points, pose = PACKETS[2].keypoints, PACKETS[2].pose
    assert points is not None and pose is not None
    assert first["kpts2d"][5][:2] == [None, None] and first["score"] == 0.75
    assert np.abs(np.array(first["kpts2d"][6][:2]) - points.xy_px[0, 6]).max() <= 0.005 + 1e-4
    assert first["kpts3d"] is None and second["provenance"][3] == "completed"
    assert np.abs(np.array(second["kpts3d"]) - pose.joints_m[0]).max() <= 5.1e-5
    assert result.frames[3]["persons"][1]["root"] is None  # NaN where the root is unknown
    if extras:
        assert shape(second["hypotheses"]) == (4, 17, 3) and shape(second["futures"]) == (3, 5, 17, 3)


def test_infinite_and_missing_parts_become_null(tmp_path: Path) -> None:
    keypoints = Keypoints2D(np.full((1, 33, 2), np.inf, np.float32), np.full((1, 33), np.nan, np.float32), None,
                            np.zeros((1, 4), np.float32),
                            np.zeros(1, np.int64), BLAZEPOSE33)  # fmt: skip
    sink = JsonlSink(tmp_path / "out.jsonl", INFO)
    sink.write(Packet(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0, 0), keypoints=keypoints))
    sink.write(Packet(Frame(np.zeros((1, 1, 3), np.uint8), 1, 1, 0)))
    sink.close()
    frames = read_jsonl(tmp_path / "out.jsonl").frames
    person = frames[0]["persons"][0]
    assert person["kpts2d"] == [[None] * 3] * 33 and person["spread2d"] is None and person["score"] == 0
    assert frames[1]["persons"] == []


def test_an_interrupted_file_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonlSink(path, INFO)
    for item in PACKETS:
        sink.write(item)
    sink.close()
    path.write_bytes(path.read_bytes()[:-30])
    result = read_jsonl(path)
    assert not result.complete and len(result.frames) == 3
    path.write_bytes(path.read_bytes() + b"\n{}\n")
    with pytest.raises(InputError, match=r"line 5 of .* is no JSON"):
        read_jsonl(path)
    path.write_text('{"schema": "other/2"}\n')
    with pytest.raises(InputError, match="does not begin with a header"):
        read_jsonl(path)


def test_arrays_come_back_with_their_masks(tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    sink = NpzSink(path, INFO, hypotheses=True, futures=True)
    for item in PACKETS:
        sink.write(item)
    assert not path.exists() and list(tmp_path.iterdir()) == []  # the waiting numbers have no name
    sink.close()
    sink.close()
    result = read_npz(path)
    arrays = result.arrays
    check_header(result.header)
    assert result.header["source"] == INFO.source
    assert arrays["frame"].tolist() == [0, 1, 2, 3] and arrays["offsets"].tolist() == [0, 0, 1, 3, 5]
    assert arrays["person"].tolist() == [7, 7, 9, 9, 7] and arrays["person"][result.rows(2)].tolist() == [7, 9]
    assert arrays["has3d"].tolist() == [True, False, True, True, True] == arrays["has_futures"].tolist()
    for index, item in enumerate(PACKETS):
        assert item.keypoints is not None and item.pose is not None and item.forecast is not None
        rows = result.rows(index)
        assert np.array_equal(arrays["kpts2d"][rows, :, :2], item.keypoints.xy_px, equal_nan=True)
        assert np.array_equal(arrays["seen2d"][rows], np.isfinite(item.keypoints.xy_px).all(-1))
        assert np.array_equal(arrays["kpts3d"][rows][arrays["has3d"][rows]], item.pose.joints_m)
        assert np.array_equal(arrays["hypotheses"][rows][arrays["has3d"][rows]], item.pose.hypotheses_m)
        assert np.array_equal(arrays["futures"][rows][arrays["has3d"][rows]], item.forecast.futures_m)
        assert np.array_equal(arrays["root"][rows][arrays["has3d"][rows]], item.pose.root_m, equal_nan=True)
    assert np.isnan(arrays["kpts3d"][1]).all() and (arrays["provenance"][1] == 255).all() and arrays["provenance"][2, 3] == COMPLETED
    assert all(array.dtype != object for array in arrays.values())


def test_a_shape_known_late_fills_the_rows_before(tmp_path: Path) -> None:
    sink = NpzSink(tmp_path / "out.npz", INFO, hypotheses=True)
    sink.write(packet(0, [1, 2], with_pose=[]))
    sink.write(packet(1, [1]))
    sink.close()
    hypotheses = read_npz(tmp_path / "out.npz").arrays["hypotheses"]
    assert hypotheses.shape == (3, 4, 17, 3) and np.isnan(hypotheses[:2]).all() and np.isfinite(hypotheses[2]).all()


def test_runs_without_3d_or_people(tmp_path: Path) -> None:
    info = RunInfo("x.mp4", Fraction(30), 4, 4, BLAZEPOSE33)
    sink = NpzSink(tmp_path / "out.npz", info, futures=True)
    sink.write(Packet(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0, 0)))
    sink.close()
    arrays = read_npz(tmp_path / "out.npz").arrays
    assert arrays["kpts2d"].shape == (0, 33, 3) and "kpts3d" not in arrays and "futures" not in arrays
    assert info.header()["skeleton3d"] is None


def test_readers_refuse_other_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"schema": "pose-rt/1"}], object))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("other.npz", "pickle.npz", "text.npz"):
        with pytest.raises(InputError, match="does not hold the arrays of a run"):
            read_npz(tmp_path / name)
    with pytest.raises(UsageError, match="does not exist"):
        read_jsonl(tmp_path / "none.jsonl")
    for sink in (JsonlSink, NpzSink):
        name = "a.jsonl" if sink is JsonlSink else "a.npz"
        (tmp_path / name).write_text("precious")
        with pytest.raises(OutputError, match="exists already"):
            sink(tmp_path / name, INFO)
        with pytest.raises(UsageError, match=r"ends in '\.xyz'"):
            sink(tmp_path / "a.xyz", INFO)
        replaced = sink(tmp_path / name, INFO, overwrite=True)
        assert (tmp_path / name).read_text() == "precious"  # until there is something better
        replaced.write(PACKETS[1])
        replaced.close()
        assert (tmp_path / name).stat().st_size > 100
