"""Constructors take the shapes and dtypes they name and refuse others with a message."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pose_rt.core.skeleton import BLAZEPOSE33, H36M17
from pose_rt.core.types import Forecast, Frame, Heatmaps, Keypoints2D, Packet, Pose3D


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def keypoints(p: int, **change: object) -> Keypoints2D:
    fields: dict[str, object] = {
        "xy_px": zeros(p, 33, 2), "score": zeros(p, 33), "spread_px": zeros(p, 33), "box_px": zeros(p, 4),
        "track": np.arange(p, dtype=np.int64), "skeleton": BLAZEPOSE33,
    }  # fmt: skip
    return Keypoints2D(**{**fields, **change})  # type: ignore[arg-type]


def pose(p: int, **change: object) -> Pose3D:
    fields: dict[str, object] = {
        "joints_m": zeros(p, 17, 3), "hypotheses_m": zeros(p, 5, 17, 3), "sigma_m": zeros(p, 17), "root_m": zeros(p, 3),
        "provenance": np.zeros((p, 17), np.uint8), "track": np.arange(p, dtype=np.int64), "skeleton": H36M17,
    }  # fmt: skip
    return Pose3D(**{**fields, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("people", [0, 1, 3])
def test_any_number_of_people_is_valid(people: int) -> None:
    assert keypoints(people).people == people
    assert len(pose(people).track) == people
    Forecast(zeros(people, 10, 50, 17, 3), 20_000_000, np.arange(people, dtype=np.int64), H36M17)
    Heatmaps(
        zeros(people, 33, 64, 64), zeros(people, 33, 2), zeros(people, 4), zeros(people, 33), zeros(people), np.zeros(people, np.int64)
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"xy_px": zeros(2, 17, 2)}, "xy_px"),
        ({"xy_px": np.zeros((2, 33, 2))}, "xy_px"),
        ({"score": zeros(3, 33)}, "score"),
        ({"spread_px": zeros(2, 32)}, "spread_px"),
        ({"second_px": zeros(2, 33)}, "second_px"),
        ({"track": np.zeros(2, np.int32)}, "track"),
        ({"box_px": [[0, 0, 1, 1]] * 2}, "box_px"),
    ],
)
def test_keypoints_name_the_field_that_is_wrong(change: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: got "):
        keypoints(2, **change)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"hypotheses_m": zeros(1, 5, 17, 3)}, "hypotheses_m"),
        ({"sigma_m": zeros(2, 16)}, "sigma_m"),
        ({"root_m": zeros(2, 2)}, "root_m"),
        ({"provenance": np.zeros((2, 17), np.int64)}, "provenance"),
        ({"chosen": np.zeros((2, 16), np.int32)}, "chosen"),
    ],
)
def test_poses_name_the_field_that_is_wrong(change: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: got "):
        pose(2, **change)


def test_a_forecast_has_as_many_people_as_tracks() -> None:
    with pytest.raises(ValueError, match="futures_m"):
        Forecast(zeros(2, 10, 50, 17, 3), 20_000_000, np.zeros(1, np.int64), H36M17)


def test_a_frame_is_read_only_and_knows_its_size() -> None:
    frame = Frame(np.zeros((4, 6, 3), np.uint8), 0, 0, 0)
    assert (frame.width, frame.height) == (6, 4)
    with pytest.raises(ValueError, match="read-only"):
        frame.bgr[0, 0, 0] = 1
    with pytest.raises(ValueError, match="bgr"):
        Frame(np.zeros((4, 6), np.uint8), 0, 0, 0)


def test_a_packet_changes_only_by_replacement() -> None:
    packet = Packet(Frame(np.zeros((4, 6, 3), np.uint8), 0, 0, 0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        packet.pose = pose(1)  # type: ignore[misc]
    changed = dataclasses.replace(packet, pose=pose(1))
    assert packet.pose is None and changed.pose is not None and changed.frame is packet.frame
