"""Sanity on real pictures: the lifter on recorded BlazePose keypoints, next to MediaPipe's own world landmarks (not a truth).

``python -m training.d3dp.against_mediapipe CHECKPOINT VECTORS... --fps 30``; a vector holds `raw/landmarks` (N, 33, 4) px,
`raw/world` (N, 33, 3) m and `size_wh`. Only joints that both systems detect are compared (hips to wrists, no trunk midpoints).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import blazepose_to_h36m
from pose_rt.core.viewpoint import fill_missing, normalise_window
from pose_rt.metrics.pose3d import pa_mpjpe

from .load import load_lifter
from .sampling import Lifter

_COMPARED = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]


def trailing_windows(xy: np.ndarray, fps: float, frames: int, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, 17, 2) at `fps` -> windows (M, F, 17, 2) at `rate_hz` that end at each frame with enough past, and those frames' numbers."""
    span = (frames - 1) * fps / rate_hz
    ends = np.arange(int(np.ceil(span)), len(xy))
    time = ends[:, None] - np.arange(frames - 1, -1, -1)[None] * fps / rate_hz
    low = np.minimum(time.astype(int), len(xy) - 2)
    part = (time - low)[..., None, None]
    return xy[low] * (1 - part) + xy[low + 1] * part, ends


def compare(lifter: Lifter, path: Path, fps: float, frames: int, rate_hz: float) -> dict[str, float]:
    """Median and mean PA-MPJPE (mm) between the lifter's newest frame and MediaPipe's world landmarks."""
    with np.load(path, allow_pickle=False) as z:
        pixels, world, size = z["raw/landmarks"][..., :2], z["raw/world"], z["size_wh"]
    camera = Camera.default(int(size[0]), int(size[1]))
    windows, ends = trailing_windows(blazepose_to_h36m(pixels)[0], fps, frames, rate_hz)
    view = normalise_window(fill_missing(windows), camera.focal_px, camera.center)
    drawn = lifter.hypotheses(view.xy, 5, 1, np.random.default_rng(0)).mean(1)[:, -1]
    theirs = blazepose_to_h36m(world)[0][ends]
    errors = 1000 * pa_mpjpe(drawn[:, _COMPARED], theirs[:, _COMPARED])
    errors = errors[np.isfinite(errors)]
    return {"frames": len(errors), "median_mm": float(np.median(errors)), "mean_mm": float(errors.mean())}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.against_mediapipe", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("vectors", type=Path, nargs="+")
    parser.add_argument("--fps", type=float, default=30.0)
    args = parser.parse_args(arguments)
    lifter, config = load_lifter(args.checkpoint)
    for path in args.vectors:
        Console().print(path.stem, compare(lifter, path, args.fps, config.frames, config.rate_hz))


if __name__ == "__main__":
    main()
