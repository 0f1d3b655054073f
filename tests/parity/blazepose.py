"""The 2D stage against MediaPipe's own numbers, with MediaPipe's region fed in on every frame.

The tracking loop is chaotic (a hundredth of a pixel in the region grows), so each frame is compared from the recorded region of
that frame, through pose-rt's own stages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from pose_rt import ops, zoo
from pose_rt.backends import Backend, open_backend
from pose_rt.core.types import Frame
from pose_rt.stages.crop import rois_from_points, to_image
from pose_rt.stages.detect import find_people
from pose_rt.stages.pose2d import AUXILIARY, Landmarks, estimate
from tests.parity.check import Check

MEAN_PX, MAX_PX = 0.1, 0.5
STEP_S = 0.033333
"""The legacy Python interface stamps frames 33,333 us apart, whatever the video says."""
_ROOT = Path(__file__).resolve().parents[2]


@cache
def _backend(name: str) -> Backend:
    return open_backend(zoo.find(name), backend="onnxruntime")


def _md5(bgr: np.ndarray) -> str:
    return hashlib.md5(bgr[..., ::-1].tobytes()).hexdigest()


def _video(vector: Path) -> Path | None:
    """The clip of that name in a folder `videos` above the vector, or beside the project."""
    folders = [vector.parent, *(parent / "videos" for parent in vector.parents), _ROOT.parent / "shared" / "videos"]
    return next((path for folder in folders for path in sorted(folder.glob(f"{vector.stem}.mp4"))), None)


def _decode(path: Path, count: int) -> Iterator[np.ndarray]:
    """BGR frames with the BT.601 matrix whatever the file says: what OpenCV 4 does and OpenCV 5 does not."""
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for i, frame in enumerate(container.decode(video=0)):
            if i == count:
                return
            yield frame.reformat(format="bgr24", src_colorspace="ITU601").to_ndarray()


def _frames(vector: Path, md5: np.ndarray) -> dict[int, Frame]:
    """Frames by index: the clip's, or without the clip the lossless picture of frame 20."""
    import cv2

    video = _video(vector)
    if video is not None:
        pictures = dict(enumerate(_decode(video, len(md5))))
    else:
        picture = cv2.imread(str(vector.with_name(f"{vector.stem}_frame20.png")))
        if picture is None:
            raise FileNotFoundError(f"neither {vector.stem}.mp4 in a folder `videos` nor {vector.stem}_frame20.png beside the vector")
        pictures = {20: picture}
    return {i: Frame(np.ascontiguousarray(p), i, int(i * STEP_S * 1e9), 0) for i, p in pictures.items()}


def _pixels(found: Landmarks, roi: np.ndarray) -> np.ndarray:
    """(candidates, 39, 2) px after MediaPipe's refinement, the plain result first.

    Refinement decides twice, by the map's maximum against 0.5 and by the cell that the regression falls in. The two programs add
    in another order, so a point that lies on such an edge to a thousandth may go either way: the others are those ways.
    """
    edge = np.float32(2e-3 / found.heatmap.shape[-1])
    ways = ((0.5, 0), (0.499, 0), (0.501, 0), (0.5, edge), (0.5, -edge))
    refined = [ops.refine_heatmaps(found.heatmap, found.points + shift, mode="mediapipe", threshold=limit)[0] for limit, shift in ways]
    return np.stack([to_image(points, roi)[0] for points in refined])


def _world(found: Landmarks, angle: float) -> np.ndarray:
    """World landmarks (33, 3) turned from the crop's axes to the image's."""
    x, y, z = found.world[0, :33].T
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), z], -1)


class _Aligned:
    """Errors of one quantity over the frames."""

    def __init__(self) -> None:
        self.errors: list[np.ndarray] = []

    def add(self, ours: np.ndarray, theirs: np.ndarray | float) -> None:
        self.errors.append(np.abs(np.asarray(ours, np.float64) - theirs))

    def checks(self, name: str, mean: float, largest: float) -> list[Check]:
        everything = np.concatenate([e.ravel() for e in self.errors]) if self.errors else np.zeros(0)
        if everything.size == 0:
            return []
        return [Check(f"{name}, mean", float(everything.mean()), mean), Check(f"{name}, max", float(everything.max()), largest)]


def _smoothed(data: dict[str, np.ndarray], size: dict[int, float]) -> list[Check]:
    """MediaPipe's landmark filters fed with its own unfiltered landmarks; `size` is the body's size where it was seen."""
    # Positions start anew when the pose is lost; world points and visibility do not (measured).
    raw, smooth = data["raw/landmarks"].astype(np.float32), data["smooth/landmarks"]
    raw_world, smooth_world = data["raw/world"].astype(np.float32), data["smooth/world"]
    pixels, world, visibility = _Aligned(), _Aligned(), _Aligned()
    states, low = (ops.OneEuroState.empty(1, 99), ops.OneEuroState.empty(1, 99)), None
    for i in range(len(raw)):
        if np.isnan(raw[i, 0, 0]):
            states[0].reset()
            continue
        if i not in size:
            break
        t = i * STEP_S
        flat, flat_world = np.ascontiguousarray(raw[i, :, :3].reshape(1, 99)), raw_world[i].reshape(1, 99)
        ours = ops.one_euro(flat, states[0], t, min_cutoff=0.05, beta=80.0, value_scale=1 / size[i])
        ours_world = ops.one_euro(flat_world, states[1], t, min_cutoff=0.1, beta=40.0)
        low = raw[i, :, 3] if low is None else 0.1 * raw[i, :, 3] + 0.9 * low
        pixels.add(ours.reshape(33, 3), smooth[i, :, :3])
        world.add(ours_world.reshape(33, 3), smooth_world[i])
        visibility.add(low, smooth[i, :, 3])
    return [
        *pixels.checks("smoothed landmarks (px)", MEAN_PX, MAX_PX),
        *world.checks("smoothed world (m)", 1e-3, 5e-3),
        *visibility.checks("smoothed visibility", 1e-3, 1e-2),
    ]


def check_blazepose(path: Path) -> list[Check]:
    """Every frame of the vector from its recorded region, through pose-rt's detector, crop, network, refinement and filters."""
    with np.load(path, allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    detected, following, landmarks = data["raw/roi_from_detection"], data["raw/roi_from_landmarks"], data["raw/landmarks"]
    frames = _frames(path, data["raw/frame_md5"])
    same = sum(_md5(frame.bgr) == str(data["raw/frame_md5"][i]) for i, frame in frames.items())
    names = ("landmarks (px)", "depth (px)", "visibility", "world (m)", "next region (px)", "next angle (rad)", "detector (px)",
             "detector score", "region from detector (px)")  # fmt: skip
    aligned = {name: _Aligned() for name in names}
    steering = ops.OneEuroState.empty(1, 4)
    size: dict[int, float] = {}
    lost = 0
    for i, frame in frames.items():
        ran = not np.isnan(detected[i, 0])
        if ran:
            keypoints, score = find_people(_backend("detector"), frame)
            if len(score) == 0:
                lost += 1
            else:
                aligned["detector (px)"].add(keypoints[0].ravel(), data["raw/detector_keypoints"][i])
                aligned["detector score"].add(score[0], data["raw/detector_score"][i])
                aligned["region from detector (px)"].add(rois_from_points(keypoints[:1, 0], keypoints[:1, 1])[0, :3], detected[i, :3])
        roi = detected[i : i + 1] if ran else following[i - 1 : i] if i else detected[:1]
        if np.isnan(roi).any():
            steering.reset()  # nobody was followed on this frame
            continue
        roi = np.ascontiguousarray(roi, np.float32)
        found = estimate(_backend("full"), frame, roi)
        if np.isnan(landmarks[i, 0, 0]):
            lost += bool(found.presence[0] > 0.5)
            steering.reset()
            continue
        lost += bool(found.presence[0] <= 0.5)
        ways = _pixels(found, roi)
        auxiliary = ways[0, AUXILIARY]
        nearest = np.abs(ways[:, :33] - landmarks[i, :, :2]).max(-1).argmin(0)
        aligned["landmarks (px)"].add(ways[nearest, np.arange(33)], landmarks[i, :, :2])
        aligned["depth (px)"].add(found.z[0, :33] * roi[0, 2], landmarks[i, :, 2])
        aligned["visibility"].add(found.visibility[0, :33], landmarks[i, :, 3])
        aligned["world (m)"].add(_world(found, float(roi[0, 3])), data["raw/world"][i])

        size[i] = 2.0 * float(np.hypot(*(auxiliary[1] - auxiliary[0])))
        if len(frames) > 1:  # the filter needs the frames before
            flat = auxiliary.reshape(1, 4)
            steered = ops.one_euro(flat, steering, i * STEP_S, min_cutoff=0.01, beta=10.0, value_scale=1 / size[i]).reshape(1, 2, 2)
            region = rois_from_points(steered[:, 0], steered[:, 1])[0]
            aligned["next region (px)"].add(region[:3], following[i, :3])
            aligned["next angle (rad)"].add((region[3] - following[i, 3] + np.pi) % (2 * np.pi) - np.pi, 0.0)
    # Depth is the least steady output: where two people overlap, single crop pixels that round the other way move it by a pixel.
    limits = {"depth (px)": (MEAN_PX, 2.0), "visibility": (1e-3, 2e-2), "world (m)": (1e-3, 1e-2), "next angle (rad)": (5e-4, 5e-3),
              "detector score": (1e-3, 1e-2)}  # fmt: skip
    checks = [Check("people found and lost otherwise than MediaPipe, frames", float(lost), 0.0)]
    checks.append(Check("frames whose decoded pixels differ", float(len(frames) - same), 0.0))
    for name, errors in aligned.items():
        checks += errors.checks(name, *limits.get(name, (MEAN_PX, MAX_PX)))
    return checks + (_smoothed(data, size) if len(frames) > 1 else [])


HANDLERS = [("blazepose/*.npz", check_blazepose)]
