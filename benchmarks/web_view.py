"""What the browser view costs the run: ``python benchmarks/web_view.py CLIP [--rounds 3] [--seconds 15] [--json FILE]``.

The clip is played in 1280x720 at 30 fps, or as fast as the machine can where that is less, through the whole live pipeline: in turn
without a view, with a view that nobody looks at, and with a view and one client, which decodes every picture and acknowledges it as a
page does, in a process of its own. CPU time is that of the run's process. `view_ms_frame` is the part of the view's two threads, read
from their own CPU clocks, so that it does not depend on what else the machine does; `more_cpu_percent` compares it with the rest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2

from pose_rt.bench.machine import facts
from pose_rt.config import Settings
from pose_rt.core.types import Frame, Packet
from pose_rt.io.sinks.web import WebView
from pose_rt.io.sinks.web.client import LoopbackClient
from pose_rt.io.sources.video import VideoSource
from pose_rt.pipeline import Pipeline
from pose_rt.stream import Control, Sink, run

MODES = ("none", "web, no client", "web, one client")
WARM_S = 3.0
SIZE = (1280, 720)
FPS = 30


class Paced:
    """The frames of a clip, again and again, resized, none faster than at `FPS` and none left out."""

    def __init__(self, clip: Path) -> None:
        self._clip, self._closed = clip, threading.Event()
        self._file = VideoSource(clip)
        self.info = replace(self._file.info, width=SIZE[0], height=SIZE[1], fps=Fraction(FPS), length=None, duration_s=None)
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        due = time.monotonic()
        index = 0
        while True:
            for frame in self._file:
                due = max(due + 1 / FPS, time.monotonic() - 1 / FPS)
                if self._closed.wait(max(0.0, due - time.monotonic())):
                    return
                picture = cv2.resize(frame.bgr, SIZE)
                yield Frame(picture, index, index * 1_000_000_000 // FPS, time.monotonic_ns())
                index += 1
            self._file = VideoSource(self._clip)

    def close(self) -> None:
        self._closed.set()
        self._file.close()


class Watch:
    """A sink that measures CPU time between two moments and then ends the run."""

    def __init__(self, control: Control, seconds: float) -> None:
        self._control, self._seconds = control, seconds
        self._start = self._begin = 0.0
        self.frames, self.cpu_s, self.view_s, self.wall_s = 0, 0.0, 0.0, 0.0

    def write(self, packet: Packet) -> None:
        now = time.monotonic()
        self._start = self._start or now
        if not self._begin:
            if now - self._start > WARM_S:
                self._begin, self._cpu, self._view = now, time.process_time(), view_threads_s()
            return
        self.frames += 1
        self.cpu_s, self.view_s, self.wall_s = time.process_time() - self._cpu, view_threads_s() - self._view, now - self._begin
        if self.wall_s > self._seconds:
            self._control.stop()

    def close(self) -> None:
        pass


def view_threads_s() -> float:
    """CPU time of the threads of the view so far."""
    clocks = [time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.name.startswith("pose-rt web") and t.ident]
    return sum(time.clock_gettime(clock) for clock in clocks)


def measure(mode: str, clip: Path, model: str, seconds: float) -> dict[str, float]:
    """One run in this process."""
    cv2.setNumThreads(1)
    control = Control()
    pipeline = Pipeline(Settings(model=model, lookahead=0), *SIZE)
    watch = Watch(control, seconds)
    sinks: list[Sink] = [watch]
    client = None
    if mode != "none":
        view = WebView(port=0, control=control)
        sinks.insert(0, view)
        if mode == "web, one client":
            client = subprocess.Popen([sys.executable, __file__, "--client", view.url], stdout=subprocess.PIPE, text=True)
    run(Paced(clip), pipeline, sinks, control=control, capacity=1)
    pipeline.close()
    shown = json.loads(client.communicate(timeout=20)[0]) if client is not None else {}
    return {
        "cpu_ms_frame": 1e3 * watch.cpu_s / watch.frames,
        "view_ms_frame": 1e3 * watch.view_s / watch.frames,
        "more_cpu_percent": 100 * watch.view_s / (watch.cpu_s - watch.view_s),
        "fps": watch.frames / watch.wall_s,
        **shown,
    }


def look(url: str) -> None:
    """The client's process: looks until the run ends, and prints what it saw."""
    times: list[float] = []
    client = LoopbackClient(url, lambda picture, head: times.append(time.monotonic()))
    while client.alive:
        time.sleep(0.1)
    print(json.dumps({"client_fps": (len(times) - 1) / (times[-1] - times[0])}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("--model", default="full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--client", metavar="URL")
    parser.add_argument("--one", choices=MODES)
    given = parser.parse_args()
    if given.client is not None:
        look(given.client)
        return
    if given.one is not None:
        print(json.dumps(measure(given.one, given.clip, given.model, given.seconds)))
        return
    rounds: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(given.rounds):
        for mode in MODES:  # in turn, each in a fresh process, so that what else runs on the machine meets all of them
            command = [sys.executable, __file__, str(given.clip), "--model", given.model, "--seconds", str(given.seconds), "--one", mode]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rounds[mode].append(json.loads(found.splitlines()[-1]))
    rows: dict[str, Any] = {}
    for mode, runs in rounds.items():
        rows[mode] = {key: round(statistics.median(r[key] for r in runs), 3) for key in runs[0]}
        rows[mode]["rounds"] = [round(r["cpu_ms_frame"], 2) for r in runs]
    result = {
        "benchmark": "web_view",
        "clip": given.clip.name,
        "picture": "1280x720",
        "fps": 30,
        "model": given.model,
        "machine": facts(),
        "rows": rows,
    }
    text = json.dumps(result, indent=1)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
