"""Which shapes an engine is built for: from one person to as many as asked, with the one tuned for that live use has most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..backends.base import TensorInfo

PEOPLE = 8
"""People in one run, unless --batch says otherwise. More than the engine holds are run in parts."""
HYPOTHESES, BEST_HYPOTHESES, FLIP = 5, 5, 2
"""Of a lifter: rows are people x hypotheses x 2 (with and without mirroring)."""
FUTURES, BEST_FUTURES = 50, 10
"""Of a forecaster, its second free axis."""


COMPLETIONS = 8
"""Of a pose prior: rows are people x samples."""
VIEWS = 7
"""Of a 2D motion model: rows are motions x views."""


class Span(NamedTuple):
    """Least, best and largest length of a free axis."""

    least: int
    best: int
    largest: int


def spans(metadata: dict[str, Any], people: int) -> tuple[Span, Span]:
    """The batch axis and any other free axis of a model of this kind."""
    match metadata.get("kind"):
        case "d3dp":
            return Span(1, min(BEST_HYPOTHESES, people * HYPOTHESES), people * HYPOTHESES * FLIP), Span(1, 1, 1)
        case "dhmp":
            return Span(1, 1, people), Span(1, BEST_FUTURES, FUTURES)
        case "gfpose":
            return Span(1, COMPLETIONS, people * COMPLETIONS), Span(1, 1, 1)
        case "mas":
            frames = int(metadata["longest"])
            return Span(1, VIEWS, people * VIEWS), Span(1, frames, frames)
        case _:
            return Span(1, 1, people), Span(1, 1, people)


def shapes(inputs: Sequence[TensorInfo], metadata: dict[str, Any], people: int = PEOPLE) -> dict[str, list[list[int]]]:
    """{input: [least, best, largest shape]}; an input without free axes has the same shape three times.

    Raises:
        ValueError: fewer than one person.
    """
    if people < 1:
        raise ValueError(f"batch: got {people}, wanted at least 1")
    batch, other = spans(metadata, people)
    first = next((info.shape[0] for info in inputs if info.shape and isinstance(info.shape[0], str)), None)

    def length(axis: int | str, which: int) -> int:
        return axis if isinstance(axis, int) else (batch if axis == first else other)[which]

    return {info.name: [[length(axis, which) for axis in info.shape] for which in range(3)] for info in inputs}
