"""Errors of whole test sets: per action and mean on Human3.6M, per sequence and activity on MPI-INF-3DHP, by look-ahead live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pose_rt.core.aggregate import choose_by_reprojection, mean_pose, take_joints
from pose_rt.core.root import estimate_root
from pose_rt.core.windows import take_windows
from pose_rt.errors import InputError
from pose_rt.metrics.pose3d import auc_3dhp, best_joint_index, best_pose_index, joint_errors, mpjpe, pa_mpjpe, pck_3dhp
from training.data.mpi3dhp import ACTIVITIES
from training.data.recordings import DataSet, Recording

from .protocol import SELECTIONS, Draw, Lifted, Protocol, check_skeletons, combine, lift_recording, reprojection_target
from .sampling import Lifter, draw_noise

Table = dict[str, dict[str, dict[str, np.ndarray]]]
Tick = Callable[[int], None]


def _silent(windows: int) -> None:
    pass


def lift_h36m(
    lifter: Lifter, data: DataSet, frames: int, protocol: Protocol, draw: Draw, tick: Tick = _silent
) -> list[tuple[Recording, Lifted]]:
    """Lift all recordings action by action, in the order in which the actions first occur: the published order of the noise."""
    check_skeletons(lifter, data.skeleton_in.name, data.skeleton_out.name)
    if not data.recordings:
        raise InputError(f"{data.name}: no recordings to measure", "choose other --subjects-test or --actions")
    order = {group: i for i, group in enumerate(dict.fromkeys(r.group for r in data.recordings))}
    results = []
    for recording in sorted(data.recordings, key=lambda r: order[r.group]):
        lifted = lift_recording(lifter, recording, frames, protocol, draw, tick)
        results.append((recording, replace(lifted, poses={})))  # the poses of a whole test set would fill gigabytes
    return results


def h36m_table(results: list[tuple[Recording, Lifted]]) -> Table:
    """Action or "average" -> "p1", "p2", "velocity" -> selection -> (K,) metres; the average is over actions, not frames."""
    groups: dict[str, list[tuple[Recording, Lifted]]] = {}
    for recording, lifted in results:
        groups.setdefault(recording.group, []).append((recording, lifted))
    table: Table = {action: {**combine([r for _, r in part]), "velocity": _velocity(part)} for action, part in groups.items()}
    first = next(iter(table.values()))
    table["average"] = {
        name: {key: np.mean([t[name][key] for t in table.values() if key in t[name]], 0) for key in by_selection}
        for name, by_selection in first.items()
    }
    return table


def _velocity(results: list[tuple[Recording, Lifted]]) -> dict[str, np.ndarray]:
    moving = [(len(recording) - 1, r.velocity) for recording, r in results if r.velocity]
    if not moving:
        return {}
    weights = [weight for weight, _ in moving]
    return {key: np.average([v[key] for _, v in moving], axis=0, weights=weights) for key in moving[0][1]}


def mpi_table(
    lifter: Lifter, data: DataSet, frames: int, protocol: Protocol, draw: Draw, tick: Tick = _silent, mat_folder: Path | None = None
) -> Table:
    """Sequence, "average", "all" or activity -> selection -> "mpjpe" (mm), "pck", "auc" (percent), each (K,).

    Only valid frames count. The average is the unweighted mean of the sequences, the paper's number; "all" pools their frames. With
    `mat_folder` the poses are written as the published script does, for the MATLAB evaluation.
    """
    check_skeletons(lifter, data.skeleton_in.name, data.skeleton_out.name)
    errors: dict[str, dict[str, np.ndarray]] = {}
    poses: dict[str, dict[str, np.ndarray]] = {}
    velocity: dict[str, dict[str, np.ndarray]] = {}
    for recording in data.recordings:
        valid = np.ones(len(recording), bool) if recording.valid is None else recording.valid
        if not valid.any():
            raise InputError(f"{recording.name}: has no valid frame")
        lifted = lift_recording(lifter, recording, frames, protocol, draw, tick)
        truth = recording.pose.copy()
        truth[:, lifter.root] = 0.0
        errors[recording.name] = {key: joint_errors(pose, truth[None])[:, valid] for key, pose in lifted.poses.items()}
        poses[recording.name], velocity[recording.name] = lifted.poses, lifted.velocity
    table: Table = {name: {key: _scores(e) for key, e in by.items()} for name, by in errors.items()}
    keys = list(next(iter(errors.values())))
    sequences = list(table.values())
    table["average"] = {key: {m: np.mean([t[key][m] for t in sequences], 0) for m in ("mpjpe", "pck", "auc")} for key in keys}
    pooled = {key: np.concatenate([by[key] for by in errors.values()], 1) for key in keys}
    table["all"] = {key: _scores(e) for key, e in pooled.items()}
    if all(r.activity is not None for r in data.recordings):
        labels = np.concatenate([np.asarray(r.activity)[slice(None) if r.valid is None else r.valid] for r in data.recordings])
        for label in np.unique(labels).tolist():
            name = ACTIVITIES[label - 1] if 1 <= label <= len(ACTIVITIES) else f"activity {label}"
            table[name] = {key: _scores(e[:, labels == label]) for key, e in pooled.items()}
    for name, by_selection in velocity.items():
        for key, value in by_selection.items():
            table[name][key]["velocity"] = 1000.0 * value
    if mat_folder is not None:
        write_mat(mat_folder, poses)
    return table


def _scores(errors: np.ndarray) -> dict[str, np.ndarray]:
    """(K, frames, J) metres -> totals of every iteration."""
    return {
        "mpjpe": 1000.0 * errors.mean((1, 2)),
        "pck": np.array([pck_3dhp(e)[-1] for e in errors]),
        "auc": np.array([auc_3dhp(e)[-1] for e in errors]),
    }


def write_mat(folder: Path, poses: dict[str, dict[str, np.ndarray]]) -> list[Path]:
    """``inference_data_<selection>.mat``: one variable a sequence, (3, 17, frames, K) mm, root at zero."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for key in next(iter(poses.values())):
        path = folder / f"inference_data_{key}.mat"
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as file:
            savemat(file, {name: 1000.0 * by[key].transpose(3, 2, 1, 0) for name, by in poses.items()})
        temporary.replace(path)
        paths.append(path)
    return paths


def live_rows(
    lifter: Lifter,
    data: DataSet,
    frames: int,
    protocol: Protocol,
    draw: Draw,
    lookaheads: tuple[int, ...],
    stride: int,
    tick: Tick = _silent,
) -> list[dict[str, Any]]:
    """What a live pipeline has: windows that end now. A row a look-ahead: mean MPJPE and PA-MPJPE (mm) of single frames.

    The pose is that of `lookahead` frames before the newest. J-Agg places the mean hypothesis by `estimate_root`, without the truth;
    the camera's focal length is known. The last iteration counts.
    """
    check_skeletons(lifter, data.skeleton_in.name, data.skeleton_out.name)
    wrong = [n for n in lookaheads if not 0 <= n < frames]
    if wrong:
        raise InputError(f"--lookaheads: got {wrong[0]}, wanted 0 to {frames - 1}, inside the model's window of {frames} frames")
    parts: dict[tuple[int, str, str], list[np.ndarray]] = {}
    for recording in data.recordings:
        starts = np.arange(frames - 1, max(len(recording), frames), stride) - (frames - 1)
        starts = starts if len(recording) >= frames else np.array([len(recording) - frames])
        for first in range(0, len(starts), protocol.batch):
            rows = starts[first : first + protocol.batch]
            xy, pose = take_windows(recording.xy, rows, frames), take_windows(recording.pose, rows, frames)
            pose[:, :, lifter.root] = 0.0
            noise = draw_noise(draw, xy, protocol.hypotheses, protocol.steps)
            hypotheses = lifter.iterations(xy, noise, flip=protocol.flip)[:, -1]
            poses = _live_poses(lifter, recording, hypotheses, xy, pose)
            for lookahead in lookaheads:
                at = frames - 1 - lookahead
                for key, estimate in poses.items():
                    parts.setdefault((lookahead, key, "mpjpe"), []).append(mpjpe(estimate[:, at], pose[:, at]))
                    parts.setdefault((lookahead, key, "pa_mpjpe"), []).append(pa_mpjpe(estimate[:, at], pose[:, at]))
            tick(len(rows))
    rows_out = []
    for lookahead in lookaheads:
        row: dict[str, Any] = {"lookahead": lookahead, "delay_ms": round(1000 * lookahead / data.rate_hz, 1)}
        for key in SELECTIONS:
            if (lookahead, key, "mpjpe") in parts:
                row[key] = {m: round(1000 * float(np.concatenate(parts[lookahead, key, m]).mean()), 2) for m in ("mpjpe", "pa_mpjpe")}
        rows_out.append(row)
    return rows_out


def _live_poses(lifter: Lifter, recording: Recording, hypotheses: np.ndarray, xy: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """(B, H, F, J, 3) -> the four selections, (B, F, J, 3) each; the best ones choose by the truth, frame by frame."""
    distance = joint_errors(hypotheses, truth[:, None])
    best = best_pose_index(distance)
    poses = {
        "J_Best": take_joints(hypotheses, best_joint_index(distance)),
        "P_Best": take_joints(hypotheses, np.broadcast_to(best[..., None], (*best.shape, hypotheses.shape[-2]))),
        "P_Agg": mean_pose(hypotheses),
    }
    if recording.intrinsics.size:
        target, camera = reprojection_target(lifter, recording, xy), recording.intrinsics[:4]
        root = estimate_root(target, poses["P_Agg"], float(camera[:2].mean()), camera[2:4])
        poses["J_Agg"] = take_joints(hypotheses, choose_by_reprojection(hypotheses, target, root, camera, clamp=False))
    return poses
