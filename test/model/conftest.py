# SPDX-License-Identifier: Apache-2.0
"""Random models of several shapes, and the public implementation to compare them with."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKLWan,
    Cosmos3OmniPipeline,
    Cosmos3OmniTransformer,
    UniPCMultistepScheduler,
)
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer

from cosmos3_ros.model.checkpoint_io import tiny
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.names import hub_name
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.network.config import TINY, ModelConfig
from cosmos3_ros.model.network.transformer import Transformer

MID = ModelConfig(hidden=512, layers=3, heads=4, kv_heads=2, head_dim=128, mlp=1024, vocab=1024)
EDGE = {
    "activation": "relu2",
    "text_qk_norm": False,
    "text_key_norm_for_generator": True,
    "rope_theta": 1e8,
}
SHAPES = {
    "tiny": TINY,
    "tiny-edge": dataclasses.replace(TINY, **EDGE, norm_eps=1e-5),
    "mid": MID,
    "mid-edge": dataclasses.replace(MID, **EDGE, norm_eps=1e-5),
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", params=SHAPES)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """Nano's and Edge's kinds of layers, at two sizes."""
    return SHAPES[request.param]


@pytest.fixture(scope="session")
def model() -> Model:
    """The tiny checkpoint."""
    return load_model(tiny.tiny_checkpoint(), reasoner=False)


@pytest.fixture(scope="session")
def far() -> Callable[[Tensor, Tensor], float]:
    """Largest difference relative to the largest value."""
    return lambda ours, theirs: float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelConfig], Path]:
    """Function that writes a checkpoint of a shape, with an autoencoder that takes no time."""

    def function(shape: ModelConfig) -> Path:
        folder = tmp_path_factory.mktemp("checkpoint")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(tiny.VAE, "base_dim", 4)
            patch.setitem(tiny.VAE, "decoder_base_dim", 4)
            tiny.write_tiny(folder, seed=1, config=shape)
        return folder

    return function


@dataclasses.dataclass
class Pair:
    """The same random weights in diffusers' transformer and in ours."""

    theirs: Cosmos3OmniTransformer
    ours: Transformer

    @torch.no_grad()
    def their_velocity(
        self,
        ids: Tensor,
        positions: Tensor,
        latents: Tensor,
        noisy_frames: Tensor,
        actions: Tensor,
        noisy_rows: Tensor,
        time: float,
        domain: int,
    ) -> tuple[Tensor, Tensor]:
        """One forward pass.

        latents [1, C, T, h, w]; actions [rows, width]; positions [3, N] of text and generator.
        """
        patch = self.ours.config.patch
        frames, rows, columns = (
            latents.shape[2],
            -(-latents.shape[3] // patch),
            -(-latents.shape[4] // patch),
        )
        length, per_frame, count = len(ids), rows * columns, len(actions)
        first_row = length + frames * per_frame
        seen = noisy_frames.repeat_interleave(per_frame).nonzero().flatten()
        moved = noisy_rows.nonzero().flatten()
        vision, _, action = self.theirs(
            input_ids=ids,
            text_indexes=torch.arange(length),
            position_ids=positions,
            und_len=length,
            sequence_length=first_row + count,
            vision_tokens=[latents],
            vision_token_shapes=[(frames, rows, columns)],
            vision_sequence_indexes=torch.arange(length, first_row),
            vision_mse_loss_indexes=length + seen,
            vision_timesteps=torch.full((len(seen),), time),
            vision_noisy_frame_indexes=[noisy_frames.nonzero().flatten()],
            action_tokens=[actions],
            action_token_shapes=[(count, 1, 1)],
            action_sequence_indexes=torch.arange(first_row, first_row + count),
            action_mse_loss_indexes=first_row + moved,
            action_timesteps=torch.full((len(moved),), time),
            action_noisy_frame_indexes=[moved],
            action_domain_ids=[torch.tensor([domain])],
            return_dict=False,
        )
        return vision[0], action[0]


@pytest.fixture(scope="session")
def pair() -> Callable[[ModelConfig], Pair]:
    """Function that makes a `Pair` of a shape."""

    def function(shape: ModelConfig) -> Pair:
        torch.manual_seed(0)
        fields = {
            key: value
            for key, value in shape.to_json().items()
            if key != "temporal_compression_factor"
        }
        theirs = Cosmos3OmniTransformer.from_config(fields).eval()
        for parameter in theirs.parameters():
            parameter.data.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.05)
        weights = theirs.state_dict()
        with torch.device("meta"):
            ours = Transformer(shape)
        ours.load_state_dict(
            {name: weights[hub_name(name)] for name in ours.state_dict()}, assign=True
        )
        return Pair(theirs, ours)

    return function


@pytest.fixture(scope="session")
def pipeline() -> Callable[..., Any]:
    """Function that loads a checkpoint folder into diffusers' pipeline.

    keywords: of its scheduler, and `native`.
    """

    def read(file: Path) -> dict[str, Any]:
        return json.loads(file.read_text())

    def function(folder: Path, native: bool = False, system: bool = False, **scheduler: Any) -> Any:
        fields = read(folder / "transformer" / "config.json")
        del fields["temporal_compression_factor"]
        transformer = Cosmos3OmniTransformer.from_config(fields)
        vae = AutoencoderKLWan.from_config(read(folder / "vae" / "config.json"))
        for module, name in ((transformer, "transformer"), (vae, "vae")):
            module.load_state_dict(load_file(folder / name / "diffusion_pytorch_model.safetensors"))
        whole = Cosmos3OmniPipeline(
            transformer=transformer.eval(),
            vae=vae.eval(),
            text_tokenizer=AutoTokenizer.from_pretrained(folder / "text_tokenizer"),
            scheduler=UniPCMultistepScheduler.from_config(
                {**read(folder / "scheduler" / "scheduler_config.json"), **scheduler}
            ),
            enable_safety_checker=False,
            default_use_system_prompt=system,
            use_native_flow_schedule=native,
        )
        whole.set_progress_bar_config(disable=True)
        return whole

    return function
