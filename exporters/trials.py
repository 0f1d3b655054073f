"""``python -m exporters trials CLIP``: record the inputs that fp16 models and engines are tried on (`pose_rt.engines.trials`).

One person walks through the clip: some pictures (JPEG) with her region of interest, and her 2D and 3D joints at 50 Hz as the
pipeline finds them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from pose_rt.config import Settings
from pose_rt.core.skeleton import blazepose_to_h36m
from pose_rt.core.types import Packet
from pose_rt.engines.trials import GRID_HZ, RECORDING
from pose_rt.errors import PoseRtError
from pose_rt.io.sources.video import VideoSource
from pose_rt.pipeline import Pipeline
from pose_rt.stages.window import Series

_QUALITY = 85


def record(clip: Path, pictures: int = 4) -> dict[str, np.ndarray]:
    """Arrays of the recording: roi (n, 4) px, picture_0.. (bytes,) uint8, xy_px (T, 17, 2), joints_m (T, 17, 3), camera (3,): width,
    height, focal length in px."""
    source = VideoSource(clip)
    pipeline = Pipeline(Settings(backend="onnxruntime", forecast=False), source.info.width, source.info.height)
    packets: list[Packet] = []
    try:
        for frame in source:
            packets += pipeline(Packet(frame))
        packets += pipeline.flush()
    finally:
        pipeline.close()
        source.close()
    seen = []
    xy, joints = Series(), Series()
    for packet in packets:
        if (
            packet.pose is None
            or packet.keypoints is None
            or packet.rois is None
            or len(packet.pose.track) != 1
            or len(packet.rois.track) != 1
        ):
            continue
        seen.append((packet.frame.bgr, packet.rois.roi[0]))
        xy.append(packet.frame.media_ns, blazepose_to_h36m(packet.keypoints.xy_px)[0][0])
        joints.append(packet.frame.media_ns, packet.pose.joints_m[0])
    times = np.arange(xy.first_ns, xy.last_ns, round(1e9 / GRID_HZ), dtype=np.int64)
    chosen = [seen[round(i)] for i in np.linspace(0.1 * len(seen), 0.9 * len(seen), pictures)]
    arrays = {f"picture_{i}": _jpeg(bgr) for i, (bgr, _) in enumerate(chosen)}
    arrays["roi"] = np.stack([roi for _, roi in chosen]).astype(np.float32)
    arrays["xy_px"] = xy.sample(times).astype(np.float32)
    arrays["joints_m"] = joints.sample(times).astype(np.float16)
    arrays["camera"] = np.array([source.info.width, source.info.height, pipeline.camera.focal_px], np.float32)
    return arrays


def _jpeg(bgr: np.ndarray) -> np.ndarray:
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.ravel()


def main(argv: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m exporters trials", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--out", type=Path, default=RECORDING)
    options = parser.parse_args(argv)
    try:
        arrays = record(options.clip)
    except PoseRtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    temporary = options.out.with_name(options.out.name + ".part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    temporary.replace(options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes, {len(arrays['roi'])} pictures, {len(arrays['joints_m'])} poses")
    return 0
