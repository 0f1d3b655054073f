"""Damaged clips, over two hundred of them: each is copied as far as it decodes or refused in one sentence; no crash, no hang.

Mutants are made from seeds, so a failure names the seed that reproduces it. Workers copy them in processes of their own, under a
limit on address space, and a worker that dies or does not answer is a failure of the mutant it was given.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from tests.io.clips import write_clip

SHARED = Path(__file__).parents[3] / "shared" / "videos"
ROOT = Path(__file__).parents[2]
MUTANTS_A_CLIP = 48
SECONDS_A_MUTANT = 20
MEMORY_BYTES = 4 << 30
RESIDENT_MB = 1200


def clips(folder: Path) -> list[Path]:
    """Small whole files of several containers and codecs, and the first frames of a real one where it is at hand."""
    made = [
        write_clip(folder / "plain.mp4", size=(64, 64), audio="aac"),
        write_clip(folder / "fast.mp4", size=(64, 64), audio="aac", faststart=True),
        write_clip(folder / "web.webm", size=(64, 64), codec="libvpx", audio="libopus", rate=25),
        write_clip(folder / "cast.ts", size=(64, 64), audio="aac", rate=25),
        write_clip(folder / "old.avi", size=(64, 64), codec="mpeg4"),
    ]
    real = SHARED / "sports2d_woman_walking.mp4"
    if real.is_file():
        made.append(cut(real, folder / "real.mp4", packets=6))
    return made


def cut(source: Path, target: Path, packets: int) -> Path:
    """The first packets of a video, as they are."""
    with av.open(str(source)) as reader, av.open(str(target), "w", container_options={"movflags": "+faststart"}) as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        for number, packet in enumerate(reader.demux(video=0)):
            if number == packets or packet.dts is None:
                break
            packet.stream = stream
            writer.mux(packet)
    return target


def mutate(data: bytes, seed: int) -> bytes:
    """One of six kinds of damage, at a place and of a size drawn from the seed; most often in the first kilobytes."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    size = len(out)
    reach = size if rng.random() < 0.5 else min(size, 2048)
    kind = seed % 6
    at = int(rng.integers(0, reach))
    if kind == 0:  # bits flipped
        for place in rng.integers(0, reach, int(rng.integers(1, 40))):
            out[int(place)] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:  # cut off
        del out[int(rng.integers(1, size)) :]
    elif kind == 2:  # two blocks change places
        length = int(rng.integers(1, max(2, size // 8)))
        a, b = sorted(int(v) for v in rng.integers(0, max(1, size - length), 2))
        if b >= a + length:
            out[a : a + length], out[b : b + length] = out[b : b + length], out[a : a + length]
    elif kind == 3:  # a number in a header becomes an extreme one
        value = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, int(rng.integers(0, 1 << 32))][int(rng.integers(0, 6))]
        out[at : at + 4] = value.to_bytes(4, "big" if rng.random() < 0.5 else "little")
    elif kind == 4:  # a hole of zeros
        length = int(rng.integers(1, max(2, size // 4)))
        out[at : at + length] = bytes(len(out[at : at + length]))
    else:  # a block comes twice, or a block is gone
        length = int(rng.integers(1, max(2, size // 8)))
        if rng.random() < 0.5:
            out[at:at] = out[at : at + length]
        else:
            del out[at : at + length]
    return bytes(out)


class Worker(threading.Thread):
    """Feeds one decoding process; starts another when one dies or hangs."""

    def __init__(self, jobs: queue.SimpleQueue[Path | None], answers: dict[Path, str]) -> None:
        super().__init__(daemon=True)
        self._jobs, self._answers = jobs, answers

    def run(self) -> None:
        process = self._start()
        while (path := self._jobs.get()) is not None:
            watchdog = threading.Timer(SECONDS_A_MUTANT, process.kill)
            watchdog.start()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(f"{path}\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except BrokenPipeError:
                answer = ""
            watchdog.cancel()
            self._answers[path] = answer.strip() or f"died or hung, exit {process.wait()}"
            if not answer:
                process = self._start()
        process.kill()
        process.wait()

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("decode_worker.py")), str(MEMORY_BYTES)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=_environment()
        )


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.timeout(300)
def test_no_mutant_crashes_hangs_or_eats_memory(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "mutants").mkdir()
    jobs: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
    answers: dict[Path, str] = {}
    originals = clips(tmp_path / "clips")
    mutants = []
    for clip in originals:
        data = clip.read_bytes()
        for seed in range(MUTANTS_A_CLIP):
            mutant = tmp_path / "mutants" / f"{clip.stem}_{seed}{clip.suffix}"
            mutant.write_bytes(mutate(data, seed))
            mutants.append(mutant)
    assert len(mutants) >= 200
    for path in (*originals, *mutants):
        jobs.put(path)
    workers = [Worker(jobs, answers) for _ in range(2)]
    for worker in workers:
        jobs.put(None)
        worker.start()
    for worker in workers:
        worker.join()
    outcomes = {path: answer.rsplit("\t", 1) for path, answer in answers.items()}
    bad = {path.name: answer for path, answer in answers.items() if not answer.startswith(("frames ", "refused "))}
    assert not bad, bad
    assert set(outcomes) == {*originals, *mutants}
    assert all(int(outcome[1]) < RESIDENT_MB for outcome in outcomes.values())
    assert all(outcomes[clip][0].startswith("frames ") for clip in originals)
    kinds = Counter(outcomes[path][0].split()[0] for path in mutants)
    assert kinds["frames"] > 50 and kinds["refused"] > 20, kinds  # the damage reaches both the index and the pictures
    assert not any("cannot be written" in outcome[0] for outcome in outcomes.values())  # a damaged input is no fault of the output
    shutil.rmtree(tmp_path / "mutants")


def test_mutants_are_the_same_in_every_run_and_do_differ() -> None:
    data = bytes(range(256)) * 16
    mutants = [mutate(data, seed) for seed in range(24)]
    assert mutants == [mutate(data, seed) for seed in range(24)]
    assert sum(mutant != data for mutant in mutants) >= 20
