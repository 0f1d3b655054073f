"""Identities over occlusions and crossings, told by place, motion and size."""

from __future__ import annotations

import numpy as np
import pytest

from pose_rt.core.types import Rois
from pose_rt.stages.identity import COAST_S, MEMORY_NS, Tracker

STEP_NS = 40_000_000
SIDE = 300.0


def roi(x: float, side: float = SIDE) -> np.ndarray:
    return np.array([x, 400.0, side, 0.0], np.float32)


class Scene:
    """A tracker fed by people whose places the test knows; who is hidden is not confirmed, and found again by the detector."""

    def __init__(self, max_people: int) -> None:
        self.tracker, self.max_people, self.now = Tracker(max_people), max_people, 0

    def step(self, visible: list[np.ndarray], follows: dict[int, int] | None = None) -> dict[int, int]:
        """One frame: the detector sees all `visible`; a followed track moves to the nearest of them, or to the one that `follows` says.

        Returns:
            {row of visible: track}.
        """
        self.now += STEP_NS
        live = self.tracker.live()
        new = self.tracker.propose(np.array(visible, np.float32).reshape(-1, 4), self.now)
        live = self.tracker.live() if len(new.track) else live  # an exchange renames who is followed
        rows: dict[int, int] = {}
        places, tracks = [], []
        for place, track in zip(np.concatenate([live.roi, new.roi]), np.concatenate([live.track, new.track]).tolist(), strict=True):
            distance = [abs(float(v[0] - place[0])) for v in visible]
            row = (follows or {}).get(track, int(np.argmin(distance)) if distance else -1)
            if row < 0 or row in rows or distance[row] > SIDE:
                continue
            rows[row] = track
            places.append(visible[row])
            tracks.append(track)
        rois = Rois(np.array(places, np.float32).reshape(-1, 4), np.array(tracks, np.int64))
        self.tracker.update(rois, self.now, np.ones(len(tracks), bool))
        return rows


@pytest.mark.parametrize(("away_s", "same"), [(0.2, True), (1.0, True), (3.0, True), (4.8, True), (5.4, False)])
def test_a_person_hidden_in_one_place_keeps_the_identity_within_the_memory(away_s: float, same: bool) -> None:
    scene = Scene(1)
    for _ in range(10):
        scene.step([roi(500)])
    for _ in range(round(away_s * 1e9 / STEP_NS)):
        scene.step([])
    assert MEMORY_NS == 5_000_000_000
    assert scene.step([roi(520)]) == {0: 0 if same else 1}


@pytest.mark.parametrize("speed", [300.0, -300.0])
def test_a_person_who_walks_on_behind_an_obstacle_is_found_where_they_got_to(speed: float) -> None:
    scene, hidden_s = Scene(1), 0.9
    assert hidden_s <= COAST_S
    x = 1000.0
    for _ in range(25):
        scene.step([roi(x)])
        x += speed * STEP_NS / 1e9
    for _ in range(round(hidden_s * 1e9 / STEP_NS)):
        scene.step([])
        x += speed * STEP_NS / 1e9
    # Behind where they were lost is as far as ahead, but nobody who walked on is there.
    assert scene.step([roi(x)]) == {0: 0}
    assert abs(x - 1000.0) > 1.5 * SIDE


def test_somebody_of_another_size_or_far_away_is_another_person() -> None:
    for other in (roi(500, 2.0 * SIDE), roi(500 + 2.0 * SIDE)):
        scene = Scene(1)
        for _ in range(5):
            scene.step([roi(500)])
        scene.step([])
        assert scene.step([other]) == {0: 1}


def test_two_who_are_found_together_again_get_their_own_identities() -> None:
    scene = Scene(2)
    for _ in range(10):
        rows = scene.step([roi(300), roi(700)])
    assert rows == {0: 0, 1: 1}
    for _ in range(20):
        scene.step([])
    # The detector gives the second first: the nearer pair decides, not the order.
    assert scene.step([roi(650), roi(330)]) == {0: 1, 1: 0}


@pytest.mark.parametrize("speeds", [(400.0, -400.0), (400.0, 0.0), (-250.0, 250.0)])
@pytest.mark.parametrize("wrong", [False, True])
def test_people_who_cross_leave_with_the_identity_they_came_with(speeds: tuple[float, float], wrong: bool) -> None:
    """While one hides the other only one is followed; in half of the cases the follower then leaves with the wrong one."""
    scene = Scene(2)
    start = [800 - s for s in speeds]  # both are at x = 800 after a second

    def at(t: float) -> list[float]:
        return [x + s * t for x, s in zip(start, speeds, strict=True)]

    met, t, rows = False, 0.0, {}
    while t < 2.0:
        a, b = at(t)
        apart = abs(a - b)
        if apart < 0.25 * SIDE:  # one picture of two people: the older track holds it
            met = True
            scene.step([roi(a)], {0: 0})
        elif not met:
            rows = scene.step([roi(a), roi(b)])
            assert rows == {0: 0, 1: 1}
        elif apart < 0.55 * SIDE:  # they part; the detector does not tell them apart yet
            scene.step([roi(b if wrong else a)], {0: 0})
        else:
            rows = scene.step([roi(a), roi(b)])
        t += STEP_NS / 1e9
    assert met and rows == {0: 0, 1: 1}
    assert scene.tracker.take_exchanged() == ({0, 1} if wrong else set())
    assert scene.tracker.take_exchanged() == set()
