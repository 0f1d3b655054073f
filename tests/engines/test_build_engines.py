"""`pose-rt build-engines` and `engines`, with the real TensorRT-RTX, which builds without a GPU: tables, messages, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pose_rt import zoo
from pose_rt.backends import open_backend
from pose_rt.cli.app import run
from pose_rt.engines import build, cache, profiles, runtime
from pose_rt.engines.precision import to_fp16
from pose_rt.errors import BackendError

onnx = pytest.importorskip("onnx")
pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install tensorrt-rtx")
BUNDLED = [entry for entry in zoo.entries() if entry.bundled]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSE_RT_TENSORRT", "tensorrt_rtx")
    monkeypatch.setenv("POSE_RT_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


@pytest.fixture
def no_gpu() -> None:
    from pose_rt.backends.cuda_memory import Cuda

    try:
        Cuda()
    except BackendError:
        return
    pytest.skip("there is a GPU here")


def small(path: Path, *nodes: tuple[str, list[str], list[str]], name: str = "the_node") -> Path:
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [make.make_node(op, inputs, outputs, name=f"{name}_{i}") for i, (op, inputs, outputs) in enumerate(nodes)],
        "small",
        [make.make_tensor_value_info("x", kind, ["N", 3, 3])],
        [make.make_tensor_value_info("y", kind, None)],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.timeout(400)
def test_every_bundled_model_is_built_and_found_again(no_gpu: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build-engines"]) == 0
    table = capsys.readouterr().out
    for entry in BUNDLED:
        row = next(line for line in table.splitlines() if line.startswith(entry.name))
        assert "fp32" in row and row.count("needs a GPU") == 4
    assert sorted(p.suffix for p in folder.iterdir() if not p.name.startswith(".")) == [".engine"] * len(BUNDLED) + [".json"] * len(BUNDLED)
    for one in cache.stored(folder):
        assert one.sidecar is not None and one.problem == ""
        entry = zoo.find(one.sidecar.key.model)
        assert one.sidecar.key.onnx_sha256 == entry.sha256 == cache.file_sha256(entry.path)
        assert one.sidecar.sha256 == cache.file_sha256(one.path) and one.sidecar.verification is None
        assert one.sidecar.key.machine.gpu == cache.NO_GPU and one.sidecar.key.machine.runtime == "TensorRT-RTX"
        model = open_backend(entry, backend="onnxruntime")
        assert [name for name, _, _ in one.sidecar.tensors["inputs"]] == [info.name for info in model.inputs]
        assert one.sidecar.metadata == model.metadata
    written = {p: p.stat().st_mtime_ns for p in folder.glob("*.engine")}
    assert run(["build-engines", "lifter", "forecaster"]) == 0
    assert capsys.readouterr().out.count("was there") == 2
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*.engine")} == written

    assert run(["engines", "list"]) == 0
    assert capsys.readouterr().out.count(" fits\n") == len(BUNDLED)
    victim = next(folder.glob("lite-*.engine"))
    victim.write_bytes(victim.read_bytes()[:1000])
    assert run(["engines", "list"]) == 0
    assert "truncated" in capsys.readouterr().out
    assert run(["engines", "clean"]) == 0
    assert "deleted 1 engine," in capsys.readouterr().out and not victim.exists()
    assert run(["engines", "clean", "--all"]) == 0
    assert not list(folder.glob("*.engine")) and not list(folder.glob("*.json"))


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_every_bundled_model_is_built_in_fp16(entry: zoo.Entry) -> None:
    model = open_backend(entry, backend="onnxruntime")
    shapes = profiles.shapes(model.inputs, model.metadata, 2)
    seen: list[float] = []
    small_one = build.compile_plan(runtime.load(), to_fp16(entry.path), shapes, entry.name, lambda _what, done: seen.append(done))
    assert len(small_one) > 1_000_000
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 20


def test_networks_of_samplers_stay_fp32_and_hold_all_rows(no_gpu: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build-engines", "prior", "motion2d_s", "--precision", "fp16", "--batch", "2"]) == 0
    assert capsys.readouterr().out.count("stays fp32") == 2
    shapes = {one.sidecar.key.model: one.sidecar.shapes for one in cache.stored(folder) if one.sidecar is not None}
    assert shapes["prior_s"]["x"] == [[1, 17, 3], [8, 17, 3], [16, 17, 3]]
    assert shapes["motion2d_s"]["x"] == [[1, 17, 2, 1], [7, 17, 2, 60], [14, 17, 2, 60]]


def test_fp16_says_what_it_does_to_the_results(no_gpu: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build-engines", "detector", "--precision", "fp16", "--out", str(folder / "there"), "--batch", "2"]) == 0
    assert "rounding to fp16 moves results by 0.0" in capsys.readouterr().out
    (one,) = cache.stored(folder / "there")
    assert one.sidecar is not None and one.sidecar.layers == "fp16" and one.sidecar.shapes["image"][-1][0] == 2
    assert one.sidecar.key.onnx_sha256 == zoo.find("detector").sha256  # of the fp32 model, which is what is asked for


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(zoo.find("lifter_s").path.read_bytes()[:90_000]), "cannot"),
        (lambda p: p.write_bytes(b"hello"), "is no network|cannot"),
        (lambda p: p.write_bytes(b""), "cannot be loaded"),
        (lambda p: small(p, ("Det", ["x"], ["y"])), r"node 'the_node_0' \(Det\) is not supported"),
        (lambda p: small(p, ("Abs", ["x"], ["a"]), ("FancyOp", ["a"], ["y"])), r"node 'the_node_1' \(FancyOp\) is not supported"),
    ],
)
def test_what_cannot_become_an_engine(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], make, message: str) -> None:  # type: ignore[no-untyped-def]
    import re

    make(tmp_path / "bad.onnx")
    assert run(["build-engines", "--from-onnx", str(tmp_path / "bad.onnx")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("pose-rt: ") and re.search(message, said)
    assert not list(folder.glob("*.engine")) and not list(folder.glob(".*.part"))


def test_a_model_of_ones_own(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = small(tmp_path / "own model.onnx", ("Tanh", ["x"], ["y"]))
    assert run(["build-engines", "--from-onnx", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("own model")
    (one,) = cache.stored(folder)
    assert one.path.name.startswith("own_model-fp32-")


def test_one_failure_does_not_keep_others_from_being_built(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = build.compile_plan

    def compile_plan(found, onnx, shapes, name, progress):  # type: ignore[no-untyped-def]
        return real(found, b"broken" if name == "detector" else onnx, shapes, name, progress)

    monkeypatch.setattr("pose_rt.engines.make.compile_plan", compile_plan)
    assert run(["build-engines", "detector", "lite"]) == 1
    out = capsys.readouterr()
    assert "lite" in out.out and "detector" in out.err
    assert [one.sidecar.key.model for one in cache.stored(folder) if one.sidecar] == ["lite"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 2, "no model is called 'nothing'.*known: detector"),
        (["--precision", "int8"], 2, "unknown precision 'int8'.*fp32 or fp16"),
        (["--batch", "0"], 2, "--batch"),
        (["--device", "7"], 1, "GPU 7|no GPU 7"),
        (["--from-onnx", "/nowhere.onnx"], 1, "no such model file"),
        (["lite", "full", "--from-onnx", "/nowhere.onnx"], 2, "at most one"),
        (["lite", "--out", "/proc/engines"], 1, "cannot be stored there.*--out DIR"),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str) -> None:
    import re

    assert run(["build-engines", *arguments]) == code
    assert re.search(message, capsys.readouterr().err)


def test_without_tensorrt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert run(["build-engines"]) == 1
    assert "TensorRT cannot be used here" in capsys.readouterr().err
    assert run(["engines", "list"]) == 0
    assert "build some: pose-rt build-engines" in capsys.readouterr().out


def test_ctrl_c_stops_the_build_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pose_rt.engines.build import _Phases

    sent: list[int] = []
    show = _Phases._show

    def interrupted(self: _Phases, name: str, more: float) -> None:
        if not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        show(self, name, more)

    monkeypatch.setattr(_Phases, "_show", interrupted)
    assert run(["build-engines", "lite"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [p for p in folder.iterdir() if not p.name.endswith(cache.LOCK)] == []


def test_two_processes_build_one_engine(folder: Path) -> None:
    command = [sys.executable, "-m", "pose_rt.cli.app", "build-engines", "lite", "--force"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    texts = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(list(folder.glob("*.engine"))) == 1
    # They may also have missed each other; but never may both have waited, and the engine is whole.
    assert sum("was there" in text for text in texts) <= 1
    (one,) = cache.stored(folder)
    assert one.sidecar is not None
    cache.read_engine(one.path, one.sidecar)


def test_auto_never_builds(tmp_path: Path, folder: Path) -> None:
    chosen = open_backend(zoo.find("lite"), backend="auto")
    assert "TensorRT" in chosen.choice
    assert not folder.exists() or not list(folder.glob("*.engine"))
    chosen.run({"image": np.zeros((1, 3, 256, 256), np.float32)})
