"""A One-Euro filter on the 3D joints: less jitter for a little lag."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from pose_rt import ops

from ..core.types import Packet
from .base import finish
from .window import MAX_GAP_NS

MIN_CUTOFF_HZ, BETA = 2.0, 6.0
"""The cut-off at rest, and its growth with speed, Hz per m/s: about a third of the jitter for 2 mm of error (docs/live_quality.md)."""


class Smooth3D:
    """Packets with `pose` in; out goes the same with `joints_m` filtered (Casiez et al., "1 Euro Filter", CHI 2012), by the frames' times.

    The hypotheses stay as they are. A track's filter starts anew after a gap of more than `window.MAX_GAP_NS` or a jump back in time.
    """

    name = "smooth3d"

    def __init__(self, min_cutoff_hz: float = MIN_CUTOFF_HZ, beta: float = BETA) -> None:
        self.min_cutoff_hz, self.beta = min_cutoff_hz, beta
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._states: dict[int, tuple[int, ops.OneEuroState]] = {}

    def close(self) -> None:
        """Nothing is held."""

    def __call__(self, packet: Packet) -> Packet:
        start, pose = time.monotonic_ns(), packet.pose
        if pose is None:
            raise ValueError("smooth3d: the packet has no pose; run the lift stage first")
        now = packet.frame.media_ns
        self._states = {track: (last, state) for track, (last, state) in self._states.items() if 0 <= now - last <= MAX_GAP_NS}
        joints = np.empty(pose.joints_m.shape, np.float32)
        for person, track in enumerate(pose.track.tolist()):
            _, state = self._states.get(track, (now, None))
            state = ops.OneEuroState.empty(1, joints[person].size) if state is None else state
            self._states[track] = (now, state)
            row = np.ascontiguousarray(pose.joints_m[person].reshape(1, -1))
            ops.one_euro(row, state, now / 1e9, min_cutoff=self.min_cutoff_hz, beta=self.beta, out=joints[person].reshape(1, -1))
        return finish(packet, self.name, start, pose=replace(pose, joints_m=joints))
