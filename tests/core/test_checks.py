"""Array checks accept what fits, and say what came, what was wanted and where they differ."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pose_rt.core.checks import check_array, describe


def test_a_fitting_array_comes_back_itself() -> None:
    array = np.zeros((2, 17, 3), np.float32)
    assert check_array("x", array, ("P", 17, None), np.float32) is array
    assert check_array("x", array, (2, "J", "D")) is array


def test_letters_bind_across_the_arguments_of_a_call() -> None:
    sizes: dict[str, int] = {}
    check_array("a", np.zeros((2, 5)), ("P", "J"), None, sizes)
    assert sizes == {"P": 2, "J": 5}
    with pytest.raises(ValueError, match=re.escape("b: got float64 (3, 5), wanted (P, J) (P=2): axis 0 has 3")):
        check_array("b", np.zeros((3, 5)), ("P", "J"), None, sizes)
    with pytest.raises(ValueError, match="N=3"):
        check_array("square", np.zeros((3, 4)), ("N", "N"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], "x: got list, wanted an array float32 (3, *); convert it with numpy.asarray"),
        (None, "x: got NoneType"),
        (np.zeros((3, 2)), "x: got float64 (3, 2), wanted float32 (3, *); convert it with .astype(numpy.float32)"),
        (np.zeros(3, np.float32), "x: got float32 (3,), wanted 2 axes float32 (3, *)"),
        (np.zeros((4, 2), np.float32), "x: got float32 (4, 2), wanted float32 (3, *): axis 0 has 4"),
    ],
)
def test_messages(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_array("x", value, (3, None), np.float32)


def test_describe() -> None:
    assert describe(np.zeros((3, 17, 2))) == "float64 (3, 17, 2)"
    assert describe("text") == "str"
