"""A body for a motion: SMPL fitted to its joints, the posed skin, and what files of it need. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from pose_rt.core.rotations import axis_angle_to_matrix, matrix_to_six
from pose_rt.core.skeleton import Skeleton
from pose_rt.core.smpl_joints import face_forward, to_smpl22

from .smpl import JOINTS, Body
from .smpl_file import SmplFile
from .smplify import fit

SHARED = 22
"""Joints that SMPL shares with the motion."""


@dataclass(frozen=True)
class BodyMotion:
    """A fitted body over T frames; x right, y up, z towards the viewer, m.

    Attributes:
        pose: (T, 24, 3) axis times angle of each joint.
        betas: (T, 10) fitted shape.
        translation: (T, 3) of the body.
        thetas: (25, 6, T) the published parameters: 6D rotations, and a row with the root's place.
        vertices: (T, N, 3) of the average shape (betas 0, as published), moved as the root is, relative to the first frame.
        rest_vertices, rest_joints: (N, 3), (24, 3) of the average shape in the rest pose.
        skin, parents, faces: of the body.
        error: mean distance of the 22 joints from the fitted ones, m.
    """

    pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    thetas: np.ndarray
    vertices: np.ndarray
    rest_vertices: np.ndarray
    rest_joints: np.ndarray
    skin: np.ndarray
    parents: tuple[int, ...]
    faces: np.ndarray
    error: float


def bare(body: Body) -> Body:
    """The joints of a body alone: what a fit needs, without its skin."""
    assert body.joint_regressor is not None
    template = body.joint_regressor @ body.template
    shapes = torch.einsum("jn,nck->jck", body.joint_regressor, body.shape_dirs)
    return replace(body, template=template, shape_dirs=shapes, joint_regressor=None, pose_dirs=None, skin=torch.eye(JOINTS))


def fit_motion(
    smpl: SmplFile, joints: np.ndarray, skeleton: Skeleton, *, iterations: int = 150, on_step: Callable[[int, int], None] | None = None
) -> BodyMotion:
    """Fit SMPL to a motion (T, J, 3), x right, y up, z away from the viewer, all frames at once.

    Args:
        iterations: of the fit, see `smplify.fit`.
        on_step: told (done, total).

    Raises:
        ValueError: a skeleton that there is no map for.
    """
    turned = face_forward(to_smpl22(joints, skeleton)[:, :SHARED])
    target = torch.from_numpy(turned.astype(np.float32))
    frames = len(target)
    start_pose, start_betas = smpl.mean_pose.expand(frames, -1), smpl.mean_shape.expand(frames, -1)
    found = fit(bare(smpl.body), smpl.prior, target, start_pose.clone(), start_betas.clone(), iterations=iterations, on_step=on_step)
    with torch.no_grad():
        fitted = bare(smpl.body)(found.pose, found.betas)[1][:, :SHARED] + found.translation
        average = torch.zeros_like(found.betas)
        vertices, _ = smpl.body(found.pose, average)
        rest, rest_joints = smpl.body(torch.zeros(1, 3 * JOINTS), average[:1])
    pose = found.pose.numpy().reshape(frames, JOINTS, 3)
    root = turned[:, 0].astype(np.float32)
    thetas = np.zeros((JOINTS + 1, 6, frames), np.float32)
    thetas[:JOINTS] = matrix_to_six(axis_angle_to_matrix(pose)).transpose(1, 2, 0)
    thetas[JOINTS, :3] = root.T
    return BodyMotion(
        pose, found.betas.numpy(), found.translation[:, 0].numpy(), thetas, vertices.numpy() + (root - root[:1])[:, None],
        rest[0].numpy(), rest_joints[0].numpy(), smpl.body.skin.numpy(), smpl.body.parents, smpl.body.faces.numpy(),
        float((fitted - target).norm(dim=-1).mean()),
    )  # fmt: skip
