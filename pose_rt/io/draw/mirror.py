"""A packet as its mirror image: what a person in front of a screen expects. Left stays left: only places change, not joints."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from pose_rt.core.camera import Camera
from pose_rt.core.types import Forecast, Frame, Keypoints2D, Packet, Pose3D

_FLIP_M = np.array([-1.0, 1.0, 1.0], np.float32)


def mirror_packet(packet: Packet) -> Packet:
    """The frame flipped (column i becomes w - 1 - i), keypoints with it, and everything in metres at -x."""
    frame, points, pose, forecast = packet.frame, packet.keypoints, packet.pose, packet.forecast
    return replace(
        packet,
        frame=Frame(cv2.flip(frame.bgr, 1), frame.index, frame.media_ns, frame.captured_ns, frame.gap_ns),
        keypoints=None if points is None else _mirror_keypoints(points, frame.width),
        pose=None if pose is None else _mirror_pose(pose),
        forecast=None if forecast is None else _mirror_forecast(forecast),
    )


def mirror_camera(camera: Camera, width: int) -> Camera:
    """The camera that projects mirrored points into the mirrored picture of this width."""
    return replace(camera, cx=width - 1 - camera.cx)


def _mirror_keypoints(points: Keypoints2D, width: int) -> Keypoints2D:
    edge = np.float32(width - 1)
    box = points.box_px[:, [2, 1, 0, 3]]
    box[:, [0, 2]] = edge - box[:, [0, 2]]
    return replace(
        points, xy_px=_flip(points.xy_px, edge), box_px=box, second_px=None if points.second_px is None else _flip(points.second_px, edge)
    )


def _flip(xy: np.ndarray, edge: np.float32) -> np.ndarray:
    flipped = xy.copy()
    flipped[..., 0] = edge - xy[..., 0]
    return flipped


def _mirror_pose(pose: Pose3D) -> Pose3D:
    return replace(
        pose,
        joints_m=pose.joints_m * _FLIP_M,
        hypotheses_m=pose.hypotheses_m * _FLIP_M,
        root_m=None if pose.root_m is None else pose.root_m * _FLIP_M,
    )


def _mirror_forecast(forecast: Forecast) -> Forecast:
    return replace(forecast, futures_m=forecast.futures_m * _FLIP_M)
