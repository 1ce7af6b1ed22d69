# SPDX-License-Identifier: Apache-2.0
"""LoRA: what is frozen, what is merged, what is shared, and that it learns."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.network.transformer import Transformer
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.background_loader import BackgroundLoader
from cosmos3_ros.training.data.episodes import Episode, make_clip
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.optim.lora import LoraLinear, adapt, merge
from cosmos3_ros.training.options import LoraOptions, ObjectiveOptions, PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe, read_recipe
from cosmos3_ros.training.stages.checkpoint_writer import copy_checkpoint
from cosmos3_ros.training.stages.policy import train_policy

DROID_SIM = EMBODIMENTS["droid_sim"]

SMALL = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
OPTIONS = LoraOptions(r=4, lora_alpha=8.0)


def test_an_adapter_changes_nothing_before_it_learned_and_is_merged_exactly():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(6, 5), torch.randn(3, 6)
    adapted = LoraLinear(layer, OPTIONS)
    assert torch.equal(adapted(x), layer(x))
    torch.nn.init.normal_(adapted.lora_B.weight)
    merged = merge(adapted.state_dict(), OPTIONS)
    assert set(merged) == {"weight", "bias"}
    wanted = layer.weight + 2.0 * adapted.lora_B.weight @ adapted.lora_A.weight
    assert torch.allclose(merged["weight"], wanted, atol=1e-6)
    assert torch.allclose(
        torch.nn.functional.linear(x, merged["weight"], merged["bias"]), adapted(x), atol=1e-5
    )


def test_the_generators_attention_gets_adapters_and_the_action_heads_learn_in_full():
    transformer = Transformer(SMALL)
    adapt(transformer, OPTIONS)
    learning = {
        name for name, parameter in transformer.named_parameters() if parameter.requires_grad
    }
    heads = {name for name in learning if "lora_" not in name}
    assert heads == {
        "action_in.weight",
        "action_in.bias",
        "action_out.weight",
        "action_out.bias",
        "action_embed",
    }
    places = {name.split(".lora_")[0] for name in learning - heads}
    attention = [f"generator.layers.{layer}.attention" for layer in range(2)]
    assert places == {f"{place}.{part}" for place in attention for part in ("q", "k", "v", "out")}
    with pytest.raises(ValueError, match=r"'q_proj' fits none of \['add_k_proj'"):
        adapt(Transformer(SMALL), LoraOptions(target_modules=("q_proj",)))


def test_one_episode_is_learned_by_an_adapter(tmp_path):
    start, out, lines = tmp_path / "start", tmp_path / "out", []
    write_tiny(start, config=SMALL)
    copy_checkpoint(start, out / "checkpoint")
    begun = load_policy(start).model.transformer.state_dict()
    recipe = Recipe(
        str(start),
        policy=PolicyTrainingOptions(
            steps=60, batch=8, rate=1e-2, warmup=5, average=0.02, refresh=1000
        ),
        objective=ObjectiveOptions(vision=0.1, modes=(1.0, 0.0, 0.0), prefix=0.0, dropout=0.0),
        lora=OPTIONS,
    )
    torch.manual_seed(0)
    source = BackgroundLoader(lambda: (make_clip(part, DROID_SIM, 17) for part in [episode()]))
    source.wait_for(1)
    model = load_policy(start).model
    train_policy(model, source, recipe, out, lines.append)
    source.close()
    losses = [line["action"] for line in lines if "action" in line]
    assert losses[-1] < 0.5 * 2.0  # noise and rows of unit spread: 2 at the beginning
    now = model.transformer.state_dict()
    frozen = [name for name in begun if not name.startswith("action_")]
    assert all(torch.equal(begun[name], now[name]) for name in frozen)
    check_files(out, start, begun)


def check_files(out, start, begun):
    """The adapter as peft names it, and the checkpoint that has it inside."""
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    fields = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert (fields["peft_type"], fields["r"], fields["lora_alpha"]) == ("LORA", 4, 8.0)
    assert fields["target_modules"] == ["add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
    assert fields["base_model_name_or_path"] == str(start)
    first = "base_model.model.layers.1.self_attn.add_k_proj.lora_"
    low, high = adapter[f"{first}A.weight"], adapter[f"{first}B.weight"]
    assert (low.shape, high.shape) == ((4, 64), (64, 4))
    assert (
        adapter["base_model.model.action_proj_in.fc.weight"].shape
        == begun["action_in.weight"].shape
    )
    merged = load_policy(out / "checkpoint").model.transformer.state_dict()
    name = "generator.layers.1.attention.k.weight"
    # bfloat16
    assert torch.allclose(merged[name], begun[name] + 2.0 * high @ low, rtol=1e-2, atol=1e-4)
    assert (merged[name] - begun[name]).abs().max() > 1e-3
    up = "generator.layers.1.mlp.up.weight"
    assert torch.equal(merged[up], begun[up].bfloat16().float())


def episode():
    random = np.random.default_rng(0)
    walk = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.0]) + np.cumsum(
        random.normal(0, 0.01, (18, 8)), axis=0
    )
    views = {
        view: random.integers(0, 256, (17, 36, 64, 3), dtype=np.uint8) for view in DROID_SIM.views
    }
    states, actions = walk[:-1].astype(np.float32), walk[1:].astype(np.float32)
    return Episode(
        views,
        states,
        actions,
        ("pick up the red cube",),
        np.full((17, GroundTruth.WIDTH), 0.3, np.float32),
    )


def test_a_recipe_with_lora_needs_what_it_adapts(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("start: somewhere\nlora: {r: 8, target_modules: [to_add_out]}")
    assert read_recipe(file).lora == LoraOptions(r=8, target_modules=("to_add_out",))
    for text in (
        "lora: {r: 8}",
        "{start: a, lora: {}, size: {layers: 1}}",
        "{start: a, lora: {r: 0}}",
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match="lora: expected"):
            read_recipe(file)
