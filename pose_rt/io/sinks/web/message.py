"""What the server says to a page: JSON text, and for each frame one binary message of JSON and JPEG together.

A frame is ``uint32 n (little-endian) | n bytes of JSON | JPEG``, so that a picture and the poses in it can never be mixed up. Lengths
in 3D are whole millimetres, in scene axes for places and in camera axes, relative to the root, for joints.
"""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ....core.skeleton import SKELETONS
from ....core.types import COMPLETED, Packet
from ....stream.latency import LatencySummary
from ...draw.style import Bgr, Style, anatomy
from ...draw.view import places_on_floor
from ..jsonl import numbers
from ..people import Person, people_of

MAX_HYPOTHESES = 10
MAX_FUTURES = 8
TRAIL_STEP_S = 0.1
TRAIL_JOINTS = (10, 13, 16, 3, 6)
"""Head, wrists and ankles of H36M-17: whose paths into the future are sent."""

_FARTHEST_M = 100.0
_HEAD = struct.Struct("<I")


@dataclass(frozen=True)
class Encoded:
    """One frame, ready to be sent; `seq` counts the packets that were offered."""

    seq: int
    packet: Packet
    data: bytes


def encode_frame(packet: Packet, seq: int, style: Style, *, max_width: int, quality: int) -> Encoded:
    """The message of one packet.

    Args:
        packet: poses and keypoints are sent as far as it has them.
        seq: its number in the stream of offered packets.
        style: bounds the hypotheses and futures, and says when futures leave ghosts.
        max_width: px; a wider picture is made smaller first.
        quality: of the JPEG, 1 to 100.
    """
    picture = packet.frame.bgr
    if packet.frame.width > max_width:
        height = max(1, round(packet.frame.height * max_width / packet.frame.width))
        picture = cv2.resize(picture, (max_width, height), interpolation=cv2.INTER_LINEAR)
    good, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise ValueError(f"a picture of {packet.frame.width}x{packet.frame.height} px cannot be encoded as JPEG")
    head = _frame_record(packet, seq, style)
    head["age"] = round((time.monotonic_ns() - packet.frame.captured_ns) / 1e6, 1)
    text = json.dumps(head, separators=(",", ":")).encode()
    return Encoded(seq, packet, b"".join((_HEAD.pack(len(text)), text, jpeg.tobytes())))


def decode_frame(data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """The JSON and the (h, w, 3) uint8 BGR picture of a frame message."""
    (length,) = _HEAD.unpack_from(data)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8, offset=_HEAD.size + length), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("the message holds no JPEG")
    return json.loads(data[_HEAD.size : _HEAD.size + length]), picture


def _frame_record(packet: Packet, seq: int, style: Style) -> dict[str, Any]:
    places = {}
    if packet.pose is not None:
        stand = places_on_floor(packet.pose, packet.keypoints)
        places = dict(zip(packet.pose.track.tolist(), stand, strict=True))
    record: dict[str, Any] = {
        "seq": seq,
        "frame": packet.frame.index,
        "media": round(packet.frame.media_ns / 1e6),
        "w": packet.frame.width,
        "h": packet.frame.height,
        "gap": round(packet.frame.gap_ns / 1e6),
        "skeleton": None if packet.keypoints is None else packet.keypoints.skeleton.name,
        "lifted": packet.pose is not None,
        "people": [_person(person, places.get(person.track), style, packet) for person in people_of(packet)],
    }
    if packet.forecast is not None:
        record["steps"] = [round((step + 1) * packet.forecast.step_ns / 1e6) for step in _trail_steps(packet)]
    return record


def _person(person: Person, place: np.ndarray | None, style: Style, packet: Packet) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": person.track,
        "box": numbers(person.box_px, 0),
        "xy": numbers(person.xy_px.reshape(-1), 1),
        "score": numbers(person.joint_score, 2),
        "spread": numbers(person.spread_px, 1),
    }
    if person.joints_m is None or place is None:
        return record
    record["at"] = _mm(place)
    record["joints"] = _mm(person.joints_m)
    record["sigma"] = None if person.sigma_m is None else _mm(person.sigma_m)
    if person.provenance is not None and (person.provenance == COMPLETED).any():
        record["completed"] = np.flatnonzero(person.provenance == COMPLETED).tolist()
    if person.hypotheses_m is not None and len(person.hypotheses_m) > 1 and style.hypotheses > 0:
        record["hypotheses"] = _mm_rows(person.hypotheses_m[: min(style.hypotheses, MAX_HYPOTHESES)])
    if person.futures_m is not None and style.futures > 0 and person.futures_m.shape[1] > 0:
        futures = person.futures_m[: min(style.futures, MAX_FUTURES)]
        record["trails"] = _mm_rows(futures[:, _trail_steps(packet)][:, :, TRAIL_JOINTS].swapaxes(1, 2))  # (K, joints, steps, 3)
        record["ghosts"] = _mm_rows(futures[:, _ghost_steps(packet, style)])
    return record


def _trail_steps(packet: Packet) -> list[int]:
    """Frames of the forecast, `TRAIL_STEP_S` apart, whose joints make the paths."""
    assert packet.forecast is not None
    stride = max(1, round(TRAIL_STEP_S * 1e9 / packet.forecast.step_ns))
    return list(range(stride - 1, packet.forecast.futures_m.shape[2], stride))


def _ghost_steps(packet: Packet, style: Style) -> list[int]:
    """Frames of the forecast that are sent as whole skeletons."""
    assert packet.forecast is not None
    steps = (round(ghost * 1e9 / packet.forecast.step_ns) - 1 for ghost in sorted(set(style.ghosts_s)))
    return [step for step in steps if 0 <= step < packet.forecast.futures_m.shape[2]]


def _mm(values_m: np.ndarray) -> list[int] | None:
    """(N, 3) or (N,) m as flat whole millimetres; None where one is not a number or beyond 100 m, which nothing can be drawn from."""
    return _mm_rows(values_m.reshape(1, -1, 1))[0]


def _mm_rows(values_m: np.ndarray) -> list[Any]:
    """(..., N, 3) m as nested lists of what `_mm` makes of each (N, 3)."""
    flat = values_m.reshape(*values_m.shape[:-2], -1)
    good = np.abs(flat) < _FARTHEST_M
    rows = np.rint(np.where(good, flat, 0.0) * 1e3).astype(np.int32).tolist()
    return rows if good.all() else _blank(rows, good.all(-1).tolist())


def _blank(rows: list[Any], good: Any) -> list[Any]:
    """None in the place of each row that is not good."""
    return [(row if g else None) if isinstance(g, bool) else _blank(row, g) for row, g in zip(rows, good, strict=True)]


def hello(style: Style, title: str, *, can_record: bool, can_stop: bool) -> str:
    """The first message to a page: how to draw, and what it may ask for."""
    skeletons = {}
    for skeleton in SKELETONS.values():
        body = anatomy(skeleton)
        skeletons[skeleton.name] = {
            "joints": list(skeleton.joints),
            "edges": body.edges.tolist(),
            "edgeSide": body.edge_side.tolist(),
            "jointSide": body.joint_side.tolist(),
            "fineEdge": body.fine_edge.tolist(),
            "fineJoint": body.fine_joint.tolist(),
        }
    return _text(
        "hello",
        title=title,
        record=can_record,
        stop=can_stop,
        kptThr=style.kpt_thr,
        sides=[_css(style.left), _css(style.right), _css(style.centre)],
        accents=[_css(colour) for colour in style.accents],
        panel=_css(style.panel),
        view=[style.yaw_deg, style.pitch_deg],
        show={
            "keypoints": style.overlay,
            "hypotheses": style.hypotheses > 0,
            "futures": style.futures > 0,
            "uncertainty": style.spread,
            "mirror": style.mirror,
        },
        trailJoints=list(TRAIL_JOINTS),
        skeletons=skeletons,
    )


def stats(figures: LatencySummary, **more: Any) -> str:
    """How the run stands: ages in ms over the last frames, and counts."""
    return _text(
        "stats",
        age=_rounded(figures.age_ms),
        work=_rounded(figures.work_ms),
        wait=round(figures.wait_ms, 1),
        stages={name: round(taken, 2) for name, taken in figures.stage_ms.items()},
        fps=round(figures.fps, 1),
        **more,
    )


def end() -> str:
    """The run is over."""
    return _text("end")


def ages(figures: LatencySummary) -> dict[str, float]:
    """Percentiles of the age alone, ms."""
    return _rounded(figures.age_ms)


def _text(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


def _css(colour: Bgr) -> str:
    return "#{2:02x}{1:02x}{0:02x}".format(*colour)
