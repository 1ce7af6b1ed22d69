# SPDX-License-Identifier: Apache-2.0
"""Embodiments: there and back again in robot units, without torch."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS, find_embodiment
from cosmos3_ros.model.embodiment.checks import check_embodiment
from cosmos3_ros.model.embodiment.spec import Normalization, parts_of
from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.model.interface import NS

AV = EMBODIMENTS["av"]
BRIDGE = EMBODIMENTS["bridge"]
DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]
LIBERO = EMBODIMENTS["libero"]
UMI = EMBODIMENTS["umi"]

RNG = np.random.default_rng(0)


def pose(*shape):
    quaternion = RNG.normal(size=(*shape, 4))
    quaternion *= np.sign(quaternion[..., 3:]) / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return np.concatenate([RNG.normal(size=(*shape, 3)), quaternion], axis=-1)


def sample(embodiment, rows):
    """A state and commands in robot units, gripper in 0..1."""

    def numbers(columns, count):
        pieces = [
            RNG.uniform(size=(count, 1))
            if part.gripper
            else pose(count)
            if embodiment.kind == "poses"
            else RNG.normal(size=(count, part.columns.stop - part.columns.start)) / 2
            for part in parts_of(embodiment.kind, columns)
        ]
        return np.concatenate([np.zeros((count, 0)), *pieces], axis=1).astype(np.float32)

    return numbers(embodiment.state, 1)[0], numbers(embodiment.action, rows)


@pytest.mark.parametrize("embodiment", EMBODIMENTS.values(), ids=EMBODIMENTS)
def test_commands_survive_the_way_through_the_model(embodiment):
    free = dataclasses.replace(embodiment.normalization, clamp=False)
    embodiment = dataclasses.replace(embodiment, normalization=free)
    state, values = sample(embodiment, embodiment.horizon)
    rows = embodiment.encode_actions(values, state)
    assert rows.shape == (embodiment.horizon, embodiment.width)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(embodiment.decode_actions(rows, state), values, atol=2e-5)


def columns(**units):
    return tuple(
        Column(name, "fraction", gripper=True) if unit == "gripper" else Column(name, unit)
        for name, unit in units.items()
    )


HAND = columns(x="m", y="m", z="m", opening="gripper", to_x="m", to_y="m", to_z="m")
TARGET = columns(to_x="m", to_y="m", to_z="m", effort="controller")
UNEQUAL = {
    "wide state": (HAND, TARGET),
    "wide action": (columns(to_x="m", to_y="m", to_z="m"), TARGET),
    "as many others": (columns(to_x="m", to_y="m", to_z="m", opening="gripper"), TARGET),
    "gripper behind": (columns(a="rad", b="rad", c="rad"), columns(a="rad", grip="gripper")),
    "gripper in the state": (columns(a="rad", grip="gripper", b="rad"), columns(b="rad", a="rad")),
}


def unequal(case, **changes):
    state, action = UNEQUAL[case]
    base = EMBODIMENTS["droid_sim"]
    plain = Normalization()
    changes = {"normalization": plain, "state_normalization": plain, **changes}
    return dataclasses.replace(base, name="unequal", state=state, action=action, **changes)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("case", UNEQUAL)
def test_state_and_action_may_have_columns_of_their_own(case, relative):
    embodiment = unequal(case, relative=relative)
    state, values = sample(embodiment, embodiment.horizon)
    rows = embodiment.encode_actions(values, state)
    np.testing.assert_allclose(embodiment.decode_actions(rows, state), values, atol=1e-6)
    whole = embodiment.model_rows(state, values)
    own, others = len(embodiment.action), len(embodiment.state)
    assert embodiment.channels == whole.shape[1] == max(own, others)
    assert np.array_equal(whole[0, :others], embodiment.encode_state(state))
    assert np.array_equal(whole[1:, :own], rows)
    assert not whole[0, others:].any()
    assert not whole[1:, own:].any()
    names = [column.name for column in embodiment.state]
    for number, column in enumerate(embodiment.action):
        counts = relative and column.unit not in ("fraction", "controller")
        origin = state[names.index(column.name)] if counts else 0.0
        opened = 1 - values[:, number] if column.gripper else values[:, number] - origin
        np.testing.assert_allclose(rows[:, number], opened, atol=1e-6)


def test_where_commands_lead_is_known_of_columns_that_they_name():
    base = unequal("gripper behind")
    led = dataclasses.replace(base, state=columns(grip="gripper", a="rad"))
    assert led.led_states(np.array([0.1, 0.2])).tolist() == [0.2, 0.1]
    with pytest.raises(ValueError, match=r"where \['x', 'y', 'z', 'opening'\] will be is in no"):
        unequal("wide state").led_states(np.zeros(4))


def test_joints_may_be_told_no_state():
    blind = dataclasses.replace(
        unequal("gripper behind"), state=(), state_row=False, relative=False
    )
    check_embodiment(blind)
    state, values = sample(blind, 16)
    rows = blind.model_rows(state, values)
    assert rows.shape == (16, blind.channels) == (16, 2)
    np.testing.assert_allclose(blind.decode_actions(rows, state), values, atol=1e-6)


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"rows of unequal: expected 4 wide, got \(16, 7\)"):
        unequal("wide state").decode_actions(np.zeros((16, 7)), np.zeros(7, np.float32))


def test_base_weights_see_droid_rows_scaled_and_clamped():
    """By the quantiles of NVIDIA's statistics, as its correction of August 2026 has it."""
    base = EMBODIMENTS["droid_nano_base"]
    low, high = np.array(base.normalization.low), np.array(base.normalization.high)
    rows = np.stack([low, high, (low + high) / 2, low - 1, high + 1])
    seen = base.normalization.forward(rows)
    np.testing.assert_allclose(seen, np.array([-1, 1, 0, -1, 1])[:, None] * np.ones(10), atol=1e-9)
    np.testing.assert_allclose(base.normalization.inverse(seen[:2]), rows[:2], atol=1e-12)
    assert base.normalization.text() == "by quantiles, clamped to -1..1"
    # a closing gripper rises, as in the data set; of the raw rows 55 times larger
    state = base.neutral_state()
    closed = np.array([[0.01, 0, 0, 0, 0, 0, 1, 0.43]], np.float32)
    (row,) = base.encode_actions(closed, state)
    (raw,) = EMBODIMENTS["droid_midtrain"].encode_actions(closed, state)
    assert row[-1] == pytest.approx(2 * 0.43 - 1, abs=1e-6)
    assert raw[-1] == pytest.approx(1 - 0.43, abs=1e-6)
    assert np.abs(row[:3]).max() > 40 * np.abs(raw[:3]).max()


@pytest.mark.parametrize("embodiment", EMBODIMENTS.values(), ids=EMBODIMENTS)
def test_every_embodiment_fits_the_released_heads(embodiment):
    assert embodiment.width <= 64
    assert 0 <= embodiment.domain_id < 32
    assert all(side % 16 == 0 for side in embodiment.canvas.size)
    assert len({column.name for column in embodiment.action}) == len(embodiment.action)
    images = {view: RNG.integers(0, 256, (90, 160, 3), dtype=np.uint8) for view in embodiment.views}
    assert embodiment.compose(images).shape == (*embodiment.canvas.size, 3)


def test_droid_rows_are_joints_and_an_opening():
    state = np.array([0.1, -0.6, 0.2, -2.5, 0.0, 1.9, 0.3, 0.25], np.float32)
    row = DROID_JOINT_POS.encode_state(state)
    np.testing.assert_allclose(row, [*state[:7], 0.75], atol=1e-7)  # inside, 1 is open
    assert DROID_JOINT_POS.fps == 15.0
    assert DROID_JOINT_POS.discrete == ("gripper",)


def test_standing_still_is_the_identity_delta():
    state = np.array([0.3, 0.1, 0.4, 0.0, 0.6, 0.0, 0.8, 1.0], np.float32)
    raw = dataclasses.replace(BRIDGE, normalization=AV.normalization)
    rows = raw.encode_actions(np.stack([state, state]), state)
    np.testing.assert_allclose(rows, [[0, 0, 0, 1, 0, 0, 0, 1, 0, 0]] * 2, atol=1e-6)


def test_bridge_moves_the_flange_of_the_gripper():
    # A turn about the tool's own axes moves the flange, which is 93.575 mm away, although the tool
    # stays in place.
    raw = dataclasses.replace(BRIDGE, normalization=AV.normalization)
    state = np.array([0, 0, 0, 0, 0, 0, 1, 0], np.float32)
    turned = np.array([[0, 0, 0, np.sin(0.05), 0, 0, np.cos(0.05), 0]], np.float32)
    moved = np.linalg.norm(raw.encode_actions(turned, state)[0, :3])
    assert moved == pytest.approx(2 * 0.093575 * np.sin(0.05), rel=1e-4)


def test_quantiles_become_minus_one_and_one():
    low, high = np.array(LIBERO.normalization.low), np.array(LIBERO.normalization.high)
    np.testing.assert_allclose(
        LIBERO.normalization.forward(np.stack([low, high])), [[-1] * 10, [1] * 10], atol=1e-6
    )
    mean = dataclasses.replace(LIBERO.normalization, kind="mean_std", low=(1.0,), high=(2.0,))
    assert mean.forward(np.array([5.0])).tolist() == [2.0]
    assert mean.inverse(np.array([2.0])).tolist() == [5.0]


def test_umi_counts_the_gripper_in_meters():
    state = np.array([0, 0, 0, 0, 0, 0, 1, 0.5], np.float32)
    assert UMI.encode_state(state)[-1] == pytest.approx(0.0425)


def test_rates():
    rates = {
        "droid_joint_pos": 15,
        "droid_midtrain": 15,
        "droid_sim": 15,
        "libero": 20,
        "bridge": 5,
        "umi": 10,
    }
    assert {name: EMBODIMENTS[name].fps for name in rates} == rates
    assert DROID_JOINT_POS.step == round(NS / 15)


def test_bad_input_is_refused():
    with pytest.raises(
        ValueError, match=r"unknown 'franka', expected one of \['agibot', 'av', 'bridge'"
    ):
        find_embodiment("franka")
    with pytest.raises(
        ValueError, match=r"state of droid_joint_pos: expected 8 values .* got \(7,\)"
    ):
        DROID_JOINT_POS.encode_state(np.zeros(7, np.float32))
    with pytest.raises(ValueError, match="finite"):
        DROID_JOINT_POS.encode_state(np.full(8, np.nan, np.float32))
    with pytest.raises(ValueError, match="actions of droid_joint_pos: expected finite rows"):
        DROID_JOINT_POS.encode_actions(np.zeros((4, 7), np.float32), np.zeros(8, np.float32))
    with pytest.raises(ValueError, match="none, quantile, min_max or mean_std, got 'z'"):
        dataclasses.replace(LIBERO.normalization, kind="z")


def test_embodiments_do_without_torch():
    code = "import sys, cosmos3_ros.model.embodiment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_arms_with_a_gripper_each_are_two_poses_and_two_grippers() -> None:
    """Each arm's rows are those that it has alone, wherever its columns stand."""
    dual = EMBODIMENTS["robomind_franka_dual"]
    assert (dual.width, len(dual.action)) == (20, 16)
    assert dual.row_grippers.nonzero()[0].tolist() == [9, 19]
    assert dual.discrete == ("left_gripper", "right_gripper")
    one = dataclasses.replace(dual, state=dual.state[:8], action=dual.action[:8])
    state, values = sample(dual, 5)
    rows, at = dual.encode_actions(values, state), dual.encode_state(state)
    for arm in (0, 1):
        columns, row = slice(8 * arm, 8 * arm + 8), slice(10 * arm, 10 * arm + 10)
        alone = one.encode_actions(values[:, columns], state[columns])
        np.testing.assert_array_equal(rows[:, row], alone)
        np.testing.assert_array_equal(at[row], one.encode_state(state[columns]))


def test_the_head_of_a_humanoid_is_a_pose_without_a_gripper() -> None:
    agibot = EMBODIMENTS["agibot"]
    assert agibot.width == 29
    assert agibot.row_grippers.nonzero()[0].tolist() == [18, 28]


def test_relative_joints_count_from_the_state_and_grippers_between_them_do_not() -> None:
    twin = EMBODIMENTS["robotwin"]
    twin = dataclasses.replace(twin, relative=True, gripper_values=(1.0, 0.0))
    state = np.linspace(0.1, 1.4, 14).astype(np.float32)
    state[[6, 13]] = 0.25, 1.0
    rows = twin.encode_actions(state[None], state)
    np.testing.assert_allclose(rows[0], [*[0.0] * 6, 0.75, *[0.0] * 6, 0.0], atol=1e-6)
