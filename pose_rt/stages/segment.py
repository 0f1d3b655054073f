"""One uninterrupted appearance of a track, lifted by overlapping blocks of windows."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

import numpy as np

from pose_rt.core.camera import Camera
from pose_rt.core.windows import overlap_blend

from .window import GRID_NS, Series, between

if TYPE_CHECKING:
    from .lifter import Lifter

OVERLAP = 0.4
"""Share of a block that the next one lifts again; the two are faded into each other."""


class Segment:
    """Keypoints of one track from its appearance to its loss, and their lifted hypotheses.

    The model sees F frames at its own rate. A block covers all frames of the 50 Hz grid over that span: one window a phase, lifted
    in one run (a model at 50 Hz has one phase, one at 12.5 Hz has four).

    Blocks are lifted by `executor`, so that the 2D of the next frames goes on meanwhile; a block is begun only when the one before is
    done, which bounds what waits.

    Attributes:
        series: the measurements, (J, 3): x, y in px and score.
        previous: first time and hypotheses (H, F, J, 3) of the last window that was lifted by itself (look-ahead mode), for `moved_to`.
    """

    def __init__(self, track: int, start_ns: int, lifter: Lifter, camera: Camera, executor: Executor) -> None:
        self.track = track
        self._executor = executor
        self.series = Series()
        self.previous: tuple[int, np.ndarray] | None = None
        self._lifter, self._camera = lifter, camera
        self._origin = start_ns
        self._phases = max(round(lifter.step_ns / GRID_NS), 1)
        self._grid_ns = lifter.step_ns // self._phases
        self._length = lifter.frames * self._phases
        self._hop = max(round(self._length * (1 - OVERLAP)), 1)
        self._next = 0
        self._finished = False
        self._blocks: list[tuple[int, Future[np.ndarray]]] = []

    def advance(self) -> None:
        """Begin every block whose measurements are complete."""
        while self.series.last_ns >= self._time(self._next + self._length - 1):
            self._begin_block(self._next)
            self._next += self._hop

    def finish(self) -> None:
        """No more measurements will come: begin what is left, its end aligned with the last measurement."""
        if self._finished:
            return
        self._finished = True
        last = -(-(self.series.last_ns - self._origin) // self._grid_ns)
        if not self._blocks or self._blocks[-1][0] + self._length <= last:
            self._begin_block(max(last - self._length + 1, 0))

    def moved_to(self, times_ns: np.ndarray) -> np.ndarray:
        """`previous` (H, F, J, 3) at the times (F,) of the next window; after its end it stands still."""
        assert self.previous is not None
        start, window = self.previous
        return between(window, (times_ns - start) / self._lifter.step_ns, 1)

    def settled(self, time_ns: int) -> bool:
        """Whether the blocks that see `time_ns` have all been begun: none of a later block can change the pose."""
        return self._finished or time_ns <= self._time(self._next - 1)

    def ready(self, time_ns: int) -> bool:
        """Whether `at` would not have to wait."""
        return self.settled(time_ns) and all(block.done() for start, block in self._blocks if self._time(start) <= time_ns)

    def at(self, time_ns: int) -> np.ndarray:
        """The hypotheses (H, J, 3) at `time_ns`, blended over the blocks that saw it and interpolated between grid frames.

        Waits for those blocks where they are still in work, and raises what lifting them raised.
        """
        place, rest = divmod(time_ns - self._origin, self._grid_ns)
        covering = [(s, b.result()) for s, b in self._blocks if s <= place + (rest > 0) and place < s + self._length]
        count = 2 if rest and any(s <= place + 1 < s + self._length for s, _ in covering) else 1
        starts = np.array([s for s, _ in covering]) - place
        blended = overlap_blend(np.stack([b for _, b in covering]), starts, count)
        if count == 1:
            return blended[0]
        # The grid frame after the last measurement holds that measurement: it stands for its time.
        until = min(self._time(place + 1), max(self.series.last_ns, time_ns))
        fraction = np.float32(rest / (until - self._time(place)))
        return blended[0] + (blended[1] - blended[0]) * fraction

    def _time(self, place: int) -> int:
        return self._origin + place * self._grid_ns

    def _begin_block(self, start: int) -> None:
        if self._blocks:
            self._blocks[-1][1].result()
        phases = np.arange(self._phases)[:, None] + np.arange(self._lifter.frames)[None] * self._phases
        times = self._time(start) + phases * self._grid_ns
        points = self.series.sample(times.reshape(-1))[..., :2].reshape(*times.shape, -1, 2)
        # Two blocks overlap a frame at most, and the packets that wait lie within the last three.
        self._blocks = [*self._blocks[-2:], (start, self._executor.submit(self._lift, points))]
        self.series.drop_before(self._time(start))

    def _lift(self, points: np.ndarray) -> np.ndarray:
        """Windows (phase, F, J, 2) px -> (F x phase, H, J, 3): grid order, time first."""
        lifted = self._lifter(points, self._camera, [self.track] * self._phases)
        return lifted.transpose(2, 0, 1, 3, 4).reshape(self._length, *lifted.shape[1:2], *lifted.shape[3:])
