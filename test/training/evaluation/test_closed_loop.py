# SPDX-License-Identifier: Apache-2.0
"""How the evaluated policy is run: as the options say, in process and through the nodes."""

import pytest

from cosmos3_ros.cli import GRAPH, RUNTIME, main
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.model_params import PolicyModelParams
from cosmos3_ros.model.option_fields import fields
from cosmos3_ros.model.runtime.quantize import QuantizedLinear
from cosmos3_ros.training.evaluation.closed_loop import load_once

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


def test_the_nodes_have_every_option_of_eval_that_is_theirs() -> None:
    pytest.importorskip("rclpy")
    from cosmos3_ros.bringup.node_graph import Options

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
