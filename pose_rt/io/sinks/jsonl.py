"""JSON lines in the schema "pose-rt/1": a header, then one line per frame, each on disk before the next frame is written."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...core.skeleton import Skeleton
from ...core.types import COMPLETED, MEASURED, Packet
from ..output import check_output_path, write_errors
from .people import Person, people_of

SCHEMA = "pose-rt/1"
PROVENANCE = {MEASURED: "measured", COMPLETED: "completed"}
_PX, _M, _SCORE = 2, 4, 4  # decimals: 1/100 px, 0.1 mm, and what a score is good for


@dataclass(frozen=True)
class RunInfo:
    """What the header of every saved result says about the run.

    Attributes:
        source: the input's name.
        fps, width, height: of the source.
        skeleton2d: joints of `kpts2d`.
        skeleton3d: joints of `kpts3d`; None: the run makes no 3D.
        camera: "focal_px", "cx", "cy" and "how" they are known; None: the run makes no 3D.
        models: stage -> {"name", "sha256"}.
        settings: what the user chose; JSON values only.
    """

    source: str
    fps: Fraction
    width: int
    height: int
    skeleton2d: Skeleton
    skeleton3d: Skeleton | None = None
    camera: dict[str, Any] | None = None
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def header(self) -> dict[str, Any]:
        """The header line as a dictionary."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "fps": [self.fps.numerator, self.fps.denominator],
            "width": self.width,
            "height": self.height,
            "skeleton2d": _skeleton(self.skeleton2d),
            "skeleton3d": None if self.skeleton3d is None else _skeleton(self.skeleton3d),
            "camera": self.camera,
            "units": {"kpts2d": "px", "kpts3d": "m"},
            "models": self.models,
            "settings": self.settings,
        }


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    return {"name": skeleton.name, "joints": list(skeleton.joints), "edges": [list(edge) for edge in skeleton.edges]}


class JsonlSink:
    """Writes the header with the first frame, then a line per frame; an interrupted run keeps every line it had.

    A value that is not finite is written as null. Optional parts of a person are "hypotheses" (H, 17, 3) and "futures"
    (K, T, 17, 3), in metres.

    Args:
        path: ends in .jsonl, .ndjson or .json.
        info: the header.
        overwrite: replace an existing file.
        hypotheses, futures: save them too.
        timing: save when each frame was captured, how old it is and what took how long; differs from run to run.

    Raises:
        UsageError, OutputError: see `check_output_path`; OutputError also while writing, with the last whole line kept.
    """

    def __init__(
        self,
        path: str | Path,
        info: RunInfo,
        *,
        overwrite: bool = False,
        hypotheses: bool = False,
        futures: bool = False,
        timing: bool = False,
    ) -> None:
        self.path = check_output_path(path, overwrite=overwrite, suffixes=(".jsonl", ".ndjson", ".json"), inputs=[info.source])
        self.frames = 0
        self._header = info.header()
        self._hypotheses = hypotheses
        self._futures = futures
        self._clock_offset_ns = time.time_ns() - time.monotonic_ns() if timing else None
        self._size = (info.height, info.width)
        self._file: BinaryIO | None = None
        self._closed = False

    def write(self, packet: Packet) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        line = frame_record(packet, hypotheses=self._hypotheses, futures=self._futures)
        if packet.frame.bgr.shape[:2] != self._size:
            line["size"] = [packet.frame.width, packet.frame.height]
        if self._clock_offset_ns is not None:
            line["timing"] = timing_record(packet, self._clock_offset_ns)
        if self._file is None:
            with write_errors(self.path):
                self._file = self.path.open("wb", buffering=0)
            self._put(self._file, self._header)
        self._put(self._file, line)
        self.frames += 1

    def _put(self, file: BinaryIO, record: dict[str, Any]) -> None:
        data = json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        before = file.tell()
        try:
            with write_errors(self.path):
                while data:
                    data = data[file.write(data) :]
        except BaseException:
            self._closed = True
            file.truncate(before)
            file.close()
            if before == 0:
                self.path.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        self._closed = True
        if self._file is not None:
            with write_errors(self.path):
                self._file.close()


def frame_record(packet: Packet, *, hypotheses: bool = False, futures: bool = False) -> dict[str, Any]:
    """One frame's line as a dictionary of JSON values; "gap_s" only after a loss of the source."""
    record: dict[str, Any] = {"frame": packet.frame.index, "pts_s": round(packet.frame.media_ns / 1e9, 6)}
    if packet.frame.gap_ns:
        record["gap_s"] = round(packet.frame.gap_ns / 1e9, 3)
    record["persons"] = [_person_record(person, hypotheses, futures) for person in people_of(packet)]
    return record


def timing_record(packet: Packet, clock_offset_ns: int, now_ns: int | None = None) -> dict[str, Any]:
    """Where the time of a frame went.

    Args:
        packet: finished.
        clock_offset_ns: Unix time minus monotonic time.
        now_ns: monotonic time of the age; None: now.

    Returns:
        "captured_s" (Unix time), "age_ms" (from capture to this line, the look-ahead's wait included), "wait_ms" (of the look-ahead),
        "queued_ms" (from capture to the first stage), "spans_ms" of the stages, "dropped" (frames of the run lost until this one).
    """
    now = time.monotonic_ns() if now_ns is None else now_ns
    captured = packet.frame.captured_ns
    begun = min((span.start_ns for span in packet.spans), default=captured)
    return {
        "captured_s": round((captured + clock_offset_ns) / 1e9, 6),
        "age_ms": round((now - captured) / 1e6, 3),
        "wait_ms": round(packet.waited_ns / 1e6, 3),
        "queued_ms": round((begun - captured) / 1e6, 3),
        "spans_ms": {span.stage: round((span.end_ns - span.start_ns) / 1e6, 3) for span in packet.spans},
        "dropped": packet.dropped,
    }


def _person_record(person: Person, hypotheses: bool, futures: bool) -> dict[str, Any]:
    xy, score = person.xy_px.astype(np.float64), person.joint_score.astype(np.float64)
    points = np.concatenate([np.round(xy, _PX), np.round(score, _SCORE)[:, None]], 1)
    record: dict[str, Any] = {
        "id": person.track,
        "box": numbers(person.box_px, _PX),
        "score": numbers(np.asarray(person.score), _SCORE),
        "kpts2d": _without_nan(points.tolist()) if not np.isfinite(points).all() else points.tolist(),
        "spread2d": numbers(person.spread_px, _PX),
        "kpts3d": numbers(person.joints_m, _M),
        "sigma3d": numbers(person.sigma_m, _M),
        "root": None if person.root_m is None or not np.isfinite(person.root_m).all() else numbers(person.root_m, _M),
        "provenance": None if person.provenance is None else [PROVENANCE[int(p)] for p in person.provenance],
    }
    if person.swapped:
        record["swapped"] = list(person.swapped)
    if hypotheses:
        record["hypotheses"] = numbers(person.hypotheses_m, _M)
    if futures:
        record["futures"] = numbers(person.futures_m, _M)
    return record


def numbers(values: np.ndarray | None, decimals: int) -> Any:
    """Rounded nested lists of JSON numbers; null for what is missing or not finite."""
    if values is None:
        return None
    rounded = np.round(values.astype(np.float64), decimals)
    return rounded.tolist() if np.isfinite(rounded).all() else _without_nan(rounded.tolist())


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return value if math.isfinite(value) else None
