# SPDX-License-Identifier: Apache-2.0
"""The process with the network: both nodes on one set of weights, and what it refuses."""

import dataclasses
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def models() -> Any:
    from cosmos3_ros.model.registry import Models

    return Models()


def test_policy_and_reasoner_share_one_set_of_weights(models: Any) -> None:
    from cosmos3_ros.nodes import policy_node, reasoner_node

    policy = models.policy(policy_node.Params())
    reasoner = models.reasoner(reasoner_node.Params())
    assert [policy.model] == list(models._loaded.values()), "asked twice, loaded once"
    assert policy.embodiment.name == "droid_sim"
    assert reasoner.ask("What is it?", [np.zeros((64, 64, 3), np.uint8)], max_tokens=3).tokens == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint": "/nowhere"}, "/nowhere"),
        ({"embodiment": "octopus"}, "unknown 'octopus', expected one of"),
        ({"device": "tpu"}, "expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        ({"dtype": "int3"}, "expected auto, float32 or bfloat16, got 'int3'"),
        ({"prompt_format": "morse"}, "prompt_format"),
        ({"num_steps": 0}, "num_steps"),
        ({"weights": "fp9"}, "weights: expected 'none' or 'fp8' or 'int8' or 'nvfp4', got 'fp9'"),
        ({"text_weights": "fp9"}, "text_weights: expected 'none' or 'fp8'"),
    ],
)
def test_what_cannot_be_loaded_is_named(models: Any, change: dict[str, Any], words: str) -> None:
    from cosmos3_ros.nodes import policy_node

    with pytest.raises((ValueError, OSError)) as caught:
        models.policy(dataclasses.replace(policy_node.Params(), **change))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("transformer/config.json", "transformer/config.json"),
        ("vae/diffusion_pytorch_model.safetensors", "vae/*.safetensors"),
    ],
)
def test_a_checkpoint_without_a_file_names_it_and_the_process_ends(
    start: Any, tmp_path: Path, name: str, words: str
) -> None:
    from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
    from cosmos3_ros.robot.robot_file import config_folder

    folder = shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")
    (folder / name).unlink()
    robot = config_folder() / "droid_sim.yaml"
    started = start(
        "policy", "--ros-args", "--params-file", robot, "-p", f"policy:checkpoint:={folder}"
    )
    assert started.process.wait(60) == 1
    lines = [line for line in started.output.splitlines() if "ERROR" in line]
    assert len(lines) == 1
    assert "cannot be configured" in lines[0]
    assert lines[0].endswith(f"missing file {folder}/{words}")


@pytest.mark.slow
def test_two_processes_share_the_network_and_end_together(start: Any) -> None:
    from cosmos3_ros.robot.robot_file import config_folder

    started = start(
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "cosmos3_ros.brain", "policy", "reasoner", "--ros-args"),
        *("--params-file", config_folder() / "droid_sim.yaml", "-p", "tensor_parallel:=2"),
    )
    started.wait_for("policy]: droid_sim ready", 90)  # which took a chunk
    started.wait_for("reasoner ready", 30)
    for child in (
        Path(f"/proc/{started.process.pid}/task/{started.process.pid}/children").read_text().split()
    ):
        if b"\0RANK=0\0" in Path(f"/proc/{child}/environ").read_bytes():
            os.kill(int(child), signal.SIGINT)
    assert started.process.wait(30) == 0, started.output


def brain_on_two(start: Any, tensor: int, *nodes: str) -> tuple[Any, int]:
    """The process with the nodes, ready, and the id of the one that it started."""
    from cosmos3_ros.robot.robot_file import config_folder

    words = ("--params-file", config_folder() / "droid_sim.yaml", "-p", "gpus:=2")
    more = ("-p", f"tensor_parallel:={tensor}", "-p", "policy:guidance:=3.0")
    started = start("brain", *nodes, "--ros-args", *words, *more)
    started.wait_for("policy]: droid_sim ready", 90)  # which took a chunk
    (other,) = set(started.running()) - {started.process.pid}
    return started, other


@pytest.mark.slow
def test_gpus_starts_a_process_that_ends_with_the_first(start: Any) -> None:
    started, other = brain_on_two(start, 2, "policy", "reasoner")
    started.wait_for("reasoner ready", 30)
    assert b"cosmos3_ros.model.follower" in Path(f"/proc/{other}/cmdline").read_bytes()
    assert started.interrupt(30) == 0, started.output
    assert "Traceback" not in started.output
    assert "Fatal" not in started.output


@pytest.mark.slow
def test_when_one_of_two_is_killed_the_other_says_so_and_ends(start: Any, wait_until: Any) -> None:
    started, other = brain_on_two(start, 1, "policy")
    os.kill(other, signal.SIGKILL)
    wait_until(lambda: not started.running(), "the end", 30)
    assert started.process.wait() == 1
    words = f"error: process {other}, rank 1 of those that share the network, was ended by SIGKILL"
    assert words in started.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpus": 0}, "gpus: expected at least 1, got 0"),
        ({"gpus": 3}, "parameter 'gpus' is 3, with tensor_parallel 1 expected 1 or 2"),
        ({"gpus": 2, "tensor_parallel": 4}, "with tensor_parallel 4 expected 4 or 8"),
    ],
)
def test_gpus_that_cannot_be_are_refused(models: Any, changes: dict[str, int], words: str) -> None:
    from cosmos3_ros.nodes import policy_node

    with pytest.raises(ValueError, match=re.escape(words)):
        models.policy(policy_node.Params(**changes))


def test_one_process_cannot_split_a_layer(models: Any) -> None:
    from cosmos3_ros.nodes import policy_node

    with pytest.raises(
        ValueError, match="parameter 'tensor_parallel' is 2, but there is one process; see gpus"
    ):
        models.policy(policy_node.Params(tensor_parallel=2))


@pytest.mark.sim
def test_the_brain_acts_describes_and_answers(start: Any, watcher: Any, wait_until: Any) -> None:
    """Simulation and brain as processes: chunks, a future, scenes, and answers to questions."""
    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.ros import topics

    heard: dict[str, list[Any]] = {}
    for topic in (topics.ACTION_CHUNK, topics.FUTURE, topics.SCENE):
        heard[topic.name] = []
        watcher.create_subscription(topic.type, topic.name, heard[topic.name].append, topic.qos)
    for process in processes(Options(instruction="pick up the red cube", commander=False)):
        start(process.executable, *process.arguments())
    wait_until(lambda: all(heard.values()), "a chunk, a future and a scene", 90)
    chunk, future = heard["cosmos3/action_chunk"][0], heard["cosmos3/future"][0]
    assert (chunk.horizon, chunk.embodiment, chunk.instruction) == (
        16,
        "droid_sim",
        "pick up the red cube",
    )
    assert np.isfinite(chunk.values).all()
    assert {"encode", "denoise"} <= set(chunk.latency_stages)
    assert len(future.frames) == chunk.horizon + 1
    scene = heard["cosmos3/scene"][0]
    assert list(scene.views) == ["wrist", "exterior_1", "exterior_2"]
    assert scene.tokens > 0

    ask = topics.REASONER.offers[0]
    client = watcher.create_client(ask.type, "reasoner/ask")

    def answer(**request: Any) -> Any:
        assert client.wait_for_service(10)
        done = client.call_async(ask.type.Request(**request))
        wait_until(done.done, "an answer", 30)
        return done.result()

    got = answer(question="What is on the table?", views=["exterior_1"], max_tokens=5)
    assert got.success
    assert (list(got.scene.views), got.scene.tokens) == (["exterior_1"], 5)
    assert answer(question=" ").message == "the question is empty"
    refused = answer(question="What?", views=["ceiling"])
    assert not refused.success
    assert "no view 'ceiling'; there are ['wrist', 'exterior_1', 'exterior_2']" in refused.message
