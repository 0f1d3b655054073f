"""Every TensorRT name that the code uses, against dumps of the bindings of 10.16, 11.4 and RTX 1.7, and against the one installed.

`tensorrt_names.json`: the classes that the code uses, with all their members, from `dir()` of the real bindings.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DUMPS: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text(encoding="utf-8"))
FILES = ("pose_rt/engines/runtime.py", "pose_rt/engines/build.py", "pose_rt/backends/tensorrt.py")

OWNERS = {
    "builder": "Builder", "config": "IBuilderConfig", "profile": "IOptimizationProfile", "network": "INetworkDefinition",
    "tensor": "ITensor", "parser": "OnnxParser", "error": "ParserError", "flags": "BuilderFlag", "_trt": "Runtime",
    "_engine": "ICudaEngine", "_context": "IExecutionContext",
}  # fmt: skip
"""What the variables of those files hold."""
OPTIONAL = {
    ("IBuilderConfig", "progress_monitor"), ("IExecutionContext", "is_stream_capturable"), ("BuilderFlag", "REQUIRE_USER_ALLOCATION"),
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"), ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
    ("ParserError", "node_name"), ("ParserError", "node_operator"),
}  # fmt: skip
"""Used only where `hasattr` or `getattr` finds them."""
SUBCLASS_MEMBERS = {
    "IProgressMonitor": ["phase_start", "step_complete", "phase_finish"], "ILogger": ["log", "ERROR", "INTERNAL_ERROR", "WARNING"],
    "TensorIOMode": ["INPUT"], "DataType": ["FLOAT", "HALF", "INT32", "INT64", "BOOL", "UINT8", "INT8"],
}  # fmt: skip


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def used() -> tuple[set[str], set[tuple[str, str]]]:
    """Classes taken from the module, and (class, member) pairs, as the source has them."""
    classes: set[str] = set()
    members: set[tuple[str, str]] = set()
    for file in FILES:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            owner = name_of(node.value)
            if owner == "module" and node.attr[0].isupper():
                classes.add(node.attr)
            elif owner in OWNERS:
                members.add((OWNERS[owner], node.attr))
    return classes, members


def test_the_reader_of_names_sees_the_code() -> None:
    classes, members = used()
    assert {"Builder", "OnnxParser", "Runtime", "ILogger", "IProgressMonitor", "TensorIOMode", "BuilderFlag"} <= classes
    assert {("IExecutionContext", "execute_async_v3"), ("IBuilderConfig", "clear_flag"), ("ITensor", "name")} <= members
    assert len(members) > 25


@pytest.mark.parametrize("version", sorted(DUMPS))
def test_every_name_is_there(version: str) -> None:
    api = DUMPS[version]
    classes, members = used()
    assert not classes - set(api)
    wanted = members | {(owner, name) for owner, names in SUBCLASS_MEMBERS.items() for name in names}
    missing = {(owner, name) for owner, name in wanted if name not in api[owner] and not name.startswith("__")}
    assert missing <= OPTIONAL, f"{version} lacks {missing - OPTIONAL}"


def test_what_is_optional_is_asked_for() -> None:
    """A name that some version lacks stands in the source only behind hasattr, getattr or as a string."""
    text = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in FILES)
    for _owner, name in OPTIONAL:
        assert f'"{name}"' in text, name
    gone = {"BuilderFlag.FP16", "EXPLICIT_BATCH)", "num_bindings", "execute_async_v2", "max_workspace_size", "set_calibration_profile"}
    assert not {name for name in gone if name in text}


def test_the_dumps_differ_as_documented() -> None:
    assert "FP16" in DUMPS["10.16.1.11"]["BuilderFlag"] and "FP16" not in DUMPS["11.4.0.106"]["BuilderFlag"]
    assert "EXPLICIT_BATCH" not in DUMPS["11.4.0.106"]["NetworkDefinitionCreationFlag"]
    assert "is_stream_capturable" in DUMPS["rtx"]["IExecutionContext"]


def test_the_installed_one_has_them_too() -> None:
    from pose_rt.engines.runtime import MODULES

    found = [pytest.importorskip(name) for name in ["tensorrt_rtx"]]
    classes, members = used()
    for module in found:
        assert module.__name__ in MODULES
        assert not {name for name in classes if not hasattr(module, name)}
        assert {(o, n) for o, n in members if not hasattr(getattr(module, o), n) and not n.startswith("__")} <= OPTIONAL
