# SPDX-License-Identifier: Apache-2.0
"""Summary of a checkpoint folder: sizes, embodiments, memory, missing files, no tensor loaded."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.names import hub_name
from cosmos3_ros.model.checkpoint_io.summary import report
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.checkpoint_io.trained_sampling import TrainedSampling, write_trained_sampling
from cosmos3_ros.model.network.config import NANO
from cosmos3_ros.model.network.transformer import Transformer

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")


def test_a_complete_checkpoint(folder):
    model = load_model(folder)
    text = report(folder).text
    assert text.endswith("complete")
    assert "tiny: 6 layers, hidden 192, 6/2 heads of 32" in text
    assert "domain droid_lerobot, 16 rows at 15.0 Hz, embodiment droid_sim" in text
    assert "schedule    UniPC, Karras" in text
    assert "rows        droid_sim: " in text
    modules = (model.transformer, model.vae.module, model.vision)
    count = sum(parameter.numel() for module in modules for parameter in module.parameters())
    assert f"{count * 4 / 2**30:.2f}" in next(
        line for line in text.splitlines() if line.startswith("both")
    )


def test_the_published_size_is_read_without_loading_it(folder):
    # A Nano with a header and nothing behind it: 28 GiB that are not there.
    with torch.device("meta"):
        shapes = {
            hub_name(name): list(tensor.shape)
            for name, tensor in Transformer(NANO).state_dict().items()
        }
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [end, end + 2 * math.prod(shape)],
        }
        end += 2 * math.prod(shape)
    text = json.dumps(header).encode()
    with (folder / WEIGHTS).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    (folder / "transformer" / "config.json").write_text(json.dumps(NANO.to_json()))
    lines = report(folder).text.splitlines()
    assert "nano: 36 layers" in lines[1]
    for part, count in {
        "embeddings": 622_329_856,
        "text tower": 6_946_075_648,
        "action heads": 16_914_432,
    }.items():
        assert f"{part:24}{count:16,}" in lines


def test_what_is_missing_is_listed(folder):
    tensors = load_file(folder / WEIGHTS)
    del tensors["norm.weight"]
    save_file({**tensors, "audio_proj_in.weight": torch.zeros(3, 4)}, folder / WEIGHTS)
    shutil.rmtree(folder / "vae")
    (folder / "scheduler" / "scheduler_config.json").unlink()
    text = report(folder).text
    assert "1 missing tensor(s): norm.weight" in text
    assert "sound heads (not loaded)              12" in text
    assert "missing file" in text
    assert "vae" in text
    assert "scheduler_config.json" in text


def test_base_checkpoints_and_students(folder):
    (folder / "checkpoint.json").unlink()
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"fixed_step_sampler_config": {"t_list": [1.0, 0.5]}})
    )
    text = report(folder).text
    assert (
        "names no embodiment; its action heads can hold agibot, av, bridge, droid_joint_pos" in text
    )
    assert "distilled: noise levels [1.0, 0.5]" in text


def test_ways_of_sampling_that_it_was_trained_for(folder):
    write_trained_sampling(folder, TrainedSampling(hidden_rows=True))
    assert ", sampling hidden_rows" in report(folder).text


def test_a_broken_file_is_a_line_of_the_report(folder):
    (folder / WEIGHTS).write_bytes(b"x" * 100)
    assert "not a safetensors file" in report(folder).text


def test_no_folder():
    with pytest.raises(ValueError, match="no folder"):
        report("/does/not/exist")


def test_base_weights_say_how_their_rows_are_scaled(folder):
    (folder / "checkpoint.json").unlink()
    (folder / "embodiment.yaml").unlink()
    text = report(folder).text
    assert "droid_nano_base: by quantiles, clamped to -1..1, as base weights" in text
    assert "droid_midtrain: raw, of post-trained weights" in text


def test_sound_heads_are_named_with_who_runs_them(folder):
    tensors = load_file(folder / WEIGHTS)
    save_file({**tensors, "audio_proj_in.weight": torch.zeros(4, 4)}, folder / WEIGHTS)
    text = report(folder).text
    assert "sound heads (not loaded)" in text
    assert "sound heads are left out; vLLM-Omni and the Cosmos framework run them" in text
