# SPDX-License-Identifier: Apache-2.0
"""Names of the topics that recordings hold. No ROS: bags are read without it."""

JOINT_STATES = "joint_states"
ODOMETRY = "odom"  # of robots with a mobile base
INSTRUCTION = "cosmos3/instruction"
ACTION_CHUNK = "cosmos3/action_chunk"
COMMAND = "cosmos3/command"
COMMANDER_STATUS = "cosmos3/commander_status"
TRAJECTORY = "arm_controller/joint_trajectory"
GRIPPER = "gripper_controller/commands"
POSITIONS = "arm_position_controller/commands"
JOINT_COMMAND = "joint_command"
SIM_STATUS = "sim/status"
FUTURE = "cosmos3/future"
SCENE = "cosmos3/scene"
SURPRISE = "cosmos3/surprise"
PATH = "cosmos3/path"

# where recorded commands are looked for, those that a controller got first: a later topic counts
# for the joints that no earlier one names
COMMANDS = (TRAJECTORY, POSITIONS, JOINT_COMMAND, GRIPPER, COMMAND, ACTION_CHUNK)
# of controllers: where joints have controllers of their own, the name of their group comes before
OF_GROUPS = frozenset((TRAJECTORY, POSITIONS, JOINT_COMMAND, GRIPPER))
HEARD = (JOINT_STATES, INSTRUCTION, SIM_STATUS, COMMANDER_STATUS)
# of no use to a training, but to those who look at a recording
SHOWN = (FUTURE, SCENE, PATH, SURPRISE)
RECORDED = (*HEARD, ODOMETRY, *COMMANDS, *SHOWN)  # beside cameras


def command(name: str) -> str:
    """Which of COMMANDS a topic of commands is, whatever group it is of; KeyError if none."""
    for known in COMMANDS:
        if name == known or (known in OF_GROUPS and name.endswith(f"/{known}")):
            return known
    raise KeyError(name)


def camera(view: str, transport: str) -> str:
    """The image topic of one view; transport is "raw" or "compressed"."""
    return f"camera/{view}/image_raw" + "/compressed" * (transport == "compressed")
