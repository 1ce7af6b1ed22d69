# SPDX-License-Identifier: Apache-2.0
"""Where the tool of an arm is."""

from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings

from .arms import JOINTS, PANDA, panda, six, six_axes

pytest.importorskip("pinocchio")


def test_the_simulated_arm_and_its_description_are_the_same_arm() -> None:
    from cosmos3_ros.sim.world import World

    world, rng = World("cubes"), np.random.default_rng(0)
    from cosmos3_ros.sim.gl import mujoco

    tool = panda()
    base = world.data.body("panda_link0").xpos.copy()
    for _ in range(20):
        joints = rng.uniform(tool.lower, tool.upper)
        world.data.qpos[world.arm_q] = joints
        mujoco.mj_kinematics(world.model, world.data)
        base = world.data.body("panda_link0").xpos
        pose = tool.pose(joints)
        assert np.allclose(pose[:3, 3], world.tool() - base, atol=1e-6)
        assert np.allclose(pose[:3, :3], world.tool_rotation(), atol=1e-6)


def test_joints_come_in_any_order_and_poses_from_any_fixed_frame() -> None:
    text, at = six_axes(), np.array([0.1, -0.4, 0.3, 0.5, -0.6, 0.7])
    straight = six().pose(at)
    order = [3, 0, 5, 1, 4, 2]
    turned = ToolFrame(ToolSettings("", "tool"), [*"dafbec"], text)
    assert np.allclose(turned.pose(at[order]), straight)
    assert np.allclose(turned.jacobian(at[order]), six().jacobian(at)[:, order])
    stand = text.replace("<link name='base'/>", "<link name='base'/><link name='world'/>").replace(
        "</robot>",
        "<joint name='stand' type='fixed'><parent link='world'/><child link='base'/>"
        "<origin xyz='1 2 3'/></joint></robot>",
    )
    seen = [ToolFrame(ToolSettings("", "tool", b), [*"abcdef"], stand) for b in ("base", "world")]
    assert np.allclose(seen[0].pose(at), straight)
    assert np.allclose(seen[1].pose(at)[:3, 3] - straight[:3, 3], [1, 2, 3])


def test_the_twist_is_how_the_pose_changes() -> None:
    tool, rng = six("continuous"), np.random.default_rng(1)
    for _ in range(10):
        at, speed = rng.uniform(-2, 2, 6), rng.uniform(-1, 1, 6)
        before, after = tool.pose(at - 1e-6 * speed), tool.pose(at + 1e-6 * speed)
        twist = tool.twist(at, speed)
        assert np.allclose((after - before)[:3, 3] / 2e-6, twist[:3], atol=1e-6)
        turn = (after[:3, :3] - before[:3, :3]) / 2e-6 @ tool.pose(at)[:3, :3].T
        assert np.allclose([turn[2, 1], turn[0, 2], turn[1, 0]], twist[3:], atol=1e-6)


def test_a_joint_without_end_turns_on() -> None:
    tool, at = six("continuous"), np.array([0.1, -0.4, 0.3, 0.5, -0.6, 0.7])
    assert np.isinf(tool.upper).tolist() == [False] * 5 + [True]
    assert np.allclose(tool.pose(at + 6 * np.pi * np.eye(6)[5]), tool.pose(at))


@pytest.mark.parametrize(
    ("settings", "joints", "words"),
    [
        (("tol",), "abcdef", r"'tool_frame' is 'tol', but .* has the frames \['base', 'a', "),
        (("tool", "floor"), "abcdef", "'base_frame' is 'floor', but"),
        (("tool",), "abcdeg", r"lacks the joints \['g'\]"),
        (("tool",), "abce", r"'tool' is moved by \['d', 'f'\] in .* which 'joints' .* lacks"),
        (("tool", "link_b"), "abcdef", r"base_frame 'link_b' is moved by \['a', 'b'\]"),
        (("link_a",), "bcdef", r"'link_a' is moved by \['a'\] in"),
    ],
)
def test_what_does_not_fit_is_said(settings: tuple[str, ...], joints: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ToolFrame(ToolSettings("six.urdf", *settings), [*joints], six_axes())


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"robot description '.*no.urdf' cannot be read"):
        ToolFrame(ToolSettings(str(tmp_path / "no.urdf"), "tool"), ["a"])
    loop = "<link name='x'/><link name='y'/>"
    broken = PANDA.read_text().replace("</robot>", f"{loop}</robot>")
    with pytest.raises(ValueError, match=r"robot description 'p\.urdf': "):
        ToolFrame(ToolSettings("p.urdf", "panda_tcp"), JOINTS, broken)


def test_without_pinocchio_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pinocchio", None)
    with pytest.raises(ValueError, match=r"'panda_tcp' needs pinocchio, .*: pip install pin"):
        panda()
