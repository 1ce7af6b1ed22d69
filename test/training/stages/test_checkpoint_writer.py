# SPDX-License-Identifier: Apache-2.0
"""Written checkpoints: shards, and what a released checkpoint has besides."""

import dataclasses
import json

import torch
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io.json_file import read_json
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.checkpoint_io.trained_tasks import trained_tasks
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.training.options import DataOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.stages.checkpoint_writer import write_tensors, write_transformer
from cosmos3_ros.training.train import begin

SMALL = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)


def test_tensors_are_written_in_shards_that_load(tmp_path, monkeypatch):
    monkeypatch.setattr("cosmos3_ros.training.stages.checkpoint_writer.SHARD", 100)
    tensors = {name: torch.full((20,), float(number)) for number, name in enumerate("abc")}
    write_tensors(tmp_path, tensors)
    from cosmos3_ros.model.checkpoint_io.safetensors_io import find_tensors

    assert set(find_tensors(tmp_path)) == {"a", "b", "c"}
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_a_checkpoint_names_the_tasks_it_is_trained_for(tmp_path):
    for data, tasks in ((DataOptions(tasks=("push",)), ["push"]), (DataOptions(dataset="x"), [])):
        folder = tmp_path / (data.dataset or "simulated") / "checkpoint"
        begin(Recipe(size=dataclasses.asdict(SMALL), data=data), folder)
        assert trained_tasks(folder) == tasks
    assert read_json(folder / "checkpoint.json")["policy"]["embodiment"] == "droid_sim"


def test_what_a_released_checkpoint_has_beside_our_tensors_is_kept(tmp_path):
    write_tiny(tmp_path / "start", config=SMALL)
    (tmp_path / "start" / "checkpoint.json").unlink()
    begin(Recipe(str(tmp_path / "start"), embodiment="libero"), tmp_path / "checkpoint")
    assert (
        json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())["policy"][
            "embodiment"
        ]
        == "libero"
    )
    folder = tmp_path / "checkpoint" / "transformer"
    file, everything = (
        folder / "diffusion_pytorch_model.safetensors",
        folder.parent / "model.safetensors.index.json",
    )
    save_file({**load_file(file), "audio_proj_in.weight": torch.ones(2)}, file)
    (folder / "config.json").write_text(json.dumps({**SMALL.to_json(), "sound_dim": 64}))
    everything.write_text(
        json.dumps(
            {"weight_map": {"embed_tokens.weight": "transformer/old", "eye": "vision_encoder/e"}}
        )
    )
    write_transformer(folder, SMALL, load_model(folder.parent).transformer.state_dict())
    assert json.loads((folder / "config.json").read_text())["sound_dim"] == 64
    assert torch.equal(load_file(file)["audio_proj_in.weight"], torch.ones(2))
    places = json.loads(everything.read_text())["weight_map"]
    assert places["eye"] == "vision_encoder/e"
    assert (
        places["norm.weight"]
        == places["embed_tokens.weight"]
        == "transformer/diffusion_pytorch_model.safetensors"
    )
    load_model(folder.parent)
