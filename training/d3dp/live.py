"""Measure the live path frame by frame: ``python -m training.d3dp.live --data PATH --json training/d3dp/results/live_quality.json``.

The test clips, each before a virtual camera and an imperfect detector (training/data/stream.py), go through the swaps, lift and
smoothing stages exactly as `pose-rt webcam` runs them. Jitter is the mean length of a joint's acceleration times the frame interval
squared (mm/frame^2); the truth's own is given beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
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
from pose_rt.core.types import Packet
from pose_rt.errors import PoseRtError
from pose_rt.metrics.pose3d import mpjpe, pa_mpjpe
from pose_rt.stages.lift import Lift
from pose_rt.stages.lifter import Lifter
from pose_rt.stages.smooth import Smooth3D
from pose_rt.stages.swaps import Swaps
from training.data.detector import DetectorNoise
from training.data.motion import Clips, load_clips
from training.data.stream import CAMERA, StreamConfig, Track, packets, simulate

WARM_STARTS = (
    (30.0, 1, 1, (None, 0.9, 0.7, 0.5, 0.3, 0.1)), (30.0, 1, 2, (None, 0.7)), (30.0, 3, 1, (None, 0.7)), (30.0, 3, 2, (None, 0.7)),
    (30.0, 5, 1, (None,)), (30.0, 5, 2, (None,)), (50.0, 1, 1, (None, 0.7, 0.3)),
)  # fmt: skip
"""Frames a second, H, K and the shares of noise; None = without a warm start."""
LOOKAHEADS = (0, 3, 9, 13)
RATES = ((60.0, 0.0), (30.0, 0.0), (24.0, 0.0), (15.0, 0.0), (10.0, 0.0), (30.0, 0.2), (30.0, 0.5))
"""Frames a second and the share of them that is dropped."""
SWAP_SHARES = (0.0, 0.045, 0.3)
ONE_EURO = ((1.0, 3.0), (2.0, 3.0), (2.0, 6.0), (3.0, 6.0), (3.0, 12.0))


def lifted(
    tracks: list[Track], backend: Backend, *, swaps: bool = False, lookahead: int = 0, warm: float | None = None, **sampler: int
) -> list[Packet]:
    """The packets of the live path; `warm` is the share of noise of a warm start, None = from pure noise."""
    options: dict[str, Any] = dict(sampler) if warm is None else {**sampler, "warm_noise": warm}
    lift = Lift(Lifter(backend, **options), CAMERA, lookahead=lookahead, warm_start=warm is not None)
    repair: Callable[[Packet], Packet] = Swaps() if swaps else lambda packet: packet
    return [out for packet in packets(tracks) for out in lift.push(repair(packet))] + lift.flush()


def per_track(done: list[Packet], tracks: list[Track]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Joints (T, 17, 3) and sigma (T, 17) of each track."""
    joints: list[list[np.ndarray]] = [[] for _ in tracks]
    sigma: list[list[np.ndarray]] = [[] for _ in tracks]
    for packet in done:
        assert packet.pose is not None
        for person, number in enumerate(packet.pose.track.tolist()):
            joints[number].append(packet.pose.joints_m[person])
            sigma[number].append(packet.pose.sigma_m[person])
    return [np.stack(j) for j in joints], [np.stack(s) for s in sigma]


def acceleration(joints: np.ndarray, times_ns: np.ndarray) -> np.ndarray:
    """(T, J, 3) at uneven times -> (T - 2,) mean over the joints of |second derivative|, m/s^2."""
    step = np.diff(times_ns / 1e9)[:, None, None]
    speed = np.diff(joints, axis=0) / step
    return np.linalg.norm(2 * np.diff(speed, axis=0) / (step[1:] + step[:-1]), axis=-1).mean(1)


def lag_ms(joints: list[np.ndarray], tracks: list[Track]) -> float:
    """The delay for which the poses fit the truth best (10 ms steps, truth between frames interpolated)."""
    errors = []
    for delay in range(0, 201, 10):
        total = []
        for out, known in zip(joints, tracks, strict=True):
            seconds, flat = known.times_ns / 1e9, known.truth_m.reshape(len(known.truth_m), -1)
            past = np.stack([np.interp(seconds - delay / 1e3, seconds, column) for column in flat.T], 1).reshape(known.truth_m.shape)
            total.append(mpjpe(out, past)[seconds >= seconds[0] + 0.2])
        errors.append(np.concatenate(total).mean())
    return 10.0 * int(np.argmin(errors))


def row(done: list[Packet], tracks: list[Track], rate_hz: float) -> dict[str, float]:
    """Errors, jitter and coverage of sigma."""
    joints, sigma = per_track(done, tracks)
    truth = np.concatenate([t.truth_m for t in tracks])
    poses = np.concatenate(joints)
    jitter = np.concatenate([acceleration(j, t.times_ns) for j, t in zip(joints, tracks, strict=True)]).mean()
    inside = np.abs(poses - truth)[:, 1:] < np.concatenate(sigma)[:, 1:, None]
    values = {
        "frames": len(poses), "mpjpe_mm": 1e3 * mpjpe(poses, truth).mean(), "pa_mpjpe_mm": 1e3 * pa_mpjpe(poses, truth).mean(),
        "jitter": 1e3 * jitter / rate_hz**2, "within_sigma": inside.mean(),
    }  # fmt: skip
    return {name: round(float(value), 3) for name, value in values.items()}


def true_jitter(tracks: list[Track], rate_hz: float) -> float:
    """The truth's own, mm/frame^2."""
    return round(1e3 * float(np.concatenate([acceleration(t.truth_m, t.times_ns) for t in tracks]).mean()) / rate_hz**2, 3)


def repair_row(tracks: list[Track]) -> dict[str, float]:
    """What the swaps stage found of the simulated swaps, frame by frame and part by part."""
    stage = Swaps()
    found: list[list[np.ndarray]] = [[] for _ in tracks]
    for packet in packets(tracks):
        keypoints = stage(packet).keypoints
        assert keypoints is not None and keypoints.swapped is not None
        for person, number in enumerate(keypoints.track.tolist()):
            found[number].append(keypoints.swapped[person])
    said, known = np.concatenate([np.stack(f) for f in found]), np.concatenate([t.swapped for t in tracks])
    right = float((said & known).sum())
    return {
        "swapped_share": round(float(known.any(1).mean()), 4),
        "left_share": round(float((said != known).any(1).mean()), 4),
        "precision": round(right / max(float(said.sum()), 1.0), 3),
        "recall": round(right / max(float(known.sum()), 1.0), 3),
        "repairs": stage.repairs,
    }


def some_of(clips: Clips, count: int | None) -> Clips:
    """`count` clips, evenly spread over the set; None = all."""
    total = len(clips.length)
    if count is None or count >= total:
        return clips
    rows = np.linspace(0, total - 1, count).round().astype(np.int64)
    return replace(clips, start=clips.start[rows], length=clips.length[rows], action=clips.action[rows], name=clips.name[rows])


def measure(clips: Clips, seconds: float, seed: int) -> dict[str, Any]:
    """All tables."""
    backend = open_backend(zoo.find("lifter_s"))

    def stream(rate_hz: float, **changes: Any) -> list[Track]:
        return simulate(clips, replace(StreamConfig(rate_hz=rate_hz, seconds=seconds), **changes), seed)

    at30, at50 = stream(30), stream(50)
    out: dict[str, Any] = {"true_jitter": {"30": true_jitter(at30, 30), "50": true_jitter(at50, 50)}}
    jobs: list[tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]] = []

    def add(table: str, labels: dict[str, Any], job: Callable[[], dict[str, Any]]) -> None:
        jobs.append((table, labels, job))

    def warm_job(tracks: list[Track], rate: float, h: int, k: int, warm: float | None) -> Callable[[], dict[str, Any]]:
        return lambda: row(lifted(tracks, backend, hypotheses=h, steps=k, warm=warm), tracks, rate)

    for rate, h, k, levels in WARM_STARTS:
        for warm in levels:
            job = warm_job(at30 if rate == 30 else at50, rate, h, k, warm)
            add("warm_start", {"rate_hz": rate, "H": h, "K": k, "noise": warm}, job)

    def lookahead_job(frames: int) -> Callable[[], dict[str, Any]]:
        return lambda: row(lifted(at30, backend, lookahead=frames, hypotheses=1, steps=1), at30, 30)

    for frames in LOOKAHEADS:
        add("lookahead", {"lookahead": frames, "delay_ms": round(1000 * frames / 30)}, lookahead_job(frames))

    def rate_job(rate: float, drop: float) -> Callable[[], dict[str, Any]]:
        def job() -> dict[str, Any]:
            tracks = stream(rate, drop=drop)
            # The jitter of every rate is given as for frames of 30 Hz, so that the column can be compared.
            return row(lifted(tracks, backend, hypotheses=1, steps=1), tracks, 30)

        return job

    for rate, drop in RATES:
        add("rates", {"rate_hz": rate, "drop": drop}, rate_job(rate, drop))

    def swap_job(share: float, repair: bool) -> Callable[[], dict[str, Any]]:
        def job() -> dict[str, Any]:
            tracks = stream(30, noise=DetectorNoise(swap=share))
            return {
                **row(lifted(tracks, backend, swaps=repair, hypotheses=1, steps=1), tracks, 30),
                **(repair_row(tracks) if repair else {}),
            }

        return job

    for share in SWAP_SHARES:
        for repair in (False, True):
            add("swaps", {"swap": share, "repair": repair}, swap_job(share, repair))

    for table, labels, job in progress(jobs, description="measuring"):
        out.setdefault(table, []).append({**labels, **job()})

    done = lifted(at30, backend, hypotheses=1, steps=1)
    out["one_euro"] = []
    for setting in (None, *ONE_EURO):
        smoothed = done if setting is None else [*map(Smooth3D(*setting), done)]
        labels = {"min_cutoff_hz": None, "beta": None} if setting is None else dict(zip(("min_cutoff_hz", "beta"), setting, strict=True))
        out["one_euro"].append({**labels, **row(smoothed, at30, 30), "lag_ms": lag_ms(per_track(smoothed, at30)[0], at30)})
    backend.close()
    return out


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.d3dp.live", description="Measure the live path frame by frame.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="Of each clip.")
    parser.add_argument("--clips", type=int, help="This many clips, evenly spread over the set; default all.")
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args(arguments)
    if not args.seconds > 0 or (args.clips is not None and args.clips < 1):
        parser.error(f"got {args.seconds} seconds of {args.clips} clips, wanted more than 0 of at least 1")
    started = time.monotonic()
    try:
        clips = some_of(load_clips(args.data, "test"), args.clips)
    except PoseRtError as error:
        parser.exit(error.exit_code, f"{error}\n")
    tables = measure(clips, args.seconds, args.seed)
    results = {
        "machine": machine.facts(), "clips": len(clips.length), "seconds_of_a_clip": args.seconds, "seed": args.seed, **tables,
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    console = Console()
    console.print(f"the truth's own jitter, mm/frame^2: {tables['true_jitter']}")
    for name, rows in tables.items():
        if isinstance(rows, list):
            columns = list(dict.fromkeys(key for entry in rows for key in entry))
            table = Table(*columns, title=name)
            for entry in rows:
                table.add_row(*(str(entry.get(column, "")) for column in columns))
            console.print(table)


if __name__ == "__main__":
    main()
