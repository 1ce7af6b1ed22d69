# SPDX-License-Identifier: Apache-2.0
"""What the networks are told of a comparison, and the comparison before it."""

import numpy as np
import torch

from cosmos3_ros.model.interface import NS
from cosmos3_ros.model.surprise.comparison import Comparison, Preceding
from cosmos3_ros.model.surprise.network import PARTS, SurpriseNetwork, evidence

CHANNELS, SHAPE = 3, (2, 4)


def comparison(random: np.random.Generator) -> Comparison:
    parts = (random.normal(size=(CHANNELS, *SHAPE)).astype(np.float32) for _ in range(3))
    return Comparison(1, *parts)


def test_a_comparison_is_told_in_units_of_each_channel_with_the_one_before() -> None:
    random = np.random.default_rng(0)
    preceding = Preceding()
    first = preceding.add(NS, comparison(random))
    second = preceding.add(NS + NS // 4, comparison(random))
    assert first.before is None
    assert second.before is first
    scale = np.array([1.0, 2.0, 4.0], np.float32)
    told = evidence([first, second], scale)
    assert told.shape == (2, PARTS * CHANNELS + 1, *SHAPE)
    assert told.dtype == torch.float32
    assert not told[0, 3 * CHANNELS :].any()
    assert (told[1, -1] == 1).all()
    units = scale[:, None, None]
    wanted = [second.seen, second.predicted, second.begin, first.seen, first.predicted]
    for number, part in enumerate(wanted):
        found = told[1, number * CHANNELS : (number + 1) * CHANNELS].numpy()
        np.testing.assert_allclose(found, part / units, rtol=1e-6)


def test_the_one_before_is_neither_of_the_same_moment_nor_long_ago() -> None:
    random = np.random.default_rng(1)
    preceding = Preceding()
    stamps = [0, NS // 20, NS // 4, NS // 4 + NS // 20, 2 * NS]
    found = [preceding.add(stamp, comparison(random)) for stamp in stamps]
    before = [None if one.before is None else one.before.seen for one in found]
    assert before[0] is None
    assert before[1] is None  # 50 ms
    assert before[2] is found[1].seen  # the newest one that is 0.1 s earlier
    assert before[3] is found[1].seen
    assert before[4] is None


def test_a_network_says_a_logit_for_each_place_and_changes_nothing_without_training() -> None:
    random = np.random.default_rng(2)
    network = SurpriseNetwork(CHANNELS, SHAPE).eval()
    told = evidence([comparison(random) for _ in range(5)], np.ones(CHANNELS, np.float32))
    with torch.inference_mode():
        logits = network(told)
        alone = torch.cat([network(one[None]) for one in told])
    assert logits.shape == (5, *SHAPE)
    torch.testing.assert_close(logits, alone)
