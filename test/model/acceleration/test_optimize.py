# SPDX-License-Identifier: Apache-2.0
"""What is fast says the same: compiled, joined, visiting, remembered.

What is rounded is about right.
"""

import functools
import os

import numpy as np
import pytest
import torch

from cosmos3_ros.model.acceleration.canvas_cuda import GpuComposer
from cosmos3_ros.model.acceleration.memory_budget import check_memory, needed
from cosmos3_ros.model.acceleration.offload import offloaded
from cosmos3_ros.model.acceleration.optimize import head, keep_compiled, optimize
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.autoencoder.first_frame_encoder import optimize_first_frame
from cosmos3_ros.model.autoencoder.vae import video_from_frames
from cosmos3_ros.model.checkpoint_io.loader import load_fast, load_model
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.language.decode_loop import DecodeLoop
from cosmos3_ros.model.language.token_sampling import DIRECT, GREEDY
from cosmos3_ros.model.network.config import EDGE, NANO, TINY
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.reasoner import Cosmos3Reasoner
from cosmos3_ros.model.runtime import cuda_stream

RNG = np.random.default_rng(0)
BODY = EMBODIMENTS["droid_sim"]
IMAGES = {view: RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8) for view in BODY.views}
STATE = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.25], np.float32)
OBSERVATION = Observation(IMAGES, STATE, "put the red cube in the bowl", 1)


def predict(model, **options):
    prediction = Cosmos3Policy(model, deterministic=True, num_steps=2, **options).infer(OBSERVATION)
    return prediction.latents, torch.from_numpy(prediction.chunk.values)


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without its code generator: everything but the kernels."""
    torch._dynamo.reset()
    plain = functools.partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", plain)
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def plain():
    model = load_model(tiny_checkpoint())
    return model, predict(model)


def test_compiled_layers_say_the_same_and_share_their_code(plain, traced):
    model = load_model(tiny_checkpoint())
    optimize(model, RuntimeOptions(compiled=True))
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for got, wanted in zip(predict(model), plain[1], strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    # Before and after the attention, of text and generator: not once per layer.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 4


@pytest.mark.parametrize(("kind", "limit"), [("fp8", 0.1), ("int8", 0.02), ("nvfp4", 0.2)])
def test_rounded_towers_are_about_right(plain, far, kind, limit):
    speed = RuntimeOptions(generator=kind, text=kind)
    got = predict(load_fast(tiny_checkpoint(), "cpu", torch.float32, speed))
    for mine, wanted in zip(got, plain[1], strict=True):
        assert 0 < far(mine, wanted) < limit


def test_the_head_of_a_rounded_tower_has_eight_bits(far):
    torch.manual_seed(0)
    weight, x = torch.randn(70, 64), torch.randn(3, 64)
    wanted = x @ weight.T
    assert torch.equal(head(weight, "none")(x), wanted)
    assert 0 < far(head(weight, "nvfp4")(x), wanted) < 0.01


def test_a_text_tower_that_visits_reads_the_same(plain, far):
    model, tokens = plain[0].transformer, torch.arange(5, 30)[None]
    wanted, cache = model.prefill(tokens)
    home = model.text.layers
    model.text.layers, guest = offloaded(home, torch.device("cpu"))
    got, visited = model.prefill(tokens)
    model.text.layers = home
    assert torch.equal(got, wanted)
    assert all(
        torch.equal(mine, theirs) for mine, theirs in zip(visited.keys, cache.keys, strict=True)
    )
    assert torch.equal(guest.mlp.up.weight, home[-1].mlp.up.weight)


def test_placements_leave_out_what_they_do_not_need():
    policy = load_fast(tiny_checkpoint(), "cpu", torch.float32, RuntimeOptions(placement="policy"))
    reasoner = load_fast(
        tiny_checkpoint(), "cpu", torch.float32, RuntimeOptions(placement="reasoner")
    )
    assert policy.transformer.head is None
    assert policy.vision is None
    assert reasoner.vae is None
    assert predict(policy)[1].shape == (16, 8)
    assert Cosmos3Reasoner(reasoner).ask("What?", max_tokens=2).tokens <= 2


def test_memory_is_asked_for_before_it_is_taken():
    check_memory(NANO, RuntimeOptions(), 40.0)
    with pytest.raises(
        ValueError,
        match=r"'both' with 'none' and 'none' weights needs 3\d\.\d GiB, the GPU has 24\.0",
    ):
        check_memory(NANO, RuntimeOptions(), 24.0)
    with pytest.raises(ValueError, match="placement 'both' with 'fp8' weights would fit"):
        check_memory(NANO, RuntimeOptions(), 24.0)
    with pytest.raises(ValueError, match="placement 'policy' with 'nvfp4' weights would fit"):
        check_memory(NANO, RuntimeOptions(), 10.0)
    with pytest.raises(ValueError, match="none of the placements would fit"):
        check_memory(NANO, RuntimeOptions(), 3.0)
    assert needed(EDGE, RuntimeOptions()) < needed(
        NANO, RuntimeOptions(generator="fp8", text="fp8")
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"generator": "fp16"},
            "RuntimeOptions.generator: expected one of .*'nvfp4'.*, got 'fp16'",
        ),
        ({"placement": "cpu"}, "RuntimeOptions.placement: expected one of .*, got 'cpu'"),
    ],
)
def test_an_unknown_speed_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        RuntimeOptions(**fields)


def test_tokens_on_a_static_cache_equal_those_on_a_growing_one(config, pair, monkeypatch):
    monkeypatch.setattr("cosmos3_ros.model.language.decode_loop.MIN_CAPACITY", 16)
    transformer = pair(config).ours
    decoder, tokens = DecodeLoop(transformer), torch.randint(0, config.vocab, (1, 9))
    for length in (9, 4):  # the second time there is room already, and something in it
        with torch.inference_mode():
            hidden, growing = transformer.prefill(tokens[:, :length])
            decoder.start(growing, length + 3, 12)
            assert decoder.capacity == 32 if length == 9 else 16
            token = int(transformer.logits(hidden[0, -1]).argmax())
            for position in range(length + 3, length + 15):
                place = torch.full((3, 1), position)
                hidden, _ = transformer.prefill(
                    torch.tensor([[token]]), positions=place, cache=growing
                )
                wanted = transformer.logits(hidden[0, -1])
                assert torch.equal(decoder.step(token), wanted)
                token = int(wanted.argmax())


def test_a_decoder_with_no_room_left_says_so(pair):
    transformer = pair(TINY).ours
    decoder = DecodeLoop(transformer)
    with torch.inference_mode():
        cache = transformer.prefill(torch.arange(3)[None])[1]
        decoder.start(cache, 3, 1)
        decoder._written = decoder.capacity
        with pytest.raises(ValueError, match="decoder: expected at most 1024 tokens"):
            decoder.step(1)


def test_two_answers_at_once_do_not_mix(plain):
    reasoner = Cosmos3Reasoner(plain[0])
    prompts = [
        lambda: reasoner.prompt("What do you see?"),
        lambda: reasoner.prompt("Is there a red cube?"),
    ]
    alone = [list(reasoner.tokens(prompt(), 6)) for prompt in prompts]
    first, second = (reasoner.tokens(prompt(), 6) for prompt in prompts)
    together = list(zip(first, second, strict=False))
    assert [[pair[i] for pair in together] for i in (0, 1)] == [
        said[: len(together)] for said in alone
    ]


@pytest.mark.parametrize("sampling", [GREEDY, DIRECT])
def test_a_device_that_steps_ahead_of_the_host_says_the_same(plain, sampling):
    said = []
    for ahead in (False, True):
        reasoner = Cosmos3Reasoner(plain[0])
        reasoner._decoders.ahead = ahead
        said.append(list(reasoner.tokens(reasoner.prompt("What do you see?"), 6, sampling)))
        reasoner.stop = {said[0][2]}
        said.append(list(reasoner.tokens(reasoner.prompt("What do you see?"), 6, sampling)))
    assert said[:2] == said[2:]
    assert len(said[1]) < len(said[0])


def test_a_picture_is_looked_at_once(plain, monkeypatch):
    reasoner = Cosmos3Reasoner(plain[0])
    looks = []
    forward = type(reasoner.vision).forward
    monkeypatch.setattr(
        type(reasoner.vision),
        "forward",
        lambda self, patches, grids: looks.append(len(grids)) or forward(self, patches, grids),
    )
    images = [IMAGES[view] for view in BODY.views]
    reasoner.prompt("What?", images)
    again = reasoner.prompt("And now?", [images[0], images[2] // 2, images[1]])
    assert looks == [3, 1]
    whole = Cosmos3Reasoner(plain[0]).prompt("And now?", [images[0], images[2] // 2, images[1]])
    torch.testing.assert_close(again.embeds, whole.embeds, rtol=1e-5, atol=1e-5)
    other = Cosmos3Reasoner(plain[0]).prompt("And now?", [images[0], images[2], images[1]])
    assert not torch.allclose(other.embeds, whole.embeds, rtol=1e-3, atol=1e-3), (
        "the remembered one would be noticed"
    )


def test_a_hastened_encoder_of_stills_sees_the_same(far, monkeypatch):
    # its CPU kernels take too long
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: None)
    model = load_model(tiny_checkpoint(), reasoner=False)
    video = video_from_frames(RNG.integers(0, 256, (1, 64, 96, 3), dtype=np.uint8))
    with torch.no_grad():
        wanted = model.vae.module.encode(video).latent_dist.mode()
    assert far(model.vae.first_frame_encoder(video), wanted) < 1e-5
    optimize_first_frame(model.vae.first_frame_encoder)
    assert far(model.vae.first_frame_encoder(video), wanted) < 1e-5


@pytest.mark.parametrize("size", [(90, 120), (480, 640)])
@pytest.mark.parametrize("name", ["droid_sim", "droid_joint_pos", "libero", "bridge", "av"])
def test_pictures_painted_by_torch_equal_those_of_numpy(name, size):
    body = EMBODIMENTS[name]
    images = {view: RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for view in body.views}
    assert np.array_equal(
        GpuComposer(body.canvas, torch.device("cpu"))(images).numpy(), body.compose(images)
    )
    with pytest.raises(ValueError, match="missing view"):
        GpuComposer(body.canvas, torch.device("cpu"))({})


def test_guidance_in_the_first_steps_only(model):
    policy = Cosmos3Policy(model, guided_steps=1)
    assert [policy.guidance.applies(time) for time in policy.schedule.times] == [
        True,
        False,
        False,
        False,
    ]
    assert all(
        Cosmos3Policy(model, guided_steps=4).guidance.applies(time)
        for time in policy.schedule.times
    )
    whole, once, reused = (
        Cosmos3Policy(model, deterministic=True, **options).infer(OBSERVATION).chunk.values
        for options in ({}, {"guided_steps": 1}, {"guided_steps": 1, "reuse_guidance": True})
    )
    assert 0 < np.linalg.norm(reused - whole) < np.linalg.norm(once - whole)


def test_a_lane_on_a_cpu_only_tells_the_time():
    with cuda_stream.CudaStream(torch.device("cpu"), first=True) as own:
        clock = own.clock()
        clock.lap("first")
        clock.lap("second")
    assert list(clock.seconds()) == ["first", "second"]
    assert min(clock.seconds().values()) >= 0


@pytest.mark.parametrize("home", ["/proc/nowhere", ""], ids=["cannot be written", "no user"])
def test_code_is_not_kept_where_there_is_no_home(home, monkeypatch, caplog):
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "before")
    monkeypatch.setenv("TRITON_CACHE_DIR", "before")
    if not home:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # KeyError, as of the real one
    keep_compiled("~/.cache/cosmos3_ros/compiled")
    assert os.path.isdir(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert "compiled code is not kept for the next start" in caplog.text


def test_code_is_kept_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "before")
    keep_compiled("~/.cache/compiled")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / ".cache" / "compiled")
    assert not any((tmp_path / ".cache" / "compiled").iterdir())
