"""Results for the Rerun viewer: live in its window, or saved as .rrd to be opened later with `rerun FILE.rrd`."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...core.camera import Camera
from ...core.skeleton import Skeleton
from ...core.types import COMPLETED, Packet
from ...errors import OutputError, UsageError
from ..draw import Style
from ..draw.futures3d import ghost_steps, outer_joints
from ..draw.style import CENTRE, LEFT, RIGHT, Bgr, anatomy
from ..output import PartFile, check_output_path, write_errors
from .people import Person, people_of
from .sdl import display_missing

_APPLICATION = "pose-rt"
_IMAGE = "world/camera/image"
_PATIENCE_S = 10.0
"""Seconds without a new byte after which a stream that does not end is left to itself."""
_VIEWER_MEMORY = "25%"
_UNKNOWN_ROOT_M = np.array([0.0, 0.0, 4.0], np.float32)
_APART_M = np.array([1.3, 0.0, 0.0], np.float32)
_TRAIL_STEP = 4
_MAGIC, _END_MARK, _MARKED_SINCE = b"RRF2", b"FOOT", (0, 41)  # of the .rrd format, and the first version known to write the mark


def _load_rerun() -> Any:
    try:
        import rerun
        import rerun.blueprint
    except ImportError as error:
        raise UsageError("the Rerun view needs rerun-sdk, which is not installed", "pip install 'pose-rt[viewer]'") from error
    return rerun


class RerunSink:
    """Logs pictures, 2D, 3D, hypotheses, futures, uncertainty and timings on the timelines "frame" and "media_time".

    The file is written under a temporary name in the same folder and takes its place on `close`; what fits of it, where the disk is full.

    Args:
        path: ends in .rrd; None: no file.
        spawn: open the viewer and stream to it.
        camera: of the 3D stages; None assumes the default one.
        inputs: files that must not be replaced.
        overwrite: replace an existing file.
        style: gives the colours, and how many hypotheses and futures are logged at most.
        jpeg_quality: of the pictures, 1 to 100.

    Raises:
        UsageError: rerun-sdk is missing, neither a file nor the viewer is wanted, no display for the viewer; see also `check_output_path`.
        OutputError: see `check_output_path`; on `close` also when the file could not be written whole.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        spawn: bool = False,
        *,
        camera: Camera | None = None,
        inputs: tuple[str | Path, ...] = (),
        overwrite: bool = False,
        style: Style | None = None,
        jpeg_quality: int = 80,
    ) -> None:
        if path is None and not spawn:
            raise UsageError("the Rerun sink has nowhere to write to", "give --save-rerun FILE.rrd or --view rerun")
        self.path = None if path is None else check_output_path(path, overwrite=overwrite, suffixes=(".rrd",), inputs=inputs)
        if spawn and display_missing():
            raise UsageError("the Rerun viewer needs a display", "use --save-rerun FILE.rrd and open the file elsewhere, or --view web")
        self._rerun = _load_rerun()
        self._camera = camera
        self._style = style or Style()
        self._jpeg = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
        self._part: PartFile | None = None
        self._spawn = spawn
        self._streams: list[Any] = []
        self._logged: set[str] = set()
        self._now: set[str] = set()
        self._closed = False
        self.frames = 0

    def write(self, packet: Packet) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        if not self._streams:
            self._open(packet)
        age_ms = (time.monotonic_ns() - packet.frame.captured_ns) / 1e6
        for stream in self._streams:
            stream.set_time("frame", sequence=packet.frame.index)
            stream.set_time("media_time", duration=packet.frame.media_ns / 1e9)
        self._now = set()
        self._log_image(packet)
        for row, person in enumerate(people_of(packet)):
            self._log_keypoints(person, packet)
            if person.joints_m is not None:
                self._log_pose(person, row, packet)
        for gone in sorted(self._logged - self._now):
            self._log(gone, self._rerun.Clear(recursive=False))
        self._logged = self._now
        self._log_timing(packet, age_ms)
        self.frames += 1

    def close(self) -> None:
        """Finish the file and move it into place; without a single frame there is none."""
        if self._closed:
            return
        self._closed = True
        for stream in self._streams:
            self._finish(stream)
        if self._part is not None:
            self._part.commit()
            _check_whole(self._part.path)

    def _finish(self, stream: Any) -> None:
        """Disconnect, but do not wait for ever: Rerun may, for its writer, once a full disk has ended that."""
        ending = threading.Thread(target=stream.disconnect, name="rerun disconnect", daemon=True)
        ending.start()
        while ending.is_alive():
            before = self._written()
            ending.join(_PATIENCE_S)
            if self._written() == before:
                return

    def _written(self) -> int:
        file = None if self._part is None else self._part.temporary
        return file.stat().st_size if file is not None and file.exists() else 0

    def _open(self, packet: Packet) -> None:
        rr = self._rerun
        if self.path is not None:
            self._part = PartFile(self.path)
            stream = rr.RecordingStream(_APPLICATION)
            with write_errors(self.path):
                stream.save(str(self._part.temporary), default_blueprint=self._blueprint())
            self._streams.append(stream)
        if self._spawn:
            stream = rr.RecordingStream(_APPLICATION)
            stream.spawn(memory_limit=_VIEWER_MEMORY, default_blueprint=self._blueprint())
            self._streams.append(stream)
        width, height = packet.frame.width, packet.frame.height
        camera = self._camera or Camera.default(width, height)
        self._log("world", rr.ViewCoordinates.RDF, static=True)
        pinhole = rr.Pinhole(
            focal_length=camera.focal_px, principal_point=[camera.cx, camera.cy], width=width, height=height, image_plane_distance=1.0
        )
        self._log(_IMAGE, pinhole, static=True)

    def _blueprint(self) -> Any:
        """2D above the curves of the timings on the left, 3D on the right."""
        blueprint = self._rerun.blueprint
        plots = blueprint.Tabs(
            blueprint.TimeSeriesView(origin="latency", name="Latency (ms)"),
            blueprint.TimeSeriesView(origin="stages", name="Stages (ms)"),
            blueprint.TimeSeriesView(origin="drops", name="Dropped frames"),
        )
        left = blueprint.Vertical(blueprint.Spatial2DView(origin=_IMAGE, name="Camera"), plots, row_shares=[3, 1])
        scene = blueprint.Spatial3DView(origin="world", name="3D")
        return blueprint.Blueprint(blueprint.Horizontal(left, scene), collapse_panels=True)

    def _log(self, path: str, what: Any, *, static: bool = False) -> None:
        for stream in self._streams:
            stream.log(path, what, static=static, strict=True)

    def _log_passing(self, path: str, what: Any) -> None:
        """Log what must be cleared once it is not logged any more."""
        self._now.add(path)
        self._log(path, what)

    def _log_image(self, packet: Packet) -> None:
        _, data = cv2.imencode(".jpg", packet.frame.bgr, self._jpeg)
        self._log(_IMAGE, self._rerun.EncodedImage(contents=data.tobytes(), media_type="image/jpeg"))
        if packet.frame.gap_ns:
            self._log("events", self._rerun.TextLog(f"the source was lost for {packet.frame.gap_ns / 1e9:.1f} s", level="WARN"))

    def _log_keypoints(self, person: Person, packet: Packet) -> None:
        assert packet.keypoints is not None
        rr, skeleton, path = self._rerun, packet.keypoints.skeleton, f"{_IMAGE}/person/{person.track}"
        strips, colours = _bones(person.xy_px, skeleton, self._style)
        self._log_passing(f"{path}/bones", rr.LineStrips2D(strips, colors=colours, radii=1.5))
        seen, colours = _joints(person.xy_px, skeleton, self._style)
        self._log_passing(f"{path}/joints", rr.Points2D(person.xy_px[seen], colors=colours, radii=3.0))
        left, top, right, bottom = person.box_px.tolist()
        if np.isfinite(person.box_px).all():
            box = rr.Boxes2D(
                mins=[left, top],
                sizes=[right - left, bottom - top],
                labels=str(person.track),
                colors=[_rgb(self._style.accent(person.track))],
            )
            self._log_passing(f"{path}/box", box)

    def _log_pose(self, person: Person, row: int, packet: Packet) -> None:
        """A person in camera space, or in a row four metres away while the root is unknown."""
        assert packet.pose is not None and person.joints_m is not None and person.sigma_m is not None and person.provenance is not None
        rr, style, skeleton, path = self._rerun, self._style, packet.pose.skeleton, f"world/person/{person.track}"
        known = person.root_m is not None and np.isfinite(person.root_m).all()
        root = person.root_m if known else _UNKNOWN_ROOT_M + row * _APART_M
        joints = person.joints_m + root
        strips, colours = _bones(joints, skeleton, style)
        self._log_passing(f"{path}/pose/bones", rr.LineStrips3D(strips, colors=colours, radii=0.018))
        seen, colours = _joints(joints, skeleton, style)
        completed = np.equal(person.provenance, COMPLETED)[seen]
        labels = [f"{skeleton.joints[j]}{' (completed)' if c else ''}" for j, c in zip(np.flatnonzero(seen), completed, strict=True)]
        points = rr.Points3D(joints[seen], colors=colours, radii=np.where(completed, 0.012, 0.024), labels=labels, show_labels=False)
        self._log_passing(f"{path}/pose/joints", points)
        certain = seen & np.isfinite(person.sigma_m) & (person.sigma_m > 0)
        if certain.any():
            half = np.repeat(person.sigma_m[certain, None], 3, 1)
            _, colours = _joints(np.where(certain[:, None], joints, np.nan), skeleton, style, 90)
            self._log_passing(f"{path}/sigma", rr.Ellipsoids3D(half_sizes=half, centers=joints[certain], colors=colours))
        if person.hypotheses_m is not None and style.hypotheses and len(person.hypotheses_m) > 1:
            strips, colours = _bones(person.hypotheses_m[: style.hypotheses] + root, skeleton, style, 70)
            self._log_passing(f"{path}/hypotheses", rr.LineStrips3D(strips, colors=colours, radii=0.004))
        if person.futures_m is not None and style.futures and packet.forecast is not None:
            self._log_futures(path, person.futures_m[: style.futures] + root, packet)

    def _log_futures(self, path: str, futures_m: np.ndarray, packet: Packet) -> None:
        """The paths of the outer joints of (K, T, J, 3) futures, and the skeletons at a few times."""
        assert packet.forecast is not None
        rr, skeleton, style = self._rerun, packet.forecast.skeleton, self._style
        outer = outer_joints(skeleton)
        paths = np.swapaxes(futures_m[:, ::_TRAIL_STEP, outer], 1, 2)
        finite = np.isfinite(paths).all((2, 3))
        sides = np.broadcast_to(anatomy(skeleton).joint_side[outer], finite.shape)
        colours = _palette(style, sides[finite], 110)
        self._log_passing(f"{path}/futures/paths", rr.LineStrips3D(paths[finite].astype(np.float32), colors=colours, radii=0.003))
        steps = [step for _, step in ghost_steps(packet.forecast, style)]
        strips, colours = _bones(futures_m[:, steps], skeleton, style, 60)
        self._log_passing(f"{path}/futures/ghosts", rr.LineStrips3D(strips, colors=colours, radii=0.004))

    def _log_timing(self, packet: Packet, age_ms: float) -> None:
        rr = self._rerun
        wait_ms = packet.waited_ns / 1e6
        self._log("latency/capture-to-result", rr.Scalars(age_ms - wait_ms))
        self._log("latency/look-ahead", rr.Scalars(wait_ms))
        for span in packet.spans:
            self._log(f"stages/{span.stage}", rr.Scalars((span.end_ns - span.start_ns) / 1e6))
        self._log("drops/dropped", rr.Scalars(float(packet.dropped)))


def _rgb(colour: Bgr, alpha: int = 255) -> tuple[int, int, int, int]:
    blue, green, red = colour
    return red, green, blue, alpha


def _palette(style: Style, sides: np.ndarray, alpha: int = 255) -> np.ndarray:
    """(N,) LEFT, RIGHT or CENTRE -> (N, 4) uint8 RGBA."""
    return np.array([_rgb(style.side_colour(side), alpha) for side in (LEFT, RIGHT, CENTRE)], np.uint8)[sides]


def _bones(points: np.ndarray, skeleton: Skeleton, style: Style, alpha: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """The bones of (..., J, D) skeletons whose ends are known: lines (N, 2, D) float32 and their colours (N, 4)."""
    body = anatomy(skeleton)
    ends = points[..., body.edges, :].astype(np.float32)
    known = np.isfinite(ends).all((-1, -2))
    return ends[known], _palette(style, np.broadcast_to(body.edge_side, known.shape)[known], alpha)


def _joints(points: np.ndarray, skeleton: Skeleton, style: Style, alpha: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Which of (J, D) points are known, (J,) bool, and the colours (N, 4) of those."""
    seen = np.isfinite(points).all(-1)
    return seen, _palette(style, anatomy(skeleton).joint_side[seen], alpha)


def _check_whole(path: Path) -> None:
    """Raise OutputError where the file was cut short: the library only logs a full disk, and leaves the end mark out.

    A byte that is written after the end, and taken back, finds a disk that is still full whatever the version of the format.
    """
    with write_errors(path), path.open("r+b", buffering=0) as handle:
        head, size = handle.read(8), handle.seek(0, 2)
        if head[:4] == _MAGIC and (head[4], head[5]) >= _MARKED_SINCE:
            handle.seek(max(0, size - 64))
            if _END_MARK not in handle.read():
                handle.write(b"\0")
                raise OutputError(f"'{path}' holds the beginning of the run only, as it could not be written on", "free some space there")
        handle.write(b"\0")
        handle.truncate(size)
