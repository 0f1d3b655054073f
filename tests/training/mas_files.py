"""Tiny data sets in the published layouts, for MAS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pose_rt.core.motion_sets import MOTION_SETS
from pose_rt.core.skeleton import H36M17

LENGTHS = {"nba": 50, "horse": 95, "gymnastics": 90, "humanml": 30, "tracks": 24}


def write_set(folder: Path, name: str, clips: int = 12, seed: int = 0) -> Path:
    """Clips of joints that swing, with confidences that are low here and there."""
    spec, rng = MOTION_SETS[name], np.random.default_rng(seed)
    (folder / "motions").mkdir(parents=True, exist_ok=True)
    rest = rng.normal(0, 0.5, (spec.joints, 2))
    for i in range(clips):
        frames = LENGTHS[name] + int(rng.integers(0, 10))
        time = np.arange(frames)[:, None, None] / spec.fps
        swing = 0.3 * np.sin(2 * np.pi * (time + rng.random((1, spec.joints, 2))))
        confidence = rng.uniform(0.2 if i else 0.9, 1.0, (frames, spec.joints, 1))
        np.save(folder / "motions" / f"clip{i:02d}.npy", np.concatenate([rest + swing, confidence], -1).astype(np.float32))
    if spec.texts:
        (folder / "texts").mkdir(exist_ok=True)
        for i in range(clips):
            (folder / "texts" / f"clip{i:02d}.txt").write_text("a person waves.a/DET person/NOUN\na wave#a/DET\n")
    return folder


def person_px(frames: int, fps: float = 30.0) -> np.ndarray:
    """(T, 17, 2) px of somebody 300 px tall who walks to the right at one body length a second."""
    rest = np.zeros((17, 2))
    rest[:, 1] = [0, 0, 70, 140, 0, 70, 140, -40, -80, -100, -130, -75, -40, 0, -75, -40, 0]
    rest[:, 0] = [0, -18, -18, -18, 18, 18, 18, 0, 0, 8, 0, 30, 35, 40, -30, -35, -40]
    time = np.arange(frames)[:, None] / fps
    out = np.repeat(rest[None], frames, 0)
    out[..., 0] += 100 + 220 * time
    out[:, [3, 6], 0] += np.concatenate([np.sin(6 * time), -np.sin(6 * time)], 1) * 30
    out[..., 1] += 300
    return out


def write_tracks(path: Path, people: dict[int, tuple[np.ndarray, np.ndarray]], fps: float = 30.0) -> Path:
    """A file of `pose-rt video` with people of an id: points (T, 17, 2) px and scores (T, 17); NaN points: not in the frame."""
    frames = max(len(points) for points, _ in people.values())
    skeleton = {"name": H36M17.name, "joints": list(H36M17.joints), "edges": [list(edge) for edge in H36M17.edges]}
    lines = [{"schema": "pose-rt/1", "source": "x.mp4", "fps": [30, 1], "width": 1280, "height": 720, "skeleton2d": skeleton}]
    for t in range(frames):
        seen = []
        for track, (points, score) in people.items():
            if t < len(points) and np.isfinite(points[t]).all():
                seen.append({"id": track, "kpts2d": np.concatenate([points[t], score[t][:, None]], 1).tolist()})
        lines.append({"frame": t, "pts_s": t / fps, "persons": seen})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
