# SPDX-License-Identifier: Apache-2.0
"""What would be seen if a candidate were played from a frame of a clip, without a running robot."""

from __future__ import annotations

import typing
from collections.abc import Mapping

import numpy as np

from ...execution.candidates.candidate import Candidate, CandidateReader
from ...model.embodiment import JOINTS, Embodiment
from ...model.embodiment.agreement import contradiction
from ...model.embodiment.plausibility import check_states
from ...model.interface import NS, ForwardDynamics, Future, Observation
from ...model.option_fields import coerce
from ...robot.kinematics.tool_map import ToolMap
from ...robot.kinematics.tool_params import ToolActionParams
from ...robot.recorded_robot import read_robot
from ...robot.robot_file import find_robot_file, read_parameters, urdf_of
from .sources import SourceClip, check_start


def read_body(robot: str, embodiment: Embodiment) -> CandidateReader:
    """The joints of a robot file, by name or path, as its policy node would have them.

    ValueError if it is for another embodiment, or does not describe the tool that is needed.
    """
    about, path = read_robot(robot), find_robot_file(robot)
    if why := contradiction(embodiment, about.embodiment):
        raise ValueError(
            f"robot file {robot} is for {about.embodiment.name}, not {embodiment.name}: {why}"
        )
    given = read_parameters(path, "policy")
    given["urdf"] = urdf_of(path, given.get("urdf", "")) or given.get("urdf", "")
    kinds = typing.get_type_hints(ToolActionParams)
    known = {name: coerce(name, kinds[name], given[name]) for name in kinds if name in given}
    params = ToolActionParams(**known)
    tool = None if embodiment.kind == JOINTS else ToolMap(embodiment, about.joints, params)
    return CandidateReader(embodiment, about.joints, tuple(params.lower), tuple(params.upper), tool)


def imagine_from(
    policy: ForwardDynamics,
    reader: CandidateReader,
    clip: SourceClip,
    candidate: Candidate,
    start: Mapping[str, float],
) -> tuple[Future, str]:
    """The clip that follows the first frame, and how the candidate was read.

    start: where joints are then, in the robot's names and units; {}: as the clip says. ValueError
    says what is wrong with the candidate, or that it is not known where the robot is.
    """
    embodiment, episode = policy.embodiment, clip.episode
    joints = _start(reader, clip, start)
    state = reader.tool.state(joints) if reader.tool else joints.astype(np.float32)
    images = {view: frames[0] for view, frames in episode.views.items()}
    stamp = int(clip.stamps[0])
    chunk = reader.chunk(candidate, joints, stamp)
    observation = Observation(images, state, episode.instructions[0], stamp)
    future = policy.decode(policy.imagine(observation, chunk))
    seconds = embodiment.horizon * chunk.step / NS
    return future, candidate.note(reader.robot.joints, seconds)


def _start(reader: CandidateReader, clip: SourceClip, start: Mapping[str, float]) -> np.ndarray:
    """Where the joints are in the first frame, in rad, m and 0 .. 1, float64 [D]."""
    names = reader.robot.joints
    if not start:
        if reader.tool:
            raise ValueError(
                f"{clip.name}: {reader.embodiment.name} knows the tool, not the joints; say with "
                f"--at where each is: {', '.join(names)}"
            )
        check_start(clip, reader.embodiment)
        return clip.episode.states[0].astype(np.float64)
    if start.keys() != set(names):
        raise ValueError(f"--at: expected each of {[*names]}, got {[*start]}")
    row = np.array([start[name] for name in names])
    reader.robot.check_grippers(row)
    joints = reader.robot.to_policy(row)
    try:
        check_states(joints, reader.robot.columns if reader.tool else reader.embodiment.state)
    except ValueError as error:
        raise ValueError(f"--at: {error}") from None
    return joints
