# SPDX-License-Identifier: Apache-2.0
"""The robots the model knows: cameras, state and action columns, units, rate, normalization.

Outside the model every embodiment speaks robot units: rad, m, unit quaternions (x, y, z, w),
gripper 0 = open to 1 = closed. `Embodiment.encode_*` and `decode_actions` translate to and from the
model's own rows. numpy only.
"""

from __future__ import annotations

import dataclasses

from ..arrays import NS
from .canvas import Canvas, Panel
from .spec import POSES, TWISTS, Column, Embodiment, Normalization


def find_embodiment(name: str) -> Embodiment:
    """The embodiment of this name; ValueError lists the known ones."""
    if name not in EMBODIMENTS:
        raise ValueError(f"embodiment: unknown {name!r}, expected one of {sorted(EMBODIMENTS)}")
    return EMBODIMENTS[name]


def droid_image_name(view: str, first: int = 1) -> str:
    """DROID's name for the image of a view; views that DROID does not have keep their names.

    first: DROID's number of exterior_1, which some of its releases count from 0.
    """
    if view == "wrist":
        return "wrist_image_left"
    kind, _, number = view.partition("_")
    if kind != "exterior" or not number.isdecimal():
        return view
    return f"exterior_image_{first + int(number) - 1}_left"


def single_view(
    view: str, composite: tuple[int, int], content: tuple[int, int], size: tuple[int, int]
) -> Canvas:
    """A canvas with one camera that fills it."""
    return Canvas((Panel(view, 0, 0, *composite),), composite, content, size)


GRIPPER = Column("gripper", "0 open .. 1 closed", gripper=True)
ARM = (*(Column(f"panda_joint{number}", "rad") for number in range(1, 8)), GRIPPER)
SIX = (*(Column(f"joint_{number}", "rad") for number in range(1, 7)), GRIPPER)
POSE = (*(Column(axis, "m") for axis in "xyz"), *(Column(f"q{axis}", "") for axis in "xyzw"))
TWIST = (
    *(Column(f"d{axis}", "controller") for axis in "xyz"),
    *(Column(f"r{axis}", "controller") for axis in "xyz"),
)

_DROID_CANVAS = Canvas(
    (
        Panel("wrist", 0, 0, 360, 640),
        Panel("exterior_1", 360, 0, 180, 320),
        Panel("exterior_2", 360, 320, 180, 320),
    ),
    composite=(540, 640),
    content=(540, 640),
    size=(544, 736),
)
_DROID_VIEWS = (
    "The top row is from the wrist-mounted camera. The bottom row contains two horizontally "
    "concatenated third-person perspective views of the scene from opposite sides, with the "
    "robot visible."
)

DROID_JOINT_POS = Embodiment(
    name="droid_joint_pos",
    domain="droid_lerobot",
    domain_id=8,
    canvas=_DROID_CANVAS,
    state=ARM,
    action=ARM,
    step=round(NS / 15),
    horizon=32,
    state_row=True,
    viewpoint="concat_view",
    view_description=_DROID_VIEWS,
)
DROID_MIDTRAIN = dataclasses.replace(
    DROID_JOINT_POS,
    name="droid_midtrain",
    kind=POSES,
    state=(*POSE, GRIPPER),
    action=(*POSE, GRIPPER),
    tool_rotation=((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
)
# The simulated arm of this package: DROID's robot and views on a canvas small enough for a CPU,
# every panel a whole number of 32-pixel tokens; joint rows count from the state, in units of their
# spread in demonstrations, because a small network has to spend its precision on the motion.
DROID_SIM = dataclasses.replace(
    DROID_JOINT_POS,
    name="droid_sim",
    canvas=Canvas(
        (
            Panel("wrist", 0, 0, 96, 192),
            Panel("exterior_1", 96, 0, 64, 96),
            Panel("exterior_2", 96, 96, 64, 96),
        ),
        composite=(160, 192),
        content=(160, 192),
        size=(160, 192),
        smooth=True,
    ),
    horizon=16,
    relative=True,
    normalization=Normalization(
        "mean_std",
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5),
        (0.06, 0.18, 0.06, 0.12, 0.06, 0.17, 0.17, 0.5),
    ),
    state_normalization=Normalization(
        "mean_std",
        (0.02, 0.0, -0.04, -2.45, 0.0, 2.46, -0.34, 0.5),
        (0.15, 0.3, 0.15, 0.24, 0.1, 0.22, 0.6, 0.5),
    ),
)
# A six-axis arm with a gripper and DROID's camera places, for those who train on their own. No
# released checkpoint was; its action head is one that no released embodiment uses.
SIX_AXIS = dataclasses.replace(
    DROID_JOINT_POS, name="six_axis", domain="six_axis", domain_id=10, state=SIX, action=SIX
)
# One exterior camera of the same robot, for recordings that have no more. No released checkpoint
# was trained on it.
DROID_SINGLE_VIEW = dataclasses.replace(
    DROID_SIM,
    name="droid_single_view",
    canvas=dataclasses.replace(
        single_view("exterior_1", (144, 256), (144, 256), (144, 256)), smooth=True
    ),
    viewpoint="third_person_view",
    view_description="",
)
LIBERO = Embodiment(
    name="libero",
    domain="libero",
    domain_id=5,
    canvas=Canvas(
        (Panel("agentview", 0, 0, 256, 256), Panel("wrist", 0, 256, 256, 256)),
        (256, 512),
        (160, 320),
        (192, 320),
    ),
    state=(),
    action=(*TWIST, GRIPPER),
    step=NS // 20,
    horizon=16,
    kind=TWISTS,
    normalization=Normalization(
        "quantile",
        (
            -0.723214,
            -0.808929,
            -0.9375,
            0.934955,
            -0.223431,
            -0.189878,
            -0.334735,
            0.938516,
            -0.107736,
            0.0,
        ),
        (0.9375, 0.870536, 0.9375, 1.0, 0.331, 0.163153, 0.226216, 1.0, 0.127158, 1.0),
        floor=1e-6,
    ),
    viewpoint="concat_view",
    idle_frames=True,
)
BRIDGE = Embodiment(
    name="bridge",
    domain="bridge_orig_lerobot",
    domain_id=7,
    canvas=single_view("image", (480, 640), (240, 320), (256, 320)),
    state=(*POSE, GRIPPER),
    action=(*POSE, GRIPPER),
    step=NS // 5,
    horizon=16,
    kind=POSES,
    normalization=Normalization(
        "quantile",
        (
            -0.038884,
            -0.028667,
            -0.03784,
            0.976292,
            -0.163098,
            -0.081545,
            -0.160193,
            0.976322,
            -0.078872,
            0.0,
        ),
        (0.039722, 0.029068, 0.026702, 1.0, 0.160195, 0.081655, 0.163227, 1.0, 0.095189, 1.0),
    ),
    tool_rotation=((0.0, -1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    tool_offset=(0.0, 0.0, 0.093575),
)
UMI = dataclasses.replace(
    BRIDGE,
    name="umi",
    domain="umi",
    domain_id=6,
    canvas=single_view("wrist", (224, 224), (224, 224), (256, 256)),
    step=NS // 10,
    gripper_values=(0.085, 0.0),  # finger distance in m
    normalization=Normalization(
        "quantile",
        (
            -0.035246,
            -0.037122,
            -0.035762,
            0.98405,
            -0.108706,
            -0.065188,
            -0.110908,
            0.982889,
            -0.085106,
            0.0,
        ),
        (0.038095, 0.033082, 0.032447, 1.0, 0.110573, 0.068087, 0.108972, 1.0, 0.089037, 0.096749),
    ),
    tool_rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    tool_offset=(0.0, 0.086, 0.09),
    viewpoint="wrist_view",
)
AV = Embodiment(
    name="av",
    domain="av",
    domain_id=1,
    canvas=single_view("front", (720, 1280), (468, 832), (480, 832)),
    state=(),
    action=POSE,
    step=NS // 10,
    horizon=60,
    kind=POSES,
)
EMBODIMENTS = {
    e.name: e
    for e in (
        DROID_JOINT_POS,
        DROID_MIDTRAIN,
        DROID_SIM,
        DROID_SINGLE_VIEW,
        SIX_AXIS,
        LIBERO,
        BRIDGE,
        UMI,
        AV,
    )
}
