# SPDX-License-Identifier: Apache-2.0
"""The robot description of the embedded arm is its MJCF: kinematics, linkage, visuals."""

import importlib.util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MESHES = ROOT / "sim" / "assets" / "droid_robot" / "assets"

pytest.importorskip("pinocchio")
if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.sim.gl import mujoco  # noqa: E402  chooses the backend for all tests


@pytest.fixture(scope="module")
def tool() -> Any:
    return importlib.import_module("mjcf_to_urdf")


class Both:
    """The arm in MuJoCo and in pinocchio; joints by their names in the MJCF."""

    def __init__(self, tool: Any) -> None:
        import pinocchio

        self.pin, self.names = pinocchio, tool.DROID.joints
        self.mj = mujoco.MjModel.from_xml_path(str(tool.MODEL))
        self.data = mujoco.MjData(self.mj)
        self.model = pinocchio.buildModelFromUrdf(str(tool.PAGE))
        self.there = self.model.createData()

    def place(self, positions: dict[str, float]) -> None:
        configuration = self.pin.neutral(self.model)
        for name, position in positions.items():
            self.data.joint(name).qpos[0] = position
            joint = self.model.getJointId(self.names.get(name, f"panda_{name}"))
            configuration[self.model.joints[joint].idx_q] = position
        mujoco.mj_kinematics(self.mj, self.data)
        self.pin.framesForwardKinematics(self.model, self.there, configuration)

    def link(self, name: str) -> np.ndarray:
        return self.there.oMf[self.model.getFrameId(f"panda_{name}")].homogeneous


def test_the_file_is_what_the_tool_writes(tool: Any) -> None:
    assert tool.PAGE.read_text() == tool.page(), "run: python tools/mjcf_to_urdf.py"


def test_every_link_is_where_mujoco_has_the_body(tool: Any) -> None:
    both, random = Both(tool), np.random.default_rng(0)
    still = [name for name, mimic in tool.DROID.mimics.items() if mimic is None]
    moving = [both.mj.joint(number) for number in range(both.mj.njnt)]
    moving = [joint for joint in moving if joint.name not in still]
    bodies = [both.mj.body(number) for number in range(1, both.mj.nbody)]
    for _ in range(50):
        both.place({joint.name: random.uniform(*joint.range) for joint in moving})
        for body in bodies:
            link, state = both.link(body.name), both.data.body(body.name)
            first = int(body.jntadr[0])
            # a link's frame is at its joint
            anchor = both.mj.jnt_pos[first] if first >= 0 else np.zeros(3)
            turned = state.xmat.reshape(3, 3)
            assert np.abs(link[:3, :3] - turned).max() < 1e-6, body.name
            assert np.abs(link[:3, 3] - state.xpos - turned @ anchor).max() < 1e-6, body.name
        tcp, site = both.link("tcp"), both.data.site("tcp")
        assert np.abs(tcp[:3, 3] - site.xpos).max() < 1e-6
        assert np.abs(tcp[:3, :3] - site.xmat.reshape(3, 3)).max() < 1e-6


def test_the_linkage_of_the_gripper_is_what_physics_makes_of_it(tool: Any) -> None:
    both = Both(tool)
    followers = {name: rule for name, rule in tool.DROID.mimics.items() if name != "finger_joint"}
    for command in (60.0, 250.0):
        both.data.ctrl[both.mj.actuator("fingers_actuator").id] = command
        mujoco.mj_step(both.mj, both.data, nstep=1500)
        finger = both.data.joint("right_driver_joint").qpos[0]
        assert finger > command / 255 * 0.75  # it has closed
        for name, rule in followers.items():
            factor = rule[1] if rule else 0.0
            assert abs(both.data.joint(name).qpos[0] - factor * finger) < 5e-3, name


def test_visuals_are_files_that_are_installed() -> None:
    robot = ElementTree.parse(ROOT / "config/urdf/droid_sim.urdf").getroot()
    named = {mesh.get("filename") for mesh in robot.iter("mesh")}
    assert named == {f"package://cosmos3_ros/meshes/{p.name}" for p in MESHES.glob("v_*.stl")}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<joint name="a"/><joint name="b"/>', r"body arm: expected one joint at most, got \['a'"),
        ('<joint name="a" type="ball"/>', "joint a: expected a hinge or a slide, got mjJNT_BALL"),
        (
            '<geom name="g" type="ellipsoid" size="1 1 1" group="2"/>',
            "geom 'g' of link panda_arm: expected a mesh, box, sphere or cylinder, got ellipsoid",
        ),
    ],
)
def test_what_a_urdf_cannot_say_is_refused(tool: Any, body: str, words: str) -> None:
    inner = f'<body name="arm">{body}<geom size="0.1"/></body>'
    text = f'<mujoco><worldbody><body name="base">{inner}</body></worldbody></mujoco>'
    with pytest.raises(ValueError, match=words):
        tool.describe(mujoco.MjSpec.from_string(text), tool.DROID)
