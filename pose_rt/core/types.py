"""What travels through the pipeline: frozen dataclasses, person axis first, unit and frame of reference in the name.

P people, J joints, H hypotheses, K futures, T future frames. Camera axes: x right, y down, z forward. Nobody in view is an array
of zero people; None means that the stage has not run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .checks import check_array
from .skeleton import BLAZEPOSE33, Skeleton

PARTS = ("legs", "arms")
"""Columns of `Keypoints2D.swapped`."""
MEASURED, COMPLETED = 0, 1
"""Values of `Pose3D.provenance`: seen by the camera, or filled in by a prior."""


@dataclass(frozen=True)
class Frame:
    """One picture. `bgr` is read-only; `captured_ns` is the monotonic clock straight after the grab (or decode).

    `gap_ns` is the time before this frame in which its source was lost; 0 = the stream went on. What lies in a gap is unknown.
    """

    bgr: np.ndarray
    index: int
    media_ns: int
    captured_ns: int
    gap_ns: int = 0

    def __post_init__(self) -> None:
        check_array("bgr", self.bgr, ("h", "w", 3), np.uint8)
        self.bgr.setflags(write=False)

    @property
    def width(self) -> int:
        return int(self.bgr.shape[1])

    @property
    def height(self) -> int:
        return int(self.bgr.shape[0])


@dataclass(frozen=True)
class Rois:
    """Where to look for people: rotated square crops of the image.

    Attributes:
        roi: (P, 4) float32: centre x, centre y, side (px), angle (rad).
        track: (P,) int64.
    """

    roi: np.ndarray
    track: np.ndarray

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_array("roi", self.roi, ("P", 4), np.float32, sizes)
        check_array("track", self.track, ("P",), np.int64, sizes)


@dataclass(frozen=True)
class Heatmaps:
    """What pose2d hands to refine: heatmap logits of each person's crop and the regression that seeds the search.

    Attributes:
        logits: (P, J, Hh, Wh) float32.
        points: (P, J, 2) float32, regressed position in [0, 1] of the crop.
        roi: (P, 4) float32: centre x, centre y, side (px), angle (rad) of the crop in the image.
        score: (P, J) float32 in [0, 1].
        presence: (P,) float32 in [0, 1].
        track: (P,) int64.
        skeleton: of the joints, the first of `logits` where there are more (BlazePose's centre and scale point follow its 33).
        extent: left, top, width, height of the maps in [0, 1] of the crop.
        basis: None = maps that refine a regression (BlazePose); else softmax(logits) is the density of a joint, with this kernel on
            every cell ("none" = without one).
        enlarge: side of the crops that the model was trained on over that of a person's box.
        spread_factor: error over the deviation of the density, as it was measured for the model.
    """

    logits: np.ndarray
    points: np.ndarray
    roi: np.ndarray
    score: np.ndarray
    presence: np.ndarray
    track: np.ndarray
    skeleton: Skeleton = BLAZEPOSE33
    extent: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    basis: str | None = None
    enlarge: float = 1.25
    spread_factor: float = 1.0

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_array("logits", self.logits, ("P", "J", None, None), np.float32, sizes)
        check_array("points", self.points, ("P", "J", 2), np.float32, sizes)
        check_array("roi", self.roi, ("P", 4), np.float32, sizes)
        check_array("score", self.score, ("P", "J"), np.float32, sizes)
        check_array("presence", self.presence, ("P",), np.float32, sizes)
        check_array("track", self.track, ("P",), np.int64, sizes)


@dataclass(frozen=True)
class Keypoints2D:
    """2D keypoints in image pixels; NaN = not seen. `box_px` is left, top, right, bottom.

    `spread_px` is one standard deviation of the position (root of the mean variance of x and y); `second_px` is the position of
    a second mode of the heatmap (left/right ambiguity), NaN where there is none. `swapped` (P, 2) bool tells where the swaps stage has
    exchanged left and right of the legs, of the arms; None = it has not run.
    """

    xy_px: np.ndarray
    score: np.ndarray
    spread_px: np.ndarray | None
    box_px: np.ndarray
    track: np.ndarray
    skeleton: Skeleton
    second_px: np.ndarray | None = None
    swapped: np.ndarray | None = None

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {"J": self.skeleton.num_joints}
        check_array("xy_px", self.xy_px, ("P", "J", 2), np.float32, sizes)
        check_array("score", self.score, ("P", "J"), np.float32, sizes)
        check_array("box_px", self.box_px, ("P", 4), np.float32, sizes)
        check_array("track", self.track, ("P",), np.int64, sizes)
        if self.spread_px is not None:
            check_array("spread_px", self.spread_px, ("P", "J"), np.float32, sizes)
        if self.second_px is not None:
            check_array("second_px", self.second_px, ("P", "J", 2), np.float32, sizes)
        if self.swapped is not None:
            check_array("swapped", self.swapped, ("P", 2), np.bool_, sizes)

    @property
    def people(self) -> int:
        return len(self.track)


@dataclass(frozen=True)
class Pose3D:
    """3D joints in metres, relative to the root, in camera axes. `root_m` (P, 3) is the root in camera space or NaN where unknown.

    `hypotheses_m` (P, H, J, 3) are the samples behind `joints_m`; `sigma_m` (P, J) is one standard deviation per joint;
    `provenance` (P, J) is MEASURED or COMPLETED; `chosen` (P, J) is the hypothesis JPMA took for each joint, None for a mean.
    """

    joints_m: np.ndarray
    hypotheses_m: np.ndarray
    sigma_m: np.ndarray
    root_m: np.ndarray | None
    provenance: np.ndarray
    track: np.ndarray
    skeleton: Skeleton
    chosen: np.ndarray | None = None

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {"J": self.skeleton.num_joints}
        check_array("joints_m", self.joints_m, ("P", "J", 3), np.float32, sizes)
        check_array("hypotheses_m", self.hypotheses_m, ("P", "H", "J", 3), np.float32, sizes)
        check_array("sigma_m", self.sigma_m, ("P", "J"), np.float32, sizes)
        check_array("provenance", self.provenance, ("P", "J"), np.uint8, sizes)
        check_array("track", self.track, ("P",), np.int64, sizes)
        if self.root_m is not None:
            check_array("root_m", self.root_m, ("P", 3), np.float32, sizes)
        if self.chosen is not None:
            check_array("chosen", self.chosen, ("P", "J"), None, sizes)


@dataclass(frozen=True)
class Forecast:
    """K futures of T frames, metres, root-relative, camera axes; frame t lies (t + 1) * `step_ns` after the pose's time."""

    futures_m: np.ndarray
    step_ns: int
    track: np.ndarray
    skeleton: Skeleton

    def __post_init__(self) -> None:
        check_array("futures_m", self.futures_m, ("P", None, None, self.skeleton.num_joints, 3), np.float32, {"P": len(self.track)})


class Span(NamedTuple):
    """Time one stage took for one frame, monotonic nanoseconds."""

    stage: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Packet:
    """A frame and all that is known about it so far. A stage returns ``dataclasses.replace(packet, ...)``.

    `dropped` counts the frames of the run that were replaced by a newer one before this one was taken. `waited_ns` is the age at which
    this frame's look-ahead was complete: the algorithmic delay, apart from the time that computing takes.
    """

    frame: Frame
    rois: Rois | None = None
    heatmaps: Heatmaps | None = None
    keypoints: Keypoints2D | None = None
    pose: Pose3D | None = None
    forecast: Forecast | None = None
    spans: tuple[Span, ...] = field(default=())
    dropped: int = 0
    waited_ns: int = 0
