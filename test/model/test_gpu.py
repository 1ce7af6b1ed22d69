# SPDX-License-Identifier: Apache-2.0
"""On a GPU: kernels, compiled layers and CUDA graphs against the plain path, at tiny size."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.checkpoint_io.loader import load_fast
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.language import decode_loop
from cosmos3_ros.model.network import layers, tower
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.network.layers import RMSNorm, attention, rope_table, rotate
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.reasoner import Cosmos3Reasoner
from cosmos3_ros.model.runtime.quantize import FORMATS

DROID_SIM = EMBODIMENTS["droid_sim"]

# Float32 is compared with float32: TensorFloat32 is off on purpose.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:TensorFloat32")]

RNG = np.random.default_rng(0)
IMAGES = {view: RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8) for view in DROID_SIM.views}
STATE = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.25], np.float32)
OBSERVATION = Observation(IMAGES, STATE, "put the red cube in the bowl", 1)


def load(speed, dtype=torch.float32):
    return load_fast(tiny_checkpoint(), "cuda", dtype, speed)


def chunks(model, count=3):
    """The same chunk several times, then one for another instruction.

    Graphs are recorded at the second.
    """
    policy = Cosmos3Policy(model, deterministic=True)
    same = [policy.infer(OBSERVATION).chunk.values for _ in range(count)]
    return [
        *same,
        policy.infer(dataclasses.replace(OBSERVATION, instruction="open the drawer")).chunk.values,
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_one_token_has_a_kernel_of_its_own(kind, far):
    torch.manual_seed(0)
    product = FORMATS[kind].from_weight(torch.randn(70, 1536, device="cuda"))
    x = torch.randn(1, 1, 1536, device="cuda")
    assert far(product(x), x @ product.dequantize(torch.float32).T) < 1e-4


def test_a_lone_token_joins_the_cache_and_attends_up_to_its_place(far):
    torch.manual_seed(0)
    query = torch.randn(1, 1, 8, 32, device="cuda")
    keys, values = torch.randn(2, 1, 512, 2, 32, device="cuda")
    wanted = attention(query, keys[:, :201], values[:, :201])
    new = [cache[:, 200:201].clone() for cache in (keys, values)]
    keys[:, 200:] = values[:, 200:] = torch.nan
    from cosmos3_ros.model.runtime.triton_kernels import flash_decode

    assert (
        far(flash_decode(query, *new, keys, values, torch.tensor([200], device="cuda")), wanted)
        < 1e-4
    )
    for cache, token in zip((keys, values), new, strict=True):
        assert torch.equal(cache[:, 200:201], token)
        assert cache[:, 201:].isnan().all()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_surrounds_a_product_of_one_token_is_in_its_kernel(kind, far):
    torch.manual_seed(0)
    with torch.device("cuda"):
        product, norm = (
            FORMATS[kind].from_weight(torch.randn(70, 1536) / 40),
            RMSNorm(1536, 1e-6, False),
        )
        x, more = 3 * torch.randn(1, 1, 1536), torch.randn(1, 1, 70)
        norm.weight.data.normal_()
    with torch.inference_mode():
        wanted = norm(x) @ product.dequantize(torch.float32).T
        assert far(product.matvec(x, norm, residual=more), wanted + more) < 1e-4
        gate, up = wanted.chunk(2, -1)
        assert far(product.matvec(x, norm, gated=True), functional.silu(gate) * up) < 1e-4


@pytest.mark.parametrize("normed", [True, False])
def test_a_lone_token_is_normed_and_rotated_where_it_attends(normed, far):
    torch.manual_seed(0)
    from cosmos3_ros.model.runtime.triton_kernels import flash_decode

    with torch.device("cuda"):
        query, key, value = torch.randn(1, 1, 6, 32), *torch.randn(2, 1, 1, 2, 32)
        keys, values = torch.randn(2, 1, 512, 2, 32)
        norms = [RMSNorm(32, 1e-6, False) for _ in range(2)]
        place, position = torch.tensor([200]), torch.tensor([170])
        table = rope_table(torch.arange(512).expand(3, -1), TINY, torch.float32)
    for norm in norms:
        norm.weight.data.normal_()
    with torch.inference_mode():
        turned = [
            norm(part) if normed else part for norm, part in zip(norms, (query, key), strict=True)
        ]
        turned = [rotate(part, [angle[:, 170:171] for angle in table]) for part in turned]
        before = [torch.cat([keys[:, :200], turned[1]], 1), torch.cat([values[:, :200], value], 1)]
        gains = (norms[0].weight, norms[1].weight, norms[0].eps) if normed else None
        got = flash_decode(query, key, value, keys, values, place, (position, *table), gains)
        assert far(got, attention(turned[0], *before)) < 1e-4
        assert far(keys[:, :201], before[0]) < 1e-5


@pytest.mark.parametrize(
    "speed",
    [
        RuntimeOptions(graphs=True),
        RuntimeOptions(compiled=True),
        RuntimeOptions(compiled=True, graphs=True),
    ],
)
def test_chunks_are_the_same_however_they_are_run(speed):
    for got, wanted in zip(chunks(load(speed)), chunks(load(RuntimeOptions())), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:(full_steps|future_tokens)")  # of random weights, and eager
@pytest.mark.parametrize(
    ("preset", "guidance"), [("fast", 3.0), ("faster", 3.0), ("fastest", 3.0), ("faster", 1.0)]
)
def test_steps_of_the_rows_alone_are_the_same_however_they_are_run(preset, guidance):
    """Eager, recorded, recorded and compiled, and as a CPU runs them."""
    ways = [(False, False), (False, True), (True, True)]
    models = [load(RuntimeOptions(compiled=one, graphs=other)) for one, other in ways]
    models.append(load_fast(tiny_checkpoint(), "cpu", torch.float32, RuntimeOptions()))
    found = []
    for model in models:
        policy = Cosmos3Policy(model, deterministic=True, preset=preset, guidance=guidance)
        found.append([policy.infer(OBSERVATION).chunk.values for _ in range(3)])
    for first, second, third in found:
        np.testing.assert_allclose(second, first, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(third, second)
        np.testing.assert_allclose(first, found[-1][0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("queries", "keys"), [(300, 381), (129, 256)])
def test_attention_in_fp8_is_near(queries, keys, far):
    from cosmos3_ros.model.runtime.attention_kernels import fp8_attention

    torch.manual_seed(0)
    with torch.device("cuda"):
        query, key = torch.randn(1, queries, 8, 128), torch.randn(1, keys, 2, 128)
        value = torch.randn(1, keys, 2, 128)
    parts = [part.bfloat16() for part in (query, key, value)]
    query, *pair = parts
    got = fp8_attention(query, [pair]).float()
    wanted = attention(*(part.float() for part in parts))
    assert far(got, wanted) < 0.1
    other = fp8_attention(query, [(pair[0], pair[1].flip(1))]).float()
    text = [[part[:, :70] for part in pair], [part[:, 70:] for part in pair]]
    assert torch.equal(fp8_attention(query, text).float(), got)
    assert far(other, wanted) > 2 * far(got, wanted)


@pytest.mark.filterwarnings("ignore:full_steps")
def test_chunks_with_attention_in_fp8(far):
    speed = RuntimeOptions(compiled=True, graphs=True, generator="fp8", attention="fp8")
    found = []
    for way in (speed, RuntimeOptions()):
        policy = Cosmos3Policy(load(way, torch.bfloat16), deterministic=True, preset="faster")
        found.append([policy.infer(OBSERVATION).chunk.values for _ in range(3)])
    assert np.array_equal(found[0][1], found[0][2])
    assert far(torch.from_numpy(found[0][2]), torch.from_numpy(found[1][0])) < 0.3


def test_fp8_products_of_few_rows_have_one_scale(far):
    torch.manual_seed(0)
    product = FORMATS["fp8"].from_weight(torch.randn(192, 256, device="cuda") / 16)
    x = torch.randn(40, 256, device="cuda", dtype=torch.bfloat16) * torch.rand(40, 1, device="cuda")
    few = product(x)
    many = product(torch.cat([x] * 4))[:40]
    assert far(few.float(), many.float()) < 0.01
    assert far(few.cpu().float(), product.cpu()(x.cpu()).float()) < 0.01


@pytest.mark.parametrize("lengths", [(300, 257), (40, 300), (700,)])
def test_few_queries_attend_to_many_keys_in_parts(lengths, far):
    from cosmos3_ros.model.runtime.few_queries import attend_beside

    torch.manual_seed(0)
    make = {"device": "cuda", "dtype": torch.bfloat16}
    query = torch.randn(len(lengths), 33, 8, 128, **make)
    key, value = torch.randn(2, len(lengths), 33, 2, 128, **make)
    kept = [torch.randn(2, 1, length, 2, 128, **make) for length in lengths]
    wanted = layers.attend_beside(
        query.float(), key.float(), value.float(), [pair.float() for pair in kept]
    )
    assert far(attend_beside(query, key, value, [(*pair,) for pair in kept]).float(), wanted) < 0.01


@pytest.mark.parametrize("round_last", [False, True])
def test_what_fp8_products_read_is_rounded_where_it_is_made(round_last, far):
    from cosmos3_ros.model.runtime.rounding_kernels import Product

    torch.manual_seed(0)
    make = {"device": "cuda", "dtype": torch.bfloat16}
    product = FORMATS["fp8"].from_weight(torch.randn(192, 320, device="cuda") / 16)
    norm = RMSNorm(320, 1e-6, round_last).to(**make).requires_grad_(False)
    norm.weight += torch.randn(320, **make) / 8
    wide, narrow = (
        FORMATS["fp8"].from_weight(torch.randn(*shape, device="cuda") / 16)
        for shape in ((384, 320), (320, 192))
    )
    for tokens in (300, 40, 1):  # few of them are multiplied otherwise
        x, more = torch.randn(2, 1, tokens, 320, **make)
        for summand in (None, more):
            total = x if summand is None else x + summand
            residual = x if summand is None else (x, Product(summand[0]))
            got, summed = product.normed_matmul(residual, norm)
            assert torch.equal(summed, total)
            assert far(got.tensor().float(), product.matmul(norm(total))[0].float()) < 0.005
        joined = product.joined_matmul((x, more)).tensor()
        assert torch.equal(joined, product.matmul(torch.cat([x, more])).flatten(0, 1))
        gated = wide.normed_matmul(x, norm)[0]
        gate, up = gated.tensor().chunk(2, -1)
        wanted = narrow.matmul(functional.silu(gate.float()) * up.float())
        # of a single row some numbers that are rounded to the other side are much
        assert far(narrow.gated_matmul(gated).tensor().float(), wanted.float()) < 0.02


@pytest.mark.parametrize("activation", ["silu", "relu2"])
def test_heads_of_a_product_of_few_rows_have_a_kernel(activation, far):
    from cosmos3_ros.model.runtime.rounding_kernels import Product

    torch.manual_seed(0)
    config = dataclasses.replace(TINY, activation=activation)
    make = {"device": "cuda", "dtype": torch.bfloat16}
    attention = tower.Attention(config, True, False).to(**make).requires_grad_(False)
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight += torch.randn(config.head_dim, **make) / 4
    attention.widths = [n * config.head_dim for n in (config.heads, *[config.kv_heads] * 2)]
    width = sum(attention.widths)
    scales = torch.rand(66, 1, device="cuda"), torch.rand(width, 1, device="cuda")
    product = Product(torch.randn(66, width, **make), *scales)
    rope = [part.expand(2, -1, -1) for part in torch.randn(2, 1, 33, config.head_dim, **make)]
    for some in (rope, [part[:1] for part in rope]):
        got = product.heads(attention, torch.empty(2, 33, 1, **make), some)
        parts = product.tensor().view(2, 33, -1).split(attention.widths, -1)
        for mine, plain in zip(got[:3], attention.rotated(parts, some)[:3], strict=True):
            assert far(mine.float(), plain.float()) < 0.01


@pytest.mark.parametrize(
    "speed",
    [
        RuntimeOptions(graphs=True),
        RuntimeOptions(compiled=True),
        RuntimeOptions(compiled=True, graphs=True),
    ],
)
def test_answers_are_the_same_however_they_are_run(speed):
    wanted = (
        Cosmos3Reasoner(load(RuntimeOptions())).ask("What do you see?", [IMAGES["wrist"]], 24).text
    )
    reasoner = Cosmos3Reasoner(load(speed))
    for _ in range(2):
        assert reasoner.ask("What do you see?", [IMAGES["wrist"]], 24).text == wanted


@pytest.mark.parametrize("kind", ["fp8", "int8", "nvfp4"])
def test_rounded_weights_run_as_on_a_cpu(kind, far):
    speed = RuntimeOptions(compiled=True, generator=kind, text=kind, placement="policy")
    got = chunks(load(speed, torch.bfloat16), count=1)
    wanted = chunks(load(RuntimeOptions(), torch.bfloat16), count=1)
    for mine, exact in zip(got, wanted, strict=True):
        assert far(torch.from_numpy(mine), torch.from_numpy(exact)) < 0.3


def test_a_compiled_decoder_draws_the_same_frames(far):
    latents = torch.randn(1, 48, 6, 4, 6, device="cuda")
    wanted, compiled = (
        load(RuntimeOptions()).vae.decode(latents),
        load(RuntimeOptions(compiled=True)).vae,
    )
    assert far(compiled.decode(latents), wanted) < 1e-2  # the convolutions' own TensorFloat32


@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_a_recorded_token_takes_few_kernels_and_says_the_same(kind, far, monkeypatch):
    transformer = load(RuntimeOptions(graphs=True, text=kind, placement="reasoner")).transformer
    scores = []
    with torch.inference_mode():
        for fusible in (lambda model: False, decode_loop._fusible):
            monkeypatch.setattr(decode_loop, "_fusible", fusible)
            one = decode_loop.DecodeLoop(transformer, graphs=True)
            one.start(transformer.prefill(torch.arange(5, 30, device="cuda")[None])[1], 25, 12)
            scores.append(torch.stack([one.step(token).clone() for token in range(7, 19)]))
    assert far(*scores) < 1e-3
