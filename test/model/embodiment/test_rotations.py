# SPDX-License-Identifier: Apache-2.0
"""Poses: each form there and back."""

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import rotations

RNG = np.random.default_rng(0)


def quaternions(count):
    quaternion = RNG.normal(size=(count, 4))
    return (
        quaternion * np.sign(quaternion[:, 3:]) / np.linalg.norm(quaternion, axis=1, keepdims=True)
    )


def test_rotations_survive_every_form():
    matrix = rotations.quaternion_to_matrix(quaternions(50))
    np.testing.assert_allclose(
        matrix @ np.swapaxes(matrix, 1, 2), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrix), 1.0)
    for there, back in (
        (rotations.matrix_to_quaternion, rotations.quaternion_to_matrix),
        (rotations.matrix_to_rot6d, rotations.rot6d_to_matrix),
        (rotations.matrix_to_rotation_vector, rotations.rotation_vector_to_matrix),
    ):
        np.testing.assert_allclose(back(there(matrix)), matrix, atol=1e-9)


def test_half_turns_and_no_turn():
    for quaternion in ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]):
        matrix = rotations.quaternion_to_matrix(np.array(quaternion, float))
        np.testing.assert_allclose(
            np.abs(rotations.matrix_to_quaternion(matrix)), quaternion, atol=1e-12
        )
    np.testing.assert_allclose(rotations.rotation_vector_to_matrix(np.zeros(3)), np.eye(3))
    np.testing.assert_allclose(
        rotations.matrix_to_rotation_vector(np.eye(3)), np.zeros(3), atol=1e-12
    )


def test_a_quarter_turn_about_z():
    matrix = rotations.rotation_vector_to_matrix(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(matrix, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    # column by column
    np.testing.assert_allclose(rotations.matrix_to_rot6d(matrix), [0, 1, 0, -1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_any_six_numbers_become_a_rotation(noise):
    matrix = rotations.quaternion_to_matrix(quaternions(20))
    rot6d = rotations.matrix_to_rot6d(matrix) + RNG.normal(size=(20, 6)) * noise
    near = rotations.rot6d_to_matrix(rot6d)
    np.testing.assert_allclose(np.linalg.det(near), 1.0)
    np.testing.assert_allclose(
        near @ np.swapaxes(near, 1, 2), np.tile(np.eye(3), (20, 1, 1)), atol=1e-12
    )


def test_deltas_add_up():
    poses = np.concatenate([RNG.normal(size=(30, 3)), quaternions(30)], axis=1)
    transforms = rotations.pose_to_transform(poses)
    deltas = rotations.transforms_to_deltas(transforms)
    np.testing.assert_allclose(
        rotations.deltas_to_transforms(deltas, transforms[0]), transforms[1:], atol=1e-9
    )
    np.testing.assert_allclose(rotations.transform_to_pose(transforms), poses, atol=1e-9)
