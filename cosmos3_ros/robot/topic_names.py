# SPDX-License-Identifier: Apache-2.0
"""Names of the topics that recordings are made of, apart from `topics`: reading a bag needs no ROS."""

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


def camera(view: str, transport: str) -> str:
    """The image topic of one view; transport is "raw" or "compressed"."""
    return f"camera/{view}/image_raw" + "/compressed" * (transport == "compressed")
