"""The engine cache: what fits, what is refused and why, in which words; locks and interrupted builds."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pose_rt.engines import cache, lock
from pose_rt.errors import BackendError, OutputError

HERE = cache.Machine("TensorRT", "11.4.0", "NVIDIA L4", "8.9", "580.65")
ONNX = "a" * 64
PLAN = b"engine" * 100


def sidecar(machine: cache.Machine = HERE, precision: str = "fp32", plan: bytes = PLAN, onnx: str = ONNX, people: int = 4) -> cache.Sidecar:
    shapes = {"x": [[1, 3], [1, 3], [people, 3]]}
    key = cache.Key("lifter_s", onnx, precision, cache.describe(shapes), machine)
    tensors = {"inputs": [["x", "float32", ["N", 3]]], "outputs": [["y", "float32", ["N", 3]]]}
    return cache.Sidecar(key, sha256(plan).hexdigest(), len(plan), "2026-01-01T00:00:00+00:00", 1.5, precision, tensors, shapes, {}, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "engines"
    cache.prepare(where)
    return where


def test_what_was_stored_is_found_for_its_owner_alone(folder: Path) -> None:
    path = cache.store(sidecar(), PLAN, folder)
    found = cache.find("lifter_s", ONNX, HERE, folder)
    assert found == (PLAN, sidecar())
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert {oct(p.stat().st_mode & 0o777) for p in (path, path.with_suffix(".json"))} == {"0o600"}
    assert sorted(p.suffix for p in folder.iterdir()) == [".engine", ".json"]


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (
            replace(HERE, runtime_version="10.13.0"),
            r"engine built with TensorRT 10.13.0, this is 11.4.0; run pose-rt build-engines lifter_s",
        ),
        (replace(HERE, runtime="TensorRT-RTX", runtime_version="1.7"), "engine built with TensorRT-RTX 1.7, this is TensorRT 11.4.0"),
        (replace(HERE, gpu="NVIDIA T4", capability="7.5"), r"engine built for NVIDIA T4 \(7.5\), this is NVIDIA L4 \(8.9\)"),
        (replace(HERE, gpu="none", capability="none", driver="none"), r"engine built without a GPU, this is NVIDIA L4 \(8.9\)"),
        (replace(HERE, driver="550.1"), "engine built with NVIDIA driver 550.1, this is 580.65"),
    ],
)
def test_an_engine_of_another_machine_is_refused_with_the_reason(folder: Path, machine: cache.Machine, message: str) -> None:
    cache.store(sidecar(machine), PLAN, folder)
    with pytest.raises(BackendError, match=message):
        cache.find("lifter_s", ONNX, HERE, folder)


def test_an_engine_of_another_model_is_refused(folder: Path) -> None:
    cache.store(sidecar(onnx="b" * 64), PLAN, folder)
    with pytest.raises(BackendError, match=r"engine built from another lifter_s \(sha256 bbbbbbbbbbbb, this is aaaaaaaaaaaa\)"):
        cache.find("lifter_s", ONNX, HERE, folder)


def test_none_is_here(folder: Path) -> None:
    with pytest.raises(BackendError, match=r"no TensorRT engine of lifter_s is here.*; run pose-rt build-engines lifter_s"):
        cache.find("lifter_s", ONNX, HERE, folder)


def test_of_several_fp16_and_the_roomiest_is_taken(folder: Path) -> None:
    for one in (sidecar(), sidecar(people=8), sidecar(precision="fp16", people=2), sidecar(precision="fp16", people=6)):
        cache.store(one, PLAN, folder)
    assert cache.find("lifter_s", ONNX, HERE, folder)[1] == sidecar(precision="fp16", people=6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e, j: e.write_bytes(PLAN[:-7]), "truncated"),
        (lambda e, j: e.write_bytes(PLAN[:-1] + b"!"), "was changed after it was built"),
        (lambda e, j: j.unlink(), "its sidecar .* is missing"),
        (lambda e, j: j.write_text("{"), "its sidecar .* cannot be read"),
        (lambda e, j: j.write_text(json.dumps({"format": 99})), "another format"),
        (lambda e, j: j.write_text(json.dumps({**json.loads(j.read_text()), "key": {}})), "lacks or has unknown fields"),
        (lambda e, j: e.chmod(0o666), r"can be written by others.*chmod go-w"),
        (lambda e, j: e.parent.chmod(0o777), r"can be written by others.*chmod go-w"),
    ],
)
def test_what_was_tampered_with_is_never_loaded(folder: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    path = cache.store(sidecar(), PLAN, folder)
    spoil(path, path.with_suffix(".json"))
    with pytest.raises(BackendError, match=message):
        cache.find("lifter_s", ONNX, HERE, folder)


def test_a_sidecar_that_lies_about_its_engine_does_not_help(folder: Path) -> None:
    """Another engine under the same name: its hash is not the sidecar's."""
    path = cache.store(sidecar(), PLAN, folder)
    path.write_bytes(b"x" * len(PLAN))
    with pytest.raises(BackendError, match=r"changed.*run pose-rt build-engines lifter_s --force"):
        cache.find("lifter_s", ONNX, HERE, folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(folder: Path) -> None:
    folder.chmod(0o500)
    with pytest.raises(OutputError, match=r"cannot be stored there.*--out DIR or POSE_RT_ENGINES"):
        cache.prepare(folder)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be stored there.*--out DIR or POSE_RT_ENGINES"):
        cache.prepare(tmp_path / "file" / "engines")


def test_a_folder_that_others_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(OutputError, match="chmod go-w"):
        cache.prepare(tmp_path)


def test_a_failing_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device.*--out DIR"):
        cache.store(sidecar(), PLAN, folder)
    assert list(folder.iterdir()) == []


def test_what_reads_back_differently_is_not_kept(folder: Path) -> None:
    with pytest.raises(OutputError, match="does not read back"):
        cache.store(replace(sidecar(), sha256="0" * 64), PLAN, folder)
    assert list(folder.iterdir()) == []


def test_leftovers_are_found_once_they_are_old(folder: Path) -> None:
    cache.store(sidecar(), PLAN, folder)
    killed, orphan = folder / ".lifter.abc.part", folder / "gone.json"
    killed.write_text("")
    orphan.write_text("")
    assert list(cache.leftovers(folder)) == [orphan]
    os.utime(killed, (1, 1))
    assert list(cache.leftovers(folder)) == [killed, orphan]


def test_the_folder_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POSE_RT_ENGINES", str(tmp_path))
    assert cache.folder() == tmp_path
    monkeypatch.delenv("POSE_RT_ENGINES")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "pose-rt" / "engines"


def _hold(path: Path, entered: object, leave: object) -> None:
    with lock.locked(path):
        entered.set()  # type: ignore[attr-defined]
        leave.wait(20)  # type: ignore[attr-defined]


def test_one_process_waits_for_the_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "l", entered, leave))
    other.start()
    assert entered.wait(20)
    told: list[float] = []

    def waiting() -> None:
        told.append(time.monotonic())
        leave.set()

    with lock.locked(tmp_path / "l", waiting) as waited:
        assert waited and len(told) == 1
    other.join()
    with lock.locked(tmp_path / "l", lambda: pytest.fail("free now")) as waited:
        assert not waited


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    start = "import os\nfrom pathlib import Path\nfrom pose_rt.engines.lock import locked\n"
    code = f"{start}with locked(Path({str(tmp_path / 'l')!r})): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 9
    with lock.locked(tmp_path / "l") as waited:
        assert not waited
