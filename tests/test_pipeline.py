"""The whole chain on a real clip, through the Python interface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose_rt.config import Settings
from pose_rt.core.types import Frame, Packet
from pose_rt.errors import UsageError
from pose_rt.io.sources.video import VideoSource
from pose_rt.pipeline import Pipeline

CLIP = Path(__file__).parents[1] / "demos" / "clips" / "woman_walking.mp4"


def packets(settings: Settings, start_s: float = 1.5, frames: int = 20, height: int | None = None) -> list[Packet]:
    source = VideoSource(CLIP, start_s=start_s, max_frames=frames)
    pipeline = Pipeline(settings, source.info.width, source.info.height)
    try:
        out = [p for frame in source for p in pipeline(Packet(frame))]
        return out + list(pipeline.flush())
    finally:
        source.close()
        pipeline.close()
        pipeline.close()


@pytest.fixture(scope="module")
def walk() -> list[Packet]:
    return packets(Settings(futures=4, hypotheses=3), frames=40)


def test_every_stage_left_its_result_and_its_time(walk: list[Packet]) -> None:
    assert len(walk) == 40
    for packet in walk:
        assert packet.heatmaps is None, "heatmaps must not wait with their frame"
        assert packet.keypoints is not None and packet.pose is not None and packet.forecast is not None
        names = [span.stage for span in packet.spans]
        assert {"detect", "pose2d", "refine", "track", "lift", "forecast"} <= set(names)
        assert all(span.end_ns >= span.start_ns for span in packet.spans)


def test_the_walker_walks(walk: list[Packet]) -> None:
    """Bones keep their length, ankles swing, the head stays above the hips."""
    poses = np.stack([p.pose.joints_m[0] for p in walk])
    thigh = np.linalg.norm(poses[:, 5] - poses[:, 4], axis=-1)
    assert 0.3 < thigh.mean() < 0.55 and thigh.std() < 0.05
    apart = np.linalg.norm(poses[:, 3] - poses[:, 6], axis=-1)
    assert apart.max() - apart.min() > 0.15
    assert (poses[:, 10, 1] < -0.4).all() and (poses[:, [3, 6], 1].max(1) > 0.5).all()
    roots = np.stack([p.pose.root_m[0] for p in walk])
    assert np.isfinite(roots).all() and (roots[:, 2] > 1).all()
    assert roots[-1, 0] < roots[0, 0] - 0.3, "she walks to the left of the picture"


def test_people_are_independent_of_the_batch_they_are_in(walk: list[Packet]) -> None:
    """max_people only allows more; the same single person must come out the same."""
    more = packets(Settings(futures=4, hypotheses=3, max_people=1, threads=2), frames=40)
    for one, two in zip(walk, more, strict=True):
        # Two threads may add up a convolution in another order.
        np.testing.assert_allclose(one.keypoints.xy_px, two.keypoints.xy_px, atol=0.05)


def test_live_and_file_settings_agree_on_what_they_see() -> None:
    """No look-ahead and centred windows are two estimates of one motion."""
    centred, causal = (packets(Settings(forecast=False, lookahead=n), frames=30) for n in (None, 0))
    distance = [np.linalg.norm(a.pose.joints_m[0] - b.pose.joints_m[0], axis=-1).mean() for a, b in zip(centred, causal, strict=True)]
    assert np.median(distance) < 0.08


def test_2d_alone_holds_nothing_back() -> None:
    pipeline = Pipeline(Settings(lift=False), 64, 48)
    out = pipeline(Packet(Frame(np.full((48, 64, 3), 90, np.uint8), 0, 0, 0)))
    assert len(out) == 1 and out[0].keypoints.people == 0 and out[0].pose is None
    assert pipeline.flush() == [] and pipeline.future_step_s is None
    pipeline.close()


def test_frames_of_any_size() -> None:
    for height, width in ((1, 1), (3, 500), (1000, 2)):
        pipeline = Pipeline(Settings(), width, height)
        frame = Frame(np.zeros((height, width, 3), np.uint8), 0, 0, 0)
        out = [*pipeline(Packet(frame)), *pipeline.flush()]
        assert len(out) == 1 and out[0].pose.joints_m.shape == (0, 17, 3)
        pipeline.close()


def test_a_camera_is_given_or_assumed_and_says_so() -> None:
    for settings, focal, how in (
        (Settings(lift=False, focal_px=800.0), 800.0, "given"),
        (Settings(lift=False, fov_deg=90.0), 400.0, "given"),
        (Settings(lift=False), None, "assumed"),
    ):
        camera = Pipeline(settings, 640, 480).camera
        assert how in camera.how and (focal is None or camera.focal_px == pytest.approx(focal))


@pytest.mark.parametrize("wrong", [{"hypotheses": 0}, {"conf": 1.5}, {"refine": "none of these"}, {"lookahead": -1}, {"seed": -1}])
def test_settings_refuse_nonsense(wrong: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Settings(**wrong)


def test_warming_up_changes_no_result_and_frames_of_another_size_are_taken_with_their_own_camera() -> None:
    settings = Settings(futures=2, hypotheses=2, lookahead=1, model="lite")
    source = VideoSource(CLIP, start_s=1.5, max_frames=8)
    frames = list(source)
    results: list[list[Packet]] = []
    for warm in (False, True):
        pipeline = Pipeline(settings, source.info.width, source.info.height)
        if warm:
            pipeline.warm_up()
        out = [p for frame in frames for p in pipeline(Packet(frame))]
        smaller = [replace(f, bgr=f.bgr[::2, ::2].copy(), index=8 + i, media_ns=f.media_ns + 3_000_000_000) for i, f in enumerate(frames)]
        out += [p for frame in smaller for p in pipeline(Packet(frame))]
        out += pipeline.flush()
        assert pipeline.camera.cx * 2 == source.info.width // 2
        pipeline.close()
        assert [p.frame.index for p in out] == list(range(16))  # what waited for its look-ahead came out before the size changed
        results.append(out)
    for cold, hot in zip(*results, strict=True):
        assert cold.pose is not None and hot.pose is not None and cold.keypoints is not None
        assert np.array_equal(cold.pose.joints_m, hot.pose.joints_m) and np.array_equal(cold.pose.track, hot.pose.track)
    assert all(p.pose is not None and p.pose.track.tolist() == [0] for p in results[0][1:8])
    assert all(p.pose is not None and len(p.pose.track) == 1 for p in results[0][9:])
