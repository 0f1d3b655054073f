"""The whole 2D chain, running free on a real clip, stays with what MediaPipe found there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.core.types import Frame, Packet
from pose_rt.stages.detect import Detect
from pose_rt.stages.identity import Tracker
from pose_rt.stages.pose2d import Pose2D
from pose_rt.stages.refine import Refine
from pose_rt.stages.track import Track

SHARED = Path(__file__).resolve().parents[3] / "shared"
CLIP = SHARED / "videos" / "sports2d_man_arms_on_block.mp4"
VECTOR = SHARED / "parity" / "blazepose" / "sports2d_man_arms_on_block.npz"
FRAMES = 24

pytestmark = pytest.mark.skipif(not (CLIP.exists() and VECTOR.exists()), reason="the clip and what MediaPipe found in it are not here")


@pytest.mark.parametrize("mode", ["sampling-argmax", "mediapipe"])
def test_free_running_stays_with_mediapipe(mode: str) -> None:
    av = pytest.importorskip("av")
    with np.load(VECTOR, allow_pickle=False) as file:
        theirs = file["smooth/landmarks"][:, :, :2]
    tracker = Tracker()
    detector, landmarks = (open_backend(zoo.find(name), backend="onnxruntime") for name in ("detector", "full"))
    stages = (Detect(detector, tracker), Pose2D(landmarks), Refine(mode), Track(tracker))
    torso = np.linalg.norm(theirs[:, [11, 12]].mean(1) - theirs[:, [23, 24]].mean(1), axis=-1)
    errors = []
    with av.open(str(CLIP)) as container:
        for i, picture in enumerate(container.decode(video=0)):
            if i == FRAMES:
                break
            packet = Packet(Frame(picture.to_ndarray(format="bgr24"), i, i * 33_333_000, 0))
            for stage in stages:
                packet = stage(packet)
            assert packet.keypoints is not None
            assert packet.keypoints.track.tolist() == [0]
            errors.append(np.linalg.norm(packet.keypoints.xy_px[0] - theirs[i], axis=-1) / torso[i])
    # 1.5 % is the promise; MediaPipe differs from itself by as much when its region moves by a hundredth of a pixel.
    assert np.median(errors) < 0.015
