"""The zoo: what is bundled is what the manifest says, damage is noticed, and models can be added."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pose_rt import zoo
from pose_rt.errors import ModelError, OutputError, UsageError
from pose_rt.zoo import manifest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSE_RT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.mark.parametrize("name", [entry.name for entry in manifest.project_entries() if entry.bundled])
def test_bundled_models_are_what_the_manifest_says(name: str) -> None:
    entry = zoo.find(name)
    assert zoo.load_path(name).stat().st_size == entry.bytes
    assert zoo.find(entry.file) == entry
    assert all((entry.licence, entry.data_licence, entry.provenance, entry.paper, entry.made, entry.metric, entry.preprocessing))


def test_names_and_files_are_unique() -> None:
    entries = zoo.entries()
    assert len({e.name for e in entries}) == len({e.file for e in entries}) == len(entries)


def test_every_bundled_file_has_an_entry() -> None:
    known = {entry.file for entry in manifest.project_entries() if entry.bundled}
    assert {path.name for path in manifest.BUNDLED_FOLDER.glob("*.onnx")} == known


def test_unknown_model_lists_the_known() -> None:
    with pytest.raises(UsageError, match="detector"):
        zoo.find("huge")


def test_missing_model_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="exporters blazepose --heavy"):
        zoo.load_path("heavy")


def test_damage_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(zoo.load_path("lite").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "blazepose_lite.onnx").write_bytes(data)
    monkeypatch.setattr(manifest, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"damaged.*reinstall"):
        zoo.load_path("lite")


def test_a_model_can_be_added_and_is_private(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"some network")
    entry = zoo.add(path, name="mine", like="full", licence="MIT")
    assert zoo.find("mine") == entry
    assert zoo.load_path("mine").read_bytes() == b"some network"
    assert (entry.licence, entry.skeleton, entry.bundled) == ("MIT", "blazepose33", False)
    assert sorted(p.name for p in folder.iterdir()) == ["mine.json", "mine.onnx"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in folder.iterdir())
    (folder / "mine.onnx").write_bytes(b"another network")
    with pytest.raises(ModelError, match="damaged"):
        zoo.load_path("mine")


def test_a_file_of_this_release_keeps_its_entry(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "renamed.onnx"
    shutil.copy(zoo.load_path("lite"), copy)
    assert zoo.add(copy).name == "lite"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "--name"),
        ({"name": "full", "like": "full"}, "belongs to"),
        ({"name": "../x", "like": "full"}, "letters"),
        ({"name": "x", "like": "nothing"}, "no model is called"),
    ],
)
def test_bad_additions_are_refused(tmp_path: Path, folder: Path, arguments: dict[str, str], message: str) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match=message):
        zoo.add(path, **arguments)
    assert not folder.exists()


def test_missing_file_and_wrong_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model file"):
        zoo.add(tmp_path / "none.onnx", name="x", like="full")
    (tmp_path / "x.pkl").write_bytes(b"x")
    with pytest.raises(UsageError, match="ONNX"):
        zoo.add(tmp_path / "x.pkl", name="x", like="full")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the next test covers root")
def test_unwritable_folder(tmp_path: Path, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"x")
    with pytest.raises(OutputError, match="POSE_RT_MODELS"):
        zoo.add(path, name="mine", like="full")


def test_a_file_in_place_of_the_folder(tmp_path: Path, folder: Path) -> None:
    folder.write_text("in the way")
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"x")
    with pytest.raises(OutputError, match="POSE_RT_MODELS"):
        zoo.add(path, name="mine", like="full")


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}'])
def test_a_broken_note_names_itself(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "x.json").write_text(text)
    with pytest.raises(ModelError, match=r"x\.json"):
        zoo.entries()
