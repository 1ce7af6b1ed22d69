# SPDX-License-Identifier: Apache-2.0
"""Names of the topics that recordings hold. No ROS: bags are read without it."""

JOINT_STATES = "joint_states"
INSTRUCTION = "cosmos3/instruction"
ACTION_CHUNK = "cosmos3/action_chunk"
COMMAND = "cosmos3/command"
COMMANDER_STATUS = "cosmos3/commander_status"
TRAJECTORY = "arm_controller/joint_trajectory"
GRIPPER = "gripper_controller/commands"
POSITIONS = "arm_position_controller/commands"
JOINT_COMMAND = "joint_command"
SIM_STATUS = "sim/status"

# where recorded commands are looked for, those that a controller got first: a later topic counts
# for the joints that no earlier one names
COMMANDS = (TRAJECTORY, POSITIONS, JOINT_COMMAND, GRIPPER, COMMAND, ACTION_CHUNK)
RECORDED = (JOINT_STATES, INSTRUCTION, SIM_STATUS, COMMANDER_STATUS, *COMMANDS)  # beside cameras


def camera(view: str, transport: str) -> str:
    """The image topic of one view; transport is "raw" or "compressed"."""
    return f"camera/{view}/image_raw" + "/compressed" * (transport == "compressed")
