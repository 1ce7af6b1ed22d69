# SPDX-License-Identifier: Apache-2.0
"""The tool of an arm, seen from its base: forward kinematics and Jacobian by pinocchio.

pinocchio is imported only when a tool is made: an arm that is led by joints alone does not need it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..urdf import parse_limits, read_description

INSTALL = "pip install pin"  # the name that pinocchio has on PyPI


@dataclasses.dataclass(frozen=True, slots=True)
class ToolSettings:
    """What a node's parameters say about the arm's tool."""

    urdf: str  # path of a robot description, or topic:// of one
    tool: str  # its frame in there
    base: str = ""  # frame that poses are seen from; "": the root of the description


class ToolFrame:
    """The tool's pose for positions of `joints`; other joints of the description stay at 0.

    Positions are in rad or m, unless `scale` says otherwise. lower, upper: the position range of
    each joint by the description, infinite without one, float64 [N]. Not thread-safe: each thread
    has its own.
    """

    def __init__(
        self,
        settings: ToolSettings,
        joints: Sequence[str],
        content: str = "",
        scale: Sequence[float] = (),
    ) -> None:
        """content: the description, if it came by a topic; scale: rad or m of 1.0 of each joint.

        ValueError says what is wrong.
        """
        try:
            import pinocchio
        except ImportError:
            raise ValueError(
                f"the pose of {settings.tool!r} needs pinocchio, which is not installed: {INSTALL}"
            ) from None
        self.joints = tuple(joints)
        self._scale = np.array(scale or [1.0] * len(joints), np.float64)
        text = content or read_description(settings.urdf)
        limits = parse_limits(text, joints, settings.urdf)
        self.lower = np.array([limit.lower for limit in limits]) / self._scale
        self.upper = np.array([limit.upper for limit in limits]) / self._scale
        self._pin: Any = pinocchio
        try:
            whole = pinocchio.buildModelFromXML(text if isinstance(text, str) else text.decode())
        except (ValueError, RuntimeError) as error:
            line = str(error).strip().splitlines()[-1]
            raise ValueError(f"robot description {settings.urdf!r}: {line}") from error
        numbers = {whole.getJointId(joint) for joint in joints}
        others = [number for number in range(1, whole.njoints) if number not in numbers]
        self._check(whole, settings, numbers)
        self.base = settings.base or whole.frames[1].name  # the root of the description
        self._model = pinocchio.buildReducedModel(whole, others, pinocchio.neutral(whole))
        self._data = self._model.createData()
        self._tool = self._model.getFrameId(settings.tool)
        pinocchio.framesForwardKinematics(self._model, self._data, pinocchio.neutral(self._model))
        base = self._model.getFrameId(settings.base) if settings.base else 0
        self._base = self._data.oMf[base].copy()  # does not move
        ids = [self._model.getJointId(joint) for joint in joints]
        self._columns = [self._model.joints[number].idx_v for number in ids]
        places = [
            (self._model.joints[number].idx_q, self._model.joints[number].nq) for number in ids
        ]
        # a joint that turns without end is the cosine and the sine of its angle
        self._turning = [column for column, (_, size) in enumerate(places) if size == 2]
        self._places = [place for place, _ in places]

    def _check(self, whole: Any, settings: ToolSettings, numbers: set[int]) -> None:
        where, frames = f"robot description {settings.urdf!r}", [f.name for f in whole.frames]
        for name, frame in (("tool_frame", settings.tool), ("base_frame", settings.base)):
            if (frame or name == "tool_frame") and not whole.existFrame(frame):
                raise ValueError(
                    f"parameter {name!r} is {frame!r}, but {where} has the frames {frames[1:]}"
                )
        chain = {*whole.supports[whole.frames[whole.getFrameId(settings.tool)].parentJoint]} - {0}
        base = whole.frames[whole.getFrameId(settings.base)].parentJoint if settings.base else 0
        if moving := {*whole.supports[base]} & numbers:
            names = [whole.names[number] for number in moving]
            raise ValueError(f"base_frame {settings.base!r} is moved by {names} in {where}")
        if other := sorted(chain - {*whole.supports[base]} - numbers):
            names = [whole.names[number] for number in other]
            raise ValueError(
                f"tool_frame {settings.tool!r} is moved by {names} in {where}, which 'joints' "
                f"{list(self.joints)} lacks"
            )
        if not chain & numbers:
            raise ValueError(
                f"tool_frame {settings.tool!r} is moved by none of 'joints' {list(self.joints)} in "
                f"{where}"
            )

    def pose(self, positions: np.ndarray) -> np.ndarray:
        """Homogeneous transform [4, 4] of the tool for joint positions [N]."""
        self._pin.framesForwardKinematics(self._model, self._data, self._configuration(positions))
        return self._seen().homogeneous

    def poses(self, positions: np.ndarray) -> np.ndarray:
        """The same for rows: [T, N] -> [T, 4, 4]."""
        return np.stack([self.pose(row) for row in positions])

    def points(self, positions: np.ndarray) -> np.ndarray:
        """Where the tool is, m: [T, N] -> [T, 3]."""
        return self.poses(positions)[:, :3, 3]

    def twist(self, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Velocity of the tool along the axes of the base, m/s and rad/s, [6]."""
        jacobian, rotation = self.jacobian(positions), self._seen().rotation
        twist = jacobian @ velocities
        return np.concatenate([rotation @ twist[:3], rotation @ twist[3:]])

    def jacobian(self, positions: np.ndarray) -> np.ndarray:
        """Velocity of the tool along its own axes for that of each joint: [6, N]."""
        pin, model, data = self._pin, self._model, self._data
        pin.computeJointJacobians(model, data, self._configuration(positions))
        pin.updateFramePlacement(model, data, self._tool)
        full = pin.getFrameJacobian(model, data, self._tool, pin.LOCAL)
        return full[:, self._columns] * self._scale

    def error(self, target: Any) -> np.ndarray:
        """The motion from the tool, where it was asked for last, to a target along its own axes.

        target: as `target` makes it; m and rad, [6].
        """
        return self._pin.log6(self._data.oMf[self._tool].actInv(target)).vector

    def distance(self, target: Any) -> np.ndarray:
        """How far a target is from the tool, where it was asked for last: m and rad, [2]."""
        way = self._data.oMf[self._tool].actInv(target)
        turn = self._pin.log3(way.rotation)
        return np.array([np.linalg.norm(way.translation), np.linalg.norm(turn)])

    def target(self, transform: np.ndarray) -> Any:
        """A pose seen from the base [4, 4], for `error`."""
        return self._base * self._pin.SE3(transform[:3, :3], transform[:3, 3])

    def _seen(self) -> Any:
        """Where the tool is from the base, for the positions that were asked for last."""
        return self._base.actInv(self._data.oMf[self._tool])

    def _configuration(self, positions: np.ndarray) -> np.ndarray:
        q = np.zeros(self._model.nq)
        q[self._places] = angles = positions * self._scale
        for column in self._turning:
            place, angle = self._places[column], angles[column]
            q[place], q[place + 1] = np.cos(angle), np.sin(angle)
        return q
