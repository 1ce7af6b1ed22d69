# SPDX-License-Identifier: Apache-2.0
"""The two towers against diffusers and themselves: cached, batched, one token at a time."""

import dataclasses

import pytest
import torch
from diffusers.models.normalization import RMSNorm as DiffusersRMSNorm
from diffusers.models.transformers.transformer_cosmos3 import Cosmos3NemotronRMSNorm

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.network.config import EDGE, NANO, SUPER, TINY, config_from_json
from cosmos3_ros.model.network.kv_cache import KVCache, Prompts
from cosmos3_ros.model.network.layers import RMSNorm, patchify, rope_table, unpatchify
from cosmos3_ros.model.network.positions import generator_positions
from cosmos3_ros.model.network.transformer import Transformer

DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]
LIBERO = EMBODIMENTS["libero"]

FPS, DOMAIN = 15.0, 8
SHAPE = (3, 5, 4)  # odd, so that a row of patches is half padding
ROWS = 9


def inputs(config, length=11):
    torch.manual_seed(1)
    ids = torch.randint(0, config.vocab, (length,))
    return (
        ids,
        torch.randn(1, config.latent_channels, *SHAPE),
        torch.randn(1, ROWS, config.action_width),
    )


def our_velocity(
    transformer, cache, latents, actions, noisy_frames, noisy_rows, time=833.0, **more
):
    config = transformer.config
    rows = cache.rows if isinstance(cache, Prompts) else [cache]
    lengths = [row.length for row in rows] if rows[0].lengths is None else rows[0].lengths.tolist()
    places = torch.stack(
        [generator_positions(config, length, latents.shape[2:], FPS, ROWS) for length in lengths]
    )
    count = len(latents)
    with torch.no_grad():
        return transformer.velocity(
            latents,
            torch.full((count,), time),
            cache,
            rope_table(places, config, transformer.dtype),
            noisy_frames,
            actions,
            noisy_rows,
            torch.full((count,), DOMAIN),
            **more,
        )


@pytest.mark.parametrize("clean", ["nothing", "first", "video", "actions"])
def test_velocity_equals_diffusers(config, pair, far, clean):
    both = pair(config)
    ids, latents, actions = inputs(config)
    noisy_frames, noisy_rows = (
        torch.ones(SHAPE[0], dtype=torch.bool),
        torch.ones(ROWS, dtype=torch.bool),
    )
    if clean == "first":
        noisy_frames[0] = noisy_rows[0] = False
    if clean == "video":
        noisy_frames[:] = False
    if clean == "actions":
        noisy_frames[0], noisy_rows[:] = False, False
    with torch.no_grad():
        cache = both.ours.prefill(ids[None])[1]
    vision, action = our_velocity(both.ours, cache, latents, actions, noisy_frames, noisy_rows)
    text = torch.arange(len(ids)).float().expand(3, -1)
    positions = torch.cat([text, generator_positions(config, len(ids), SHAPE, FPS, ROWS)], dim=1)
    their_vision, their_action = both.their_velocity(
        ids, positions, latents, noisy_frames, actions[0], noisy_rows, 833.0, DOMAIN
    )
    if noisy_frames.any():
        assert far(vision, their_vision) < 1e-5
        assert vision.abs().max() > 0.1  # two zeros would be equal too
    if noisy_rows.any():
        assert far(action[0], their_action) < 1e-5
        assert action.abs().max() > 0.1
    assert not vision[:, :, ~noisy_frames].any()
    assert not action[:, ~noisy_rows].any()


def test_two_prompts_in_one_batch_equal_one_after_the_other(config, pair, far):
    transformer = pair(config).ours
    ids, latents, actions = inputs(config)
    noisy = torch.ones(SHAPE[0], dtype=torch.bool), torch.ones(ROWS, dtype=torch.bool)
    with torch.no_grad():
        caches = [transformer.prefill(part[None])[1] for part in (ids, ids[:4])]
    twice = (latents.expand(2, -1, -1, -1, -1), actions.expand(2, -1, -1))
    together = our_velocity(transformer, Prompts(tuple(caches)), *twice, *noisy)
    for row, cache in enumerate(caches):
        alone = our_velocity(transformer, cache, latents, actions, *noisy)
        for batched, single in zip(together, alone, strict=True):
            assert far(batched[row], single[0]) < 1e-5


def test_video_that_does_not_look_at_the_rows(config, pair, far):
    """For all samples (inference) and for some of a padded batch (training) it is the same."""
    transformer = pair(config).ours
    ids, latents, actions = inputs(config)
    noisy = torch.ones(SHAPE[0], dtype=torch.bool), torch.ones(ROWS, dtype=torch.bool)
    parts = (ids, ids[:4], ids)
    with torch.no_grad():
        caches = [transformer.prefill(part[None])[1] for part in parts]
        padded = torch.stack([torch.nn.functional.pad(part, (0, 11 - len(part))) for part in parts])
        batch = transformer.prefill(padded)[1]
    batch.lengths = torch.tensor([len(part) for part in parts])
    three = (latents.expand(3, -1, -1, -1, -1), actions.expand(3, -1, -1))
    hide, late = torch.tensor([True, True, False]), torch.tensor([300.0, 700.0, 833.0])
    mixed = our_velocity(transformer, batch, *three, *noisy, hide_rows=hide, row_time=late)
    for row, cache in enumerate(caches):
        more = {"hide_rows": bool(hide[row]), "row_time": late[row : row + 1]}
        for text in (cache, Prompts((cache,))):
            alone = our_velocity(transformer, text, latents, actions, *noisy, **more)
            for batched, single in zip(mixed, alone, strict=True):
                assert far(batched[row], single[0]) < 1e-5
        moved = our_velocity(transformer, cache, latents, actions + 1, *noisy, **more)
        assert far(moved[1], alone[1]) > 1e-3
        if hide[row]:
            assert torch.equal(moved[0], alone[0])
        else:
            assert far(moved[0], alone[0]) > 1e-3
    same = our_velocity(transformer, caches[0], latents, actions, *noisy)
    twice = our_velocity(
        transformer, caches[0], latents, actions, *noisy, row_time=torch.tensor([833.0])
    )
    assert all(torch.equal(one, other) for one, other in zip(same, twice, strict=True))


def test_text_decoded_in_pieces_equals_text_at_once(config, pair, far):
    transformer = pair(config).ours
    ids = inputs(config, length=12)[0][None]
    deepstack = torch.randn(2, 1, 12, config.hidden) * 0.1
    cache = KVCache()
    with torch.no_grad():
        whole, _ = transformer.prefill(ids, deepstack=list(deepstack))
        pieces = [
            transformer.prefill(ids[:, a:b], deepstack=list(deepstack[:, :, a:b]), cache=cache)[0]
            for a, b in ((0, 5), (5, 9), (9, 10), (10, 11), (11, 12))
        ]
        embedded, _ = transformer.prefill(embeds=transformer.embed(ids), deepstack=list(deepstack))
    assert far(torch.cat(pieces, dim=1), whole) < 1e-5
    assert torch.equal(embedded, whole)
    assert cache.length == 12


def test_padding_of_a_text_batch_is_not_seen(pair, far):
    transformer = pair(TINY).ours
    ids, latents, actions = inputs(TINY)
    noisy = torch.ones(SHAPE[0], dtype=torch.bool), torch.ones(ROWS, dtype=torch.bool)
    padded = torch.stack([ids, torch.cat([ids[:4], ids.new_full((7,), 3)])])
    with torch.no_grad():
        short = transformer.prefill(ids[None, :4])[1]
        cache = transformer.prefill(padded)[1]
    cache.lengths = torch.tensor([11, 4])
    twice = (latents.expand(2, -1, -1, -1, -1), actions.expand(2, -1, -1))
    alone = our_velocity(transformer, short, latents, actions, *noisy)
    together = our_velocity(transformer, cache, *twice, *noisy)
    assert far(together[0][1], alone[0][0]) < 1e-5


@pytest.mark.parametrize(
    ("preset", "total", "tensors"),
    [
        (NANO, 15_173_136_576, 809),
        (SUPER, 64_019_736_832 - 665_664, 1425),
        (EDGE, 3_369_657_024, 549),
    ],
    ids=["nano", "super", "edge"],
)
def test_presets_have_the_published_parameter_counts(preset, total, tensors):
    with torch.device("meta"):
        parameters = list(Transformer(preset).parameters())
    assert sum(parameter.numel() for parameter in parameters) == total
    assert len(parameters) == tensors


def test_towers_can_be_left_out():
    with torch.device("meta"):
        policy, reasoner = Transformer(NANO, reasoner=False), Transformer(NANO, generator=False)
    assert (
        sum(parameter.numel() for parameter in policy.parameters()) == 15_173_136_576 - 622_329_856
    )
    assert (
        sum(parameter.numel() for parameter in reasoner.parameters())
        == 6_946_075_648 + 2 * 622_329_856
    )
    with pytest.raises(ValueError, match="without its lm_head"):
        policy.logits(torch.zeros(1))


@pytest.mark.parametrize(
    ("body", "state", "tokens"), [(DROID_JOINT_POS, 1, 3093), (LIBERO, 0, 266)]
)
def test_token_counts(body, state, tokens):
    height, width = (side // 16 for side in body.canvas.content)
    shape = (1 + body.horizon // 4, height, width)
    positions = generator_positions(NANO, 82, shape, body.fps, body.horizon + state, 1 - state)
    assert positions.shape == (3, tokens)


def test_positions_run_on_the_clock_of_the_video():
    positions = generator_positions(NANO, 100, (3, 4, 4), 15.0, rows=3, first_row=0)
    start = 100 + 15000
    torch.testing.assert_close(
        positions[0, ::4][:3], torch.tensor([0.0, 1.6, 3.2]) + start, rtol=0, atol=1e-3
    )
    torch.testing.assert_close(
        positions[0, 12:], torch.tensor([0.0, 0.4, 0.8]) + start, rtol=0, atol=1e-3
    )
    assert positions[1, :4].tolist() == [0, 0, 1, 1]
    assert positions[2, :4].tolist() == [0, 1, 0, 1]
    # A state row and the rows of the past before it: one row earlier is one row earlier.
    earlier = generator_positions(NANO, 100, (3, 4, 4), 15.0, rows=4, first_row=-1)
    assert torch.equal(earlier[0, 13:], positions[0, 12:])


def test_frames_to_come_that_nobody_looks_at_are_not_there(config, pair, far):
    """In some samples of a padded batch (training) it is as without them (inference)."""
    transformer = pair(config).ours
    ids, latents, actions = inputs(config)
    noisy = torch.ones(SHAPE[0], dtype=torch.bool), torch.ones(ROWS, dtype=torch.bool)
    parts = (ids, ids[:4])
    with torch.no_grad():
        caches = [transformer.prefill(part[None])[1] for part in parts]
        padded = torch.stack([torch.nn.functional.pad(part, (0, 11 - len(part))) for part in parts])
        batch = transformer.prefill(padded)[1]
    batch.lengths = torch.tensor([len(part) for part in parts])
    twice = (latents.expand(2, -1, -1, -1, -1), actions.expand(2, -1, -1))
    for hidden in (False, True):
        hide_rows = torch.tensor([hidden, hidden])
        mixed = our_velocity(
            transformer,
            batch,
            *twice,
            *noisy,
            hide_rows=hide_rows,
            hide_future=torch.tensor([False, True]),
        )
        whole = our_velocity(transformer, caches[0], latents, actions, *noisy, hide_rows=hidden)
        alone = our_velocity(
            transformer,
            caches[1],
            latents[:, :, :1],
            actions,
            noisy[0][:1],
            noisy[1],
            hide_rows=hidden,
        )
        assert far(mixed[0][0], whole[0][0]) < 1e-5
        assert far(mixed[1][0], whole[1][0]) < 1e-5
        assert far(mixed[0][1][:, :1], alone[0][0]) < 1e-5
        assert far(mixed[1][1], alone[1][0]) < 1e-5


def test_patches_come_back():
    latents = torch.randn(2, 48, 3, 33, 40)
    tokens = patchify(latents, 2)
    assert tokens.shape == (2, 3 * 17 * 20, 192)
    assert torch.equal(unpatchify(tokens, latents.shape, 2), latents)


def test_config_survives_its_json():
    for preset in (NANO, SUPER, EDGE, TINY):
        assert config_from_json(preset.to_json()) == preset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_act": "gelu"}, "'silu' or 'relu2', got 'gelu'"),
        ({"num_attention_heads": 7}, "multiple of kv_heads"),
        ({"rope_axes_dim": [1, 2, 3]}, "do not add up"),
    ],
)
def test_a_config_we_cannot_run_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        config_from_json({**TINY.to_json(), **change})


def test_bfloat16_is_close(pair, far):
    transformer = pair(TINY).ours
    ids, latents, actions = inputs(TINY)
    noisy = torch.ones(SHAPE[0], dtype=torch.bool), torch.ones(ROWS, dtype=torch.bool)
    with torch.no_grad():
        exact = our_velocity(
            transformer, transformer.prefill(ids[None])[1], latents, actions, *noisy
        )[0]
        transformer.to(torch.bfloat16).time.float()
        rounded = our_velocity(
            transformer, transformer.prefill(ids[None])[1], latents, actions, *noisy
        )[0]
    assert rounded.dtype == torch.bfloat16
    assert far(rounded.float(), exact) < 0.05


@pytest.mark.parametrize("late", [False, True], ids=["qwen", "nemotron"])
def test_each_kind_of_norm_rounds_as_its_original(late):
    torch.manual_seed(0)
    ours = RMSNorm(64, 1e-6, late)
    theirs = Cosmos3NemotronRMSNorm(64, 1e-6) if late else DiffusersRMSNorm(64, 1e-6)
    other = RMSNorm(64, 1e-6, not late)
    for norm in (ours, theirs, other):
        norm.weight = torch.nn.Parameter((1 + torch.linspace(-1, 1, 64)).bfloat16())
    x = torch.randn(100, 64, dtype=torch.bfloat16)
    assert torch.equal(ours(x), theirs(x))
    assert not torch.equal(other(x), theirs(x))


def test_no_generator_norm_in_a_reasoner_alone():
    edge = dataclasses.replace(EDGE, layers=1)
    with torch.device("meta"):
        names = set(Transformer(edge, generator=False).state_dict())
    assert not [name for name in names if "generator" in name]
