# SPDX-License-Identifier: Apache-2.0
"""The tables of Meta-World's protocols; what needs the package is in test_metaworld_world.py."""

from cosmos3_ros.training.worlds.metaworld_tasks import (
    PROTOCOLS,
    TASKS,
    TIERS,
    expert_name,
    instruction,
)


def test_tiers_are_those_of_the_published_table():
    sizes = {tier: len(tasks) for tier, tasks in TIERS.items()}
    assert sizes == {"easy": 28, "medium": 11, "hard": 6, "very_hard": 5}
    assert sorted(task for tasks in TIERS.values() for task in tasks) == sorted(TASKS)
    assert {"reach-v3", "peg-unplug-side-v3"} <= set(TIERS["easy"])


def test_protocols_differ_in_what_was_published():
    evo1, lerobot = PROTOCOLS["evo1"], PROTOCOLS["lerobot"]
    assert (evo1.horizon, evo1.exam.seed, evo1.exam.episodes) == (400, 4042, 10)
    assert (lerobot.horizon, lerobot.exam.seed, lerobot.exam.episodes) == (500, 1000, 10)
    differ = [task for task in TASKS if instruction(task, evo1) != instruction(task, lerobot)]
    assert differ == ["push-back-v3"]
    assert instruction("push-back-v3", lerobot) == instruction("push-v3", lerobot)
    texts = [instruction(task, evo1) for task in TASKS]
    assert len(set(texts)) == len(texts) == 50


def test_experts_are_called_by_the_task():
    assert expert_name("peg-insert-side-v3") == "SawyerPegInsertionSideV3Policy"
    assert expert_name("peg-unplug-side-v3") == "SawyerPegUnplugSideV3Policy"
    assert expert_name("reach-v3") == "SawyerReachV3Policy"
