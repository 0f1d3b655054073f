"""Rewriting one entry of the manifest leaves every other byte alone."""

from __future__ import annotations

import pytest

from exporters.__main__ import main as door
from exporters.refresh import refreshed

TEXT = '# head\n\n[[model]]\nname = "a"\nsha256 = "1"\n\n[[model]]\n# about b\nname = "b"\nsha256 = "2"\nbytes = 2\nmetric = "old"\n'


def test_only_the_named_entry_changes() -> None:
    result = refreshed(TEXT, "b", {"sha256": "ff", "bytes": 9, "metric": 'of "quotes" \\1'})
    assert result == TEXT.replace('sha256 = "2"\nbytes = 2\nmetric = "old"', 'sha256 = "ff"\nbytes = 9\nmetric = "of \\"quotes\\" \\\\1"')


def test_unknown_entries_and_fields_are_refused() -> None:
    with pytest.raises(KeyError, match="no entry called c"):
        refreshed(TEXT, "c", {"bytes": 1})
    with pytest.raises(KeyError, match="no field metric"):
        refreshed(TEXT, "a", {"metric": "x"})


def test_the_door_names_its_rooms(capsys: pytest.CaptureFixture[str]) -> None:
    assert door([]) == 2
    assert door(["nothing"]) == 2
    assert "blazepose" in capsys.readouterr().err
    assert door(["--help"]) == 0
