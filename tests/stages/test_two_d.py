"""The 2D chain on a network whose people are drawn by the test: who is followed, who is lost, who is who."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from pose_rt.backends import TensorInfo
from pose_rt.core.types import Frame, Heatmaps, Keypoints2D, Packet, Rois
from pose_rt.stages.base import Stage
from pose_rt.stages.crop import rois_from_points, to_image
from pose_rt.stages.detect import Detect
from pose_rt.stages.identity import MEMORY_NS, Tracker
from pose_rt.stages.pose2d import Pose2D
from pose_rt.stages.refine import WINDOW, Refine
from pose_rt.stages.track import Track

WIDTH, HEIGHT, STEP_NS = 640, 480, 40_000_000
Person = tuple[float, float, float]
"""Mid-hip x, y and the distance from there to the scale point, px."""


@dataclass
class Scene:
    """A detector and a landmark network that see `people`; the chain under test runs on them."""

    people: list[Person] = field(default_factory=list)
    detections: int = 0
    crops: list[int] = field(default_factory=list)
    present: Callable[[Person], float] = lambda person: 0.9


class _Backend:
    name, choice, metadata = "scene", "a test", dict[str, Any]()
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()

    def __init__(self, scene: Scene) -> None:
        self.scene, self.closed = scene, 0

    def close(self) -> None:
        self.closed += 1


class SceneDetector(_Backend):
    """One anchor a person, with keypoints where they are."""

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert feeds["image"].shape == (1, 3, 224, 224)
        self.scene.detections += 1
        boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -50, np.float32)
        side = max(WIDTH, HEIGHT)
        for k, (x, y, reach) in enumerate(self.scene.people):
            u, v = (x - WIDTH / 2) / side + 0.5, (y - HEIGHT / 2) / side + 0.5
            position = k * 2  # first anchor of cell k of the first row
            anchor = ((k + 0.5) / 28, 0.5 / 28)
            near = [(u - anchor[0]) * 224, (v - anchor[1]) * 224]
            boxes[0, position] = [*near, reach / side * 112, reach / side * 112, *near, near[0], near[1] - reach / side * 224, *near, *near]
            scores[0, position] = 5 - k
        return {"boxes": boxes, "scores": scores}


class ScenePose(_Backend):
    """Sees the person nearest to the crop's centre, if any is inside; the test tells it the crops through `rois`."""

    rois: np.ndarray

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        n = len(feeds["image"])
        self.scene.crops.append(n)
        landmarks, presence = np.zeros((n, 39, 5), np.float32), np.zeros((n, 1), np.float32)
        landmarks[..., 3:] = 4.0
        for i, roi in enumerate(self.rois[:n]):
            apart = [np.hypot(x - roi[0], y - roi[1]) for x, y, _ in self.scene.people]
            if not apart or min(apart) > roi[2] / 2:
                continue
            person = self.scene.people[int(np.argmin(apart))]
            presence[i] = self.scene.present(person)
            x, y, reach = person
            px = np.full((39, 2), (x, y)) + np.linspace(-0.4, 0.4, 39)[:, None] * reach
            px[33], px[34] = (x, y), (x, y - reach)
            cos, sin = np.cos(roi[3]), np.sin(roi[3])
            dx, dy = px[:, 0] - roi[0], px[:, 1] - roi[1]
            landmarks[i, :, 0] = ((dx * cos + dy * sin) / roi[2] + 0.5) * 256
            landmarks[i, :, 1] = ((-dx * sin + dy * cos) / roi[2] + 0.5) * 256
        return {
            "landmarks": landmarks,
            "presence": presence,
            "heatmap": np.full((n, 39, 64, 64), -20, np.float32),
            "world": np.zeros((n, 39, 3), np.float32),
        }


class Chain:
    """Detect, Pose2D, Refine, Track over a scene; each call is the next frame."""

    def __init__(self, scene: Scene, people: int = 1, every: int = 10, smooth: bool = False, mode: str = "sampling-argmax") -> None:
        self.scene, self.frame = scene, 0
        self.tracker = Tracker(people)
        self.pose = ScenePose(scene)
        self.detect = Detect(SceneDetector(scene), self.tracker, every=every)
        self.stages: list[Stage] = [self.detect, Pose2D(self.pose), Refine(mode), Track(self.tracker, smooth=smooth)]

    def __call__(self, skip_ns: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Keypoints2D:
        self.frame += 1
        self.time = getattr(self, "time", 0) + STEP_NS + skip_ns
        packet = self.stages[0](Packet(Frame(np.zeros((*size, 3), np.uint8), self.frame, self.time, 0)))
        assert packet.rois is not None
        self.pose.rois = packet.rois.roi
        for stage in self.stages[1:]:
            packet = stage(packet)
        assert [span.stage for span in packet.spans] == ["detect", "pose2d", "refine", "track"]
        assert packet.keypoints is not None
        return packet.keypoints


LEFT, RIGHT = (150.0, 240.0, 80.0), (450.0, 240.0, 80.0)


def test_nobody_in_view_is_zero_people_and_the_detector_keeps_looking() -> None:
    scene = Scene()
    chain = Chain(scene)
    for _ in range(3):
        found = chain()
        assert found.people == 0
        assert found.xy_px.shape == (0, 33, 2)
    assert scene.detections == 3


def test_landmarks_come_back_where_the_person_is_and_the_detector_rests() -> None:
    scene = Scene([LEFT])
    chain = Chain(scene)
    for _ in range(5):
        found = chain()
        expected = np.array(LEFT[:2]) + np.linspace(-0.4, 0.4, 39)[:33, None] * LEFT[2]
        np.testing.assert_allclose(found.xy_px[0], expected, atol=1e-2)  # float32 through a turn and back
        assert found.track.tolist() == [0]
    assert scene.detections == 1
    score = (1 / (1 + np.exp(-4.0))) ** 2
    np.testing.assert_allclose(found.score, score, rtol=1e-5)


def test_a_silent_map_keeps_the_regression_with_a_wide_spread() -> None:
    chain = Chain(Scene([LEFT]))
    found = chain()
    assert found.spread_px is not None
    assert found.second_px is not None
    side = 1.25 * 2 * LEFT[2]
    np.testing.assert_allclose(found.spread_px, WINDOW / 64 / np.sqrt(12) * side, rtol=1e-3)
    assert np.isnan(found.second_px).all()


def test_only_the_best_of_many_without_max_people() -> None:
    scene = Scene([LEFT, RIGHT])
    chain = Chain(scene)
    for _ in range(25):
        assert chain().track.tolist() == [0]
    assert scene.detections == 1
    assert set(scene.crops) == {1}


def test_two_people_have_steady_identities_in_one_batch() -> None:
    scene = Scene([LEFT, RIGHT])
    chain = Chain(scene, people=2)
    for step in range(10):
        scene.people = [(150.0 + 5 * step, 240.0, 80.0), (450.0 - 5 * step, 240.0, 80.0)]
        found = chain()
        assert found.track.tolist() == [0, 1]
        assert found.xy_px[0, :, 0].mean() < found.xy_px[1, :, 0].mean()
    assert scene.detections == 1
    assert set(scene.crops) == {2}


def test_a_second_person_is_looked_for_every_so_often() -> None:
    scene = Scene([LEFT])
    chain = Chain(scene, people=2, every=5)
    chain()
    scene.people.append(RIGHT)
    counts = [chain().people for _ in range(6)]
    assert counts == [1, 1, 1, 1, 2, 2]
    assert scene.detections == 2


def test_a_followed_person_is_not_found_twice() -> None:
    scene = Scene([LEFT])
    chain = Chain(scene, people=3, every=2)
    assert [chain().people for _ in range(9)] == [1] * 9
    assert scene.detections > 3


def test_lost_on_one_frame_the_detector_runs_on_the_next() -> None:
    scene = Scene([LEFT])
    chain = Chain(scene)
    chain()
    scene.present = lambda person: 0.5  # not above the threshold
    assert chain().people == 0
    assert scene.detections == 1
    scene.present = lambda person: 0.51
    assert chain().track.tolist() == [0]
    assert scene.detections == 2


@pytest.mark.parametrize(("away_ns", "place", "track"), [
    (0, LEFT, 0),
    (0, (170.0, 240.0, 70.0), 0),
    (0, RIGHT, 1),
    (0, (150.0, 240.0, 30.0), 1),
    (MEMORY_NS, LEFT, 1),
])  # fmt: skip
def test_who_returns_soon_to_the_same_place_is_the_same(away_ns: int, place: Person, track: int) -> None:
    scene = Scene([LEFT])
    chain = Chain(scene)
    chain()
    scene.people = []
    assert chain().people == 0
    scene.people = [place]
    assert chain(skip_ns=away_ns).track.tolist() == [track]


def test_a_detection_that_is_nobody_uses_up_no_identity() -> None:
    scene = Scene([LEFT], present=lambda person: 0.1)
    chain = Chain(scene)
    assert [chain().people for _ in range(4)] == [0] * 4
    scene.present = lambda person: 0.9
    assert chain().track.tolist() == [0]


def test_regions_that_converge_on_one_person_are_merged_and_the_older_stays() -> None:
    scene = Scene([LEFT, RIGHT])
    chain = Chain(scene, people=2)
    assert chain().people == 2
    scene.people = [(300.0, 240.0, 200.0)]
    chain.tracker.update(Rois(np.array([[300, 240, 500, 0]] * 2, np.float32), np.array([0, 1])), chain.time, np.ones(2, bool))
    assert chain().track.tolist() == [0]
    assert len(chain.tracker.live().track) == 1


def test_another_picture_size_starts_anew_with_new_identities() -> None:
    chain = Chain(Scene([LEFT]))
    assert chain().track.tolist() == [0]
    assert chain(size=(HEIGHT, WIDTH)).track.tolist() == [0]
    # The scene's detector assumes the first size, so only whose region it is matters here.
    chain.detect(Packet(Frame(np.zeros((HEIGHT // 2, WIDTH, 3), np.uint8), 9, 10**9, 0)))
    assert len(chain.tracker.live().track) == 0
    assert chain.tracker.propose(np.array([[100, 100, 50, 0]], np.float32), 10**9).track.tolist() == [1]


def test_reset_starts_from_zero() -> None:
    chain = Chain(Scene([LEFT]))
    for _ in range(2):
        assert chain().track.tolist() == [0]
        for stage in chain.stages:
            stage.reset()


def test_smoothing_calms_a_jitter_and_follows_the_frames_own_time() -> None:
    def jitter(smooth: bool, skip_ns: int = 0) -> float:
        scene = Scene([LEFT])
        chain = Chain(scene, smooth=smooth)
        rng = np.random.default_rng(0)
        centres = []
        for _ in range(30):
            scene.people = [(150 + rng.normal(0, 0.5), 240.0, 80.0)]
            centres.append(chain(skip_ns=skip_ns).xy_px[0, :, 0].mean())
        return float(np.std(centres[10:]))

    raw = jitter(False)
    assert jitter(True) < 0.8 * raw
    assert jitter(True, skip_ns=10**11) > 0.9 * raw  # minutes apart there is nothing to smooth


def test_closing_closes_the_networks() -> None:
    chain = Chain(Scene())
    for stage in chain.stages:
        stage.close()
    assert chain.pose.closed == 1
    assert isinstance(chain.detect.backend, SceneDetector)
    assert chain.detect.backend.closed == 1


def heatmap_packet(logits: np.ndarray, points: np.ndarray, roi: np.ndarray, index: int = 0, track: int = 0) -> Packet:
    people, joints = points.shape[:2]
    maps = Heatmaps(logits, points, roi, np.ones((people, joints), np.float32), np.ones(people, np.float32), np.full(people, track))
    return Packet(Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), index, 0, 0), heatmaps=maps)


def bell(x: float, y: float, sigma: float, height: float = 4.0) -> np.ndarray:
    """Logits whose squared sigmoid is a bell about (x, y) cells."""
    yy, xx = np.mgrid[:64, :64]
    weight = 0.99 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (4 * sigma**2))  # its square has this sigma
    return np.log(weight / (1 - weight) + 1e-9).astype(np.float32)


def bells(x: float, y: float, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    logits = np.tile(bell(x, y, sigma), (1, 39, 1, 1))
    return logits, np.full((1, 39, 2), (x / 64, y / 64), np.float32)


def test_refinement_finds_the_bell_and_its_width() -> None:
    logits, points = bells(30.3, 20.7, 1.5)
    roi = np.array([[300, 200, 256, 0.3]], np.float32)
    found = Refine()(heatmap_packet(logits, points + np.float32(1.5 / 64), roi)).keypoints
    assert found is not None
    assert found.spread_px is not None
    expected = to_image(np.array([[[30.3 / 64, 20.7 / 64]]]), roi)[0]
    np.testing.assert_allclose(found.xy_px[0], np.tile(expected, (33, 1)), atol=0.4)  # a tenth of a cell: the window cuts the tails
    np.testing.assert_allclose(found.spread_px, 1.5 / 64 * 256, rtol=0.1)


def test_spread_of_draws_agrees_with_the_moment_and_repeats() -> None:
    packet = heatmap_packet(*bells(30.3, 20.7, 1.5), np.array([[300, 200, 256, 0]], np.float32), index=7, track=3)

    def spread(packet: Packet, seed: int) -> np.ndarray:
        found = Refine(samples=200, seed=seed)(packet).keypoints
        assert found is not None
        assert found.spread_px is not None
        return found.spread_px

    first = spread(packet, 1)
    np.testing.assert_array_equal(first, spread(packet, 1))
    assert (first != spread(packet, 2)).any()
    assert (first != spread(replace(packet, frame=replace(packet.frame, index=8)), 1)).any()
    moment = Refine()(packet).keypoints
    assert moment is not None
    assert moment.spread_px is not None
    # 200 draws know their spread to 5 % a joint; 33 joints to 1 %. The triangular basis adds a sixth of a square cell.
    expected = np.hypot(moment.spread_px.mean(), 256 / 64 / np.sqrt(6))
    assert first.mean() == pytest.approx(expected, rel=0.05)


def test_a_second_mode_is_reported_in_pixels() -> None:
    logits, points = bells(20, 30, 1.5)
    logits[0, 5] = np.maximum(bell(20, 30, 1.5), bell(45, 30, 1.5) - 0.5)
    roi = np.array([[300, 200, 256, 0]], np.float32)
    found = Refine()(heatmap_packet(logits, points, roi)).keypoints
    assert found is not None
    assert found.second_px is not None
    assert np.flatnonzero(np.isfinite(found.second_px[0, :, 0])).tolist() == [5]
    np.testing.assert_allclose(found.second_px[0, 5], to_image(np.array([[[45 / 64, 30 / 64]]]), roi)[0, 0], atol=1.0)  # a quarter cell


def test_mode_none_is_the_regression() -> None:
    logits, points = bells(20, 30, 1.5)
    points += np.float32(0.02)
    roi = np.array([[300, 200, 256, 1.0]], np.float32)
    found = Refine("none")(heatmap_packet(logits, points, roi)).keypoints
    assert found is not None
    np.testing.assert_array_equal(found.xy_px, to_image(points[:, :33], roi))
    assert found.spread_px is None
    assert found.second_px is None


@pytest.mark.parametrize("make", [
    lambda: Refine("argmax"), lambda: Refine(samples=1), lambda: Refine("none", samples=5), lambda: Tracker(0),
    lambda: Detect(SceneDetector(Scene()), Tracker(), every=0),
])  # fmt: skip
def test_settings_that_cannot_work(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"got .*wanted"):
        make()


@pytest.mark.parametrize("stage", [Pose2D(ScenePose(Scene())), Refine(), Track(Tracker())])
def test_a_stage_out_of_order_says_what_is_missing(stage: Stage) -> None:
    with pytest.raises(ValueError, match=r"run the .* first"):
        stage(Packet(Frame(np.zeros((4, 4, 3), np.uint8), 0, 0, 0)))


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (3, 5)])
def test_tiny_and_thin_pictures(size: tuple[int, int]) -> None:
    chain = Chain(Scene())
    assert chain(size=size).people == 0


def test_next_region_follows_the_auxiliary_points() -> None:
    chain = Chain(Scene([LEFT]))
    chain()
    x, y, reach = LEFT
    expected = rois_from_points(np.array([[x, y]], np.float32), np.array([[x, y - reach]], np.float32))
    np.testing.assert_allclose(chain.tracker.live().roi, expected, atol=1e-2)
