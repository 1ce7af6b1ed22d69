# SPDX-License-Identifier: Apache-2.0
"""The tiny checkpoint: complete, deterministic, readable for diffusers and transformers."""

from pathlib import Path

import pytest
import torch
from transformers import Cosmos3OmniConfig

from cosmos3_ros.model.checkpoint_io import tiny
from cosmos3_ros.model.checkpoint_io.json_file import read_json
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import SPECIAL, tiny_checkpoint, write_tiny
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.language.captions import tokenize


def test_the_cached_folder_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    written = []
    monkeypatch.setattr(tiny, "write_tiny", lambda folder: written.append(folder) or folder.mkdir())
    first, second = tiny_checkpoint(), tiny_checkpoint()
    assert first == second
    assert len(written) == 1
    assert [path.name for path in first.parent.iterdir()] == [first.name]  # no drafts left
    assert first.stat().st_mode == first.parent.stat().st_mode, "as other folders of the user"


def test_a_user_without_a_home_is_told_so(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(ValueError, match="expected HOME in the environment"):
        tiny_checkpoint()


def test_half_a_checkpoint_is_never_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    def fail(folder):
        folder.mkdir()
        (folder / "half").touch()
        raise OSError("disk full")

    monkeypatch.setattr(tiny, "write_tiny", fail)
    with pytest.raises(OSError, match="disk full"):
        tiny_checkpoint()
    assert not list((tmp_path / ".cache" / "cosmos3_ros").iterdir())


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_tiny(tmp_path / name, seed)
    files = sorted(
        path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()
    )
    different = [
        file
        for file in files
        if (tmp_path / "a" / file).read_bytes() != (tmp_path / "b" / file).read_bytes()
    ]
    assert not different
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() != (tmp_path / "c" / weights).read_bytes()
    with pytest.raises(ValueError, match="expected an empty or new folder"):
        write_tiny(tmp_path / "a")


def test_random_state_of_the_caller_is_left_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    write_tiny(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_names_its_robot_and_its_tokens():
    folder = tiny_checkpoint()
    policy = read_json(folder / "checkpoint.json")["policy"]
    assert EMBODIMENTS[policy["embodiment"]].domain == policy["domain_name"]
    fields = read_json(folder / "config.json")
    assert SPECIAL[fields["image_token_id"]] == "<|image_pad|>"
    config = Cosmos3OmniConfig.from_pretrained(folder)
    assert config.text_config.hidden_size == config.vision_config.out_hidden_size


def test_any_text_survives_the_tokenizer():
    model = load_model(tiny_checkpoint(), generator=False)
    text = 'Grüße, 世界! {"a": 1.5}\n\t<think>'
    ids = model.tokenizer(text, add_special_tokens=False).input_ids
    assert model.tokenizer.decode(ids) == text
    assert max(ids) < model.config.vocab
    assert model.tokenizer.eos_token == "<|im_end|>"
    assert len(tokenize(model.tokenizer, "put the red cube in the bowl")) < 40
