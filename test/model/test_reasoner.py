# SPDX-License-Identifier: Apache-2.0
"""The reasoner against transformers on the same random weights, read from a checkpoint folder."""

import copy
import dataclasses
import gc
import itertools
import json
import re
import shutil
from collections import Counter
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    Cosmos3EdgeConfig,
    Cosmos3EdgeForConditionalGeneration,
    Cosmos3OmniConfig,
    Cosmos3OmniForConditionalGeneration,
)

from cosmos3_ros.model.checkpoint_io.json_file import write_json
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint, write_tokenizer
from cosmos3_ros.model.interface import Clip
from cosmos3_ros.model.language.chat import Turn
from cosmos3_ros.model.language.token_sampling import Sampling
from cosmos3_ros.model.language.vision_encoder import (
    image_patches,
    retained,
    sample_frames,
    video_patches,
)
from cosmos3_ros.model.network.config import ModelConfig
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.reasoner import Cosmos3Reasoner, load_reasoner

TEXT = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4}
TEXT |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
OURS = ModelConfig(
    hidden=64,
    layers=4,
    heads=4,
    kv_heads=2,
    head_dim=32,
    mlp=96,
    vocab=512,
    rope_sections=(6, 5, 5),
)
# transformers -> Hub
RENAMED = {
    "model.language_model.": "",
    "fc1": "up_proj",
    "fc2": "down_proj",
    "q_norm": "norm_q",
    "k_norm": "norm_k",
}
RENAMED |= {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "o_proj": "to_out"}


def rope(theta: float) -> dict:
    return {
        "rope_parameters": {"rope_type": "default", "rope_theta": theta, "mrope_section": [6, 5, 5]}
    }


def make_omni(media: dict) -> tuple[torch.nn.Module, dict]:
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 8,
    }
    vision |= {
        "out_hidden_size": 64,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1, 2],
    }
    config = Cosmos3OmniConfig(text_config=TEXT | rope(5e6), vision_config=vision, **media)
    return Cosmos3OmniForConditionalGeneration(config), OURS.to_json()


def make_edge(media: dict) -> tuple[torch.nn.Module, dict]:
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision |= {"num_patches": 16, "patch_size": 8}
    config = Cosmos3EdgeConfig(
        text_config=TEXT | rope(1e8), vision_config=vision, projector_hidden_size=80, **media
    )
    ours = OURS.to_json() | {
        "hidden_act": "relu2",
        "qk_norm_for_text": False,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e8,
    }
    return Cosmos3EdgeForConditionalGeneration(config), ours | {"use_und_k_norm_for_gen": True}


def write_checkpoint(folder: Path, theirs: torch.nn.Module, transformer: dict) -> None:
    """Save what a reasoner needs of the Hub layout.

    Edge keeps its full names in vision_encoder/.
    """
    edge = theirs.config.model_type == "cosmos3_edge"
    text, vision = {}, {}
    for name, tensor in theirs.state_dict().items():
        if name.startswith(("model.visual.", "model.projector.")):
            vision[name if edge else name.removeprefix("model.visual.")] = tensor
        else:
            text[reduce(lambda known, pair: known.replace(*pair), RENAMED.items(), name)] = tensor
    pixels = {"patch_size": 8, "temporal_patch_size": 1 if edge else 2, "merge_size": 2}
    image, video = (
        {"size": {"shortest_edge": 32 * 32, "longest_edge": frames * 96 * 96}} for frames in (1, 8)
    )
    write_json(folder / "config.json", theirs.config.to_dict())
    write_json(folder / "transformer" / "config.json", transformer)
    write_json(folder / "preprocessor_config.json", pixels | image)
    write_json(folder / "video_preprocessor_config.json", pixels | video)
    save_file(text, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    (folder / "vision_encoder").mkdir()
    save_file(vision, folder / "vision_encoder" / "model.safetensors")


@pytest.fixture(scope="module", params=[make_omni, make_edge], ids=["omni", "edge"])
def both(request, tmp_path_factory) -> SimpleNamespace:
    """Their model and ours with the same weights, and the folder they were read from."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs, transformer = request.param(
        write_tokenizer(folder / "text_tokenizer", TEXT["vocab_size"])
    )
    for weight in theirs.parameters():
        torch.nn.init.normal_(weight, std=0.25)
    write_checkpoint(folder, theirs.eval(), transformer)
    model = load_model(folder, generator=False)
    return SimpleNamespace(theirs=theirs, folder=folder, model=model, ours=Cosmos3Reasoner(model))


def picture(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


IMAGES = [picture(40, 56, 0), picture(33, 90, 1), picture(64, 64, 2)]
VIDEO = [picture(48, 64, 3)] * 3 + [picture(48, 64, seed) for seed in (4, 5, 6, 7)]


def their_inputs(prompt, ours: Cosmos3Reasoner, pictures: list, kind: str) -> dict:
    """Inputs of transformers' forward and generate.

    test_vision_encoder.py compares the patches with those of their processors.
    """
    inputs = {"input_ids": prompt.ids[None], "attention_mask": torch.ones_like(prompt.ids)[None]}
    if kind != "text":
        names = (
            ("pixel_values", "image_grid_thw")
            if kind == "image"
            else ("pixel_values_videos", "video_grid_thw")
        )
        patches, grids = zip(*pictures, strict=True)
        inputs |= dict(zip(names, (torch.cat(patches), torch.tensor(grids)), strict=True))
        types = (prompt.ids == ours.vision.media.image) * 1 + (
            prompt.ids == ours.vision.media.video
        ) * 2
        inputs["mm_token_type_ids"] = types.int()[None]
    return inputs


def ask(ours: Cosmos3Reasoner, case: str):
    """The prompt of a case, and the inputs of transformers for it."""
    if case == "video":
        prompt = ours.video_prompt("What moves?", VIDEO, fps=3.0)
        frames = [VIDEO[index] for index in sample_frames(len(VIDEO), 3.0)]
        return prompt, their_inputs(
            prompt, ours, [video_patches(frames, ours.vision.pixels)], "video"
        )
    images = IMAGES[: {"text": 0, "image": 1, "images": 3}[case]]
    prompt = ours.prompt("What is it?", images)
    pictures = [image_patches(image, ours.vision.pixels) for image in images]
    return prompt, their_inputs(prompt, ours, pictures, "image" if images else "text")


def scores(ours: Cosmos3Reasoner, prompt) -> torch.Tensor:
    hidden, _ = ours.transformer.prefill(
        embeds=prompt.embeds, positions=prompt.positions, deepstack=prompt.deepstack
    )
    return ours.transformer.logits(hidden)


@pytest.mark.parametrize("case", ["text", "image", "images", "video"])
@torch.inference_mode()
def test_logits_equal_transformers(both, case):
    prompt, inputs = ask(both.ours, case)
    theirs = both.theirs(**inputs).logits
    assert (scores(both.ours, prompt) - theirs).norm() <= 1e-5 * theirs.norm()


@torch.inference_mode()
def test_a_conversation_equals_transformers(both):
    ours, places = both.ours, sample_frames(len(VIDEO), 3.0)
    clip = Clip([VIDEO[place] for place in places], places, 3.0)
    talk = [
        ("system", ("Be brief.",)),
        ("user", ("First", IMAGES[0], "and", clip)),
        ("assistant", ("A cup.",)),
    ]
    prompt = ours.chat([*itertools.starmap(Turn, talk), Turn("user", ("Sure?", IMAGES[1]))])
    inputs = {"input_ids": prompt.ids[None], "attention_mask": torch.ones_like(prompt.ids)[None]}
    pictures = [image_patches(image, ours.vision.pixels) for image in IMAGES[:2]]
    inputs["pixel_values"] = torch.cat([patches for patches, _ in pictures])
    inputs["image_grid_thw"] = torch.tensor([grid for _, grid in pictures])
    patches, grid = video_patches(clip.frames, ours.vision.pixels)
    media = ours.vision.media
    types = (prompt.ids == media.image) * 1 + (prompt.ids == media.video) * 2
    inputs |= {"pixel_values_videos": patches, "video_grid_thw": torch.tensor([grid])}
    theirs = both.theirs(**inputs, mm_token_type_ids=types.int()[None]).logits
    assert (scores(ours, prompt) - theirs).norm() <= 1e-5 * theirs.norm()
    text = re.sub(r"(<.image_pad.>|<.video_pad.>)+", "*", ours.tokenizer.decode(prompt.ids))
    start, seen = "<|im_start|>", "<|vision_start|>*<|vision_end|>"
    assert text.startswith(f"{start}system\nBe brief.<|im_end|>\n{start}user\nFirst{seen}and<0.")
    assert text.endswith(
        f"A cup.<|im_end|>\n{start}user\nSure?{seen}<|im_end|>\n{start}assistant\n"
    )
    with pytest.raises(
        ValueError, match=r"turns: expected the user's last, got \['system', 'user', 'assistant'\]"
    ):
        ours.chat([*itertools.starmap(Turn, talk)])
    with pytest.raises(ValueError, match=r"role: expected one of .* got 'tool'"):
        Turn("tool", ("Hm?",))


@pytest.mark.parametrize("case", ["image", "video"])
def test_pictures_matter(both, case):
    prompt, _ = ask(both.ours, case)
    if case == "image":
        other = both.ours.prompt("What is it?", [IMAGES[0][::-1].copy()])
    else:
        other = both.ours.video_prompt("What moves?", VIDEO[::-1], fps=3.0)
    assert torch.equal(prompt.ids, other.ids)
    with torch.inference_mode():
        assert (scores(both.ours, prompt) - scores(both.ours, other)).abs().max() > 1e-2


@pytest.mark.parametrize("case", ["text", "images", "video"])
@torch.inference_mode()
def test_64_greedy_tokens_equal_transformers(both, case):
    prompt, inputs = ask(both.ours, case)
    both.theirs.generation_config.eos_token_id = None
    theirs = both.theirs.generate(**inputs, max_new_tokens=64, do_sample=False)[
        0, len(prompt.ids) :
    ]
    endless = Cosmos3Reasoner(both.model)
    endless.stop = frozenset()
    assert list(endless.tokens(prompt, 64)) == theirs.tolist()
    assert len(theirs) == 64


@torch.inference_mode()
def test_cached_decoding_equals_full_recomputation(both):
    ours, (prompt, _) = both.ours, ask(both.ours, "video")
    answer = torch.tensor([5, 77, 130, 9, 200])
    _, cache = ours.transformer.prefill(
        embeds=prompt.embeds, positions=prompt.positions, deepstack=prompt.deepstack
    )
    stepwise = []
    for number, token in enumerate(answer):
        place = torch.full((3, 1), prompt.position + number)
        hidden, _ = ours.transformer.prefill(token.view(1, 1), positions=place, cache=cache)
        stepwise.append(ours.transformer.logits(hidden)[0, 0])
    places = torch.arange(prompt.position, prompt.position + len(answer)).expand(3, -1)
    hidden, _ = ours.transformer.prefill(
        embeds=torch.cat([prompt.embeds, ours.transformer.embed(answer)[None]], dim=1),
        positions=torch.cat([prompt.positions, places], dim=1),
        deepstack=[
            torch.nn.functional.pad(layer, (0, 0, 0, len(answer))) for layer in prompt.deepstack
        ],
    )
    torch.testing.assert_close(
        torch.stack(stepwise),
        ours.transformer.logits(hidden)[0, -len(answer) :],
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_picture_is_known_again_however_it_lies_in_memory(both):
    image = picture(64, 96, 8)
    both.ours.prompt("What is it?", [image])

    def known(other: np.ndarray) -> bool:
        return both.ours._vision_cache.picture(other).patches is None

    assert known(np.asfortranarray(image))
    assert not known(image[:, ::-1])
    assert not known(image.reshape(96, 64, 3))


def test_a_video_is_told_by_its_times(both):
    text = both.ours.tokenizer.decode(both.ours.video_prompt("What moves?", VIDEO, fps=3.0).ids)
    times = (
        ["0.3", "1.7"] if both.ours.vision.pixels.temporal == 2 else ["0.0", "0.7", "1.3", "2.0"]
    )
    frame = "<|vision_start|>" + "<|video_pad|>" * 12 + "<|vision_end|>"
    pictures = "".join(f"<{seconds} seconds>{frame}" for seconds in times)
    assert text == f"<|im_start|>user\n{pictures}What moves?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("pruning", [0.0, 0.3, 0.7, 0.95])
def test_pruning_leaves_out_tokens_of_the_video_and_nothing_else(both, pruning):
    ours = both.ours
    whole = ours.video_prompt("What moves?", VIDEO, fps=3.0)
    pruned = ours.video_prompt("What moves?", VIDEO, fps=3.0, pruning=pruning)
    visual = whole.ids == ours.vision.media.video
    frames = int(visual.sum()) // 12
    seen = torch.cat([layer[0, visual] for layer in (whole.embeds, *whole.deepstack)], dim=-1)
    keep = torch.ones_like(visual)
    keep[visual] = retained(seen, frames, pruning)
    assert keep.sum() == (~visual).sum() + max(12, int(frames * 12 * (1 - pruning)))
    assert torch.equal(pruned.ids, whole.ids[keep])
    assert torch.equal(pruned.positions, whole.positions[:, keep])
    assert torch.equal(pruned.embeds, whole.embeds[:, keep])
    for ours_layer, layer in zip(pruned.deepstack, whole.deepstack, strict=True):
        assert torch.equal(ours_layer, layer[:, keep])
    assert pruned.position == whole.position


def test_each_video_of_a_chat_is_pruned_by_itself_and_pictures_are_not(both):
    ours = both.ours
    rest = Cosmos3Reasoner(both.model, video_pruning_rate=0.7)
    still = [VIDEO[0]] * len(VIDEO)
    clips = [Clip(frames, np.arange(len(frames)), 3.0) for frames in (VIDEO, still)]
    parts = (IMAGES[0], clips[0], "or", IMAGES[1], clips[1], "What moves?")
    chosen, media = Counter(rest.chat([Turn("user", parts)]).ids.tolist()), ours.vision.media
    whole = Counter(ours.chat([Turn("user", parts)]).ids.tolist())
    alone = [
        Counter(rest.chat([Turn("user", (clip, "What moves?"))]).ids.tolist()) for clip in clips
    ]
    assert chosen[media.image] == whole[media.image] > 0
    assert chosen[media.video] == sum(count[media.video] for count in alone)
    assert chosen[media.video] < whole[media.video]
    assert chosen - Counter({media.video: 10**6}) == whole - Counter({media.video: 10**6})
    pruned = rest.video_prompt("What moves?", VIDEO, fps=3.0)
    assert torch.equal(pruned.ids, ours.video_prompt("What moves?", VIDEO, 3.0, pruning=0.7).ids)


def test_policy_and_reasoner_run_on_one_copy_of_the_weights():
    def parameters() -> int:
        return sum(type(thing) is torch.nn.Parameter for thing in gc.get_objects())

    model = load_model(tiny_checkpoint())
    before = parameters()
    policy, reasoner = Cosmos3Policy(model), Cosmos3Reasoner(model)
    assert parameters() == before
    assert policy.model.transformer is reasoner.transformer is model.transformer
    question = reasoner.prompt("What do you see?", IMAGES[:1])
    with torch.inference_mode():
        untouched = scores(reasoner, question)
        policy.model.transformer.text.layers[0].mlp.up.weight.mul_(2)
        assert not torch.equal(scores(reasoner, question), untouched)


def test_a_reasoner_is_loaded_without_the_generator(both):
    assert (
        load_reasoner(both.folder).ask("Hm?", max_tokens=5).text
        == both.ours.ask("Hm?", max_tokens=5).text
    )
    assert not hasattr(load_reasoner(tiny_checkpoint()).transformer, "generator")


def test_streaming_yields_the_answer(both):
    answer = both.ours.ask("What is it?", IMAGES[:1], 24)
    pieces = list(both.ours.stream("What is it?", IMAGES[:1], 24))
    assert "".join(pieces).strip() == (answer.thought + answer.text).strip()
    assert 0 < answer.tokens <= 24
    assert set(answer.seconds) == {"prepare", "look", "prefill", "decode"}
    assert both.ours.ask_video("What moves?", VIDEO, 3.0, pruning=0.5, max_tokens=3).tokens <= 3


def test_an_answer_is_read(both, monkeypatch):
    said = '<think>There.</think>[{"bbox_2d": [0, 100, 500, 1000], "label": "cup"}]'
    tokens = both.ours.tokenizer(said).input_ids
    monkeypatch.setattr(
        both.ours, "tokens", lambda prompt, limit, sampling, first: iter(tokens[:limit])
    )
    answer = both.ours.ask("Where is the cup?", max_tokens=len(tokens))
    assert (answer.thought, answer.boxes[0].label, answer.boxes[0].y_min) == ("There.", "cup", 0.1)
    boxes, answer = both.ours.solve("boxes", "cup", IMAGES[:1], think=True)
    assert boxes == answer.boxes != ()
    with pytest.raises(ValueError, match=r"task: unknown 'dance', expected one of \['boxes', "):
        both.ours.solve("dance")
    with pytest.raises(ValueError, match=r"unknown 'boxs', did you mean 'boxes'\? expected"):
        both.ours.solve("boxs")


def test_sampling_follows_its_seed(both):
    sampling = Sampling(temperature=1.0, top_k=20, top_p=0.9, repetition=1.1, presence=0.5, seed=3)
    first = both.ours.ask("Hm?", max_tokens=12, sampling=sampling)
    assert first.text == both.ours.ask("Hm?", max_tokens=12, sampling=sampling).text
    assert first.text != both.ours.ask("Hm?", max_tokens=12).text


def test_bad_input_is_refused(both):
    ours = both.ours
    with pytest.raises(ValueError, match="question: expected a sentence, got an empty string"):
        ours.ask("  ")
    with pytest.raises(
        ValueError, match=r"images\[1\]: expected a uint8 array .* got float32 \[4, 4, 3\]"
    ):
        ours.ask("What?", [IMAGES[0], np.zeros((4, 4, 3), np.float32)])
    with pytest.raises(
        ValueError, match=r"question: expected plain words, got \['<\|image_pad\|>'\]"
    ):
        ours.stream("What is <|image_pad|>?")
    with pytest.raises(
        ValueError, match=r"question: expected at most 64 tokens with pictures, got \d{3}"
    ):
        Cosmos3Reasoner(both.model, max_prompt=64).ask("word " * 100)
    with pytest.raises(ValueError, match="max_tokens: expected at least 1, got 0"):
        ours.stream("What?", max_tokens=0)
    with pytest.raises(ValueError, match=r"pruning: expected a share in \[0, 1\), got -1"):
        Cosmos3Reasoner(both.model, video_pruning_rate=-1)
    with pytest.raises(ValueError, match=r"pruning: expected a share in \[0, 1\), got 1.0"):
        ours.ask_video("What?", VIDEO, 3.0, pruning=1.0)
    with pytest.raises(
        ValueError, match="no vision_encoder: expected a question without images or video"
    ):
        Cosmos3Reasoner(dataclasses.replace(both.model, vision=None)).ask("What?", IMAGES)
    plain = copy.deepcopy(both.model.tokenizer)
    plain.chat_template = "{{ messages[0].content[-5:] }}"
    with pytest.raises(
        ValueError, match="chat template: expected it to keep 1 places for pictures, it kept 0"
    ):
        Cosmos3Reasoner(dataclasses.replace(both.model, tokenizer=plain)).ask("What?", IMAGES[:1])
    with pytest.raises(ValueError, match="loaded without its lm_head"):
        Cosmos3Reasoner(load_model(both.folder, reasoner=False, generator=False))


def test_an_incomplete_checkpoint_is_refused(both, tmp_path):
    folder = shutil.copytree(both.folder, tmp_path / "copy")
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"image_token_id": None}))
    with pytest.raises(
        ValueError, match=r"config\.json: expected the number\(s\) image_token_id, got none"
    ):
        load_reasoner(folder)
    (folder / "config.json").write_text(
        json.dumps(fields | {"vision_config": {"model_type": "clip"}})
    )
    with pytest.raises(
        ValueError, match=r"config\.json: expected a vision_config of Qwen3-VL or Cosmos 3 Edge"
    ):
        load_reasoner(folder)
    (folder / "video_preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"missing file .*video_preprocessor_config\.json"):
        load_reasoner(folder)
