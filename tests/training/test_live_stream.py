"""The simulated live stream and the tables made from it: same bodies at any rate, events as configured, figures that truths give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import MEASURED, Packet, Pose3D
from training.d3dp import live
from training.data.bodies import from_bones
from training.data.detector import DetectorNoise
from training.data.motion import Clips
from training.data.procedural import procedural_bones
from training.data.stream import CAMERA, StreamConfig, Track, packets, simulate

CLEAN = DetectorNoise((0.0, 0.0), (1e-9, 1e-9), (0.2, 0.85), 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def clips() -> Clips:
    """Three made-up motions of 1 s, 0.6 s and 1 s at 50 Hz."""
    joints = from_bones(procedural_bones(np.random.default_rng(0), 3, 50)).astype(np.float32)
    length = np.array([50, 30, 50])
    parts = [clip[:n] for clip, n in zip(joints, length, strict=True)]
    start = np.concatenate([[0], length.cumsum()[:-1]])
    return Clips(np.concatenate(parts), start, length, np.array(["a", "b", "a"]), np.array(["x", "y", "z"]))


def test_a_stream_is_what_its_seed_says(clips: Clips) -> None:
    config = StreamConfig(drop=0.2)
    for one, again, other in zip(*(simulate(clips, config, seed) for seed in (5, 5, 6)), strict=True):
        np.testing.assert_array_equal(one.xy_px, again.xy_px)
        assert one.xy_px.shape != other.xy_px.shape or not np.array_equal(one.xy_px, other.xy_px, equal_nan=True)


def test_bodies_and_cameras_do_not_depend_on_the_rate(clips: Clips) -> None:
    for slow, fast in zip(*(simulate(clips, StreamConfig(rate_hz=rate), 1) for rate in (25.0, 50.0)), strict=True):
        np.testing.assert_allclose(slow.truth_m, fast.truth_m[::2], atol=1e-5)  # float32 metres
        np.testing.assert_array_equal(slow.times_ns, fast.times_ns[::2])


def test_length_drops_and_times(clips: Clips) -> None:
    whole = simulate(clips, StreamConfig(rate_hz=50.0, seconds=0.5), 1)
    assert [len(t.times_ns) for t in whole] == [25, 25, 25]
    thinned = simulate(clips, StreamConfig(rate_hz=50.0, seconds=0.5, drop=0.5), 1)
    for full, some in zip(whole, thinned, strict=True):
        assert some.times_ns[0] == 0 and set(some.times_ns.tolist()) < set(full.times_ns.tolist())
        assert len(some.times_ns) == len(some.xy_px) == len(some.truth_m) == len(some.swapped)


def test_a_perfect_detector_sees_the_true_pose(clips: Clips) -> None:
    """Without noise the points are a projection: one place of the root explains them, up to the detector's own joint definitions and the
    focal length that the run time does not know."""
    for track in simulate(clips, StreamConfig(noise=CLEAN), 1):
        assert np.isfinite(track.xy_px).all() and not track.swapped.any()
        plane = (track.xy_px[0].astype(np.float64) - CAMERA.center) / CAMERA.focal_px
        x, y, z = track.truth_m[0].astype(np.float64).T
        # u (z + Z) = x + X, linear in the root X, Y, Z.
        one, none = np.ones(17), np.zeros(17)
        system = np.concatenate([np.stack([one, none, -plane[:, 0]], 1), np.stack([none, one, -plane[:, 1]], 1)])
        root = np.linalg.lstsq(system, np.concatenate([plane[:, 0] * z - x, plane[:, 1] * z - y]), rcond=None)[0]
        again = np.stack([x + root[0], y + root[1]], 1) / (z + root[2])[:, None]
        assert np.hypot(*(again - plane).T).mean() < 0.05 * np.ptp(plane[:, 1])


def test_swaps_exchange_the_sides_of_a_part(clips: Clips) -> None:
    still, crossed = (simulate(clips, StreamConfig(noise=replace(CLEAN, swap=share)), 1) for share in (0.0, 1.0))
    assert not any(t.swapped.any() for t in still) and all(t.swapped.any() for t in crossed)
    for a, b in zip(still, crossed, strict=True):
        legs = b.swapped[:, 0]
        np.testing.assert_allclose(b.xy_px[legs][:, 1:4], a.xy_px[legs][:, 4:7], atol=1e-2)  # px
        np.testing.assert_allclose(b.xy_px[~legs][:, 1:7], a.xy_px[~legs][:, 1:7], atol=1e-2)


def test_people_of_one_picture(clips: Clips) -> None:
    tracks = simulate(clips, StreamConfig(rate_hz=50.0), 1)
    done = list(packets(tracks))
    assert [p.frame.media_ns for p in done] == sorted({int(t) for track in tracks for t in track.times_ns})
    first, last = done[0].keypoints, done[-1].keypoints
    assert first is not None and last is not None
    assert first.track.tolist() == [0, 1, 2] and last.track.tolist() == [0, 2]  # the second clip is the shorter one
    np.testing.assert_array_equal(last.xy_px[1], tracks[2].xy_px[-1])
    np.testing.assert_array_equal(last.score == 0, ~np.isfinite(last.xy_px).all(-1))


def _posed(tracks: list[Track], joints: list[np.ndarray]) -> list[Packet]:
    """The packets of the stream with these poses."""
    places = [0] * len(tracks)
    out = []
    for packet in packets(tracks):
        assert packet.keypoints is not None
        here = packet.keypoints.track.tolist()
        poses = np.stack([joints[track][places[track]] for track in here]).astype(np.float32)
        for track in here:
            places[track] += 1
        pose = Pose3D(
            joints_m=poses, hypotheses_m=poses[:, None], sigma_m=np.full(poses.shape[:2], 1e-3, np.float32), root_m=None,
            provenance=np.full(poses.shape[:2], MEASURED, np.uint8), track=packet.keypoints.track, skeleton=H36M17, chosen=None,
        )  # fmt: skip
        out.append(replace(packet, pose=pose))
    return out


def test_the_truth_has_no_error_and_its_own_jitter(clips: Clips) -> None:
    tracks = simulate(clips, StreamConfig(rate_hz=30.0, drop=0.2), 1)
    row = live.row(_posed(tracks, [t.truth_m for t in tracks]), tracks, 30)
    assert row["mpjpe_mm"] == 0 and row["pa_mpjpe_mm"] < 1e-2 and row["within_sigma"] == 1
    assert row["frames"] == sum(len(t.times_ns) for t in tracks)
    assert row["jitter"] == pytest.approx(live.true_jitter(tracks, 30), rel=1e-3)
    shifted = live.row(_posed(tracks, [t.truth_m + np.float32(0.01) for t in tracks]), tracks, 30)
    assert shifted["mpjpe_mm"] == pytest.approx(10 * 3**0.5, abs=0.1) and shifted["within_sigma"] == 0


def test_acceleration_at_uneven_times() -> None:
    seconds = np.array([0.0, 0.02, 0.08, 0.1, 0.3])
    joints = np.zeros((5, 2, 3))
    joints[:, :, 1] = (1.5 * seconds**2)[:, None]
    np.testing.assert_allclose(live.acceleration(joints, (seconds * 1e9).astype(np.int64)), 3.0, rtol=1e-6)


@pytest.mark.parametrize("delay_ms", [0, 60])
def test_lag_is_the_delay(clips: Clips, delay_ms: int) -> None:
    tracks = simulate(clips, StreamConfig(rate_hz=50.0), 1)
    frames = delay_ms // 20
    late = [np.concatenate([t.truth_m[:1]] * frames + [t.truth_m[: len(t.truth_m) - frames]]) for t in tracks]
    assert live.lag_ms(late, tracks) == delay_ms


def test_repairs_are_counted_frame_by_frame(clips: Clips) -> None:
    quiet = live.repair_row(simulate(clips, StreamConfig(noise=CLEAN), 1))
    assert quiet["swapped_share"] == 0
    crossed = live.repair_row(simulate(clips, StreamConfig(noise=replace(CLEAN, swap=1.0)), 1))
    assert crossed["swapped_share"] > 0 and 0 <= crossed["precision"] <= 1 and 0 <= crossed["recall"] <= 1


def test_some_clips_are_spread_over_the_set(clips: Clips) -> None:
    assert live.some_of(clips, None) is clips and live.some_of(clips, 3) is clips
    assert live.some_of(clips, 2).name.tolist() == ["x", "z"]


def test_the_command_writes_all_tables(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    np.savez(
        tmp_path / "test.npz", pos_mm=1000 * clips.joints, start=clips.start, length=clips.length, action=clips.action, name=clips.name
    )
    for name, value in (
        ("WARM_STARTS", ((30.0, 1, 1, (None, 0.7)),)), ("LOOKAHEADS", (3,)), ("RATES", ((15.0, 0.2),)), ("SWAP_SHARES", (0.3,)),
        ("ONE_EURO", ((2.0, 6.0),)),
    ):  # fmt: skip
        monkeypatch.setattr(live, name, value)
    out = tmp_path / "new" / "live.json"
    live.main(["--data", str(tmp_path), "--seconds", "0.6", "--clips", "1", "--json", str(out)])
    report = json.loads(out.read_text())
    assert [len(report[table]) for table in ("warm_start", "lookahead", "rates", "swaps", "one_euro")] == [2, 1, 1, 2, 2]
    assert report["clips"] == 1 and {"cpu", "date", "command"} <= set(report["machine"])
    rows = [row for table in report.values() if isinstance(table, list) for row in table]
    assert all(0 < row["pa_mpjpe_mm"] <= row["mpjpe_mm"] < 1000 and 0 <= row["within_sigma"] <= 1 for row in rows)
    plain, smoothed = report["one_euro"]
    assert smoothed["jitter"] < plain["jitter"] and "warm_start" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (["--data", "/no/such/folder"], 1, "no such file"), (["--data", ".", "--seconds", "0"], 2, "more than 0"),
    (["--data", ".", "--clips", "0"], 2, "at least 1"),
])  # fmt: skip
def test_bad_arguments(arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        live.main(arguments)
    assert said in capsys.readouterr().err and stopped.value.code == status
