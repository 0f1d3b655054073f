"""`pose-rt forecast`: recorded 3D motion in, its possible futures out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from pose_rt.io.motion import Motion
    from pose_rt.stages.forecast import Forecaster


def forecast(
    motion: Annotated[Path, typer.Argument(metavar="MOTION.{npz,jsonl,bvh}", help="What `pose-rt video` saved, arrays, or a BVH file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npz", help="The futures as NumPy arrays.")],
    futures: Annotated[int, typer.Option(help="Futures per person (K).")] = 50,
    horizon: Annotated[float, typer.Option(help="Seconds the futures reach, at most 2.")] = 2.0,
    at: Annotated[float | None, typer.Option(help="Second of the motion after which to predict. Default: its end.")] = None,
    person: Annotated[int | None, typer.Option(help="Id of one person. Default: everybody whose motion reaches that moment.")] = None,
    render: Annotated[Path | None, typer.Option(metavar="FILE.mp4", help="The past and all futures as a film, .mp4 or .gif.")] = None,
    save_rerun: Annotated[Path | None, typer.Option(metavar="FILE.rrd", help="The same for the Rerun viewer.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frames a second of arrays that do not say theirs.")] = None,
    up: Annotated[str, typer.Option(help="Axis that points up in a user's file: auto, -y (camera axes), y or z.")] = "auto",
    unit: Annotated[str, typer.Option(help="Of a user's file: auto, m, cm or mm.")] = "auto",
    model: Annotated[str, typer.Option(help="Forecaster of the zoo, or an exported .onnx file.")] = "forecaster_s",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same futures.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary.")] = False,
) -> None:
    """Predict where recorded people may move next."""
    from typing import cast, get_args

    from pose_rt.errors import UsageError
    from pose_rt.io.motion import Unit, Up, read_motion
    from pose_rt.io.output import check_output_path

    if futures < 1:
        raise UsageError(f"--futures is {futures}, wanted at least 1")
    for name, value, allowed in (("--up", up, get_args(Up)), ("--unit", unit, get_args(Unit))):
        if value not in allowed:
            raise UsageError(f"{name} is {value!r}, wanted one of {', '.join(allowed)}")
    check_output_path(out, overwrite=overwrite, suffixes=(".npz",), inputs=[motion])
    if render is not None:
        from pose_rt.io.motion_film import FILM_SUFFIXES

        check_output_path(render, overwrite=overwrite, suffixes=FILM_SUFFIXES, inputs=[motion])
    motions = read_motion(motion, rate_hz=rate, up=cast(Up, up), unit=cast(Unit, unit))
    stage = _open(model, futures, horizon, seed, backend, threads)
    try:
        chosen = _choose(motions, stage, at, person)
        histories, moments, tracks, predicted = _predict(chosen, stage)
    finally:
        stage.close()
    header = {"source": motion.name, "model": model, "seed": seed, "horizon_s": horizon, "notes": list(motions[0].notes)}
    _save(out, histories, predicted, tracks, moments, stage.rate_hz, header)
    written = [out]
    if render is not None:
        from pose_rt.io.motion_film import write_film

        written.append(write_film(render, histories, predicted, tracks, stage.step_ns, overwrite=overwrite, source=str(motion)))
    if save_rerun is not None:
        written.append(_rerun(save_rerun, histories, predicted, tracks, stage.step_ns, overwrite))
    if not quiet:
        _summary(motions[0], chosen, predicted, moments, stage, written)


def _open(model: str, futures: int, horizon: float, seed: int, backend: str, threads: int) -> Forecaster:
    from pose_rt import zoo
    from pose_rt.backends import open_backend
    from pose_rt.errors import UsageError
    from pose_rt.stages.forecast import Forecaster

    path = Path(model)
    if path.suffix == ".onnx" and not path.is_file():
        raise UsageError(f"'{path}' does not exist, wanted an exported forecaster", "make one with: python -m exporters dhmp")
    opened = open_backend(path if path.suffix == ".onnx" else zoo.find(model), backend, threads=threads)
    try:
        return Forecaster(opened, futures=futures, horizon_s=horizon, seed=seed)
    except BaseException:
        opened.close()
        raise


def _choose(motions: list[Motion], stage: Forecaster, at: float | None, person: int | None) -> list[tuple[Motion, Any, float]]:
    """(motion, history, moment) of everybody who is asked for."""
    from pose_rt.errors import InputError, UsageError
    from pose_rt.io.motion import history_before

    if person is not None:
        motions = [m for m in motions if m.track == person]
        if not motions:
            raise UsageError(f"--person is {person}, nobody in the file has that id", "leave it out to take everybody")
    found, problems = [], []
    for motion in motions:
        try:
            history, moment = history_before(motion, stage.history, stage.rate_hz, at)
            found.append((motion, history, moment))
        except InputError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    return found


def _predict(chosen: list[tuple[Motion, Any, float]], stage: Forecaster) -> tuple[Any, Any, Any, Any]:
    """Histories (P, T_his, 17, 3), moments (P,), ids (P,), futures (P, K, T, 17, 3)."""
    import numpy as np

    histories = np.stack([history for _, history, _ in chosen])
    tracks = np.array([motion.track for motion, _, _ in chosen], np.int64)
    moments = np.array([moment for _, _, moment in chosen])
    return histories, moments, tracks, stage.predict(histories, tracks.tolist())[:, :, : stage.steps]


def _save(
    path: Path, histories: np.ndarray, futures: np.ndarray, tracks: np.ndarray, moments: np.ndarray, rate_hz: float, header: dict[str, Any]
) -> None:
    import json

    import numpy as np

    from pose_rt.core.skeleton import H36M17
    from pose_rt.io.output import whole_file

    about = {"schema": "pose-rt futures/1", "skeleton": H36M17.name, "joints": list(H36M17.joints), "unit": "m", **header}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, header=json.dumps(about), futures_m=futures, history_m=histories, person=tracks, at_s=moments, fps=float(rate_hz),
        )  # fmt: skip


def _rerun(path: Path, histories: np.ndarray, futures: np.ndarray, tracks: np.ndarray, step_ns: int, overwrite: bool) -> Path:
    from pose_rt.io.draw import Style
    from pose_rt.io.motion_film import film_packets
    from pose_rt.io.sinks.rerun import RerunSink

    sink = RerunSink(path, overwrite=overwrite, style=Style(futures=futures.shape[1]))
    try:
        for packet in film_packets(histories, futures, tracks, step_ns, (64, 48)):
            sink.write(packet)
    finally:
        sink.close()
    return path


def _summary(motion: Motion, chosen: list[Any], futures: np.ndarray, moments: np.ndarray, stage: Forecaster, written: list[Path]) -> None:
    from rich.console import Console

    from pose_rt.metrics.diversity import apd

    console = Console(stderr=True, highlight=False)
    rate = motion.rate_hz
    if abs(rate - stage.rate_hz) > 0.02 * stage.rate_hz:
        console.print(f"note: {rate:.1f} frames a second were resampled to {stage.rate_hz:g}")
    for note in motion.notes:
        console.print(f"note: {note}", markup=False)
    for (person, _, _), moment, one in zip(chosen, moments, futures, strict=True):
        apart = f", {apd(one):.1f} m apart on average" if len(one) > 1 else ""
        console.print(f"person {person.track}: {len(one)} futures of {one.shape[1] / stage.rate_hz:g} s after {moment:.2f} s{apart}")
    for path in written:
        console.print(f"wrote {path}", markup=False)
