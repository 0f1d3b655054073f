"""The runner itself: what it calls ok, FAIL and unmapped, and what it exits with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.parity import __main__ as runner
from tests.parity.check import Check, compare, load


@pytest.fixture
def vector(tmp_path: Path) -> Path:
    path = tmp_path / "d3dp" / "thing_1.npz"
    path.parent.mkdir()
    np.savez(path, x=np.arange(3.0), meta='{"case": "thing", "cfg": {"frames": 9}}')
    return path


@pytest.mark.parametrize(
    ("checks", "status", "worst"),
    [
        ([Check("a", 1e-7, 1e-6), Check("b", 3e-3, 1e-2)], "ok", "b"),
        ([Check("a", 2e-6, 1e-6), Check("b", 3e-3, 1e-2)], "FAIL", "a"),
        ([Check("a", float("nan"), 1e-6), Check("b", 9.0, 1.0)], "FAIL", "a"),
        ([Check("exact", 0.0, 0.0), Check("b", 1e-9, 1.0)], "ok", "b"),
        ([Check("exact", 1.0, 0.0), Check("b", 1e-9, 1.0)], "FAIL", "exact"),
    ],
)
def test_the_worst_check_relative_to_its_tolerance_decides(vector: Path, checks: list[Check], status: str, worst: str) -> None:
    result = runner.run_file(vector, [("d3dp/thing_*.npz", lambda path: checks)])
    assert (result.status, result.check and result.check.name) == (status, worst)


def test_a_handler_that_raises_or_checks_nothing_fails(vector: Path) -> None:
    def broken(path: Path) -> list[Check]:
        raise KeyError("in/x")

    assert runner.run_file(vector, [("d3dp/thing_*.npz", broken)]).status == "FAIL"
    assert "in/x" in runner.run_file(vector, [("d3dp/thing_*.npz", broken)]).note
    assert runner.run_file(vector, [("d3dp/thing_*.npz", lambda path: [])]).status == "FAIL"


def test_a_file_in_another_folder_is_found_by_its_name_when_that_is_unique() -> None:
    def mine(path: Path) -> list[Check]:
        return []

    def other(path: Path) -> list[Check]:
        return []

    handlers: list[tuple[str, runner.Handler]] = [("d3dp/m_*.npz", mine), ("dhmp/m_*.npz", other), ("d3dp/jpma_*.npz", mine)]
    assert runner.find_handler(Path("/x/dhmp/m_1.npz"), handlers)[0] is other
    assert runner.find_handler(Path("/x/second/jpma_1.npz"), handlers)[0] is mine
    assert runner.find_handler(Path("/x/second/m_1.npz"), handlers)[0] is None
    assert runner.find_handler(Path("/x/d3dp/else.npz"), handlers) == (None, "no handler")


@pytest.mark.parametrize(("error", "status", "code"), [(0.5, "ok", 0), (2.0, "FAIL", 1), (None, "unmapped", 1)])
def test_lines_totals_and_exit_status(
    vector: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: float | None, status: str, code: int
) -> None:
    handlers = [] if error is None else [("d3dp/thing_*.npz", lambda path: [Check("x", error, 1.0)])]
    monkeypatch.setattr(runner, "discover", lambda: (handlers, []))
    assert runner.main([str(vector.parent)]) == code
    line, totals = capsys.readouterr().out.splitlines()
    assert re.match(rf"{status} +d3dp/thing_1\.npz ", line)
    assert totals.startswith(f"{int(status == 'ok')} passed, {int(status == 'FAIL')} failed")


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        runner.main([str(tmp_path / "missing.npz")])
    assert stop.value.code == 2


def test_compare_measures_what_it_says() -> None:
    nan = float("nan")
    assert compare("abs", [1.0, 2.5], [1.0, 2.0], atol=1e-3) == Check("abs", 0.5, 1e-3)
    assert compare("rel", [1.0, 5.0], [1.0, 4.0], rtol=1e-3).error == pytest.approx(0.25)
    assert compare("both", [5.0], [4.0], atol=1.0, rtol=0.25) == Check("both", 0.5, 1.0)
    assert compare("exact", [1, 2, 3], [1, 0, 0]) == Check("exact", 2.0, 0.0)
    assert compare("same nan", [nan, np.inf], [nan, np.inf], atol=1e-3).ok
    assert not compare("one nan", [nan, 1.0], [1.0, 1.0], atol=1e-3).ok
    assert not compare("exact nan", [nan], [1.0]).ok
    with pytest.raises(ValueError, match="shape"):
        compare("shape", [1.0], [1.0, 2.0], atol=1.0)


def test_load_gives_arrays_and_configuration(vector: Path) -> None:
    arrays, cfg = load(vector)
    assert cfg == {"frames": 9}
    np.testing.assert_array_equal(arrays["x"], np.arange(3.0))
    assert set(arrays) == {"x"}
