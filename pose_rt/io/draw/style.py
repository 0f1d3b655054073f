"""How a picture looks: colours, sizes and what is shown. A style and a packet decide every pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt
from typing import Any, Literal, get_args

import numpy as np

from pose_rt.core.skeleton import Skeleton
from pose_rt.errors import UsageError

Layout = Literal["overlay", "side", "3d"]
Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Toggle = Literal["overlay", "inset", "hypotheses", "futures", "spread", "boxes", "mirror", "timing"]
Bgr = tuple[int, int, int]

LEFT, RIGHT, CENTRE = 0, 1, 2
REFERENCE_SIDE = 960.0
"""Geometric mean of the sides of a 1280x720 picture, for which the sizes of this package are written."""
_FINE_WORDS = ("nose", "eye", "ear", "mouth", "pinky", "index", "thumb", "heel", "foot")


@dataclass(frozen=True)
class Style:
    """Look of the annotated picture; colours are blue, green, red.

    The colours of the sides are the sky blue and the orange of the Okabe-Ito palette, which people with any common colour vision
    deficiency tell apart; the accents that mark a person are taken from the rest of that palette.

    Attributes:
        layout: `overlay` keeps the input's size, `side` adds a panel beside it, `3d` shows the 3D view alone.
        kpt_thr: joints with a lower score are faded.
        hypotheses, futures: the largest number drawn of each, 0 for none.
        ghosts_s: times after now at which each future leaves a ghost of the skeleton, s.
        inset: whether `overlay` shows the 3D view; `inset_corner` and `inset_share` (of the height) place it.
        yaw_deg, pitch_deg: the fixed viewpoint of the 3D view: to the side of the camera and above it.
        spread: whether the uncertainty of a joint is drawn, in 2D and in 3D.
        overlay: whether people are marked in the picture itself: skeleton, box and id.
        boxes: whether each person is marked by the corners of their box and their id.
        mirror: whether the picture and the 3D view are mirrored, as people know themselves; text and the colours of left and right stay.
        timing: whether views lay the panel of `draw_timing` over the picture; `draw_frame` does not know the figures.
        line_scale: factor on every line width.

    Raises:
        UsageError: a value is out of range.
    """

    layout: Layout = "overlay"
    kpt_thr: float = 0.5
    hypotheses: int = 20
    futures: int = 8
    ghosts_s: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    inset: bool = True
    inset_corner: Corner = "top-right"
    inset_share: float = 0.44
    yaw_deg: float = 32.0
    pitch_deg: float = 15.0
    spread: bool = True
    overlay: bool = True
    boxes: bool = True
    mirror: bool = False
    timing: bool = False
    line_scale: float = 1.0
    left: Bgr = (233, 180, 86)
    right: Bgr = (0, 159, 230)
    centre: Bgr = (236, 236, 236)
    accents: tuple[Bgr, ...] = ((115, 158, 0), (167, 121, 204), (66, 228, 240), (0, 94, 213))
    panel: Bgr = (40, 33, 29)

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise UsageError(f"unknown layout {self.layout!r}", f"choose one of {', '.join(get_args(Layout))}")
        if self.inset_corner not in get_args(Corner):
            raise UsageError(f"unknown inset corner {self.inset_corner!r}", f"choose one of {', '.join(get_args(Corner))}")
        if not 0.1 <= self.inset_share <= 1.0:
            raise UsageError(f"the inset's share of the height is {self.inset_share}", "give a number from 0.1 to 1")
        if not self.line_scale > 0:
            raise UsageError(f"the line scale is {self.line_scale}", "give a number above 0")
        if self.hypotheses < 0 or self.futures < 0:
            raise UsageError(f"{self.hypotheses} hypotheses and {self.futures} futures cannot be drawn", "give 0 or more")
        if not self.accents:
            raise UsageError("there is no accent colour to mark people with", "give at least one")

    def toggled(self, name: Toggle, base: Style) -> Style:
        """This style with one thing switched on or off; `base` says how much there is of it when it is on.

        A layout with a panel loses it with "inset".
        """
        if name in ("hypotheses", "futures"):
            count = 0 if getattr(self, name) else getattr(base, name) or getattr(Style, name)
            return self._with({name: count})
        if name == "inset" and base.layout != "overlay":
            shown = self.layout == base.layout
            return replace(self, layout="overlay" if shown else base.layout, inset=not shown)
        return self._with({name: not getattr(self, name)})

    def _with(self, changes: dict[str, Any]) -> Style:
        return replace(self, **changes)

    @property
    def hud_side(self) -> Literal["left", "right"]:
        """The side of the picture where text is written: the one without the inset."""
        return "right" if self.layout == "overlay" and self.inset and self.inset_corner.endswith("left") else "left"

    def side_colour(self, side: int) -> Bgr:
        """The colour of LEFT, RIGHT or CENTRE."""
        return (self.left, self.right, self.centre)[side]

    def accent(self, track: int) -> Bgr:
        """The colour that marks a person, the same for as long as the track lives."""
        return self.accents[track % len(self.accents)]


def picture_unit(width: int, height: int) -> float:
    """The size in pixels of what is one pixel in a 1280x720 picture."""
    return sqrt(width * height) / REFERENCE_SIDE


def mix(base: Bgr, colour: Bgr, share: float) -> Bgr:
    """`base` with `share` in [0, 1] of `colour`: what a translucent line looks like on a plain ground, without blending pixels."""
    rest = 1.0 - share
    return (
        round(base[0] * rest + colour[0] * share),
        round(base[1] * rest + colour[1] * share),
        round(base[2] * rest + colour[2] * share),
    )


@dataclass(frozen=True)
class Anatomy:
    """What drawing needs to know of a skeleton.

    Attributes:
        edges: (E, 2) joints of each bone, the one nearer the trunk first.
        edge_side, joint_side: (E,) and (J,) LEFT, RIGHT or CENTRE; a bone across the body belongs to the centre.
        fine_edge, fine_joint: (E,) and (J,) bool, details of face, hands and feet that get thin lines.

    Bones of the mouth are left out: without the outline of a face around them they do not read as one.
    """

    edges: np.ndarray
    edge_side: np.ndarray
    joint_side: np.ndarray
    fine_edge: np.ndarray
    fine_joint: np.ndarray


@lru_cache(maxsize=8)
def anatomy(skeleton: Skeleton) -> Anatomy:
    """Sides and details of a skeleton's bones and joints."""
    joint_side = np.full(skeleton.num_joints, CENTRE)
    joint_side[list(skeleton.left)], joint_side[list(skeleton.right)] = LEFT, RIGHT
    bones = [edge for edge in skeleton.edges if not any("mouth" in skeleton.joints[joint] for joint in edge)]
    edges = np.array(bones, np.intp).reshape(-1, 2)
    ends = joint_side[edges]
    left, right = (ends == LEFT).any(1), (ends == RIGHT).any(1)
    edge_side = np.where(left & ~right, LEFT, np.where(right & ~left, RIGHT, CENTRE))
    fine_joint: np.ndarray = np.array([any(word in name for word in _FINE_WORDS) for name in skeleton.joints], bool)
    fine_edge = np.asarray(fine_joint[edges].any(1))
    return Anatomy(edges, edge_side, joint_side, fine_edge, fine_joint)
