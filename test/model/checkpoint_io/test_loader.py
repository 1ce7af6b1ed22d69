# SPDX-License-Identifier: Apache-2.0
"""Loading: files of diffusers and NVIDIA's framework give the same network, others are refused."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKLWan, Cosmos3OmniTransformer
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io.loader import load_model, load_transformer, load_vae
from cosmos3_ros.model.checkpoint_io.names import hub_name
from cosmos3_ros.model.checkpoint_io.safetensors_io import find_tensors
from cosmos3_ros.model.checkpoint_io.tiny import VAE
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.network.transformer import Transformer

CPU = torch.device("cpu")
FILE = "diffusion_pytorch_model.safetensors"
# How NVIDIA's framework names things, written down here a second time and the other way round.
TO_FRAMEWORK = [
    ("proj_in.weight", "vae2llm.weight"),
    ("layers.0.self_attn.to_q.weight", "language_model.model.layers.0.self_attn.q_proj.weight"),
    ("layers.1.self_attn.to_out.weight", "language_model.model.layers.1.self_attn.o_proj.weight"),
    (
        "layers.0.self_attn.add_k_proj.weight",
        "language_model.model.layers.0.self_attn.k_proj_moe_gen.weight",
    ),
    (
        "layers.0.self_attn.to_add_out.weight",
        "language_model.model.layers.0.self_attn.o_proj_moe_gen.weight",
    ),
    (
        "layers.0.self_attn.norm_added_q.weight",
        "language_model.model.layers.0.self_attn.q_norm_moe_gen.weight",
    ),
    (
        "layers.0.mlp_moe_gen.up_proj.weight",
        "language_model.model.layers.0.mlp_moe_gen.up_proj.weight",
    ),
    ("layers.0.input_layernorm.weight", "language_model.model.layers.0.input_layernorm.weight"),
    ("norm_moe_gen.weight", "language_model.model.norm_moe_gen.weight"),
    ("embed_tokens.weight", "language_model.model.embed_tokens.weight"),
    ("lm_head.weight", "language_model.lm_head.weight"),
    ("time_embedder.linear_2.bias", "time_embedder.mlp.2.bias"),
    ("action_proj_in.fc.weight", "action2llm.fc.weight"),
    ("action_proj_out.bias.weight", "llm2action.bias.weight"),
]


@pytest.fixture(scope="module")
def folder(write):
    return write(TINY)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "checkpoint")


def same(first, second):
    theirs = second.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in first.state_dict().items())


def rewrite(folder, tensors):
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in tensors.items()},
        folder / "transformer" / FILE,
    )


def test_round_trip_through_diffusers(config, pair, tmp_path):
    both = pair(config)
    both.theirs.save_pretrained(tmp_path, max_shard_size="2MB" if config.hidden < 500 else "10MB")
    assert list(tmp_path.glob("*.index.json"))  # several files
    assert same(load_transformer(tmp_path, CPU, torch.float32), both.ours)


def test_framework_names_load_to_the_same_network(folder, copy):
    ours = load_transformer(folder / "transformer", CPU, torch.float32)
    tensors = {hub_name(name, framework=True): tensor for name, tensor in ours.state_dict().items()}
    tensors |= {
        "llm2sound.weight": torch.zeros(2),
        "language_model.visual.pos_embed": torch.zeros(2),
    }
    rewrite(copy, tensors)
    known = {hub_name(name): hub_name(name, framework=True) for name in ours.state_dict()}
    assert {diffusers: known[diffusers] for diffusers, _ in TO_FRAMEWORK} == dict(TO_FRAMEWORK)
    assert same(load_transformer(copy / "transformer", CPU, torch.float32), ours)
    rewrite(copy, {f"net.{name}": tensor for name, tensor in tensors.items()})
    assert same(load_transformer(copy / "transformer", CPU, torch.float32), ours)


def test_diffusers_accepts_every_name_of_ours(config):
    fields = {
        key: value
        for key, value in config.to_json().items()
        if key != "temporal_compression_factor"
    }
    with torch.device("meta"):
        theirs = Cosmos3OmniTransformer.from_config(fields).state_dict()
        ours = Transformer(config).state_dict()
    assert {hub_name(name): tensor.shape for name, tensor in ours.items()} == {
        n: t.shape for n, t in theirs.items()
    }


def test_autoencoder_round_trip(tmp_path):
    torch.manual_seed(0)
    theirs = AutoencoderKLWan(**{**VAE, "base_dim": 4, "decoder_base_dim": 4})
    theirs.save_pretrained(tmp_path)
    assert same(load_vae(tmp_path, CPU, torch.float32).module, theirs)


def test_parts_can_be_left_out_and_dtype_chosen(folder):
    policy = load_model(folder, dtype="bfloat16", reasoner=False)
    assert policy.transformer.head is None
    assert policy.vision is None
    assert policy.transformer.dtype == torch.bfloat16
    assert policy.transformer.time.first.weight.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in policy.transformer.parameters())
    reasoner = load_model(folder, generator=False)
    assert reasoner.vae is None
    assert not hasattr(reasoner.transformer, "generator")
    assert reasoner.vision is not None


def test_sound_heads_are_left_alone(folder, copy):
    tensors = load_file(copy / "transformer" / FILE)
    rewrite(
        copy,
        {**tensors, "audio_proj_in.weight": torch.zeros(2), "audio_modality_embed": torch.zeros(2)},
    )
    assert same(
        load_model(copy, reasoner=False).transformer, load_model(folder, reasoner=False).transformer
    )


def drop(copy):
    tensors = load_file(copy / "transformer" / FILE)
    del tensors["layers.0.self_attn.to_q.weight"]
    rewrite(copy, tensors)


def add(copy):
    rewrite(copy, {**load_file(copy / "transformer" / FILE), "lora.weight": torch.zeros(2)})


def reshape(copy):
    rewrite(copy, {**load_file(copy / "transformer" / FILE), "norm.weight": torch.zeros(7)})


def truncate(copy):
    file = copy / "transformer" / FILE
    file.write_bytes(file.read_bytes()[:-100])


def garble(copy):
    (copy / "transformer" / FILE).write_bytes(b"\xff" * 1000)


def endless(copy):
    file = copy / "transformer" / FILE
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header["norm.weight"]["shape"] = [float("inf")]
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)


def pickle(copy):
    (copy / "transformer" / FILE).rename(copy / "transformer" / "pytorch_model.bin")


def shard(copy):
    index = {"weight_map": {"a": "part-1.safetensors"}}
    (copy / "transformer" / f"{FILE}.index.json").write_text(json.dumps(index))


def remove(name):
    return lambda copy: (copy / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, r"transformer: 1 missing tensor\(s\): layers.0.self_attn.to_q.weight"),
        (add, r"transformer: 1 unexpected tensor\(s\): lora.weight"),
        (reshape, r"norm.weight has shape \[7\], expected \[192\]"),
        (truncate, "not a complete safetensors file, expected .* bytes, got"),
        (garble, "not a safetensors file, its header is not readable"),
        (endless, "not a safetensors file, its header is not readable"),
        (pickle, "pytorch_model.bin is a pickle, which is never opened"),
        (shard, "missing file .*part-1.safetensors, which"),
        (remove(f"vae/{FILE}"), r"missing file .*vae/\*.safetensors"),
        (remove("vae/config.json"), "missing file .*vae/config.json"),
        (remove("text_tokenizer/tokenizer_config.json"), "missing file .*tokenizer_config.json"),
        (remove("scheduler/scheduler_config.json"), "missing file .*scheduler_config.json"),
        (
            lambda copy: (copy / "transformer" / "config.json").write_text("{"),
            "config.json: not readable as json",
        ),
        (
            lambda copy: (copy / "transformer" / "config.json").write_text("[]"),
            "expected a json object, got list",
        ),
    ],
)
def test_damaged_folders_are_refused(copy, damage, message):
    damage(copy)
    with pytest.raises(ValueError, match=message):
        load_model(copy, reasoner=False)


def test_no_folder():
    with pytest.raises(ValueError, match="checkpoint: no folder /does/not/exist"):
        load_model("/does/not/exist")


def test_the_hub_is_asked_only_on_request(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(folder)
    )
    with pytest.raises(ValueError, match="no folder nvidia/Cosmos3-Nano"):
        load_model("nvidia/Cosmos3-Nano")
    load_model(folder, reasoner=False, download=True)
    assert not asked
    assert load_model("nvidia/Cosmos3-Nano", reasoner=False, download=True).path == folder
    assert asked == ["nvidia/Cosmos3-Nano"]


def test_a_file_that_is_indexed_is_found(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "x-1.safetensors")
    save_file({"old": torch.zeros(1)}, tmp_path / "unused.safetensors")
    (tmp_path / "x.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "x-1.safetensors"}})
    )
    assert set(find_tensors(tmp_path)) == {"a"}


@pytest.mark.parametrize("per_channel", [False, True])
def test_fp8_checkpoints_are_read_with_their_scales(folder, copy, per_channel, far):
    file = copy / "transformer" / FILE
    tensors = load_file(file)
    names = [
        name
        for name in tensors
        if "layers." in name and name.endswith(("proj.weight", "to_q.weight"))
    ]
    for name in names:
        tops = tensors[name].abs().amax(1) if per_channel else tensors[name].abs().amax()
        scale = tops / 448
        rounded = (tensors[name] / (scale[:, None] if per_channel else scale)).to(
            torch.float8_e4m3fn
        )
        extra = {"_scale": scale, "": rounded}
        tensors |= {name + end: tensor for end, tensor in extra.items()}
        tensors[name.removesuffix("weight") + "input_scale"] = torch.ones(())
    save_file(tensors, file)
    whole, read = (
        load_model(path, reasoner=False).transformer.state_dict() for path in (folder, copy)
    )
    errors = [
        far(read[name], whole[name])
        for name in whole
        if "layers." in name and name.endswith("up.weight")
    ]
    assert len(errors) == 2 * TINY.layers
    assert 0 < max(errors) < 0.04
    del tensors[names[0] + "_scale"]
    save_file(tensors, file)
    with pytest.raises(
        ValueError, match=r"is in FP8 E4M3, expected its scale .*weight_scale, got none"
    ):
        load_model(copy, reasoner=False)
