"""Lift 2D keypoints that you already have, in H36M-17 order: ``python demos/own_keypoints.py``."""

import numpy as np

from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.core.camera import Camera
from pose_rt.core.skeleton import H36M17
from pose_rt.stages.lifter import Lifter

# A stick figure, 17 joints (x, y) in pixels, that raises its right arm during two thirds of a second.
STANDING = np.array(
    [
        (640, 360), (610, 360), (608, 470), (606, 575), (670, 360), (672, 470), (674, 575), (640, 290), (640, 215), (640, 190), (640, 150),
        (690, 222), (705, 295), (712, 365), (590, 222), (575, 295), (568, 365),
    ],
    np.float32,
)  # fmt: skip
RAISED = {15: (535, 200), 16: (520, 120)}


def main() -> None:
    lifter = Lifter(open_backend(zoo.find("lifter_s")), hypotheses=10, steps=2)
    camera = Camera.from_fov(1280, 720, 65)
    window = np.repeat(STANDING[None], lifter.frames, 0)
    for joint, end in RAISED.items():
        window[:, joint] = np.linspace(STANDING[joint], end, lifter.frames)
    hypotheses = lifter(window[None], camera, tracks=[0])[0]  # (H, frames, 17, 3), metres, relative to the pelvis
    pose, spread = hypotheses.mean(0)[-1], hypotheses.std(0)[-1].mean(-1)
    for name, (x, y, z), s in zip(H36M17.joints, pose, lifter.sigma(spread), strict=True):
        print(f"{name:<15} {x:+.2f} {y:+.2f} {z:+.2f} m   sigma {s:.2f} m")
    lifter.close()


if __name__ == "__main__":
    main()
