"""Where engines lie and which of them may be loaded.

An engine is native code for one machine. It lies in a folder of its owner alone, `NAME-PRECISION-DIGEST.engine` with a sidecar
`.json` that says what it was built from and for (`Key`) and its SHA-256. One whose key or hash does not fit is never loaded; the
message says why and which command builds a new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import BackendError, OutputError

FORMAT = 1
ENGINE, SIDECAR, LOCK, TEMPORARY = ".engine", ".json", ".lock", ".part"
NO_GPU = "none"
PRECISIONS = ("fp32", "fp16")


def plain(name: str) -> str:
    """A model's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)


@dataclass(frozen=True)
class Machine:
    """What an engine depends on besides its model: the runtime and the GPU (`NO_GPU` where it was built without one)."""

    runtime: str
    runtime_version: str
    gpu: str = NO_GPU
    capability: str = NO_GPU
    driver: str = NO_GPU


@dataclass(frozen=True)
class Key:
    """What an engine was built from and for; all of it must fit. `precision` is what was asked for, `profile` the range of shapes."""

    model: str
    onnx_sha256: str
    precision: str
    profile: str
    machine: Machine

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def stem(self) -> str:
        return f"{plain(self.model)}-{self.precision}-{self.digest()[:12]}"


@dataclass(frozen=True)
class Sidecar:
    """The JSON beside an engine.

    Attributes:
        key: see `Key`.
        sha256, size: of the engine file.
        built, build_s: UTC time, seconds it took.
        layers: the precision it really has: "fp32", "fp16", or "fp16, N nodes fp32".
        tensors: inputs and outputs of the model: ``{"inputs": [[name, dtype, shape], ...], "outputs": ...}``.
        shapes: {input: [least, best, largest shape]}.
        metadata: of the model.
        verification: what was measured on the GPU when it was built (see `engines.verify`), None without one.
        note: what else there is to say, for people: why layers stay in fp32, say.
    """

    key: Key
    sha256: str
    size: int
    built: str
    build_s: float
    layers: str
    tensors: dict[str, Any]
    shapes: dict[str, list[list[int]]]
    metadata: dict[str, Any]
    verification: dict[str, Any] | None
    note: str = ""

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)


def folder() -> Path:
    """$POSE_RT_ENGINES, else `pose-rt/engines` in the user's cache folder."""
    if chosen := os.environ.get("POSE_RT_ENGINES"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pose-rt" / "engines"


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_sidecar(text: str) -> Sidecar:
    """Read a sidecar.

    Raises:
        ValueError: it is not one, or of another format.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError("the sidecar is of another format")
    try:
        key = values["key"]
        machine = Machine(**key.pop("machine"))
        parsed = Sidecar(**{**values, "key": Key(**key, machine=machine)})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the sidecar lacks or has unknown fields ({error})") from error
    texts = [getattr(of, f.name) for of in (machine, parsed.key) for f in fields(of) if f.name != "machine"]
    if not all(isinstance(text, str) for text in [*texts, parsed.sha256, parsed.layers]) or not isinstance(parsed.shapes, dict):
        raise ValueError("the sidecar has fields of the wrong type")
    return parsed


@dataclass(frozen=True)
class Stored:
    """An engine file with its sidecar, or with the reason why it has none."""

    path: Path
    sidecar: Sidecar | None
    problem: str = ""


def stored(where: Path | None = None) -> list[Stored]:
    """All engines of a folder, by name. Their hashes are not looked at (`read_engine` does)."""
    found = []
    for path in sorted((where or folder()).glob(f"*{ENGINE}")):
        beside = path.with_suffix(SIDECAR)
        try:
            sidecar = parse_sidecar(beside.read_text(encoding="utf-8"))
            problem = "" if path.stat().st_size == sidecar.size else f"{path.stat().st_size} bytes, wanted {sidecar.size}: truncated"
            found.append(Stored(path, sidecar, problem))
        except FileNotFoundError:
            found.append(Stored(path, None, f"its sidecar {beside.name} is missing"))
        except (OSError, ValueError) as error:
            found.append(Stored(path, None, f"its sidecar {beside.name} cannot be read ({error})"))
    return found


def misfit(key: Key, model_sha256: str | None, machine: Machine) -> str:
    """Why an engine of this key does not fit the model and this machine, in words; empty if it does."""
    built = key.machine
    if built.runtime != machine.runtime:
        return f"engine built with {built.runtime} {built.runtime_version}, this is {machine.runtime} {machine.runtime_version}"
    if built.runtime_version != machine.runtime_version:
        return f"engine built with {built.runtime} {built.runtime_version}, this is {machine.runtime_version}"
    if (built.gpu, built.capability) != (machine.gpu, machine.capability):
        return f"engine built {_for(built)}, this is {_here(machine)}"
    if built.driver != machine.driver:
        return f"engine built with NVIDIA driver {built.driver}, this is {machine.driver}"
    if model_sha256 is not None and key.onnx_sha256 != model_sha256:
        return f"engine built from another {key.model} (sha256 {key.onnx_sha256[:12]}, this is {model_sha256[:12]})"
    return ""


def _for(machine: Machine) -> str:
    return "without a GPU" if machine.gpu == NO_GPU else f"for {machine.gpu} ({machine.capability})"


def _here(machine: Machine) -> str:
    return "a machine without a GPU" if machine.gpu == NO_GPU else f"{machine.gpu} ({machine.capability})"


def build_command(model: str) -> str:
    return f"run pose-rt build-engines {model}"


def find(model: str, model_sha256: str, machine: Machine, where: Path | None = None) -> tuple[bytes, Sidecar]:
    """The bytes of the engine of a model that fits this machine: of several, fp16 (built because it was asked for and is accurate
    enough) before fp32, and the one with room for the most people.

    Raises:
        BackendError: none fits; the sentence names the reason against the nearest one and the command.
    """
    fitting, reasons = [], []
    for one in stored(where):
        if one.sidecar is None:
            if one.path.name.startswith(f"{plain(model)}-"):
                reasons.append(f"{one.path.name} is not used: {one.problem}")
            continue
        if one.sidecar.key.onnx_sha256 != model_sha256 and one.sidecar.key.model != model:
            continue
        reason = misfit(one.sidecar.key, model_sha256, machine)
        reasons.append(reason)
        if not reason:
            fitting.append((one.path, one.sidecar))
    if not fitting:
        reason = reasons[-1] if reasons else f"no TensorRT engine of {model} is here ({where or folder()})"
        raise BackendError(reason, build_command(model))
    path, sidecar = max(
        fitting, key=lambda f: (PRECISIONS.index(f[1].key.precision) if f[1].key.precision in PRECISIONS else -1, _room(f[1]))
    )
    return read_engine(path, sidecar), sidecar


def _room(sidecar: Sidecar) -> int:
    """Numbers in the largest inputs together."""
    sizes = 0
    for shapes in sidecar.shapes.values():
        size = 1
        for length in shapes[-1]:
            size *= length
        sizes += size
    return sizes


def read_engine(path: Path, sidecar: Sidecar) -> bytes:
    """The bytes of an engine file, once they have shown the hash of the sidecar.

    Raises:
        BackendError: others could have written it, it cannot be read, or its bytes are not those that were built.
    """
    command = build_command(f"{sidecar.key.model} --force")
    try:
        _owner_only(path)
        data = path.read_bytes()
    except OSError as error:
        raise BackendError(f"{path}: the engine cannot be read ({error.strerror})", command) from error
    if len(data) != sidecar.size:
        raise BackendError(f"{path}: the engine is truncated ({len(data)} bytes, wanted {sidecar.size})", command)
    found = hashlib.sha256(data).hexdigest()
    if found != sidecar.sha256:
        raise BackendError(
            f"{path}: the engine was changed after it was built (sha256 {found[:12]}, wanted {sidecar.sha256[:12]})", command
        )
    return data


def _owner_only(path: Path) -> None:
    """An engine is code: refuse one that another user could have put there."""
    if os.name != "posix":
        return
    for part in (path.parent, path, path.with_suffix(SIDECAR)):
        info = part.stat()
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or info.st_uid not in (os.getuid(), 0):
            raise BackendError(f"{part} can be written by others, and an engine is code", f"make it yours alone: chmod go-w '{part}'")


def prepare(where: Path) -> None:
    """Make the folder, for its owner only, and see that it can be written.

    Raises:
        OutputError: it cannot.
    """
    cure = "name another folder with --out DIR or POSE_RT_ENGINES"
    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=where, suffix=TEMPORARY)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise OutputError(f"{where}: engines cannot be stored there ({error.strerror})", cure) from error
    if os.name == "posix" and where.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OutputError(f"{where} can be written by others, and an engine is code", f"chmod go-w '{where}', or {cure}")


def store(sidecar: Sidecar, plan: bytes, where: Path) -> Path:
    """Write an engine and its sidecar under temporary names, read them back, and move them into place, the sidecar last.

    Raises:
        OutputError: the disk is full or the folder cannot be written, or what was written reads differently.
    """
    target = where / f"{sidecar.key.stem}{ENGINE}"
    text = sidecar.to_json().encode()
    written: list[str] = []
    try:
        for data in (plan, text):
            handle, name = tempfile.mkstemp(dir=where, prefix=f".{sidecar.key.stem}.", suffix=TEMPORARY)  # mode 0600
            written.append(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if file_sha256(Path(written[0])) != sidecar.sha256 or Path(written[1]).read_bytes() != text:
            raise OutputError(f"{target}: what was written does not read back as it was", "check the disk")
        target.with_suffix(SIDECAR).unlink(missing_ok=True)  # an old sidecar must never stand beside a new engine
        os.replace(written[0], target)
        os.replace(written[1], target.with_suffix(SIDECAR))
    except OSError as error:
        raise OutputError(f"{target}: the engine cannot be stored ({error.strerror})", "free some space or use --out DIR") from error
    finally:
        for name in written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    return target


def remove(one: Stored) -> int:
    """Delete an engine with its sidecar; the bytes that were freed."""
    size = one.path.stat().st_size
    one.path.unlink(missing_ok=True)
    one.path.with_suffix(SIDECAR).unlink(missing_ok=True)
    return size


def leftovers(where: Path | None = None, older_s: float = 60.0) -> Iterator[Path]:
    """Files of builds that were killed: temporary files (one that is being written now is younger) and sidecars without an engine."""
    base = where or folder()
    now = time.time()
    yield from sorted(path for path in base.glob(f".*{TEMPORARY}") if now - path.stat().st_mtime >= older_s)
    yield from sorted(p for p in base.glob(f"*{SIDECAR}") if not p.with_suffix(ENGINE).exists())


def describe(values: Mapping[str, list[list[int]]]) -> str:
    """Shapes as text, for `Key.profile`: ``image 1x3x224x224 .. 8x3x224x224``."""
    return "; ".join(f"{name} {' .. '.join('x'.join(map(str, shape)) for shape in shapes)}" for name, shapes in sorted(values.items()))
