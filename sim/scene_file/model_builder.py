# SPDX-License-Identifier: Apache-2.0
"""From a scene file to a MuJoCo model: cameras and servos that the MJCF or URDF lacks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...model.embodiment.table import nearest
from ..gl import mujoco
from ..real_time_pace import TICKS_PER_SECOND
from ..world import facing
from .schema import Scene, SceneCamera

_ONE_AXIS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """A compiled model, and where everything in it rests (qpos)."""

    model: mujoco.MjModel
    rest: np.ndarray


def build(scene: Scene) -> Built:
    """ValueError in one line if the model cannot be read or lacks what the scene file names."""
    try:
        spec = mujoco.MjSpec.from_file(str(scene.model))
        plain = spec.compile()
    except ValueError as error:
        raise ValueError(f"{scene.model}: {' '.join(str(error).split())}") from None
    _check(scene, plain)
    rest = _rest(scene, plain)
    for key in list(spec.keys):
        spec.delete(key)  # of another number of servos
    if scene.servo:
        _add_servos(spec, plain, rest, scene)
    for camera in scene.cameras.values():
        if not camera.camera:
            _add_camera(spec, camera)
    steps = math.ceil(1 / (spec.option.timestep * TICKS_PER_SECOND))
    spec.option.timestep = 1 / (steps * TICKS_PER_SECOND)
    # what costs most where a CPU draws
    spec.visual.quality.offsamples, spec.visual.quality.shadowsize = 0, 1
    model = spec.compile()
    _check_servos(scene, model)
    return Built(model, rest)


def moved_joints(scene: Scene) -> tuple[str, ...]:
    """The joints of the model that the robot's controllers move."""
    return (*scene.joints, *(scene.gripper.joints if scene.gripper else ()))


def servo_of(model: mujoco.MjModel, joint: str) -> int | None:
    """The number of the position servo that drives a joint of the model; None: there is none."""
    number = model.joint(joint).id
    for each in range(model.nu):
        drives = model.actuator_trntype[each] == mujoco.mjtTrn.mjTRN_JOINT
        gain, bias = model.actuator_gainprm[each, 0], model.actuator_biasprm[each, 1]
        if drives and model.actuator_trnid[each, 0] == number and gain > 0 and bias == -gain:
            return each
    return None


def _check(scene: Scene, model: mujoco.MjModel) -> None:
    """ValueError for a name that the model does not have, with the nearest one that it has."""
    wanted = (
        ("joints", moved_joints(scene), _names(model.joint, model.njnt)),
        ("cameras", _given(scene, "camera"), _names(model.camera, model.ncam)),
        ("cameras", _given(scene, "body"), _names(model.body, model.nbody)),
        ("keyframe", filter(None, [scene.keyframe]), _names(model.key, model.nkey)),
    )
    for key, names, known in wanted:
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{scene.file}: {key}: {scene.model.name} has no {name!r}"
                    f"{nearest(name, known)}; it has {', '.join(known) or 'none'}"
                )
    for name in moved_joints(scene):
        if model.jnt_type[model.joint(name).id] not in _ONE_AXIS:
            raise ValueError(f"{scene.file}: joints: expected hinge or slide, {name!r} is neither")


def _given(scene: Scene, name: str) -> list[str]:
    return [text for camera in scene.cameras.values() if (text := getattr(camera, name))]


def _names(get: Any, count: int) -> list[str]:
    return [get(number).name for number in range(count)]


def _rest(scene: Scene, model: mujoco.MjModel) -> np.ndarray:
    """qpos of the keyframe, of the first one if none is named, or of the model itself."""
    if scene.keyframe:
        return np.array(model.key(scene.keyframe).qpos)
    return np.array(model.key_qpos[0] if model.nkey else model.qpos0)


def _add_servos(spec: Any, plain: mujoco.MjModel, rest: np.ndarray, scene: Scene) -> None:
    """Critically damped position servos of one natural frequency, in place of the model's own.

    Their arm is balanced: gravity is compensated, dry friction is left out, so that it arrives
    where it is told to, as industrial arms do.
    """
    inertia = _inertias(plain, rest)
    for name in moved_joints(scene):
        joint, pace = spec.joint(name), 2 * math.pi * scene.servo
        for actuator in [each for each in spec.actuators if each.target == name]:
            spec.delete(actuator)
        mass = inertia[int(plain.joint(name).dofadr[0])]
        joint.frictionloss, joint.damping[0] = 0.0, 0.0
        added = spec.add_actuator(name=f"{name} servo", target=name)
        added.trntype = mujoco.mjtTrn.mjTRN_JOINT
        added.set_to_position(kp=mass * pace**2, kv=2 * mass * pace)
        _balance(joint.parent)
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST


def _inertias(model: mujoco.MjModel, rest: np.ndarray) -> np.ndarray:
    """What each degree of freedom has to move, kg m^2 or kg: the diagonal of the mass matrix."""
    data, found = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    data.qpos[:] = rest
    mujoco.mj_forward(model, data)
    for column, axis in zip(found, np.eye(model.nv), strict=True):
        mujoco.mj_mulM(model, data, column, axis)
    return np.diag(found).copy()


def _balance(body: Any) -> None:
    body.gravcomp = 1.0
    for child in body.bodies:
        _balance(child)


def _add_camera(spec: Any, camera: SceneCamera) -> None:
    body = spec.body(camera.body) if camera.body else spec.worldbody
    position, point = np.array(camera.position), np.array(camera.looks_at)
    body.add_camera(name=camera.view, pos=position, quat=facing(position, point), fovy=camera.fovy)


def _check_servos(scene: Scene, model: mujoco.MjModel) -> None:
    lacking: Iterable[str] = [name for name in moved_joints(scene) if servo_of(model, name) is None]
    if lacking:
        raise ValueError(
            f"{scene.file}: {scene.model.name} has no position servo for {', '.join(lacking)}; "
            "expected one, or servo: 8.0 (Hz), which adds them"
        )
