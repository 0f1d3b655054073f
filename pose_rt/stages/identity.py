"""Who is who: identities that outlast a short occlusion, told by place, motion and size alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.types import Rois

SAME_DISTANCE = 0.2
"""A detection nearer to a followed person's centre than this part of their ROI's side is that person."""
MEMORY_NS = 5_000_000_000
"""A person found again within this time, near where they would have got to and of like size, keeps their identity."""
COAST_S = 1.0
"""So long a lost person is taken to go on as they went."""
RETURN_DISTANCE, RETURN_GROWTH, RETURN_FARTHEST, RETURN_SIZE = 0.5, 0.25, 1.2, 1.5
"""Reach about that place, in sides of the ROI: at once, its growth a second, at most; and the largest ratio of sizes."""
BESIDE = 0.6
"""Two people nearer to each other than this part of a side can be taken for one another."""
EXCHANGE_GAIN = 0.5
"""Identities change hands after a crossing only where that fits the motion better by this part of a side, summed over both people."""
_VELOCITY_TIME_S = 0.3


@dataclass(frozen=True)
class _Seen:
    """Where a person was last and how their ROI moved (px/s); `beside`, who was next to them when they were lost, and where."""

    track: int
    roi: np.ndarray
    velocity: np.ndarray
    media_ns: int
    beside: _Seen | None = None

    def centre_at(self, media_ns: int) -> np.ndarray:
        """Where they would be, px."""
        seconds = min(max(media_ns - self.media_ns, 0) / 1e9, COAST_S)
        return self.roi[:2] + self.velocity * seconds


class Tracker:
    """Identities and regions of the people being followed; shared by the Detect stage (which proposes) and Track (which updates).

    A proposed identity becomes permanent with the first frame in which the landmark network confirms a person there. Who is lost is
    remembered for `MEMORY_NS`; without looking at clothes nobody can tell two people of one size who change places out of sight.
    """

    def __init__(self, max_people: int = 1) -> None:
        if max_people < 1:
            raise ValueError(f"max_people: got {max_people}, wanted at least 1")
        self.max_people = max_people
        self.reset()

    def reset(self) -> None:
        """Forget everybody; identities start again from zero."""
        self.lose_all()
        self._next = 0

    def lose_all(self) -> None:
        """Stop following everybody, for good; later people get new identities."""
        self._live = Rois(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        self._seen: dict[int, _Seen] = {}
        self._lost: list[_Seen] = []
        self._exchanged: set[int] = set()

    def live(self) -> Rois:
        """The people being followed, in order of identity as they came."""
        return self._live

    def remembered(self) -> set[int]:
        """Identities that are followed, or were so lately that they can be taken up again."""
        return {*self._live.track.tolist(), *(person.track for person in self._lost)}

    def take_exchanged(self) -> set[int]:
        """Identities that have gone to another person since the last call: their history is not that person's."""
        taken, self._exchanged = self._exchanged, set()
        return taken

    def propose(self, found: np.ndarray, media_ns: int) -> Rois:
        """New people among detected ROIs (n, 4), best first: none that is followed already, and no more than there is room for."""
        taken = list(self._live.roi)
        rois: list[np.ndarray] = []
        for roi in found:
            if len(taken) >= self.max_people:
                break
            if all(np.hypot(*(roi[:2] - other[:2])) >= SAME_DISTANCE * max(roi[2], other[2]) for other in taken):
                taken.append(roi)
                rois.append(roi)
        known = self._recall(rois, media_ns)
        tracks, fresh = [], self._next
        for row, roi in enumerate(rois):
            person = known.get(row)
            if person is None:
                tracks.append(fresh)
                fresh += 1
            else:
                tracks.append(self._settle_crossing(person, roi, media_ns))
        return Rois(np.array(rois, np.float32).reshape(-1, 4), np.array(tracks, np.int64))

    def update(self, rois: Rois, media_ns: int, followed: np.ndarray) -> None:
        """Where the confirmed people are to be looked for next; those not `followed` (P,) bool, and everybody else, are lost."""
        self._next = max([self._next, *(track + 1 for track in rois.track.tolist())])
        rois = Rois(rois.roi[followed], rois.track[followed])
        now = set(rois.track.tolist())
        before = self._seen
        gone = [self._with_neighbour(before[track], before) for track in self._live.track.tolist() if track not in now and track in before]
        self._lost = [p for p in self._lost + gone if p.track not in now and 0 <= media_ns - p.media_ns <= MEMORY_NS]
        self._seen = {
            track: self._moved(before.get(track), track, roi, media_ns) for track, roi in zip(rois.track.tolist(), rois.roi, strict=True)
        }
        self._live = rois

    @staticmethod
    def _moved(last: _Seen | None, track: int, roi: np.ndarray, media_ns: int) -> _Seen:
        if last is None or media_ns <= last.media_ns:
            return _Seen(track, roi, np.zeros(2), media_ns)
        seconds = (media_ns - last.media_ns) / 1e9
        share = 1 - np.exp(-seconds / _VELOCITY_TIME_S)
        return _Seen(track, roi, last.velocity + share * ((roi[:2] - last.roi[:2]) / seconds - last.velocity), media_ns)

    @staticmethod
    def _with_neighbour(person: _Seen, seen: dict[int, _Seen]) -> _Seen:
        """The lost person with the one beside them, if somebody was."""
        others = [other for other in seen.values() if other.track != person.track]
        near = [(float(np.hypot(*(o.roi[:2] - person.roi[:2]))) / max(o.roi[2], person.roi[2]), o.track) for o in others]
        if not near or min(near)[0] > BESIDE:
            return person
        return _Seen(person.track, person.roi, person.velocity, person.media_ns, seen[min(near)[1]])

    def _recall(self, rois: list[np.ndarray], media_ns: int) -> dict[int, _Seen]:
        """{row of `rois`: the person lost who is found there}, the best fitting pairs first."""
        pairs = []
        for row, roi in enumerate(rois):
            for place, person in enumerate(self._lost):
                away = media_ns - person.media_ns
                side = max(roi[2], person.roi[2])
                distance = float(np.hypot(*(roi[:2] - person.centre_at(media_ns))) / side)
                stayed = float(np.hypot(*(roi[:2] - person.roi[:2])) / side)  # they may have stopped
                reach = min(RETURN_DISTANCE + RETURN_GROWTH * away / 1e9, RETURN_FARTHEST)
                if 0 <= away <= MEMORY_NS and side <= RETURN_SIZE * min(roi[2], person.roi[2]) and min(distance, stayed) < reach:
                    pairs.append((min(distance, stayed), row, place))
        found: dict[int, _Seen] = {}
        used = set()
        for _, row, place in sorted(pairs):
            if row not in found and place not in used:
                found[row] = self._lost[place]
                used.add(place)
        return found

    def _settle_crossing(self, person: _Seen, roi: np.ndarray, media_ns: int) -> int:
        """The identity of the person found again at `roi`: theirs, or, where they crossed with somebody who is still followed and the
        motion of both says that the follower has gone with the wrong one, that one's, who takes theirs."""
        other = person.beside
        if other is None or other.track not in self._live.track:
            return person.track
        row = int(np.flatnonzero(self._live.track == other.track)[0])
        here = self._live.roi[row]
        mine, their = person.centre_at(media_ns), other.centre_at(media_ns)

        def misfit(found_is: np.ndarray, followed_is: np.ndarray) -> float:
            return float(np.hypot(*(roi[:2] - found_is)) + np.hypot(*(here[:2] - followed_is)))

        if misfit(mine, their) - misfit(their, mine) <= EXCHANGE_GAIN * max(roi[2], here[2]):
            return person.track
        track = self._live.track.copy()
        track[row] = person.track
        self._live = Rois(self._live.roi, track)
        self._lost = [p for p in self._lost if p.track != person.track]
        self._seen[person.track] = _Seen(person.track, here, np.zeros(2), media_ns)
        self._seen.pop(other.track, None)
        self._exchanged |= {person.track, other.track}
        return other.track
