"""Measure valid-angle limits on a training set: ``python -m training.dhmp.fit_angles --data FOLDER``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from pose_rt.core.skeleton import H36M17
from training.data.motion import load_clips

from .angles import LIMITS, measure_limits
from .data import root_relative


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dhmp.fit_angles", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.npz of cmu17")
    parser.add_argument("--percentile", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=LIMITS)
    a = parser.parse_args(argv)
    joints = root_relative(load_clips(a.data, "train")).joints
    # Both handednesses count: training mirrors half of its windows.
    joints = np.concatenate([joints, joints[:, H36M17.mirror] * np.array([-1, 1, 1], np.float32)])
    limits = measure_limits(torch.from_numpy(joints[:, 1:].reshape(len(joints), -1)).double(), a.percentile)
    text = {"data": "cmu17/train", "percentile": a.percentile, "poses": len(joints), "limits": {k: list(v) for k, v in limits.items()}}
    a.out.write_text(json.dumps(text, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
