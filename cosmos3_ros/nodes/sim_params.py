# SPDX-License-Identifier: Apache-2.0
"""The parameters of the simulation's node."""

from __future__ import annotations

import dataclasses

from ..model.option_fields import check, param
from ..sim.real_time_pace import TICKS_PER_SECOND
from ..sim.scene_file.schema import read_scene
from ..sim.tasks import arrange, instruction


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the simulation."""

    scene: str = param(
        "", "scene file with a robot and cameras of its own (YAML); empty: DROID's robot"
    )
    env: str = param(
        "",
        "world to play in place of the embedded simulation, as `cosmos3 eval --env` has it "
        "(executable `world`): metaworld, gym:ID, sim or that of another package; empty: none",
    )
    protocol: str = param("", "with env: one of the world's protocols; empty: its first")
    task: str = param("reach", "task of the first episode")
    seed: int = param(0, "seed of the first episode; it decides everything about the scene")
    wording: int = param(0, "which of a task's wordings the instruction has; 0: the usual one")
    distractors: int = param(2, "the most cubes in a scene that its task does not need, 0 to 2")
    image_height: int = param(180, "height of the camera images [pixels]")
    image_width: int = param(320, "width of the camera images [pixels]")
    camera_rate: float = param(
        15.0, "images per second of each camera [Hz]; a divisor of 120, or of env's steps"
    )
    joint_rate: float = param(
        60.0, "joint states per second [Hz]; a divisor of 120, or of env's steps"
    )
    jpeg_quality: int = param(90, "quality of the compressed images, 1 to 100")
    interpolate_from_desired_state: bool = param(
        True,
        "as in joint_trajectory_controller: bridge to a trajectory from the last set point, not "
        "from the measurement",
    )
    publish_clock: bool = param(
        False, "publish /clock and stamp everything with simulated time; false: system time"
    )
    real_time_factor: float = param(
        1.0, "simulated seconds per second; 0: as fast as possible; not 1 needs publish_clock"
    )

    def __post_init__(self) -> None:
        check(self)
        for name in ("image_height", "image_width"):
            if not 16 <= getattr(self, name) <= 4096:
                raise ValueError(
                    f"parameter {name!r}: expected 16 to 4096 pixels, got {getattr(self, name)}"
                )
        if not self.env:
            self.check_rates(TICKS_PER_SECOND)
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(
                f"parameter 'jpeg_quality': expected 1 to 100, got {self.jpeg_quality}"
            )
        if self.real_time_factor < 0 or (self.real_time_factor != 1.0 and not self.publish_clock):
            expected = "expected 1.0 without publish_clock, else >= 0"
            raise ValueError(
                f"parameter 'real_time_factor': {expected}, got {self.real_time_factor}"
            )
        if self.env and self.scene:
            raise ValueError(
                f"parameter 'env' is {self.env!r} and 'scene' {self.scene!r}: expected one of them"
            )
        if self.protocol and not self.env:
            raise ValueError(
                f"parameter 'protocol': expected '' without env, got {self.protocol!r}"
            )
        if self.env:  # only who has it knows its tasks
            return
        if self.scene:
            read_scene(self.scene).task(self.task)
            return
        instruction(self.task, arrange(self.task, self.seed, self.distractors), self.wording)

    def check_rates(self, ticks: int) -> None:
        """ValueError unless pictures and joint states come at some of these ticks of a second."""
        for name in ("camera_rate", "joint_rate"):
            if getattr(self, name) <= 0 or ticks % getattr(self, name):
                raise ValueError(
                    f"parameter {name!r}: expected a divisor of {ticks} Hz, got "
                    f"{getattr(self, name)}"
                )
