"""Persons with their hypotheses, as a picture and in Rerun: what the published viewer shows, without a window of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_rt.core.skeleton import H36M17
from pose_rt.errors import InputError, UsageError

HYPOTHESIS, TRUTH, GROUND = (25, 249, 250), (255, 255, 255), (18, 18, 18)
"""Blue, green, red: yellow and white, as published."""
_CELL = 240
_ELEVATION = np.deg2rad(12.0)


def draw_hypotheses(path: Path, poses: np.ndarray, truth: np.ndarray | None, *, per_line: int = 5, people: int = 10) -> None:
    """Save a picture of the first `people`: all hypotheses (N, H, 17, 3) in yellow, the truth (N, 17, 3) in white, seen from the front and
    from the side."""
    if per_line < 1 or people < 1:
        raise UsageError(f"got {people} people, {per_line} a line, wanted at least 1 of each")
    count = min(people, len(poses))
    lines = -(-count // per_line)
    image = np.full((lines * _CELL, min(per_line, count) * 2 * _CELL, 3), GROUND, np.uint8)
    for i in range(count):
        row, column = divmod(i, per_line)
        for view in range(2):
            cell = image[row * _CELL : (row + 1) * _CELL, (2 * column + view) * _CELL : (2 * column + view + 1) * _CELL]
            centre = (poses[i].mean((0, 1)) if truth is None else truth[i].mean(0)).astype(np.float64)
            for pose in poses[i][:64]:
                _bones(cell, pose - centre, view, HYPOTHESIS)
            if truth is not None:
                _bones(cell, truth[i] - centre, view, TRUTH)
    done, data = cv2.imencode(path.suffix.lower(), image)
    if not done:
        raise UsageError(f"'{path}' cannot be written as a picture", "give a name that ends in .png")
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data.tobytes())
    temporary.replace(path)


def _bones(cell: np.ndarray, pose: np.ndarray, view: int, colour: tuple[int, int, int]) -> None:
    """Draw one pose, centred, in metres; view 1 is from the person's side."""
    right, ahead = (pose[:, 0], pose[:, 2]) if view == 0 else (pose[:, 2], -pose[:, 0])
    down = pose[:, 1] * np.cos(_ELEVATION) - ahead * np.sin(_ELEVATION)
    points = np.stack([right, down], -1) * (_CELL / 2.3) + _CELL / 2
    for a, b in H36M17.edges:
        ends = [(round(float(points[j, 0]) * 8), round(float(points[j, 1]) * 8)) for j in (a, b)]
        cv2.line(cell, ends[0], ends[1], colour, 1, cv2.LINE_AA, 3)


def write_rerun(path: Path, states: np.ndarray, truth: np.ndarray | None, *, per_line: int = 5) -> None:
    """Hypotheses (T, N, H, 17, 3) at every step of the diffusion on the timeline "step", persons on a grid five pose widths apart, the
    truth (N, 17, 3) beside them in white.

    Raises:
        UsageError: the package is missing.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise UsageError("--rerun needs the package rerun-sdk", "pip install 'pose-rt[viewer]'") from error
    recording: Any = rr.RecordingStream("pose_rt_gfpose")
    temporary = path.with_name(path.name + ".part")
    recording.save(str(temporary))
    recording.log("people", rr.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
    people = states.shape[1]
    apart = 2.5 * float(np.ptp(states[-1][..., 0], axis=-1).mean())
    places = np.array([[i % per_line, 0.0, i // per_line] for i in range(people)]) * apart
    edges = np.array(H36M17.edges)
    if truth is not None:
        for i in range(people):
            recording.log(f"people/{i}/truth", rr.LineStrips3D((truth[i] + places[i])[edges], colors=[TRUTH], radii=0.008), static=True)
    for step, state in enumerate(states):
        recording.set_time("step", sequence=step)
        for i in range(people):
            lines = (state[i] + places[i])[:, edges].reshape(-1, 2, 3)
            recording.log(f"people/{i}/hypotheses", rr.LineStrips3D(lines, colors=[HYPOTHESIS[::-1]], radii=0.004))
    recording.flush()
    recording.disconnect()
    temporary.replace(path)


def read_results(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """States (T, N, H, 17, 3) and the truth (N, 17, 3) or None of a file in the published layout (`results.npz`, `denoise.npz`)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as NumPy arrays ({error})") from error
    states = arrays.get("pred3d", arrays.get("sample3d"))
    if states is None or states.ndim != 5 or states.shape[3:] != (H36M17.num_joints, 3):
        raise InputError(f"{path}: has no pred3d (steps, poses, hypotheses, 17, 3)", "make one with evaluate --out FILE.npz")
    truth = arrays.get("gt3d")
    return states, None if truth is None else truth[-1, :, 0]
