"""Joints hidden in the live path: ``python -m training.gfpose.evaluate_hidden --data PATH --prior FILE.onnx --json FILE``.

Clips of cmu17 pass before virtual cameras and an imperfect detector (training/data/stream.py). For a second at a time some joints are
hidden from the 2D; the lift and complete stages run as in `pose-rt webcam --complete`, without look-ahead. The error of the hidden
joints, relative to the pelvis, is compared with what else could stand there: the lifter's own guess, the last pose before they were
hidden, a straight line to the next pose in which they are seen (which no live system knows), the mean pose turned to the seen joints, and
the mean of a Gaussian over whole poses given the seen joints.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from pose_rt import zoo
from pose_rt.backends import Backend, open_backend
from pose_rt.bench import machine
from pose_rt.core.skeleton import H36M17
from pose_rt.core.types import Packet
from pose_rt.diffusion.guess import Mixture, mixture_guess
from pose_rt.metrics.pose3d import procrustes_align
from pose_rt.stages.complete import Complete
from pose_rt.stages.lift import Lift
from pose_rt.stages.lifter import Lifter
from pose_rt.stages.lost import LAST_SEEN_M
from pose_rt.stages.prior import Prior
from training.d3dp.calibrate import coverage, fit_sigma
from training.data.cmu17 import CameraRange, camera_space
from training.data.motion import PLAIN, Clips, load_clips, motion_windows
from training.data.stream import CAMERA, StreamConfig, Track, packets, simulate

from .hidden import PATTERNS, hidden_joints
from .mixture import fit_mixture

HIDDEN_S, SEEN_S = 1.0, 0.6


def hide(
    tracks: list[Track], pattern: tuple[int, ...] | int, rng: np.random.Generator, rate_hz: float
) -> tuple[list[Track], list[np.ndarray]]:
    """The tracks with joints lost for a second at a time, and what was hidden (T, 17) bool of each."""
    hidden, out = [], []
    cycle, seen = round((HIDDEN_S + SEEN_S) * rate_hz), round(SEEN_S * rate_hz)
    for one in tracks:
        time = np.arange(len(one.times_ns))
        joints = hidden_joints(rng, pattern, len(time) // cycle + 1)
        gone = joints[time // cycle] & (time % cycle >= seen)[:, None]
        hidden.append(gone)
        out.append(replace(one, xy_px=np.where(gone[..., None], np.nan, one.xy_px).astype(np.float32)))
    return out, hidden


def completed_stream(
    tracks: list[Track], lifter: Backend, prior: Backend, spread: list[dict[int, np.ndarray]] | None = None, **options: int
) -> tuple[list[Packet], list[Packet]]:
    """The packets after the lift stage and after the complete stage; `spread` gets the deviation of the samples (17,) of each track."""
    lift, complete = Lift(Lifter(lifter, hypotheses=1, steps=1), CAMERA, lookahead=0), Complete(Prior(prior, **options))
    frame = np.broadcast_to(np.zeros((), np.uint8), (2 * round(CAMERA.cy), 2 * round(CAMERA.cx), 3))
    before, after = [], []
    for packet in packets(tracks):
        for lifted in lift.push(replace(packet, frame=replace(packet.frame, bgr=frame))):
            before.append(lifted)
            after.append(complete(lifted))
            if spread is not None:
                drawn = {track: complete.samples(track) for track in range(len(tracks))}
                spread.append({track: np.sqrt(s.var(0).mean(-1)) for track, s in drawn.items() if s is not None})
    return before, after


def by_track(done: list[Packet], count: int) -> list[np.ndarray]:
    """Joints (T, 17, 3) of each track."""
    out: list[list[np.ndarray]] = [[] for _ in range(count)]
    for packet in done:
        assert packet.pose is not None
        for person, number in enumerate(packet.pose.track.tolist()):
            out[number].append(packet.pose.joints_m[person])
    return [np.stack(rows) for rows in out]


def errors(poses: list[np.ndarray], tracks: list[Track], hidden: list[np.ndarray]) -> np.ndarray:
    """Distances, mm, of the hidden joints of all tracks, the pelvis of both at the origin."""
    return np.concatenate(
        [1000 * np.linalg.norm(p - t.truth_m, axis=-1)[h & (np.arange(17) > 0)] for p, t, h in zip(poses, tracks, hidden, strict=True)]
    )


def held(poses: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Hidden joints as they were when last seen; before that, as lifted."""
    out = poses.copy()
    for i in range(1, len(out)):
        out[i][hidden[i]] = out[i - 1][hidden[i]]
    return out


def interpolated(poses: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Hidden joints on straight lines in time between the frames in which they are seen."""
    out, time = poses.copy(), np.arange(len(poses))
    for joint in np.flatnonzero(hidden.any(0)):
        seen = ~hidden[:, joint]
        for axis in range(3):
            out[:, joint, axis] = np.interp(time, time[seen], poses[seen, joint, axis])
    return out


def mean_of(clips: Clips) -> np.ndarray:
    """(17, 3) mean pose of the training clips, all facing one way, x right, y down, z away."""
    from training.data.bodies import apply, facing, rot_z

    joints = clips.joints[:: max(1, len(clips.joints) // 4000)]
    joints = apply(rot_z(-facing(joints)), joints - joints[:, :1]).mean(0)
    return np.stack([joints[:, 0], -joints[:, 2], joints[:, 1]], -1)


def mean_pose(poses: np.ndarray, hidden: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The mean pose brought nearest to the seen joints by a similarity; hidden joints are its own."""
    out = poses.copy()
    for i in np.flatnonzero(hidden.any(1)):
        seen = ~hidden[i]
        out[i][hidden[i]] = _similarity(mean[seen], poses[i][seen], mean)[hidden[i]]
    return out


def gaussian_of(clips: Clips) -> Mixture:
    """One Gaussian over poses of the training clips before virtual cameras, metres from the pelvis, camera axes."""
    rng = np.random.default_rng(0)
    camera = camera_space(rng, motion_windows(rng, clips, 20_000, 1, 50.0, PLAIN), CameraRange())[:, 0]
    return fit_mixture(camera - camera[:, :1], 1)


def conditional_gaussian(poses: np.ndarray, hidden: np.ndarray, gaussian: Mixture) -> np.ndarray:
    """Hidden joints are the mean of the Gaussian given the seen ones."""
    known = np.repeat(~hidden[..., None], 3, -1).reshape(len(poses), -1).astype(np.float64)
    guess, _ = mixture_guess(gaussian, poses.reshape(len(poses), 1, -1).astype(np.float64), known, LAST_SEEN_M)
    return np.where(hidden[..., None], guess.reshape(poses.shape), poses)


def _similarity(source: np.ndarray, target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`points` moved by the similarity that takes `source` nearest to `target`."""
    aligned = procrustes_align(source, target)
    design = np.concatenate([source, np.ones((len(source), 1))], 1)
    moved, *_ = np.linalg.lstsq(design, aligned, rcond=None)
    return np.concatenate([points, np.ones((len(points), 1))], 1) @ moved


def measure(
    clips: Clips,
    mean: np.ndarray,
    gaussian: Mixture,
    lifter: Backend,
    prior: Backend,
    pattern: tuple[int, ...] | int,
    seconds: float,
    limit: int,
    rate_hz: float,
) -> dict[str, float]:
    """Mean error, mm, of each way to fill in."""
    tracks, hidden = hide(_some(clips, seconds, limit, rate_hz), pattern, np.random.default_rng(3), rate_hz)
    before, after = completed_stream(tracks, lifter, prior)
    lifted = by_track(before, len(tracks))
    ways = {
        "completed": by_track(after, len(tracks)),
        "lifter": lifted,
        "held": [held(p, h) for p, h in zip(lifted, hidden, strict=True)],
        "interpolated (knows the future)": [interpolated(p, h) for p, h in zip(lifted, hidden, strict=True)],
        "mean pose": [mean_pose(p, h, mean) for p, h in zip(lifted, hidden, strict=True)],
        "conditional Gaussian": [conditional_gaussian(p, h, gaussian) for p, h in zip(lifted, hidden, strict=True)],
    }
    return {name: float(errors([p - p[:, :1] for p in poses], tracks, hidden).mean()) for name, poses in ways.items()}


def calibrate(clips: Clips, lifter: Backend, prior: Backend, seconds: float, limit: int, rate_hz: float) -> dict[str, Any]:
    """Sigma of completed joints from the spread of their samples, fitted on the training clips' hidden joints, and its coverage."""
    error, spread = [], []
    for seed, pattern in enumerate(PATTERNS.values()):
        tracks, hidden = hide(_some(clips, seconds, limit, rate_hz), pattern, np.random.default_rng(seed), rate_hz)
        spreads_of: list[dict[int, np.ndarray]] = []
        _, after = completed_stream(tracks, lifter, prior, spreads_of)
        rows = np.zeros(len(tracks), int)
        for packet, own in zip(after, spreads_of, strict=True):
            assert packet.pose is not None
            for person, number in enumerate(packet.pose.track.tolist()):
                i = rows[number]
                rows[number] += 1
                gone = hidden[number][i]
                if gone.any():
                    difference = packet.pose.joints_m[person] - tracks[number].truth_m[i]
                    error.append(np.where(gone[:, None], difference, np.nan))
                    spread.append(own[number])
    errors_m, spreads = np.stack(error), np.stack(spread)
    a, b = np.full(17, 0.05), np.ones(17)
    covered = []
    for joint in range(1, 17):
        both = [joint, H36M17.mirror[joint]]  # left and right are one and the same
        e, d = errors_m[:, both].reshape(-1, 3), spreads[:, both].reshape(-1)
        rows = np.isfinite(e).all(-1)
        if rows.sum() < 50:
            continue
        two = np.repeat(e[rows, None], 2, 1), np.repeat(d[rows, None], 2, 1)  # the first joint is never fitted
        fitted = fit_sigma(*two)
        a[joint], b[joint] = fitted.a_m[1], fitted.b[1]
        covered.append(coverage(two[0], fitted(two[1])))
    shares = {name: float(np.mean([c[name] for c in covered])) for name in covered[0]}
    return {"sigma": {"a_m": np.round(a, 5).tolist(), "b": np.round(b, 5).tolist()}, "coverage": shares}


def _some(clips: Clips, seconds: float, limit: int, rate_hz: float) -> list[Track]:
    tracks = simulate(clips, StreamConfig(rate_hz=rate_hz, seconds=seconds), 5)
    long = [t for t in tracks if len(t.times_ns) >= (HIDDEN_S + 2 * SEEN_S) * rate_hz]
    return long[:: max(1, len(long) // limit)][:limit]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.gfpose.evaluate_hidden", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of cmu17")
    parser.add_argument("--prior", default="prior_s", help="a prior of the zoo, or an exported .onnx file")
    parser.add_argument("--lifter", default="lifter_s")
    parser.add_argument("--clips", type=int, default=24, help="clips that are used")
    parser.add_argument("--seconds", type=float, default=3.2, help="of each clip")
    parser.add_argument("--rate", type=float, default=25.0)
    parser.add_argument("--calibrate", action="store_true", help="fit sigma on the training clips too")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    path = Path(args.prior)
    prior = open_backend(path if path.suffix == ".onnx" else zoo.find(args.prior), backend="onnxruntime")
    lifter = open_backend(zoo.find(args.lifter), backend="onnxruntime")
    test, train = load_clips(args.data, "test"), load_clips(args.data, "train")
    console = Console()
    mean, gaussian = mean_of(train), gaussian_of(train)
    rows: dict[str, dict[str, float]] = {}
    for name, pattern in progress(PATTERNS.items(), description="patterns", console=Console(stderr=True)):
        rows[name] = measure(test, mean, gaussian, lifter, prior, pattern, args.seconds, args.clips, args.rate)
    report: dict[str, Any] = {
        "error_mm": rows,
        "clips": args.clips,
        "seconds": args.seconds,
        "rate_hz": args.rate,
        "machine": machine.facts(),
    }
    if args.calibrate:
        report |= calibrate(train, lifter, prior, args.seconds, args.clips, args.rate)
    table = Table("hidden", *next(iter(rows.values())), title="error of hidden joints, mm")
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.0f}" for value in row.values()))
    console.print(table)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
