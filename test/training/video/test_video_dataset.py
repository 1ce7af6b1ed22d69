# SPDX-License-Identifier: Apache-2.0
"""Windows of clips as latents, and their captions as the generator is asked with them."""

import dataclasses

import numpy as np
import pytest
import torch

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.language.captions import tokenize
from cosmos3_ros.model.network.kv_cache import Prompts
from cosmos3_ros.training.clips.video_clip import make_clip
from cosmos3_ros.training.video.video_dataset import VideoDataset, read_prompts, written
from cosmos3_ros.training.video.video_loss import draw_noisy_frames, video_loss
from cosmos3_ros.training.video_options import VideoOptions

OPTIONS = VideoOptions(clips="x", size=(32, 48), frames=5)


def make(seed, length, captions, **options):
    random = np.random.default_rng(seed)
    size = options.pop("size", (32, 48))
    frames = random.integers(0, 256, (length, *size, 3), dtype=np.uint8)
    return make_clip(frames, 12.0, captions, dataclasses.replace(OPTIONS, **options))


@pytest.fixture(scope="module")
def model(tiny_small):
    return load_model(tiny_small, dtype=torch.float32)


def test_windows_of_one_shape_are_drawn_with_their_captions(model):
    windows = VideoDataset(model.vae, model.tokenizer, torch.device("cpu"))
    with pytest.raises(ValueError, match="got none of 0 clips"):
        windows.draw(1, 0.0)
    clips = [make(0, 11, ("a", "b")), make(1, 4, ("c",)), make(2, 6, ("c",), size=(48, 32))]
    windows.add(clips)
    assert (len(windows), windows.short, len(windows.prompts)) == (3, 1, 4)
    assert windows.usual() == (5, (32, 48), 12.0)
    torch.manual_seed(0)
    drawn = [windows.draw(4, 0.0) for _ in range(60)]
    wide = [batch for batch in drawn if batch.size == (32, 48)]
    assert 25 < len(wide) < 55  # two of three windows
    assert wide[0].latents.shape == (4, 48, 2, 2, 3)
    assert {int(one) for batch in wide for one in batch.prompts} == {1, 2}
    assert {int(one) for batch in drawn if batch.size != (32, 48) for one in batch.prompts} == {3}
    dropped = torch.cat([windows.draw(50, 0.5).prompts for _ in range(10)])
    assert 0.4 < (dropped == 0).float().mean() < 0.6
    exact = model.vae.encode(
        torch.from_numpy(clips[0].window(5)).permute(3, 0, 1, 2)[None] / 127.5 - 1
    )
    found = [
        one for batch in wide for one in batch.latents if torch.allclose(one, exact[0], atol=0.05)
    ]
    assert found
    assert windows.prompts[1] == tokenize(model.tokenizer, written("a", 5, 12.0, (32, 48)))


def test_captions_say_what_a_request_for_such_a_video_says():
    assert written("A cup falls.", 5, 10.0, (32, 48)) == (
        "A cup falls. The video is 0.5 seconds long and is of 10 FPS. "
        "This video is of 32x48 resolution."
    )
    text = written('{"scene": "cup", "fps": 3}', 25, 10.0, (480, 832))
    assert text == (
        '{"scene": "cup", "resolution": {"W": 832, "H": 480}, "aspect_ratio": "16,9", '
        '"duration": "2s", "fps": 10}'
    )


def test_padded_prompts_lead_to_the_velocities_of_single_ones(model):
    """Of unequal lengths, one of them twice."""
    torch.manual_seed(0)
    prompts = [[5, 6, 7], [8] * 20, [5, 6, 7]]
    latents, noisy = torch.randn(3, 48, 2, 2, 4), torch.ones(3, 2, dtype=torch.bool)
    level = torch.full((3,), 500.0)
    with torch.no_grad():
        cache, rope = read_prompts(model.transformer, prompts, (2, 2, 4), 12.0)
        together, _ = model.transformer.velocity(latents, level, cache, rope, noisy)
        for number, prompt in enumerate(prompts):
            _, alone = model.transformer.prefill(torch.tensor([prompt]))
            _, rope = read_prompts(model.transformer, [prompt], (2, 2, 4), 12.0)
            place = slice(number, number + 1)
            single, _ = model.transformer.velocity(
                latents[place], level[place], Prompts((alone,)), rope, noisy[place]
            )
            assert torch.allclose(together[place], single, atol=1e-4), number


def test_some_samples_know_the_first_frames():
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, modes=(0.5, 0.3, 0.2))
    noisy = draw_noisy_frames(4000, 3, options, torch.device("cpu"))
    known = (~noisy).sum(1)
    assert noisy[:, -1].all()
    shares = [(known == count).float().mean().item() for count in range(3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    assert draw_noisy_frames(50, 1, options, torch.device("cpu")).all()
    assert draw_noisy_frames(50, 2, options, torch.device("cpu"))[:, 1].all()


def test_what_is_known_counts_as_right(model):
    """The mean is over all latents: half of them known, the loss is about half as large."""
    windows = VideoDataset(model.vae, model.tokenizer, torch.device("cpu"))
    windows.add([make(3, 5, ("x",))])
    batch = windows.draw(64, 0.0)
    with torch.no_grad():
        losses = [
            float(
                video_loss(
                    model.transformer,
                    batch,
                    windows.prompts,
                    dataclasses.replace(OPTIONS, modes=modes),
                )
            )
            for modes in ((1, 0, 0), (0, 1, 0))
        ]
    assert losses[1] == pytest.approx(losses[0] / 2, rel=0.2)
