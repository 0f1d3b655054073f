"""A SMPL body from the user's own file: plain arrays, checked; nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose_rt.errors import InputError, UsageError

from .smpl import JOINTS, SHAPES, Body, PosePrior, make_prior

WHERE = "SMPL may not be handed on: get the neutral model of SMPL for Python (1.1.0) at https://smpl.is.tue.mpg.de"
CONVERT = "python -m training.mas.convert_smpl SMPL_NEUTRAL.pkl --out smpl_neutral.npz"
_BODY_POSE = 3 * (JOINTS - 1)
_BEND = 9 * (JOINTS - 1)
_LOOSE = 0.5
"""Standard deviation of each angle, radians, where the file has no mixture of poses."""


@dataclass(frozen=True)
class SmplFile:
    """What the fit needs.

    Attributes:
        body: skin and joints.
        prior: over body poses; a plain Gaussian where the file has none.
        mean_pose, mean_shape: (72,) and (10,) that the fit starts from; zeros where the file has none.
        notes: what the file did not have.
    """

    body: Body
    prior: PosePrior
    mean_pose: Tensor
    mean_shape: Tensor
    notes: tuple[str, ...]


def load_smpl(path: Path, gender: str = "neutral") -> SmplFile:
    """Read the arrays ``v_template, shapedirs, posedirs, J_regressor, weights, kintree_table, f`` of a .npz file, and, where it has
    them, ``gmm_means, gmm_covars, gmm_weights, mean_pose, mean_shape, gender``.

    Raises:
        UsageError: no such file, the publisher's pickle, or another gender than was asked for.
        InputError: arrays are missing, of another model, or do not go together.
    """
    if not path.is_file():
        raise UsageError(f"'{path}' does not exist, wanted a SMPL body", f"{WHERE}; then: {CONVERT}")
    if path.suffix.lower() != ".npz":
        raise UsageError(f"'{path}' ends in '{path.suffix}', wanted .npz (pickles may carry code and are not read here)", CONVERT)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zip, header and pickle errors come in many kinds
        raise InputError(f"'{path}' cannot be read as plain arrays ({error})", f"make it with: {CONVERT}") from error
    wanted = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise InputError(f"'{path}' has no array {missing[0]}, so it is no SMPL body", f"make it with: {CONVERT}")
    found = str(arrays["gender"]) if "gender" in arrays else gender
    if found != gender:
        raise UsageError(f"'{path}' is the {found} body, wanted the {gender} one", f"give the other file, or --gender {found}")
    _check_shapes(arrays, path)
    notes = []
    mean_pose, mean_shape = _vector(arrays, "mean_pose", 3 * JOINTS, path), _vector(arrays, "mean_shape", SHAPES, path)
    if "mean_pose" not in arrays:
        notes.append("the file has no mean pose: the fit starts from the rest pose")
    if "gmm_means" in arrays:
        means, covariances, weights = (_tensor(arrays[name]) for name in ("gmm_means", "gmm_covars", "gmm_weights"))
        if means.shape[1:] != (_BODY_POSE,) or covariances.shape != (len(means), _BODY_POSE, _BODY_POSE):
            raise InputError(f"'{path}': gmm_means has shape {tuple(means.shape)}, wanted (K, {_BODY_POSE}) with covariances to match")
        prior = make_prior(means, covariances, weights.reshape(-1))
    else:
        notes.append("the file has no mixture of poses: a plain Gaussian around the mean pose is used")
        prior = make_prior(mean_pose[None, 3:], _LOOSE**2 * torch.eye(_BODY_POSE)[None], torch.ones(1))
    body = Body(
        _tensor(arrays["v_template"]), _tensor(arrays["shapedirs"][..., :SHAPES]), _tensor(arrays["J_regressor"]),
        _tensor(arrays["weights"]), _parents(arrays["kintree_table"], path), _tensor(arrays["posedirs"]),
        torch.from_numpy(arrays["f"].astype(np.int64)),
    )  # fmt: skip
    return SmplFile(body, prior, mean_pose, mean_shape, tuple(notes))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _vector(arrays: dict[str, np.ndarray], name: str, length: int, path: Path) -> Tensor:
    values = arrays.get(name, np.zeros(length)).reshape(-1)
    if len(values) < length:
        raise InputError(f"'{path}': {name} has {len(values)} numbers, wanted {length}")
    return _tensor(values[:length])


def _check_shapes(arrays: dict[str, np.ndarray], path: Path) -> None:
    joints = arrays["J_regressor"].shape[0]
    if joints != JOINTS:
        kind = {52: "SMPL-H", 55: "SMPL-X", 51: "MANO and SMPL"}.get(joints, "another model")
        raise InputError(f"'{path}' has {joints} joints, so it is {kind}; wanted SMPL with {JOINTS}", WHERE)
    count = arrays["v_template"].shape[0]
    wanted = {
        "v_template": (count, 3), "J_regressor": (JOINTS, count), "weights": (count, JOINTS), "posedirs": (count, 3, _BEND),
        "kintree_table": (2, JOINTS),
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise InputError(f"'{path}': {name} has shape {arrays[name].shape}, wanted {shape}", f"make it anew with: {CONVERT}")
    if arrays["shapedirs"].shape[:2] != (count, 3) or arrays["shapedirs"].shape[-1] < SHAPES:
        raise InputError(f"'{path}': shapedirs has shape {arrays['shapedirs'].shape}, wanted ({count}, 3, {SHAPES} or more)")
    if arrays["f"].ndim != 2 or arrays["f"].shape[1] != 3 or arrays["f"].min() < 0 or arrays["f"].max() >= count:
        raise InputError(f"'{path}': f does not hold triangles of its {count} vertices")


def _parents(table: np.ndarray, path: Path) -> tuple[int, ...]:
    parents = (-1, *table[0, 1:].astype(np.int64).tolist())
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents) if joint):
        raise InputError(f"'{path}': kintree_table does not name the parent of each joint before it")
    return parents
