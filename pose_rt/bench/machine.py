"""The facts that belong to a measured number: machine, versions, load, command, date."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from importlib import metadata
from typing import Any


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def facts() -> dict[str, Any]:
    """Machine, software versions, load average, command line and UTC date of this process."""
    from pose_rt import __version__, ops

    names = ("numpy", "onnxruntime", "opencv-python-headless", "opencv-python", "av", "torch", "tensorrt")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    available, reason = ops.cuda_status()
    return {
        "cpu": _cpu_name(),
        "cores": cores,
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "pose_rt": __version__,
        "ops": ops.backend(),
        "cuda": reason if available else f"no: {reason}",
        "packages": {name: version for name in names if (version := _version(name)) is not None},
        "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
