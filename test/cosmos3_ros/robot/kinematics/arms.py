# SPDX-License-Identifier: Apache-2.0
"""Robot descriptions of the tests of kinematics, and random paths of their tools."""

from pathlib import Path

import numpy as np

from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings

PANDA = Path(__file__).parents[4] / "config" / "urdf" / "droid_sim.urdf"
JOINTS = tuple(f"panda_joint{number}" for number in range(1, 8))
HOME = np.array([0.0, -0.63, 0.0, -2.51, 0.0, 1.88, 0.0])
# An arm of six axes with the wrist of most of them: its last three meet in a point.
_SIX = (
    ("a", "0 0 0.4", "0 0 1"),
    ("b", "0.1 0 0", "0 1 0"),
    ("c", "0 0 0.5", "0 1 0"),
    ("d", "0.2 0 0", "1 0 0"),
    ("e", "0.3 0 0", "0 1 0"),
    ("f", "0.05 0 0", "1 0 0"),
)


def six_axes(kind: str = "revolute", tool: str = "0.1 0 0") -> str:
    """A URDF: links base, link_a .. link_f, tool; kind: of the last joint."""
    links = "".join(f"<link name='link_{name}'/>" for name, *_ in _SIX)
    joints, parent = "", "base"
    for name, place, axis in _SIX:
        joints += (
            f"<joint name='{name}' type='{kind if name == 'f' else 'revolute'}'>"
            f"<parent link='{parent}'/><child link='link_{name}'/><origin xyz='{place}'/>"
            f"<axis xyz='{axis}'/><limit lower='-2.5' upper='2.5' velocity='2' effort='1'/></joint>"
        )
        parent = f"link_{name}"
    fixed = (
        "<link name='tool'/><joint name='tool_joint' type='fixed'><parent link='link_f'/>"
        f"<child link='tool'/><origin xyz='{tool}'/></joint>"
    )
    return f"<robot name='six'><link name='base'/>{links}{joints}{fixed}</robot>"


def panda(tool: str = "panda_tcp") -> ToolFrame:
    """The simulated arm."""
    return ToolFrame(ToolSettings(str(PANDA), tool), JOINTS)


def six(kind: str = "revolute") -> ToolFrame:
    """The arm of six axes."""
    return ToolFrame(ToolSettings("six.urdf", "tool"), tuple("abcdef"), six_axes(kind))


def way(begin: np.ndarray, end: np.ndarray, rows: int = 32) -> np.ndarray:
    """Positions [rows, N] from begin to end, at rest at both."""
    share = np.linspace(0, 1, rows + 1)[1:, None]
    return begin + (3 * share**2 - 2 * share**3) * (end - begin)
