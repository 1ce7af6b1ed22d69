# SPDX-License-Identifier: Apache-2.0
"""Every client's keys lead to the same observation, and what is missing is named."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Observation, Prediction
from cosmos3_ros.serve.clients.policy_dialects import OPENPI, OWN, choose_dialect
from cosmos3_ros.serve.msgpack_codec import pack, unpack
from cosmos3_ros.serve.openpi_messages import metadata, read_observation, rows, split

DROID, SIM, LIBERO = (EMBODIMENTS[name] for name in ("droid_joint_pos", "droid_sim", "libero"))
JOINTS = np.array([0, -0.63, 0, -2.51, 0, 1.88, 0], np.float32)
STATE = {
    "observation/joint_position": JOINTS,
    "observation/gripper_position": np.array([0.25], np.float32),
}
PROMPT = {"prompt": "put the cube in the bowl"}


def picture(seed: int, height: int = 180, width: int = 320) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


WRIST, LEFT, RIGHT = picture(0, 360, 640), picture(1), picture(2)
COMPOSED = np.concatenate([WRIST, np.concatenate([LEFT, RIGHT], axis=1)])
DIALECTS: dict[str, dict[str, Any]] = {
    "RoboLab": {"observation/image": COMPOSED},
    "openpi": {
        "observation/wrist_image_left": WRIST,
        "observation/exterior_image_1_left": LEFT,
        "observation/exterior_image_2_left": RIGHT,
    },
    "RoboArena": {
        "observation/wrist_image_left": WRIST,
        "observation/exterior_image_0_left": LEFT,
        "observation/exterior_image_1_left": RIGHT,
        "observation/cartesian_position": np.zeros(6),
        "session_id": "a",
        "endpoint": "infer",
    },
    "by the embodiment's names": {
        "observation/wrist": WRIST,
        "observation/exterior_1": LEFT,
        "observation/exterior_2": RIGHT,
    },
    "with a history": {
        "observation/wrist_image_left": np.stack([LEFT, LEFT]).repeat(2, 1).repeat(2, 2) * 0
        + WRIST,
        "observation/exterior_image_1_left": np.stack([RIGHT, LEFT]),
        "observation/exterior_image_2_left": np.stack([LEFT, RIGHT]),
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_dialects_say_the_same(dialect: str) -> None:
    seen = read_observation(DIALECTS[dialect] | STATE | PROMPT, DROID)
    assert np.array_equal(
        DROID.compose(seen.images),
        DROID.compose({"wrist": WRIST, "exterior_1": LEFT, "exterior_2": RIGHT}),
    )
    assert np.array_equal(seen.state, np.append(JOINTS, np.float32(0.25)))
    assert seen.instruction == "put the cube in the bowl"


def test_pictures_are_writable_as_torch_wants_them() -> None:
    received = unpack(pack(DIALECTS["RoboArena"] | STATE | PROMPT))
    assert not received["observation/wrist_image_left"].flags.writeable
    assert all(image.flags.writeable for image in read_observation(received, DROID).images.values())


@pytest.mark.parametrize("size", [(540, 640), (1080, 1280), (270, 320)])
def test_a_composed_picture_is_cut_in_proportion(size: tuple[int, int]) -> None:
    views = split(np.zeros((*size, 3), np.uint8), DROID.canvas)
    height, width = size
    assert views["wrist"].shape == (height * 2 // 3, width, 3)
    assert views["exterior_1"].shape == views["exterior_2"].shape == (height // 3, width // 2, 3)


def test_what_comes_from_libero_clients_of_openpi() -> None:
    front, wrist = picture(3, 224, 224), picture(4, 224, 224)
    message = {
        "observation/image": front,
        "observation/wrist_image": wrist,
        "observation/state": np.zeros(8),
    } | PROMPT
    seen = read_observation(message, LIBERO)
    assert np.array_equal(seen.images["agentview"], front)
    assert np.array_equal(seen.images["wrist"], wrist)
    assert seen.state.shape == (0,)


@pytest.mark.parametrize(
    "state",
    [
        {
            "observation/joint_position": JOINTS.astype(np.float64),
            "observation/gripper_position": 0.25,
        },
        {
            "observation/joint_position": JOINTS.tolist(),
            "observation/gripper_position": np.float64(0.25),
        },
        {
            "observation/joint_position": np.stack([JOINTS * 0, JOINTS]),
            "observation/gripper_position": [0.0, 0.25],
        },
        {
            "observation/joint_position": JOINTS,
            "observation/gripper_position": np.array([[0.0], [0.25]]),
        },
        {"observation/state": np.append(JOINTS, 0.25)},
    ],
)
def test_the_newest_state_counts_in_any_form(state: dict[str, Any]) -> None:
    seen = read_observation(DIALECTS["openpi"] | state | PROMPT, DROID)
    assert np.array_equal(seen.state, np.append(JOINTS, np.float32(0.25)))


def test_poses_come_from_their_own_keys() -> None:
    pose = {
        "observation/eef_pos": np.array([0.5, 0.0, 0.3]),
        "observation/eef_quat": np.array([1.0, 0, 0, 0]),
    }
    message = DIALECTS["openpi"] | STATE | pose | PROMPT
    assert read_observation(message, EMBODIMENTS["droid_midtrain"]).state.tolist() == [
        *np.array([0.5, 0, 0.3], np.float32).tolist(),
        *(1.0, 0, 0, 0, 0.25),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"observation/wrist_image_left": None},
            "observation/wrist_image_left: expected a uint8 array",
        ),
        (
            {"observation/wrist_image_left": WRIST / 255},
            "observation/wrist_image_left: expected a uint8 array",
        ),
        (
            {"observation/wrist_image_left": WRIST[:4]},
            "expected sides of 8 to 4096 pixels, got [4, 640, 3]",
        ),
        (
            {"observation/wrist_image_left": np.zeros((8, 5000, 3), np.uint8)},
            "expected sides of 8 to 4096",
        ),
        (
            {"observation/joint_position": JOINTS[:6]},
            "observation/joint_position: expected 7 number(s), got [6]",
        ),
        (
            {"observation/joint_position": "up"},
            "observation/joint_position: expected 7 number(s), got str",
        ),
        ({"observation/joint_position": [[1], [2, 3]]}, "expected 7 number(s), got list"),
        ({"observation/joint_position": np.full(7, np.nan)}, "expected finite values"),
        ({"observation/joint_position": np.full(7, 1e300)}, "expected finite values"),
        ({"observation/joint_position": np.array(["a"] * 7)}, "expected 7 number(s), got <U1"),
        (
            {"observation/gripper_position": np.zeros(0)},
            "observation/gripper_position: expected 1 number(s), got [0]",
        ),
        ({"prompt": ""}, "prompt: expected a sentence of at most 1000 characters, got 0"),
        ({"prompt": "go " * 400}, "got 1199 characters"),
        ({"prompt": 7}, "prompt: expected a sentence of at most 1000 characters, got int"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_computed(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the words are compared below
        read_observation(DIALECTS["openpi"] | STATE | PROMPT | change, DROID)
    assert words in str(caught.value)


@pytest.mark.parametrize("key", [*DIALECTS["openpi"], *STATE, "prompt"])
def test_a_missing_key_is_named(key: str) -> None:
    message = DIALECTS["openpi"] | STATE | PROMPT
    del message[key]
    with pytest.raises(ValueError, match=key):
        read_observation(message, DROID)


def test_a_missing_camera_is_black_only_if_the_server_was_told_so() -> None:
    message = (
        {key: value for key, value in DIALECTS["openpi"].items() if "2" not in key} | STATE | PROMPT
    )
    with pytest.raises(
        ValueError, match=r"expected images \['observation/exterior_image_2_left'\]"
    ):
        read_observation(message, DROID)
    assert not read_observation(message, DROID, black=True).images["exterior_2"].any()
    with pytest.raises(ValueError, match="expected images"):
        read_observation(STATE | PROMPT, DROID, black=True)


def test_a_robot_with_one_camera_needs_no_other() -> None:
    body = EMBODIMENTS["droid_single_view"]
    seen = read_observation({"observation/exterior_image_1_left": LEFT} | STATE | PROMPT, body)
    assert list(seen.images) == ["exterior_1"]
    assert np.array_equal(
        read_observation({"observation/image": COMPOSED} | STATE | PROMPT, body).images[
            "exterior_1"
        ],
        LEFT,
    )


def test_the_first_frame_has_the_fields_of_roboarena_and_no_others() -> None:
    assert metadata(DROID) == {
        "image_resolution": [360, 640],
        "needs_wrist_camera": True,
        "n_external_cameras": 2,
        "needs_stereo_camera": False,
        "needs_session_id": True,
        "action_space": "joint_position",
    }
    assert metadata(LIBERO) == {}


def test_grippers_are_clipped_and_rows_cut() -> None:
    values = np.tile(np.float32([3.0] * 7 + [1.4]), (5, 1))
    values[0, 7] = -0.2
    sent = rows(
        Prediction(ActionChunk(values, SIM.action_names, 0, SIM.step, SIM.discrete)), horizon=3
    )
    assert sent.shape == (3, 8)
    assert sent[:, 7].tolist() == [0.0, 1.0, 1.0]
    assert (sent[:, :7] == 3.0).all()


def test_numbers_of_two_arms_come_to_their_columns() -> None:
    """Joints and grippers apart, or all at once; poses of several hands all at once only."""
    twin, dual = EMBODIMENTS["robotwin"], EMBODIMENTS["robomind_franka_dual"]
    apart = {
        "observation/joint_position": np.arange(12, dtype=np.float32) / 10,
        "observation/gripper_position": np.array([0.25, 0.75], np.float32),
    }
    expected = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.25, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 0.75]
    views = {f"observation/{view}": picture(9) for view in twin.views}
    seen = read_observation(views | apart | PROMPT, twin)
    np.testing.assert_allclose(seen.state, expected)
    whole = {"observation/state": np.array(expected, np.float32)}
    np.testing.assert_allclose(read_observation(views | whole | PROMPT, twin).state, expected)
    views = {f"observation/{view}": picture(9) for view in dual.views}
    with pytest.raises(ValueError, match="expected observation/state"):
        read_observation(views | apart | PROMPT, dual)


@pytest.mark.parametrize("own", [True, False], ids=[OWN, OPENPI])
@pytest.mark.parametrize("crop", [False, True])
def test_a_state_of_other_columns_and_a_crop_arrive_as_they_were_sent(own, crop):
    """A gripper among the columns of the state, and fewer commands than those."""
    hand = EMBODIMENTS["metaworld"]
    if crop:
        panel = dataclasses.replace(hand.canvas.panels[0], crop=(0.25, 0.0, 0.5, 0.75), turn=180)
        hand = dataclasses.replace(hand, canvas=dataclasses.replace(hand.canvas, panels=(panel,)))
    state = np.arange(7, dtype=np.float32) / 10
    sent = Observation({"corner2": picture(5)}, state, "push the puck", 1)
    dialect = choose_dialect("auto", own, "/", {}, hand)
    message = {**dialect.write(sent, hand), **PROMPT}
    seen = read_observation(unpack(pack(message)), hand)
    assert np.array_equal(seen.state, state)
    assert np.array_equal(hand.compose(seen.images), hand.compose(sent.images))
    assert metadata(hand) == {}
