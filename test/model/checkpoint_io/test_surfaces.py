# SPDX-License-Identifier: Apache-2.0
"""What a surface needs: the check by headers refuses what the loader refuses, in its words."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos3_ros.cli import main
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.surfaces import find_damage, problems
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.diffusion.sampler import checkpoint_schedule
from cosmos3_ros.model.reasoner import load_reasoner

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11422654\n"
TOWERS = "transformer/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
ALL = ["policy", "generate", "reasoner"]


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny checkpoint whose files are links until somebody writes them anew."""
    source = tiny_checkpoint()
    for file in source.rglob("*"):
        if file.is_file():
            copy = tmp_path / "checkpoint" / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(file)
    return tmp_path / "checkpoint"


def put(folder, name, content):
    (folder / name).unlink()
    (folder / name).write_text(content)


def without(name):
    return lambda folder: (folder / name).unlink()


def pointer(name):
    return lambda folder: put(folder, name, POINTER)


def json_with(name, **fields):
    def change(folder):
        known = json.loads((folder / name).read_text())
        put(folder, name, json.dumps({**known, **fields}))

    return change


def in_vision(**fields):
    def change(folder):
        known = json.loads((folder / "config.json").read_text())
        known["vision_config"].update(fields)
        put(folder, "config.json", json.dumps(known))

    return change


def in_tokenizer(**fields):
    def change(folder):
        known = json.loads((folder / "text_tokenizer/tokenizer.json").read_text())
        known["model"].update(fields)
        put(folder, "text_tokenizer/tokenizer.json", json.dumps(known))

    return change


def tensors_with(name, change):
    def write(folder):
        tensors = change(load_file(folder / name))
        (folder / name).unlink()
        save_file(tensors, folder / name)

    return write


@pytest.mark.parametrize(
    ("damage", "message", "concerns"),
    [
        (without("config.json"), "missing file .*config.json", ["reasoner"]),
        (without("preprocessor_config.json"), "missing file .*preprocessor", ["reasoner"]),
        (without("vae/config.json"), "missing file .*vae/config.json", ["policy", "generate"]),
        (without("text_tokenizer/tokenizer.json"), "missing file .*tokenizer.json", ALL),
        (without("text_tokenizer/chat_template.jinja"), "expected a chat template in", ALL),
        (pointer("text_tokenizer/tokenizer.json"), "a pointer of git-lfs, .*`git lfs pull`", ALL),
        (pointer(TOWERS), "a pointer of git-lfs, not the file itself", ALL),
        (pointer("transformer/config.json"), "config.json: a pointer of git-lfs", ALL),
        (
            lambda folder: put(folder, "text_tokenizer/tokenizer.json", "{}"),
            "transformers reads no tokenizer from it",
            ALL,
        ),
        (in_tokenizer(continuing_subword_prefix="x" * 99), "reads no tokenizer from it", ALL),
        (
            lambda folder: put(folder, "text_tokenizer/chat_template.jinja", "{% for x %}"),
            "the chat template cannot be used",
            ALL,
        ),
        (
            lambda folder: put(folder, "text_tokenizer/chat_template.jinja", "hello"),
            "the chat template: expected it to keep 'words of system', got 'hello'",
            ALL,
        ),
        (json_with("transformer/config.json", hidden_size="192"), "hidden_size: expected int", ALL),
        (
            json_with("transformer/config.json", num_hidden_layers=10**9),
            "num_hidden_layers: expected 1 to 256, got 1000000000",
            ALL,
        ),
        (
            json_with("transformer/config.json", vocab_size=64),
            "shape .*, expected .*|has token .*, expected at most 63",
            ALL,
        ),
        (
            json_with("vae/config.json", num_res_blocks="many"),
            "not the fields of AutoencoderKLWan",
            ["policy", "generate"],
        ),
        (
            json_with("config.json", vision_config={"depth": 4, "hidden_size": 10**12}),
            "hidden_size: expected at most",
            ["reasoner"],
        ),
        (
            json_with("config.json", vision_config={"depth": 2**20}),
            "config.json: depth: expected at most 256 parts, got 1048576",
            ["reasoner"],
        ),
        (
            json_with("config.json", vision_config={"deepstack_visual_indexes": [0] * 300}),
            "config.json: deepstack_visual_indexes: expected at most 256 parts, got 300",
            ["reasoner"],
        ),
        (
            json_with("vae/config.json", num_res_blocks=2**20),
            "vae/config.json: num_res_blocks: expected at most 16 parts, got 1048576",
            ["policy", "generate"],
        ),
        (
            in_vision(intermediate_size=[1, "a"]),
            "not the fields of a vision encoder",
            ["reasoner"],
        ),
        (
            tensors_with(VAE, lambda held: {**held, "a\nb": torch.zeros(1)}),
            "vae/.*safetensors: not a safetensors file, its header is not readable",
            ["policy", "generate"],
        ),
        *(
            (
                lambda folder, name=name: (folder / f"{TOWERS}.index.json").write_text(
                    json.dumps({"weight_map": {"a": name}})
                ),
                "index.json: weight_map: expected the names of tensors and of their files",
                ALL,
            )
            for name in ("a\nb", "y" * 5000)
        ),
        (
            tensors_with(VAE, lambda held: dict([*held.items()][1:])),
            r"vae: 1 missing tensor\(s\)",
            ["policy", "generate"],
        ),
        (
            tensors_with(TOWERS, lambda held: {**held, "norm.weight": torch.zeros(7)}),
            r"norm.weight has shape \[7\], expected \[192\]",
            ALL,
        ),
        (
            tensors_with(
                TOWERS, lambda held: {name: held[name] for name in held if "lm_head" not in name}
            ),
            r"1 missing tensor\(s\): lm_head.weight",
            ["reasoner"],
        ),
        (
            tensors_with(
                TOWERS,
                lambda held: {**held, "norm.weight": held["norm.weight"].to(torch.float8_e5m2)},
            ),
            "norm.weight is in FP8 E5M2, expected its scale",
            ALL,
        ),
        (
            json_with(
                "scheduler/scheduler_config.json", fixed_step_sampler_config={"t_list": ["1"]}
            ),
            r"t_list: expected noise levels from 0 to 1, got \['1'\]",
            ["generate"],
        ),
        (
            json_with("vae/config.json", latents_mean=[0.0, float("nan")]),
            r"vae/config.json: latents_mean\[1\]: expected a finite number",
            ["policy", "generate"],
        ),
        (
            json_with("preprocessor_config.json", image_std=[float("inf")] * 3),
            r"preprocessor_config.json: image_std\[0\]: expected a finite number",
            ["reasoner"],
        ),
        (
            json_with("preprocessor_config.json", patch_size=14),
            "patch is 14, expected 16 as patch_size of vision_config in config.json",
            ["reasoner"],
        ),
        (
            json_with("config.json", image_token_id=900_000),
            "the token of image is 900000, which text_tokenizer/ does not have",
            ["reasoner"],
        ),
        *(
            (
                lambda folder, ends=ends: (folder / "generation_config.json").write_text(
                    json.dumps({"eos_token_id": ends})
                ),
                "generation_config.json: eos_token_id: expected a token's number, or several, got",
                ["reasoner"],
            )
            for ends in ("</s>", [[1]], {"a": 1}, [1.0], [True], -1)
        ),
        (
            lambda folder: put(folder, "checkpoint.json", '{"policy": ["droid"]}'),
            r"policy: expected an object, got \['droid'\]",
            ["policy"],
        ),
        (
            json_with("checkpoint.json", policy={"domain_name": "the moon"}),
            "contradicts checkpoint.json",
            ["policy"],
        ),
    ],
)
def test_the_loader_says_the_same(folder, damage, message, concerns):
    damage(folder)
    found = problems(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load(folder, concerns)
    assert len(str(caught.value).splitlines()) == 1
    assert found[str(caught.value)] == concerns


def test_inspect_names_it_and_ends_with_one(folder, capsys):
    pointer("vae/config.json")(folder)
    assert main(["inspect", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "refused     (policy, generate) " in said
    assert "git lfs pull" in said
    assert "complete" not in said


def damaged(name, number):
    """The last number of a tensor is another one."""

    def change(held):
        held[name] = held[name].clone().contiguous()
        held[name].view(-1)[-1] = number
        return held

    return change


VISION = "vision_encoder/model.safetensors"


@pytest.mark.parametrize(
    ("file", "name", "concerns"),
    [
        (TOWERS, "lm_head.weight", "(reasoner) "),
        (TOWERS, "layers.0.self_attn.to_q.weight", ""),
        (TOWERS, "layers.0.self_attn.add_q_proj.weight", "(policy, generate) "),
        (VAE, "decoder.conv_in.weight", "(policy, generate) "),
        (VISION, "blocks.0.attn.qkv.bias", "(reasoner) "),
    ],
)
@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_inspect_looks_at_every_weight(folder, capsys, file, name, concerns, number):
    tensors_with(file, damaged(name, number))(folder)
    assert main(["inspect", str(folder)]) == 1
    words = f"{folder / file}: {name} holds numbers that are not finite"
    assert f"refused     {concerns}{words}" in capsys.readouterr().out
    assert main(["inspect", "--headers", str(folder)]) == 0
    with pytest.raises(ValueError, match="not finite"):
        load_model(folder)


def test_a_damaged_weight_beside_a_missing_one_is_seen(folder):
    def change(held):
        del held["lm_head.weight"]
        return damaged("norm.weight", float("nan"))(held)

    tensors_with(TOWERS, change)(folder)
    assert [*problems(folder).values()] == [["reasoner"]]
    assert [*find_damage(folder).values()] == [ALL]


def load(folder: Path, concerns: list[str]) -> None:
    from cosmos3_ros.model.policy import Cosmos3Policy

    if concerns == ["reasoner"]:
        load_reasoner(folder)
    elif concerns == ["generate"]:
        checkpoint_schedule(load_model(folder, reasoner=False).scheduler, 4)
    else:
        Cosmos3Policy(load_model(folder, reasoner=False))


def test_nothing_is_wrong_with_a_whole_one(folder, capsys):
    assert problems(folder) == {}
    assert main(["inspect", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("complete\n")


@pytest.mark.parametrize("end", [".safetensors", ".safetensors.index.json"])
def test_hidden_files_beside_weights_are_none_of_them(folder, end):
    for part in ("transformer", "vae", "vision_encoder"):
        (folder / part / f"._model{end}").write_bytes(b"\x00\x05\x16\x07 of another system")
    assert problems(folder) == {}
    load(folder, ALL)


def test_a_checkpoint_may_be_without_vision_if_it_describes_none(folder, capsys):
    shutil.rmtree(folder / "vision_encoder")
    assert [*problems(folder).values()] == [["reasoner"]]
    fields = json.loads((folder / "config.json").read_text())
    del fields["vision_config"]
    put(folder, "config.json", json.dumps(fields))
    assert main(["inspect", str(folder)]) == 0
    assert "the reasoner answers questions about text alone" in capsys.readouterr().out


def test_tied_embeddings_are_one_tensor(folder):
    tensors_with(TOWERS, lambda held: {n: t for n, t in held.items() if n != "lm_head.weight"})(
        folder
    )
    json_with("config.json", text_config={"tie_word_embeddings": True})(folder)
    assert problems(folder) == {}
    towers = load_model(folder, generator=False).transformer
    assert towers.head.weight is towers.embed.weight
    assert load_model(folder, reasoner=False).transformer.head is None
