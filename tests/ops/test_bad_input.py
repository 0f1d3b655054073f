"""Bad input is refused with what came, what was wanted and the cure: by the kernels' face and by the reference's, in the same cases."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from pose_rt import ops

F = np.float32


def zeros(*shape: int, dtype: type = F) -> np.ndarray:
    return np.zeros(shape, dtype)


def gaps(*shape: int) -> np.ndarray:
    return zeros(*shape[:-1], shape[-1] * 2)[..., ::2]


def nan(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, F)


class OnDevice:
    """Looks like an array on a CUDA device."""

    __cuda_array_interface__ = {"shape": (2, 3), "typestr": "<f4", "data": (0, False), "version": 3}  # noqa: RUF012


CAMERA = np.ones(9, F)
JPMA = {"target_xy": zeros(1, 2, 4, 2), "root": zeros(1, 2, 3), "camera": CAMERA, "mode": "jpma"}
ROI = np.array([[1, 1, 1, 0]], F)
STATE = ops.OneEuroState.empty(1, 2)
EURO = {"min_cutoff": 1.0, "beta": 0.0}

ON_DEVICE = "logits.*CUDA device.*(rebuild.*POSE_RT_CUDA=ON|no device can be used)"
CASES: list[tuple[str, str, Callable[[ModuleType], object]]] = [
    ("dtype", "logits.*float64.*float32.*astype", lambda o: o.gumbel_softmax(zeros(2, 3, dtype=np.float64), 1, temperature=1.0)),
    ("rank", r"logits.*\(2,\).*\(R", lambda o: o.gumbel_softmax(zeros(2), 1, temperature=1.0)),
    ("list", "logits.*list.*asarray", lambda o: o.gumbel_softmax([[1.0]], 1, temperature=1.0)),
    ("gaps", "logits.*contiguous.*ascontiguousarray", lambda o: o.gumbel_softmax(gaps(2, 3), 1, temperature=1.0)),
    ("fortran order", "contiguous", lambda o: o.gumbel_softmax(np.asfortranarray(zeros(2, 3)), 1, temperature=1.0)),
    ("nan logits", "logits.*NaN", lambda o: o.gumbel_softmax(nan(2, 3), 1, temperature=1.0)),
    ("inf logits", "logits.*inf", lambda o: o.gumbel_softmax(np.full((1, 40), np.inf, F), 1, temperature=1.0)),
    ("temperature 0", "temperature.*0.*above 0", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=0.0)),
    ("temperature nan", "temperature", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=np.nan)),
    ("noise_scale", "noise_scale", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, noise_scale=-1.0)),
    ("samples", "samples.*-1", lambda o: o.gumbel_softmax(zeros(2, 3), -1, temperature=1.0)),
    ("too many draws", r"2\*\*34", lambda o: o.gumbel_softmax(zeros(64, 64), 2**31 - 1, temperature=1.0)),
    ("seed", "seed.*-1", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, seed=-1)),
    ("seed high", "seed", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, seed=2**64)),
    ("frame", "frame", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, frame=2**32)),
    ("track", "track", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, track=-5)),
    ("gumbel shape", "gumbel", lambda o: o.gumbel_softmax(zeros(2, 3), 2, temperature=1.0, gumbel=zeros(2, 1, 3))),
    ("gumbel nan", "gumbel", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, gumbel=nan(2, 1, 3))),
    ("out shape", "out", lambda o: o.gumbel_softmax(zeros(2, 3), 1, temperature=1.0, out=zeros(2, 3))),
    ("device", ON_DEVICE, lambda o: o.gumbel_softmax(OnDevice(), 1, temperature=1.0)),
    ("empty map", "heatmap", lambda o: o.sample_coordinates(zeros(1, 0, 4), 1)),
    ("basis", "basis.*cubic.*uniform, triangular, gaussian", lambda o: o.sample_coordinates(zeros(1, 4, 4), 1, basis="cubic")),
    ("even window", "window.*odd", lambda o: o.sample_coordinates(zeros(1, 4, 4), 1, window=(zeros(1, 2), 4))),
    ("window nan", "centres", lambda o: o.sample_coordinates(zeros(1, 4, 4), 1, window=(nan(1, 2), 3))),
    ("noise shape", "noise", lambda o: o.sample_coordinates(zeros(1, 4, 4), 1, noise=(zeros(1, 1, 16), zeros(1, 1, 7)))),
    ("points", "points", lambda o: o.refine_heatmaps(zeros(1, 2, 8, 8), zeros(1, 3, 2))),
    ("mode", "mode.*nearest", lambda o: o.refine_heatmaps(zeros(1, 2, 8, 8), zeros(1, 2, 2), mode="nearest")),
    ("kernel", "kernel", lambda o: o.refine_heatmaps(zeros(1, 2, 8, 8), zeros(1, 2, 2), kernel=8)),
    ("threshold", "threshold", lambda o: o.refine_heatmaps(zeros(1, 2, 8, 8), zeros(1, 2, 2), threshold=1.5)),
    ("weights", "weights", lambda o: o.blend_bases(zeros(1, 4, 5), zeros(1, 2, 3))),
    ("no bases", "M", lambda o: o.blend_bases(zeros(1, 0, 5), draws=3)),
    ("last axis", r"points.*\(\.\.\., ?3\)|points.*3", lambda o: o.project(zeros(4, 2), CAMERA)),
    ("scalar", "points", lambda o: o.project(np.array(1, F), CAMERA)),
    ("camera", "camera.*4", lambda o: o.project(zeros(4, 3), zeros(5))),
    ("camera nan", "camera", lambda o: o.project(zeros(4, 3), nan(4))),
    ("distortion", "distortion", lambda o: o.project(zeros(4, 3), zeros(4), distortion=True)),
    ("read-only out", "read-only", lambda o: o.project(zeros(4, 3), CAMERA, out=np.frombuffer(bytes(32), F).reshape(4, 2))),
    ("no hypotheses", "H", lambda o: o.aggregate(zeros(1, 0, 2, 4, 3))),
    ("mode", "mode", lambda o: o.aggregate(zeros(1, 1, 2, 4, 3), mode="best")),
    ("missing root", "root.*None.*jpma", lambda o: o.aggregate(zeros(1, 1, 2, 4, 3), **(JPMA | {"root": None}))),
    ("unused camera", "camera.*mean", lambda o: o.aggregate(zeros(1, 1, 2, 4, 3), camera=CAMERA)),
    ("frames differ", "target_xy", lambda o: o.aggregate(zeros(1, 1, 3, 4, 3), **JPMA)),
    ("negative weight", "weights", lambda o: o.aggregate(zeros(1, 2, 2, 4, 3), mode="weighted", weights=np.array([[-1, 2]], F))),
    ("zero weights", "weights", lambda o: o.aggregate(zeros(1, 2, 2, 4, 3), mode="weighted", weights=zeros(1, 2))),
    ("image dtype", "image.*float32.*uint8", lambda o: o.crop_warp(zeros(4, 4, 3), ROI, 4)),
    ("empty image", "image", lambda o: o.crop_warp(zeros(0, 4, 3, dtype=np.uint8), ROI, 4)),
    ("roi nan", "roi", lambda o: o.crop_warp(zeros(4, 4, 3, dtype=np.uint8), nan(1, 4), 4)),
    ("size", "size", lambda o: o.crop_warp(zeros(4, 4, 3, dtype=np.uint8), ROI, 0)),
    ("border", "border", lambda o: o.crop_warp(zeros(4, 4, 3, dtype=np.uint8), ROI, 4, border="wrap")),
    ("scale", "scale", lambda o: o.crop_warp(zeros(4, 4, 3, dtype=np.uint8), ROI, 4, scale=[1.0, 2.0])),
    ("image slice", "image.*contiguous", lambda o: o.crop_warp(zeros(4, 8, 3, dtype=np.uint8)[:, 2:6], ROI, 4)),
    ("scores", "scores", lambda o: o.decode_detections(zeros(5, 12), zeros(4), anchors=zeros(5, 2))),
    ("anchors", "anchors", lambda o: o.decode_detections(zeros(5, 12), zeros(5))),
    ("iou", "iou", lambda o: o.decode_detections(zeros(5, 12), zeros(5), anchors=zeros(5, 2), iou=-0.1)),
    ("state shape", "state", lambda o: o.one_euro(zeros(2, 2), STATE, 0.0, **EURO)),
    ("time nan", "t", lambda o: o.one_euro(zeros(1, 2), STATE, np.nan, **EURO)),
    ("min_cutoff", "min_cutoff", lambda o: o.one_euro(zeros(1, 2), STATE, 0.0, min_cutoff=0.0, beta=0.0)),
]


@pytest.mark.parametrize(("message", "call"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.parametrize("face", ["native", "reference_face"])
def test_refused(face: str, message: str, call: Callable[[ModuleType], object], request: pytest.FixtureRequest) -> None:
    if face == "native" and ops.core() is None:
        pytest.skip("pose_rt._core is not built")
    module = ops if face == "native" else request.getfixturevalue(face)
    if "CUDA" in message and face == "native" and ops.cuda_status()[0]:
        pytest.skip("this build takes arrays on the device")
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call(module)


def test_unknown_instruction_set_is_refused() -> None:
    core = ops.core()
    if core is None:
        pytest.skip("pose_rt._core is not built")
    with pytest.raises(ValueError, match=r"POSE_RT_ISA.*sse9.*base"):
        core.use_isa("sse9")


def test_the_face_says_what_it_runs_on(reference_face: ModuleType) -> None:
    assert isinstance(reference_face.backend(), str) and reference_face.backend()
    available, reason = reference_face.cuda_status()
    assert available or reason


def test_reference_face_computes(reference_face: ModuleType) -> None:
    """The face without kernels gives the definition's results, into `out` too."""
    rng = np.random.default_rng(0)
    logits, out = rng.normal(size=(2, 5)).astype(F), zeros(2, 3, 5)
    assert reference_face.gumbel_softmax(logits, 3, temperature=1.0, out=out) is out
    np.testing.assert_allclose(out.sum(-1), 1, rtol=1e-6)  # float32 sum of five weights
    assert reference_face.sample_coordinates(zeros(2, 4, 4), 3)[0].shape == (2, 3, 2)
    assert reference_face.refine_heatmaps(zeros(1, 2, 8, 8), zeros(1, 2, 2))[0].shape == (1, 2, 2)
    assert reference_face.blend_bases(zeros(1, 4, 5), draws=3).shape == (1, 3, 5)
    assert reference_face.project(zeros(2, 4, 3) + 1, CAMERA).shape == (2, 4, 2)
    assert reference_face.aggregate(zeros(1, 1, 2, 4, 3), **JPMA)[2].shape == (1, 2, 4)
    assert reference_face.crop_warp(zeros(4, 4, 3, dtype=np.uint8), ROI, 4).shape == (1, 3, 4, 4)
    assert reference_face.decode_detections(zeros(5, 12), zeros(5) - 9, anchors=zeros(5, 2))[0].shape == (0, 4)
    assert reference_face.one_euro(zeros(1, 2), ops.OneEuroState.empty(1, 2), 0.0, **EURO).shape == (1, 2)
