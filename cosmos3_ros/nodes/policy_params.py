# SPDX-License-Identifier: Apache-2.0
"""The parameters of the policy node."""

from __future__ import annotations

import dataclasses

from ..execution.replanner import ReplanRules
from ..execution.strategies import CHOICES, DEFAULT, STRATEGIES, find_strategy
from ..model.embodiment import find_embodiment
from ..model.model_params import PolicyModelParams
from ..model.option_fields import check_choice, param
from ..robot.joint_map import of_grippers
from ..robot.kinematics.tool_params import ToolActionParams
from ..ros.lifecycle import LifecycleParams
from ..ros.topics import IMAGE_RELIABILITY, RELIABILITIES
from ..serve.auth import read_token
from ..serve.clients.policy_client import RemotePolicy
from ..serve.clients.policy_dialects import AUTO
from ..serve.clients.policy_dialects import CHOICES as DIALECTS
from .surprise.surprise_params import SurpriseParams


@dataclasses.dataclass(frozen=True)
class Params(PolicyModelParams, LifecycleParams, ToolActionParams, SurpriseParams):
    """Parameters of the policy node."""

    instruction: str = param(
        "", "what to do, in words; empty: wait for the topic cosmos3/instruction", live=True
    )
    joints: list[str] = param(
        [],
        "robot joint of each state column, as in joint_states, in the embodiment's order; where it "
        "acts by poses or twists: the arm's joints and the gripper's",
    )
    gripper_joint: str = param("", "the one of `joints` that is the gripper; empty: none")
    gripper_open: float | None = param(
        None, "position of gripper_joint when open; auto: as the embodiment has it"
    )
    gripper_closed: float | None = param(
        None, "position of gripper_joint when closed; auto: as the embodiment has it"
    )
    gripper_joints: list[str] = param(
        [], "with several grippers in place of gripper_joint: those of `joints` that are grippers"
    )
    grippers_open: list[float] = param(
        [], "position of each of gripper_joints when open; empty: as the embodiment has them"
    )
    grippers_closed: list[float] = param(
        [], "position of each of gripper_joints when closed; empty: as the embodiment has them"
    )
    mobile_base: list[str] = param(
        [],
        "those of `joints` that are velocities of a mobile base, as odom measures them: forward, "
        "to the left, turning to the left; '' for what it cannot do; empty: no base",
    )
    vehicle_frame: str = param(
        "",
        "frame of a vehicle whose poses the embodiment's rows are (av): they go to "
        "cosmos3/trajectory, no chunk to cosmos3/action_chunk; empty: a robot with joints",
    )
    units: list[str] = param(
        [], "rad, deg, m or mm of each of `joints`; empty: as the embodiment has them"
    )
    led_joints: list[str] = param(
        [],
        "robot joint of each action column, where an embodiment leads others than it measures; "
        "empty: those of `joints`",
    )
    check_observation: bool = param(
        True,
        "refuse an episode's first observation if it cannot be of the embodiment: degrees in place "
        "of rad, a gripper out of its range, one picture from two cameras",
        live=True,
    )
    image_transport: str = param("raw", "raw or compressed")
    image_reliability: str = param("best_effort", IMAGE_RELIABILITY)
    max_age: float = param(0.5, "refuse to infer from anything older than this [s]")
    max_skew: float = param(
        0.05,
        "refuse to infer from views and joint states further apart than this; longer gaps between "
        "joint states are not interpolated [s]",
    )
    strategy: str = param(DEFAULT, f"how one chunk follows another: {CHOICES}", live=True)
    execution_horizon: int = param(
        8,
        "rows of a chunk to execute before the next takes over, if the network is fast enough; "
        "0: all",
        live=True,
    )
    margin_rows: int = param(
        2,
        "begin the next chunk so that in 95 of 100 cases this many of those rows are left when it "
        "comes",
        live=True,
    )
    pause_simulation: bool = param(
        False,
        "pause a simulation during each inference: call set_simulation_state of "
        "simulation_interfaces",
    )
    future_rate: float = param(2.0, "at most this many predicted futures per second [Hz]")
    imagine_patience: float = param(
        2.0,
        "~/imagine, ~/infer_actions, ~/generate_video: give up if there is no time for it between "
        "two chunks for so long [s]",
    )
    recent_seconds: float = param(
        0.0,
        "pictures of the last seconds are kept for ~/infer_actions, at most two a row of the model "
        "of each view; 0: it is not offered [s]",
        minimum=0,
        maximum=60,
    )
    generate_frames: int = param(
        0,
        "most frames of a video of ~/generate_video, 4 k + 1; one of that length is made at "
        "configure, to see that memory suffices; 0: it is not offered",
        minimum=0,
    )
    policy_url: str = param(
        "",
        "policy server to ask, ws(s)://HOST:PORT, in place of a checkpoint; no weights are loaded "
        "then, and how it samples is the server's to say",
    )
    policy_dialect: str = param(
        AUTO, f"how the server is asked: {', '.join(DIALECTS[1:])}; auto: as it greets"
    )
    policy_token_file: str = param(
        "", "file with the policy server's token in its first line; empty: none is sent"
    )
    policy_timeout: float = param(
        5.0, "give up what the policy server has not answered after this [s]"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_tool()
        self.check_surprise()
        asked = [name for name in ("recent_seconds", "generate_frames") if getattr(self, name)]
        if self.vehicle_frame and asked:
            raise ValueError(
                f"parameter {asked[0]!r}: expected 0 with vehicle_frame, nothing is asked of those"
            )
        for name, choices in (
            ("image_transport", ("raw", "compressed")),
            ("image_reliability", tuple(RELIABILITIES)),
            ("strategy", STRATEGIES),
            ("policy_dialect", DIALECTS),
        ):
            check_choice(name, getattr(self, name), choices)
        for name in ("max_age", "max_skew", "future_rate", "imagine_patience", "policy_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected a positive number, got {getattr(self, name)}"
                )
        for name in ("execution_horizon", "margin_rows"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"parameter {name!r}: expected 0 or more, got {getattr(self, name)}"
                )

    def remote(self) -> RemotePolicy | None:
        """The policy server to ask, if there is one.

        ValueError or OSError says what is wrong with its parameters.
        """
        if not self.policy_url:
            return None
        if not self.embodiment:
            raise ValueError(
                "parameter 'embodiment': expected what the policy server's rows are for, got '' "
                "(only a checkpoint has its own)"
            )
        return RemotePolicy(
            self.policy_url,
            find_embodiment(self.embodiment),
            self.policy_dialect,
            read_token(self.policy_token_file) if self.policy_token_file else "",
            self.policy_timeout,
            self.horizon,
            self.soft_rows,
        )

    def grippers(self) -> tuple[list[str], list[float], list[float]]:
        """The joints that are grippers, and what each says when open and when closed, see above."""
        return (
            of_grippers("gripper_joint(s)", self.gripper_joint, self.gripper_joints),
            of_grippers("gripper(s)_open", self.gripper_open, self.grippers_open),
            of_grippers("gripper(s)_closed", self.gripper_closed, self.grippers_closed),
        )

    def plan(self, most: int = 0) -> ReplanRules:
        """How chunks follow each other; most: rows of one that are executed, 0: as many as say."""
        rows = self.execution_horizon
        rows = min(rows or most, most) if most else rows
        return ReplanRules(find_strategy(self.strategy), rows, self.margin_rows, self.soft_rows)
