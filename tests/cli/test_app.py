"""The door: help, version, models, doctor, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pose_rt import __version__, zoo
from pose_rt.cli import app
from pose_rt.errors import InputError, ModelError


def test_version_and_help_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"pose-rt {__version__}"
    assert app.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("video", "doctor", "models", "bench"))


@pytest.mark.parametrize("args", [["nonsense"], ["video"], ["video", "--nope"], ["models", "nonsense"], ["bench", "pipeline"]])
def test_misuse_exits_2_with_a_pointer_to_the_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(args) == 2
    assert "--help" in capsys.readouterr().err


def test_models_lists_every_entry_with_its_licences(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["models", "--details"]) == 0
    text = capsys.readouterr().out
    for entry in zoo.entries():
        assert entry.name in text and entry.licence in text and entry.data_licence in text


def test_doctor_finds_this_installation_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "onnxruntime" in text and "libx264" in text and "BROKEN" not in text


def test_doctor_says_what_is_broken_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: object) -> None:
        raise ModelError("model 'full' is damaged", "reinstall")

    monkeypatch.setattr(zoo, "load_path", missing)
    assert app.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "BROKEN" in text and "damaged" in text and "-> reinstall" in text


def test_an_unexpected_error_is_a_sentence_unless_debug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(zoo, "entries", explode)
    assert app.run(["models"]) == 1
    error = capsys.readouterr().err
    assert "boom" in error and "--debug" in error and "Traceback" not in error
    with pytest.raises(RuntimeError, match="boom"):
        app.run(["models"], debug=True)


def test_cure_is_part_of_the_sentence() -> None:
    assert str(InputError("no such file", "give another")) == "no such file; give another"


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pose_rt.cli.app", "video", "missing.mp4", "--out", "o.mp4"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "missing.mp4" in done.stderr and "Traceback" not in done.stderr
