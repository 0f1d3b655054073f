"""NumPy arrays of a whole run in one .npz file, written without holding the run in memory.

Layout, N frames, R rows (one a person and frame, in order), J joints of the 2D skeleton:

    header        ()          str      the JSON header of the run ("pose-rt/1")
    frame         (N,)        int64    number of the frame in the source
    pts_s         (N,)        float64  its media time, s
    gap_s         (N,)        float64  time before it in which the source was lost, s; 0 = it went on
    size          (N, 2)      int64    width, height of its picture, px
    offsets       (N + 1,)    int64    rows offsets[i]:offsets[i + 1] belong to frame i
    person        (R,)        int64    track id
    box           (R, 4)      float32  left, top, right, bottom, px
    score         (R,)        float32
    kpts2d        (R, J, 3)   float32  x, y in px and score; x, y are NaN where not seen
    seen2d        (R, J)      bool     x, y are numbers
    spread2d      (R, J)      float32  px, NaN where unknown

and, where the run makes 3D,

    has3d         (R,)        bool     the following rows hold numbers
    kpts3d        (R, 17, 3)  float32  m, root-relative, camera axes, H36M-17
    sigma3d       (R, 17)     float32  m
    root          (R, 3)      float32  m in camera space, NaN where unknown
    provenance    (R, 17)     uint8    0 measured, 1 completed, 255 no pose
    hypotheses    (R, H, 17, 3)     float32  m, on request
    has_futures   (R,)        bool     on request
    futures       (R, K, T, 17, 3)  float32  m, on request
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...core.types import Packet
from ..output import check_output_path, whole_file, write_errors
from .jsonl import RunInfo
from .people import Person, people_of

NO_POSE = 255


class _Column:
    """One array that grows by rows in an unnamed temporary file."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.rows = 0
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (lives as long as the sink)

    def append(self, value: Any) -> None:
        row = np.asarray(value, self.dtype)
        if row.shape != self.shape:
            raise ValueError(f"got a row {row.shape}, wanted {self.shape} as in the rows before")
        self._file.write(row.tobytes())
        self.rows += 1

    def save(self, target: Any) -> None:
        """Write the .npy form: header, then the rows copied in pieces."""
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.rows, *self.shape)}
        np.lib.format.write_array_header_1_0(target, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, target, 1 << 20)

    def close(self) -> None:
        with suppress(OSError):  # a full disk may refuse the last buffered rows, which are thrown away here anyhow
            self._file.close()


class NpzSink:
    """Collects the arrays of the module's table and saves them on `close`, whole or not at all, without pickles.

    The numbers wait in unnamed temporary files in the output's folder, so memory does not grow with the length of the run.

    Args:
        path: ends in .npz.
        info: the header; its `skeleton3d` says whether the 3D arrays are there.
        overwrite: replace an existing file.
        hypotheses, futures: save them too; their sizes must not change within a run.

    Raises:
        UsageError, OutputError: see `check_output_path`; OutputError also while writing, with nothing left behind.
    """

    def __init__(
        self, path: str | Path, info: RunInfo, *, overwrite: bool = False, hypotheses: bool = False, futures: bool = False
    ) -> None:
        self.path = check_output_path(path, overwrite=overwrite, suffixes=(".npz",), inputs=[info.source])
        self.frames = 0
        self._info = info
        self._joints = info.skeleton2d.num_joints
        self._joints3d = None if info.skeleton3d is None else info.skeleton3d.num_joints
        self._extras = {name for name, wanted in (("hypotheses", hypotheses), ("futures", futures)) if wanted and self._joints3d}
        self._columns: dict[str, _Column] = {}
        self._rows = 0
        self._closed = False

    def write(self, packet: Packet) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        try:
            with write_errors(self.path):
                if not self._columns:
                    self._open()
                for person in people_of(packet):
                    self._append(person)
                    self._rows += 1
                self._put("frame", packet.frame.index)
                self._put("pts_s", packet.frame.media_ns / 1e9)
                self._put("gap_s", packet.frame.gap_ns / 1e9)
                self._put("size", (packet.frame.width, packet.frame.height))
                self._put("offsets", self._rows)
        except Exception:
            self._closed = True
            self._drop()
            raise
        self.frames += 1

    def _open(self) -> None:
        j, j3 = self._joints, self._joints3d
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "frame": ((), np.int64), "pts_s": ((), np.float64), "gap_s": ((), np.float64), "size": ((2,), np.int64),
            "offsets": ((), np.int64), "person": ((), np.int64),
            "box": ((4,), np.float32), "score": ((), np.float32), "kpts2d": ((j, 3), np.float32), "seen2d": ((j,), np.bool_),
            "spread2d": ((j,), np.float32),
        }  # fmt: skip
        if j3 is not None:
            shapes |= {
                "has3d": ((), np.bool_), "kpts3d": ((j3, 3), np.float32), "sigma3d": ((j3,), np.float32), "root": ((3,), np.float32),
                "provenance": ((j3,), np.uint8),
            }  # fmt: skip
        if "futures" in self._extras:
            shapes["has_futures"] = ((), np.bool_)
        self._columns = {name: _Column(self.path.parent, shape, dtype) for name, (shape, dtype) in shapes.items()}
        self._put("offsets", 0)

    def _put(self, name: str, value: Any) -> None:
        column = self._columns[name]
        column.append(np.full(column.shape, np.nan, column.dtype) if value is None else value)

    def _append(self, person: Person) -> None:
        self._put("person", person.track)
        self._put("box", person.box_px)
        self._put("score", person.score)
        self._put("kpts2d", np.concatenate([person.xy_px, person.joint_score[:, None]], 1))
        self._put("seen2d", np.isfinite(person.xy_px).all(1))
        self._put("spread2d", person.spread_px)
        if self._joints3d is None:
            return
        self._put("has3d", person.joints_m is not None)
        self._put("kpts3d", person.joints_m)
        self._put("sigma3d", person.sigma_m)
        self._put("root", person.root_m)
        self._put("provenance", np.full(self._joints3d, NO_POSE, np.uint8) if person.provenance is None else person.provenance)
        if "hypotheses" in self._extras:
            self._put_late("hypotheses", person.hypotheses_m)
        if "futures" in self._extras:
            self._put("has_futures", person.futures_m is not None)
            self._put_late("futures", person.futures_m)

    def _put_late(self, name: str, value: np.ndarray | None) -> None:
        """A column whose shape is known with its first value; rows before it are NaN."""
        if name not in self._columns:
            if value is None:
                return
            self._columns[name] = _Column(self.path.parent, value.shape, np.float32)
            for _ in range(self._rows):
                self._put(name, None)
        self._put(name, value)

    def close(self) -> None:
        """Save the file; without a single frame there is none."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.frames:
                self._save()
        finally:
            self._drop()

    def _save(self) -> None:
        with whole_file(self.path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("header.npy", "w") as target:
                np.lib.format.write_array(target, np.array(json.dumps(self._info.header())), allow_pickle=False)
            for name, column in self._columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                    column.save(target)

    def _drop(self) -> None:
        for column in self._columns.values():
            column.close()
