# SPDX-License-Identifier: Apache-2.0
"""How the evaluated policy is run: as the options say, in process and through the nodes."""

from typing import Any

import numpy as np
import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.model.best_of.best_of_policy import BestOfPolicy
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Observation, Prediction
from cosmos3_ros.model.model_params import PolicyModelParams
from cosmos3_ros.model.option_fields import fields
from cosmos3_ros.model.runtime.quantize import QuantizedLinear
from cosmos3_ros.training.evaluation.closed_loop import Trial, load_once, play
from cosmos3_ros.training.evaluation.comparison import parse_setting
from cosmos3_ros.training_cli.options import GRAPH, RUNTIME

TINY = str(tiny_checkpoint())


def quantized(policy) -> set[str]:
    """The towers with rounded weights."""
    return {
        name.partition(".")[0]
        for name, module in policy.model.transformer.named_modules()
        if isinstance(module, QuantizedLinear)
    }


@pytest.mark.parametrize(
    ("runtime", "towers"),
    [
        ((), set()),
        ((("weights", "int8"),), {"generator"}),
        ((("weights", "int8"), ("text_weights", "int8")), {"generator", "text"}),
    ],
)
def test_weights_are_rounded_as_asked(runtime, towers) -> None:
    policy = load_once(TINY, (("num_steps", 1), ("guidance", 1.0)), runtime=runtime)
    assert quantized(policy) == towers
    assert (policy.options.num_steps, policy.options.guidance) == (1, 1.0)
    assert policy.model.vision is None


def test_several_samples_are_drawn_as_asked_and_the_reasoner_comes_with_questions() -> None:
    options = (("num_steps", 1), ("guidance", 1.0), ("best_of", 2))
    several = load_once(TINY, options)
    assert isinstance(several, BestOfPolicy)
    assert several.reasoner is None
    asked = load_once(TINY, (*options, ("best_of_questions", ("Is it up?",))))
    assert isinstance(asked, BestOfPolicy)
    assert asked.reasoner is not None
    setting = parse_setting("best_of=4,best_of_gate=0.05", dict(options[:2]))
    assert dict(setting.options) == {"best_of": 4, "best_of_gate": 0.05}


def test_the_nodes_have_every_option_of_eval_that_is_theirs() -> None:
    pytest.importorskip("rclpy")
    from cosmos3_ros.bringup.graph_options import Options

    assert {*RUNTIME} <= fields(PolicyModelParams).keys() & fields(Options).keys()
    assert {*GRAPH} <= fields(Options).keys()


@pytest.mark.parametrize("option", ["--strategy rtc", "--image-transport raw", "--gpus 2"])
def test_what_only_nodes_have_is_refused_without_them(option: str, capsys) -> None:
    assert main(["eval", TINY, "--episodes", "1", *option.split()]) == 1
    name = option.partition(" ")[0].strip("-").replace("-", "_")
    assert capsys.readouterr().err == (
        f"error: {name}: expected --through nodes, which alone have it\n"
    )


def test_a_format_that_is_none_is_one_line(capsys) -> None:
    words = ["--task", "reach", "--episodes", "1", "--workers", "1", "--limit", "0.1"]
    assert main(["eval", TINY, *words, "--weights", "fp9"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "weights: expected 'none' or 'fp8' or 'int8' or 'nvfp4', got 'fp9'" in line


SEED = 3
TWO_ARMS = EMBODIMENTS["two_arms_sim"]


class Rehearsed:
    """A policy that knows the whole way of one episode, and at each moment tells what is left."""

    embodiment = TWO_ARMS

    def __init__(self) -> None:
        from cosmos3_ros.sim.env import Env
        from cosmos3_ros.sim.expert import Expert

        env, rows = Env(views=()), []
        env.reset("lift_bar", SEED)
        expert = Expert(env.simulation)
        while not env.success:
            rows.append(expert.act())
            env.move(rows[-1])
        self.rows = np.array(rows + 30 * rows[-1:], np.float32)

    def infer(self, observation: Observation, *committed: Any) -> Prediction:
        TWO_ARMS.check_state(observation.state)
        at = round(observation.stamp / TWO_ARMS.step)
        values = self.rows[at : at + 30]
        chunk = ActionChunk(
            values, TWO_ARMS.action_names, observation.stamp, TWO_ARMS.step, TWO_ARMS.discrete
        )
        return Prediction(chunk, {"denoise": 0.0})

    def reset(self) -> None: ...


@pytest.mark.sim
def test_two_arms_solve_their_task_through_the_player() -> None:
    from cosmos3_ros.sim.env import Env

    policy: Any = Rehearsed()
    outcome = play(policy, Env(views=()), Trial("", "lift_bar", SEED, latency=0.0))
    assert outcome.success, outcome
    assert outcome.rejected == 0
    assert outcome.instruction == "lift the bar with both arms"


@pytest.mark.sim
def test_a_demonstration_of_two_arms_has_the_columns_of_their_embodiment() -> None:
    from cosmos3_ros.training.data.demonstrations import Demonstration, record

    wanted = Demonstration("lift_bar", 1, noise=0.005, astray=1.0)
    episode = record(wanted, look=lambda step: step == 0)
    assert episode is not None
    assert episode.states.shape == episode.actions.shape == (len(episode.states), 16)
    for hand in (7, 15):
        assert {*episode.actions[:, hand]} <= {0.0, 1.0}
    assert np.isfinite(episode.truth[:, :3]).all(), "where the bar is"
    assert {*episode.views} == {*TWO_ARMS.views}
