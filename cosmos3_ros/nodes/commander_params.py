# SPDX-License-Identifier: Apache-2.0
"""The parameters of the commander, and the limits and playback rules made of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..execution.chunk_player import PlaybackRules
from ..execution.spline_motion import Limits
from ..execution.workspace import ToolLimits, workspace
from ..model.embodiment.table import nearest
from ..model.embodiment.units import ANGLE, LENGTH, UNITS
from ..model.option_fields import check, check_choice, param
from ..robot.joint_limits import DESCRIBED, tighter
from ..robot.joint_map import JointGroup, joint_groups
from ..robot.kinematics.tool_frame import ToolFrame
from ..robot.kinematics.tool_params import ToolParams
from ..robot.urdf import JointLimit, parse_limits, read_limits
from ..ros.sinks.command_sinks import SINKS, TOOL_SINKS
from ..ros.sinks.gripper_outputs import GOALS, POSITION, GripperSettings
from ..ros.sinks.mobile_base import MobileBaseParams

_LIMITS = (*DESCRIBED, "acceleration", "jerk")
_OF_TOOL = (
    "workspace_lower",
    "workspace_upper",
    "keep_out",
    "tool_velocity",
    "tool_acceleration",
)
_POSITIVE = ("max_state_age", "max_tracking_error", "tracking_lag", "max_jump", "gripper_timeout")


@dataclasses.dataclass(frozen=True)
class Params(ToolParams, MobileBaseParams):
    """Parameters of the commander.

    One value per arm joint, in the order of `joints`, for the limits.
    """

    autostart: bool = param(True, "configure and activate when the process starts")
    armed: bool = param(
        False,
        "true: commands go to the controllers from the start; false: dry run until ~/arm is called",
    )
    joints: list[str] = param([], "arm joints as in joint_states")
    sink: str = param(
        "joint_trajectory",
        "joint_trajectory: whole motions to arm_controller/joint_trajectory; "
        "position_stream: positions to arm_position_controller/commands; "
        "joint_command: positions by name, with the gripper, to joint_command; "
        "tool_pose: poses of the tool to cartesian_controller/target_frame; "
        "tool_twist: its velocities to servo_node/delta_twist_cmds",
    )
    groups: list[str] = param(
        [],
        "of each of `joints` the group whose controllers move it, as [left, left, right, right]: "
        "their topics and actions begin with its name, as left/arm_controller/joint_trajectory; "
        "empty: one group, whose topics do not",
    )
    sinks: list[str] = param(
        [],
        "`sink` of each of the groups, in the order of their first joints: joint_trajectory for "
        "all or for none; empty: `sink` for all",
    )
    trajectory_stamps: bool = param(
        True,
        "sink joint_trajectory: trajectories say by the clock when each point is due; false, for "
        "a controller whose computer has another clock: they begin when they arrive",
    )
    gripper_joint: str = param("", "gripper joint as in joint_states; empty: none")
    gripper_open: float = param(0.0, "position of gripper_joint when open [rad or m]")
    gripper_closed: float = param(1.0, "position of gripper_joint when closed [rad or m]")
    gripper_joints: list[str] = param(
        [], "with `groups`, in place of gripper_joint: that of each group, '' for none"
    )
    grippers_open: list[float] = param(
        [], "position of each of gripper_joints when open; empty: gripper_open for all"
    )
    grippers_closed: list[float] = param(
        [], "position of each of gripper_joints when closed; empty: gripper_closed for all"
    )
    gripper_dwell: float = param(0.3, "shortest time between two changes of the gripper [s]")
    gripper_proportional: bool = param(
        False,
        "command every position between open and closed as the policy says; false: one of both, "
        "with hysteresis and gripper_dwell",
    )
    gripper_output: str = param(
        POSITION,
        "position: to gripper_controller/commands; gripper_command, parallel_gripper_command: "
        "goals of that action of control_msgs",
        choices=(POSITION, *GOALS),
    )
    gripper_action: str = param(
        "gripper_controller/gripper_cmd", "name of the action that takes the gripper's goals"
    )
    gripper_effort: float = param(
        0.0, "largest effort of a goal; 0: the goal names none [N or Nm]", minimum=0
    )
    gripper_timeout: float = param(5.0, "say that a goal has no result after this [s]")
    urdf: str = param(
        "",
        "robot description that lower, upper and velocity are read from: the path of a URDF file, "
        "or topic:///robot_description; of these and those given here the tighter hold; empty: "
        "none",
    )
    lower: list[float] = param([], "lowest position of each arm joint [rad or m]")
    upper: list[float] = param([], "highest position of each arm joint [rad or m]")
    velocity: list[float] = param([], "largest speed of each arm joint [rad/s or m/s]")
    acceleration: list[float] = param(
        [], "largest acceleration of each arm joint [rad/s^2 or m/s^2]"
    )
    jerk: list[float] = param(
        [], "largest change of the acceleration of each arm joint [rad/s^3 or m/s^3]"
    )
    units: list[str] = param(
        [], "rad, deg, m or mm of each of `joints`, to know where the tool is; empty: rad and m"
    )
    workspace_lower: list[float] = param(
        [], "lowest x, y, z of the tool in base_frame; empty: no limit [m]"
    )
    workspace_upper: list[float] = param(
        [], "highest x, y, z of the tool in base_frame; empty: no limit [m]"
    )
    keep_out: list[float] = param(
        [],
        "nx, ny, nz, d of each plane, one after the other: the tool stays where "
        "nx x + ny y + nz z >= d [m]",
    )
    tool_velocity: list[float] = param(
        [], "largest speed of the tool, and how fast it turns; empty: no limit [m/s], [rad/s]"
    )
    tool_acceleration: list[float] = param(
        [],
        "largest acceleration of the tool, a stop's excepted, and of its turning; empty: no limit "
        "[m/s^2], [rad/s^2]",
    )
    rate: float = param(50.0, "set points and checks per second, 15 to 250 [Hz]")
    realtime_priority: int = param(
        0,
        "1 to 99: real-time scheduling (SCHED_FIFO), for a busy computer; "
        "needs the right to; 0: none",
    )
    max_state_age: float = param(0.25, "joint states older than this: hold [s]")
    max_tracking_error: float = param(
        0.1,
        "an arm further than this from all its set points of the last tracking_lag seconds "
        "does not follow: hold where it is [rad or m]",
    )
    tracking_lag: float = param(0.15, "how late a healthy arm may follow its set points [s]")
    max_jump: float = param(
        0.5,
        "reject a chunk whose row that is due is further than this from the measured arm, beyond "
        "what the chunk went itself by then [rad or m]",
        live=True,
    )
    clip: float = param(
        0.05,
        "move rows this far outside the position range to the limit, reject a chunk with others "
        "[rad or m]",
        live=True,
    )
    blend_rows: int = param(4, "rows over which the strategy crossfade mixes two chunks", live=True)
    smooth_rows: float = param(
        0.0,
        "smooth the arm's rows: what swings in so many rows is halved, what is faster goes; "
        "0: as they come",
        live=True,
    )
    watchdog_rows: int = param(
        0, "rows of a chunk that may be played if no newer one comes; 0: all", live=True
    )
    recovery: str = param(
        "automatic",
        "automatic: after a fault the next good chunk is played; explicit: only after ~/arm",
        live=True,
    )

    def __post_init__(self) -> None:
        check(self)
        names = [name for name in _LIMITS if getattr(self, name) or not self._is_described(name)]
        counts = {name: len(getattr(self, name)) for name in ("joints", *names)}
        if len(set(counts.values())) != 1:
            raise ValueError(f"parameters joints and limits: expected equal lengths, got {counts}")
        self._check_names()
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected a positive number, got {getattr(self, name)}"
                )
        for name in ("gripper_dwell", "clip", "blend_rows", "smooth_rows", "watchdog_rows"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"parameter {name!r}: expected 0 or more, got {getattr(self, name)}"
                )
        if not 15 <= self.rate <= 250:
            raise ValueError(f"parameter 'rate': expected 15 to 250 Hz, got {self.rate}")
        if not 0 <= self.realtime_priority <= 99:
            raise ValueError(
                f"parameter 'realtime_priority': expected 0 to 99, got {self.realtime_priority}"
            )
        for name, choices in (("sink", tuple(SINKS)), ("recovery", ("automatic", "explicit"))):
            check_choice(name, getattr(self, name), choices)
        self._check_groups()
        self._check_gripper()
        self._check_tool()

    def _check_groups(self) -> None:
        """ValueError if groups, their sinks and their grippers do not fit together."""
        count = len(self.joint_groups())
        for name in ("sinks", "grippers_open", "grippers_closed"):
            values = getattr(self, name)
            if len(values) not in ((0, count) if self.groups else (0,)):
                raise ValueError(
                    f"parameter {name!r}: expected one of each group of 'groups' "
                    f"{[*dict.fromkeys(self.groups)]}, got {values}"
                )
        if unknown := sorted({*self.sinks} - {*SINKS}):
            raise ValueError(
                f"parameter 'sinks': expected {' or '.join(SINKS)}, got {unknown[0]!r}"
                f"{nearest(unknown[0], SINKS)}"
            )
        if len({sink == "joint_trajectory" for sink in self.sinks}) > 1:
            raise ValueError(
                f"parameter 'sinks': expected joint_trajectory for all groups or for none, got "
                f"{self.sinks}: an arm that knows its whole motion and one that is led point by "
                "point do not stop alike"
            )

    def _check_gripper(self) -> None:
        if self.gripper_proportional and self.gripper_output != POSITION:
            raise ValueError(
                f"parameter 'gripper_output': expected {POSITION!r} with gripper_proportional, "
                f"whose positions are no goals to be reached, got {self.gripper_output!r}"
            )
        if self.gripper_output != POSITION and "joint_command" in (self.sinks or [self.sink]):
            raise ValueError(
                f"parameter 'gripper_output': expected {POSITION!r} with sink 'joint_command', "
                f"whose message has the gripper in it, got {self.gripper_output!r}"
            )

    def _check_names(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"parameter 'joints': expected distinct names, got {self.joints}")
        if self.gripper_joint in self.joints:
            raise ValueError(
                f"parameter 'gripper_joint' is {self.gripper_joint!r}, one of 'joints' "
                f"{self.joints}: expected the arm's joints alone there"
            )
        named = [joint for joint in self.gripper_joints if joint]
        if wrong := [each for each in named if each in self.joints or named.count(each) > 1]:
            raise ValueError(
                f"parameter 'gripper_joints': expected distinct names, none of them of 'joints', "
                f"got {wrong[0]!r}"
            )

    def _check_tool(self) -> None:
        for name in ("tool_velocity", "tool_acceleration"):
            values = getattr(self, name)
            if len(values) not in (0, 2) or min(values, default=1.0) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected two positive numbers, for moving and for "
                    f"turning, got {values}"
                )
        known = [unit for unit, (quantity, _) in UNITS.items() if quantity in (ANGLE, LENGTH)]
        if len(self.units) not in (0, len(self.joints)) or {*self.units} - {*known}:
            raise ValueError(
                f"parameter 'units': expected one of {known} for each of the {len(self.joints)} "
                f"'joints', got {self.units}"
            )
        workspace(self.workspace_lower, self.workspace_upper, self.keep_out)

    def _is_described(self, name: str) -> bool:
        return bool(self.urdf) and name in DESCRIBED

    def limits(self, description: str = "") -> Limits:
        """The limits of the arm, see `limits_and_source`."""
        return self.limits_and_source(description)[0]

    def limits_and_source(self, description: str = "") -> tuple[Limits, str]:
        """The limits of the arm, and in words where each is from.

        description: the URDF, if `urdf` is the topic of one. ValueError says what is missing or
        contradicts.
        """
        if not self.joints:
            raise ValueError(
                "parameter 'joints' is empty: expected the arm's joints; "
                "give a robot file (config/<robot>.yaml)"
            )
        for joint, (opened, closed) in self.gripper_ends().items():
            if opened == closed:
                raise ValueError(f"gripper_open and gripper_closed are both {opened} ({joint})")
        values: dict[str, list[float]] = {name: getattr(self, name) for name in _LIMITS}
        words = "all from the parameters"
        if described := self._described(description):
            found, words = tighter(self.joints, described, values, self.urdf)
            values |= found
        arrays = {name: np.array(numbers, np.float64) for name, numbers in values.items()}
        return Limits(**arrays), f"limits: {words}"

    @property
    def unit(self) -> np.ndarray:
        """What each of `joints` says of 1 rad or 1 m [N]."""
        return np.array([1 / UNITS[unit][1] for unit in self.units or ["rad"] * len(self.joints)])

    def _described(self, description: str) -> list[JointLimit]:
        found: list[JointLimit] = []
        if description:
            found = parse_limits(description, self.joints, self.urdf)
        elif self.urdf:
            found = read_limits(self.urdf, self.joints)
        if not found:
            return []
        return [
            dataclasses.replace(
                limit,
                **{name: getattr(limit, name) / UNITS[unit][1] for name in DESCRIBED},
            )
            for limit, unit in zip(found, self.units or ["rad"] * len(found), strict=True)
        ]

    def tool_of_arm(self, description: str = "") -> ToolFrame | None:
        """The arm's tool, if a parameter or the sink asks where it is; see `limits_and_source`."""
        asking = [name for name in _OF_TOOL if getattr(self, name)]
        asking += [f"sink {sink}" for sink in (self.sinks or [self.sink]) if sink in TOOL_SINKS]
        if not asking:
            return None
        if self.groups:
            raise ValueError(
                f"{asking[0]}: expected one arm, whose tool it is of, got 'groups' "
                f"{[*dict.fromkeys(self.groups)]}"
            )
        scale = [UNITS[unit][1] for unit in self.units]
        try:
            return ToolFrame(self.tool(self.urdf), self.joints, description, scale)
        except ValueError as error:
            raise ValueError(f"{asking[0]}: {error}") from None

    def tool_limits(self, tool: ToolFrame | None, limits: Limits) -> ToolLimits | None:
        """What the tool keeps to; limits: of the joints."""
        if tool is None:
            return None
        space = workspace(self.workspace_lower, self.workspace_upper, self.keep_out)
        rates = (tuple(getattr(self, name)) or (np.inf, np.inf) for name in _OF_TOOL[-2:])
        return ToolLimits(tool, limits, space, *rates)

    def joint_groups(self) -> tuple[JointGroup, ...]:
        """The joints that have controllers of their own."""
        return joint_groups(self.joints, self.groups, self.gripper_joint, self.gripper_joints)

    def group_sinks(self) -> list[tuple[JointGroup, str]]:
        """The groups, and the kind of sink of each."""
        groups = self.joint_groups()
        return [*zip(groups, self.sinks or [self.sink] * len(groups), strict=True)]

    def gripper_ends(self) -> dict[str, tuple[float, float]]:
        """What each gripper says when open and when closed, by its joint."""
        groups = self.joint_groups()
        opened = self.grippers_open or [self.gripper_open] * len(groups)
        closed = self.grippers_closed or [self.gripper_closed] * len(groups)
        ends = zip(groups, opened, closed, strict=True)
        return {group.gripper: (first, last) for group, first, last in ends if group.gripper}

    def gripper(self, group: JointGroup) -> GripperSettings:
        """The way to the gripper of a group."""
        return GripperSettings(
            self.gripper_output,
            group.gripper,
            group.named(self.gripper_action),
            self.gripper_effort,
            self.gripper_timeout,
            group.name,
        )

    def rules(self) -> PlaybackRules:
        """The settings of the player that may change while it runs."""
        return PlaybackRules(
            self.blend_rows, self.watchdog_rows, self.max_jump, self.clip, self.smooth_rows
        )
