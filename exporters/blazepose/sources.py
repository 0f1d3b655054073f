"""Finds the TFLite files inside the packages that Google publishes them in, without importing those packages.

`pip download --no-deps mediapipe==0.10.21` gives a wheel with the detector and `full`; `npm pack @mediapipe/pose` gives an archive with
`lite`, `full` and `heavy`.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

TFLITE_NAMES = {
    "detector": "pose_detection.tflite",
    "lite": "pose_landmark_lite.tflite",
    "full": "pose_landmark_full.tflite",
    "heavy": "pose_landmark_heavy.tflite",
}
_LARGEST = 64 << 20


def _from_zip(path: Path, wanted: set[str]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if PurePosixPath(m.filename).name in wanted and m.file_size <= _LARGEST]
        return {PurePosixPath(m.filename).name: archive.read(m) for m in members}


def _from_tar(path: Path, wanted: set[str]) -> dict[str, bytes]:
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            stream = archive.extractfile(member) if member.isfile() and name in wanted and member.size <= _LARGEST else None
            if stream is not None:
                found[name] = stream.read()
    return found


def read_models(sources: list[Path], names: list[str]) -> dict[str, bytes]:
    """Bytes of the wanted networks from wheels, archives, folders or the files themselves; later sources win.

    Raises:
        FileNotFoundError: a source is missing, or none of them has one of the networks.
    """
    wanted = {TFLITE_NAMES[name] for name in names}
    found: dict[str, bytes] = {}
    for source in sources:
        if source.is_dir():
            found |= {p.name: p.read_bytes() for p in sorted(source.rglob("*.tflite")) if p.name in wanted}
        elif source.suffix in (".whl", ".zip"):
            found |= _from_zip(source, wanted)
        elif source.suffix in (".tgz", ".gz", ".tar"):
            found |= _from_tar(source, wanted)
        else:
            found |= {source.name: source.read_bytes()} if source.name in wanted else {}
    lacking = [name for name in names if TFLITE_NAMES[name] not in found]
    if lacking:
        raise FileNotFoundError(
            f"no {', '.join(TFLITE_NAMES[n] for n in lacking)} in {', '.join(map(str, sources)) or 'nothing'}; "
            "get the packages with `pip download --no-deps mediapipe==0.10.21` and `npm pack @mediapipe/pose`"
        )
    return {name: found[TFLITE_NAMES[name]] for name in names}
