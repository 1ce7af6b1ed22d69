# SPDX-License-Identifier: Apache-2.0
"""Rigid poses as the model writes them: translation and rot6d, frame by frame.

rot6d: the first two columns of the rotation matrix (arXiv 1812.07035).

A pose outside the model is [x, y, z, qx, qy, qz, qw] (m, unit quaternion). numpy only.
"""

from __future__ import annotations

import numpy as np


def quaternion_to_matrix(quaternion: np.ndarray) -> np.ndarray:
    """[..., 4] as (x, y, z, w), any length but zero -> rotation [..., 3, 3]."""
    unit = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    x, y, z, w = np.moveaxis(unit, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(matrix: np.ndarray) -> np.ndarray:
    """Rotation [..., 3, 3] -> unit quaternion [..., 4] as (x, y, z, w) with w >= 0."""
    m = matrix.astype(np.float64)
    symmetric = m + np.swapaxes(m, -1, -2)
    trace = np.trace(m, axis1=-2, axis2=-1)[..., None, None]
    # The quaternion is the eigenvector of the largest eigenvalue of this 4x4 matrix; no case
    # distinction needed.
    k = np.zeros((*m.shape[:-2], 4, 4))
    k[..., :3, :3] = symmetric - trace * np.eye(3)
    k[..., 3, 3] = trace[..., 0, 0]
    axis = np.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]],
        axis=-1,
    )
    k[..., :3, 3] = k[..., 3, :3] = axis
    quaternion = np.linalg.eigh(k)[1][..., -1]
    return quaternion * np.where(quaternion[..., 3:] < 0, -1.0, 1.0)


def rot6d_to_matrix(rot6d: np.ndarray) -> np.ndarray:
    """[..., 6] (two columns, maybe not quite orthonormal) -> the nearest rotation [..., 3, 3]."""
    first, second = rot6d[..., :3].astype(np.float64), rot6d[..., 3:].astype(np.float64)
    columns = np.stack([first, second, np.cross(first, second)], axis=-1)
    u, _, v = np.linalg.svd(columns)
    flip = np.ones((*columns.shape[:-2], 3))
    flip[..., 2] = np.linalg.det(u @ v)
    return (u * flip[..., None, :]) @ v


def matrix_to_rot6d(matrix: np.ndarray) -> np.ndarray:
    """Rotation [..., 3, 3] -> its first two columns, one after the other: [..., 6]."""
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def pose_to_transform(pose: np.ndarray) -> np.ndarray:
    """[..., 7] -> homogeneous transform [..., 4, 4]."""
    transform = np.zeros((*pose.shape[:-1], 4, 4))
    transform[..., :3, :3] = quaternion_to_matrix(pose[..., 3:7].astype(np.float64))
    transform[..., :3, 3] = pose[..., :3]
    transform[..., 3, 3] = 1.0
    return transform


def transform_to_pose(transform: np.ndarray) -> np.ndarray:
    """Homogeneous transform [..., 4, 4] -> [..., 7]."""
    return np.concatenate(
        [transform[..., :3, 3], matrix_to_quaternion(transform[..., :3, :3])], axis=-1
    )


def transforms_to_deltas(transforms: np.ndarray) -> np.ndarray:
    """Poses [T + 1, 4, 4] -> [T, 9]: each seen from the one before, as translation and rot6d."""
    step = np.linalg.inv(transforms[:-1]) @ transforms[1:]
    return np.concatenate([step[:, :3, 3], matrix_to_rot6d(step[:, :3, :3])], axis=-1)


def deltas_to_transforms(deltas: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Deltas [T, 9] from the pose `start` [4, 4] -> the T poses that follow, [T, 4, 4]."""
    steps = np.zeros((len(deltas), 4, 4))
    steps[:, :3, :3] = rot6d_to_matrix(deltas[:, 3:9])
    steps[:, :3, 3] = deltas[:, :3]
    steps[:, 3, 3] = 1.0
    poses = [start]
    for step in steps:
        poses.append(poses[-1] @ step)
    return np.stack(poses[1:])


def rotation_vector_to_matrix(vector: np.ndarray) -> np.ndarray:
    """Axis times angle (rad) [..., 3] -> rotation [..., 3, 3]."""
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    half = angle / 2
    axis = vector * np.where(angle > 1e-9, np.sin(half) / np.maximum(angle, 1e-9), 0.5)
    return quaternion_to_matrix(np.concatenate([axis, np.cos(half)], axis=-1))


def matrix_to_rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Rotation [..., 3, 3] -> axis times angle in 0..pi (rad) [..., 3]."""
    quaternion = matrix_to_quaternion(matrix)
    sine = np.linalg.norm(quaternion[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., 3:])
    return quaternion[..., :3] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)


def twists_to_rows(twists: np.ndarray) -> np.ndarray:
    """Translation and rotation vector [..., 6] -> translation and rot6d [..., 9]."""
    rotation = matrix_to_rot6d(rotation_vector_to_matrix(twists[..., 3:]))
    return np.concatenate([twists[..., :3], rotation], axis=-1)


def rows_to_twists(rows: np.ndarray) -> np.ndarray:
    """Translation and rot6d [..., 9] -> translation and rotation vector [..., 6]."""
    vector = matrix_to_rotation_vector(rot6d_to_matrix(rows[..., 3:]))
    return np.concatenate([rows[..., :3], vector], axis=-1)
