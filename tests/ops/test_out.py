"""`out=` of every op: the same numbers into the caller's arrays, and no memory taken once an op has run."""

import tracemalloc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pose_rt import ops as face

F = np.float32
RNG = np.random.default_rng(3)
HEATMAPS = RNG.normal(size=(1, 30, 24, 16)).astype(F)
POINTS = RNG.uniform(0.2, 0.8, (1, 30, 2)).astype(F)
HYPOTHESES = RNG.normal(size=(2, 3, 9, 17, 3)).astype(F)
CAMERA = np.array([2.0, 2.0, 0.0, 0.0], F)
IMAGE = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
ROI = np.array([[20, 20, 30, 0.2]], F)
# Five people, 200 boxes each; the fifth hundredth of a score keeps them apart.
PLACES = np.repeat(np.arange(5, dtype=F)[:, None] * F(0.2), 200, 0).repeat(2, 1)
BOXES = np.tile(np.array([[0, 0, 20, 20, 1, 2, 3, 4, 5, 6, 7, 8]], F), (1000, 1))
SCORES = np.linspace(3, 1, 1000, dtype=F)
DDIM = (0.5, 0.8, 0.1, 0.3)
EURO = {"min_cutoff": 1.0, "beta": 2.0, "value_scale": 0.5}

Op = Callable[..., Any]


def _euro(o: ModuleType, **out: Any) -> Any:
    values = HYPOTHESES.reshape(-1, 51)[:54]
    state = face.OneEuroState.empty(*values.shape)
    o.one_euro(values, state, 0.0, **EURO)
    return o.one_euro(values[::-1].copy(), state, 0.02, **EURO, **out)


CASES: dict[str, Op] = {
    "gumbel_softmax": lambda o, **k: o.gumbel_softmax(HEATMAPS[0, 0], 5, temperature=0.7, seed=1, **k),
    "sample_coordinates": lambda o, **k: o.sample_coordinates(HEATMAPS[0], 20, seed=1, **k),
    "refine_heatmaps": lambda o, **k: o.refine_heatmaps(HEATMAPS, POINTS, **k),
    "blend_bases": lambda o, **k: o.blend_bases(HYPOTHESES[0, 0], draws=5, seed=1, **k),
    "project": lambda o, **k: o.project(HYPOTHESES, CAMERA, **k),
    "aggregate": lambda o, **k: o.aggregate(HYPOTHESES, **k),
    "ddim_step": lambda o, **k: o.ddim_step(HYPOTHESES[0], HYPOTHESES[1], HYPOTHESES[1], DDIM, **k),
    "crop_warp": lambda o, **k: o.crop_warp(IMAGE, ROI, 24, **k),
    "one_euro": _euro,
}


def _arrays(result: Any) -> tuple[np.ndarray, ...]:
    return result if isinstance(result, tuple) else (result,)


def _room(result: Any) -> Any:
    """Arrays like the result's, full of what no op gives."""
    spoilt = tuple(np.full_like(a, True if a.dtype == bool else 77) for a in _arrays(result))
    return spoilt if isinstance(result, tuple) else spoilt[0]


def check_out(module: ModuleType, op: Op) -> None:
    expected = op(module)
    room = _room(expected)
    got = op(module, out=room)
    for a, want, given in zip(_arrays(got), _arrays(expected), _arrays(room), strict=True):
        assert a is given
        np.testing.assert_array_equal(a, want)


@pytest.mark.parametrize("op", CASES.values(), ids=CASES)
def test_out_holds_the_result(native: ModuleType, op: Op) -> None:
    check_out(native, op)


@pytest.mark.parametrize("op", CASES.values(), ids=CASES)
def test_out_holds_the_definitions_result(reference_face: ModuleType, op: Op) -> None:
    check_out(reference_face, op)


def _detect(module: ModuleType, **out: Any) -> Any:
    return module.decode_detections(BOXES, SCORES, anchors=PLACES, **out)


def check_detections(module: ModuleType, capacity: int) -> None:
    expected = _detect(module)
    assert len(expected[2]) == 5
    room = tuple(np.full((capacity, *a.shape[1:]), 77, F) for a in expected)
    got = _detect(module, out=room)
    n = min(5, capacity)
    for a, want, given in zip(got, expected, room, strict=True):
        assert a is given or a.base is given
        np.testing.assert_array_equal(a, want[:n])
        np.testing.assert_array_equal(given[n:], 77)


@pytest.mark.parametrize("capacity", [0, 3, 5, 8])
def test_detections_fill_the_first_rows_of_out(native: ModuleType, capacity: int) -> None:
    check_detections(native, capacity)


@pytest.mark.parametrize("capacity", [0, 3, 8])
def test_detections_of_the_definition_fill_out(reference_face: ModuleType, capacity: int) -> None:
    check_detections(reference_face, capacity)


def test_the_filter_works_in_place(native: ModuleType) -> None:
    values, state = RNG.normal(size=(3, 4)).astype(F), [face.OneEuroState.empty(3, 4) for _ in range(2)]
    for i in range(3):
        x = values + F(i)
        expected = native.one_euro(x, state[0], i * 0.02, **EURO)
        assert native.one_euro(x, state[1], i * 0.02, **EURO, out=x) is x
        np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("name", [*CASES, "decode_detections"])
def test_steady_state_takes_no_memory(native: ModuleType, name: str) -> None:
    """NumPy reports its arrays to tracemalloc; what is left are tuples and views."""
    if name == "one_euro":
        values, state = np.zeros((54, 51), F), face.OneEuroState.empty(54, 51)
        op: Op = lambda o, out: o.one_euro(values, state, 0.02, **EURO, out=out)  # noqa: E731
        room: Any = np.zeros_like(values)
    elif name == "decode_detections":
        op, room = _detect, (np.zeros((1000, 4), F), np.zeros((1000, 4, 2), F), np.zeros(1000, F))
    else:
        op, room = CASES[name], _room(CASES[name](native))
    op(native, out=room)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        op(native, out=room)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    largest = max(a.nbytes for a in _arrays(room))
    assert peak < min(largest, 2048), f"{peak} bytes were taken, the largest result has {largest}"


NOT_A_TUPLE = [
    ("sample_coordinates", "out.*2 arrays.*samples, mean, covariance, second", lambda o: CASES["sample_coordinates"](o, out=(1, 2))),
    ("refine_heatmaps", "out.*ndarray.*points, spread, second", lambda o: CASES["refine_heatmaps"](o, out=POINTS)),
    ("second of another type", r"out\[2\].*float32", lambda o: CASES["refine_heatmaps"](o, out=(POINTS, POINTS[..., 0].copy(), IMAGE))),
    ("detections", "out.*2 arrays.*boxes, keypoints, score", lambda o: _detect(o, out=(BOXES, BOXES))),
    ("detections differ", r"out\[0\].*\(8, ?4\)", lambda o: _detect(o, out=(np.zeros((7, 4), F), np.zeros((8, 4, 2), F), np.zeros(8, F)))),
    ("filter", "out.*shape|out.*wanted", lambda o: _euro(o, out=np.zeros((2, 2), F))),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call"), [c[1:] for c in NOT_A_TUPLE], ids=[c[0] for c in NOT_A_TUPLE])
@pytest.mark.parametrize("where", ["native", "reference_face"])
def test_bad_out_is_refused(where: str, message: str, call: Op, request: pytest.FixtureRequest) -> None:
    if where == "native" and face.core() is None:
        pytest.skip("pose_rt._core is not built")
    module = face if where == "native" else request.getfixturevalue(where)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call(module)
