# SPDX-License-Identifier: Apache-2.0
"""The options of a graph: what cannot be is refused before anything is started."""

from typing import Any

import pytest

from cosmos3_ros.bringup.graph_options import Options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "fsat"}, r"preset: expected .* got 'fsat', did you mean 'fast'\?"),
        ({"strategy": "replce"}, r"strategy: expected .* got 'replce', did you mean 'replace'\?"),
        ({"weights": "fp9"}, r"weights: expected .* got 'fp9', did you mean 'fp8'\?"),
        ({"image_transport": "row"}, r"image_transport: .* got 'row', did you mean 'raw'\?"),
        ({"gpus": 0}, "gpus: expected at least 1, got 0"),
        ({"log_level": "wran"}, r"'log_level': expected .* got 'wran', did you mean 'warn'\?"),
    ],
)
def test_a_choice_that_there_is_not_is_answered_with_the_nearest(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Options(**given)


@pytest.mark.parametrize("level", ["info", "DEBUG", "commander:=debug", "fatal"])
def test_levels_are_those_of_ros(level: str) -> None:
    assert Options(log_level=level).log_level == level
