# SPDX-License-Identifier: Apache-2.0
import torch

from cosmos3_ros.model.diffusion.guidance import BranchCombiner, Guidance

PROMPT, NEGATIVE = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 0.0])


def test_the_velocity_is_pushed_away_from_the_negative_prompt():
    guided = BranchCombiner(Guidance(3.0)).guided(PROMPT, NEGATIVE)
    assert guided.tolist() == [4.0, 12.0]


def test_the_last_difference_is_reused_only_if_wanted():
    for reuse, expected in ((False, [2.0, 4.0]), (True, [4.0, 12.0])):
        combiner = BranchCombiner(Guidance(3.0, reuse=reuse))
        assert combiner.guided(PROMPT).tolist() == [2.0, 4.0], "there is no difference yet"
        combiner.guided(PROMPT, NEGATIVE)
        assert combiner.guided(PROMPT).tolist() == expected


def test_precise_guidance_combines_in_float32():
    branches = [branch.bfloat16() for branch in (PROMPT, NEGATIVE)]
    assert BranchCombiner(Guidance()).guided(*branches).dtype == torch.bfloat16
    assert BranchCombiner(Guidance(precise=True)).guided(*branches).dtype == torch.float32


def test_it_applies_strictly_inside_its_interval():
    guidance = Guidance(3.0, (100.0, 900.0))
    assert [guidance.applies(time) for time in (100.0, 500.0, 900.0)] == [False, True, False]
    assert not Guidance(1.0).applies(500.0)
