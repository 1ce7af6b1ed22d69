# SPDX-License-Identifier: Apache-2.0
"""A world is examined through the real nodes: its own, the policy with weights, the commander."""

import json
from pathlib import Path

import pytest

from cosmos3_ros.training.worlds.catalog import make_world
from cosmos3_ros.training.worlds.exam import NODES, Candidate, Exam, examine
from cosmos3_ros.training.worlds.nodes.through_nodes import nodes

ROBOT = Path(__file__).parent / "world_robot.yaml"
EMBEDDED = Path(__file__).parents[4] / "model" / "checkpoints" / "droid_sim"

pytestmark = [pytest.mark.ros, pytest.mark.sim]


@pytest.mark.slow
def test_the_embedded_policy_reaches_the_cube_of_a_world(domain, tmp_path):
    who = Candidate(str(EMBEDDED), through=NODES, robot=str(ROBOT))
    out = tmp_path / "exam.json"
    exam = Exam("sim", "", ("reach",), 0, 2)
    table = examine(who, exam, make_world("sim", "", None, True), out=out)
    rows = json.loads(out.read_text())["tasks"]["reach"]
    assert [row["success"] for row in rows] == [True, True], table
    assert all(15 < row["steps"] < 300 for row in rows), "in steps of the world"
    assert all(row["chunk_seconds"] > 0 for row in rows)
    assert json.loads(out.read_text())["what"]["through"] == "nodes"


def test_a_robot_file_for_another_world_is_refused(domain):
    world = make_world("sim", "", None, True)
    with pytest.raises(ValueError, match=r"droid_sim\.yaml: expected env: sim .*got ''"):
        nodes(world, "", {}, "droid_sim")


def test_meta_worlds_robot_file_starts_the_world_and_no_simulation(domain):
    class MetaWorld:
        name = "metaworld"

    given = {"sim": {"task": "push-v3"}, "policy": {"execution_horizon": 8}}
    graph, _ = nodes(MetaWorld(), "somewhere", given, "metaworld")
    assert [process.executable for process in graph] == ["world", "policy", "commander"]
    assert graph[0].parameters["sim"]["task"] == "push-v3"
    follow = [process.parameters[process.nodes[0]].get("use_sim_time") for process in graph]
    assert follow == [None, True, True], "the world's clock"
    assert graph[1].parameters["policy"]["execution_horizon"] == 8
