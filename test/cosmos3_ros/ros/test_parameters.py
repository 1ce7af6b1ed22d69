# SPDX-License-Identifier: Apache-2.0
"""A dataclass field is a ROS parameter: its type, its default, its description, its checks."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros


@pytest.fixture
def node(domain: int) -> Iterator:
    import rclpy

    rclpy.init()
    made = rclpy.create_node("test_params")
    yield made
    made.destroy_node()
    rclpy.shutdown()


def params_class() -> type:
    from cosmos3_ros.model.option_fields import param

    @dataclasses.dataclass(frozen=True)
    class Params:
        rate: float = param(5.0, "how often [Hz]")
        names: list[str] = param([], "names")
        words: str = param("hello", "what to say", live=True)
        count: int = param(2, "how many")
        sizes: list[float] = param([1.0], "how large")

        def __post_init__(self) -> None:
            if self.rate <= 0:
                raise ValueError(f"parameter 'rate': expected a positive number, got {self.rate}")

    # the annotations are strings to dataclasses; the real types are what `Parameters` resolves
    Params.__annotations__ = {
        "rate": float,
        "names": list[str],
        "words": str,
        "count": int,
        "sizes": list[float],
    }
    return Params


def test_defaults_and_descriptions_come_from_the_fields(node) -> None:
    from cosmos3_ros.ros.parameters import declare

    values = declare(node, params_class())
    assert (values.rate, values.names, values.words, values.count) == (5.0, [], "hello", 2)
    assert (
        node.describe_parameter("rate").description == "how often [Hz] (takes effect at configure)"
    )
    assert node.describe_parameter("words").description == "what to say"


def set_one(node, name: str, value: object):
    from rclpy.parameter import Parameter

    return node.set_parameters([Parameter(name, value=value)])[0]


def test_an_integer_stands_for_a_float_and_an_empty_list_can_be_filled(node) -> None:
    from cosmos3_ros.ros.parameters import Parameters

    parameters = Parameters(node, params_class())
    assert set_one(node, "rate", 7).successful
    assert set_one(node, "names", ["a", "b"]).successful
    assert parameters.values.rate == 7.0
    assert isinstance(parameters.values.rate, float)
    assert parameters.values.names == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", 1.5, "parameter 'count': expected int, got float 1.5"),
        ("words", 3, "expected str, got int 3"),
        ("rate", float("nan"), "parameter 'rate': expected a finite number, got nan"),
        ("rate", float("inf"), "parameter 'rate': expected a finite number, got inf"),
        ("sizes", [1.0, float("nan")], "parameter 'sizes': expected a finite number, got nan"),
        ("rate", -1.0, "expected a positive number, got -1.0"),
        ("names", "a", "expected a list of str, got 'a'"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(
    node, name: str, value: object, words: str
) -> None:
    from cosmos3_ros.ros.parameters import Parameters

    parameters = Parameters(node, params_class())
    before = parameters.values
    result = set_one(node, name, value)
    assert not result.successful
    assert words in result.reason
    assert parameters.values == before


def test_only_live_parameters_change_while_in_use(node) -> None:
    from cosmos3_ros.ros.parameters import Parameters

    parameters = Parameters(node, params_class(), locked=lambda: True)
    changed: list[set[str]] = []
    parameters.changed = changed.append
    assert "cannot change now" in set_one(node, "rate", 9.0).reason
    assert set_one(node, "words", "bye").successful
    assert parameters.values.words == "bye"
    assert changed == [{"words"}]


def test_an_empty_list_in_a_file_is_an_empty_list(domain: int, tmp_path: Path) -> None:
    import rclpy

    from cosmos3_ros.ros.parameters import declare

    file = tmp_path / "mine.yaml"
    file.write_text("test_params: {ros__parameters: {sizes: [], names: []}}\n")
    rclpy.init(args=["--ros-args", "--params-file", str(file)])
    node = rclpy.create_node("test_params")
    values = declare(node, params_class())
    node.destroy_node()
    rclpy.shutdown()
    assert (values.sizes, values.names) == ([], [])
