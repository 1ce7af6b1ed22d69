# SPDX-License-Identifier: Apache-2.0
"""Is the network the same as diffusers' at full size?

One policy forward, both on the very same random weights.

python bench/nano_equality.py [--preset nano] [--device cuda] [--dtype bfloat16] [--out
nano_equality.json]

Prints the largest and the mean difference of the predicted velocities, and the time of a forward
pass: diffusers reads the prompt anew in every pass, ours once before the first.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import Cosmos3OmniTransformer
from torch import Tensor

from cosmos3_ros.model.checkpoint_io.names import hub_name
from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.network.config import PRESETS, ModelConfig
from cosmos3_ros.model.network.layers import rope_table
from cosmos3_ros.model.network.positions import generator_positions
from cosmos3_ros.model.network.transformer import Transformer

DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]
DROID_SIM = EMBODIMENTS["droid_sim"]

MODALITIES = ("vision", "action")
WORDS, TIME = 82, 833.0  # tokens of a prompt; where in the denoising the pass is


def build(config: ModelConfig, device: str, dtype: torch.dtype) -> tuple[Any, Transformer]:
    """Both implementations on one set of random weights."""
    fields = {
        key: value
        for key, value in config.to_json().items()
        if key != "temporal_compression_factor"
    }
    with torch.device("meta"):
        theirs, ours = Cosmos3OmniTransformer.from_config(fields), Transformer(config)
    torch.nn.Module.to(theirs, dtype)  # diffusers' own `to` warns about what the next line sees to
    theirs.time_embedder.float()
    theirs.to_empty(device=device).requires_grad_(False).eval()
    frequency = (
        torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=device) / config.head_dim
    )
    theirs.rotary_emb.inv_freq = 1.0 / config.rope_theta**frequency
    torch.manual_seed(0)
    for name, weight in theirs.named_parameters():
        if weight.dim() > 1:
            weight.normal_(0.0, 1.0 if "embed_tokens" in name else config.hidden**-0.5)
        else:
            weight.normal_(0.0 if "bias" in name else 1.0, 0.1)
    tensors = theirs.state_dict()
    ours.load_state_dict({name: tensors[hub_name(name)] for name in ours.state_dict()}, assign=True)
    return theirs, ours.requires_grad_(False).eval()


class Pass:
    """Inputs of one forward pass of a DROID policy: a clean frame, a clean state row, noise."""

    def __init__(self, config: ModelConfig, body: Embodiment, device: str, dtype: torch.dtype):
        generator = torch.Generator(device).manual_seed(1)
        shape = (1 + body.horizon // 4, *(side // 16 for side in body.canvas.content))
        draw: dict[str, Any] = {"generator": generator, "device": device, "dtype": dtype}
        self.latents = torch.randn(1, config.latent_channels, *shape, **draw)
        self.rows = torch.randn(body.horizon + 1, config.action_width, **draw)
        self.words = torch.randint(0, config.vocab, (WORDS,), generator=generator, device=device)
        self.noisy_frames = torch.arange(shape[0], device=device) > 0
        self.noisy_rows = torch.arange(len(self.rows), device=device) > 0
        self.places = generator_positions(
            config, WORDS, shape, body.fps, len(self.rows), first_row=0
        ).to(device)
        self.domain = torch.tensor([body.domain_id], device=device)

    def theirs(self, transformer: Any) -> tuple[Tensor, Tensor]:
        """Velocities of latents and rows, from diffusers."""
        device = self.words.device
        frames, count = self.latents.shape[2], len(self.rows)
        first_row = WORDS + self.places.shape[1] - count
        per_frame = (first_row - WORDS) // frames
        seen = self.noisy_frames.repeat_interleave(per_frame).nonzero().flatten()
        moved = self.noisy_rows.nonzero().flatten()
        text = torch.arange(WORDS, device=device)
        grid = (frames, -(-self.latents.shape[3] // 2), -(-self.latents.shape[4] // 2))
        vision, _, action = transformer(
            input_ids=self.words,
            text_indexes=text,
            position_ids=torch.cat([text.float().expand(3, -1), self.places], dim=1),
            und_len=WORDS,
            sequence_length=first_row + count,
            vision_tokens=[self.latents],
            vision_token_shapes=[grid],
            vision_sequence_indexes=torch.arange(WORDS, first_row, device=device),
            vision_mse_loss_indexes=WORDS + seen,
            vision_timesteps=torch.full((len(seen),), TIME, device=device),
            vision_noisy_frame_indexes=[self.noisy_frames.nonzero().flatten()],
            action_tokens=[self.rows],
            action_token_shapes=[(count, 1, 1)],
            action_sequence_indexes=torch.arange(first_row, first_row + count, device=device),
            action_mse_loss_indexes=first_row + moved,
            action_timesteps=torch.full((len(moved),), TIME, device=device),
            action_noisy_frame_indexes=[moved],
            action_domain_ids=[self.domain],
            return_dict=False,
        )
        return vision[0], action[0]

    def exactly(self, transformer: Any) -> tuple[Tensor, Tensor]:
        """What diffusers says in float32; its weights are converted in place."""
        torch.nn.Module.float(transformer)
        self.latents, self.rows = self.latents.float(), self.rows.float()
        return self.theirs(transformer)

    def ours(self, transformer: Transformer) -> Callable[[], tuple[Tensor, Tensor]]:
        """The same from ours; the text is read here, once."""
        cache = transformer.prefill(self.words[None])[1]
        rope = rope_table(self.places, transformer.config, transformer.dtype)
        clock = torch.full((1,), TIME, device=self.words.device)

        def velocity() -> tuple[Tensor, Tensor]:
            vision, action = transformer.velocity(
                self.latents,
                clock,
                cache,
                rope,
                self.noisy_frames,
                self.rows[None],
                self.noisy_rows,
                self.domain,
            )
            return vision, action[0]

        return velocity


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median time of a call that has run once before."""
    times = []
    for _ in range(repeats):
        _wait()
        since = time.perf_counter()
        function()
        _wait()
        times.append(time.perf_counter() - since)
    return statistics.median(times)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.inference_mode()
def compare(preset: str, device: str, dtype: torch.dtype, repeats: int = 5) -> dict[str, object]:
    """Differences and times, as a row of a table."""
    config = PRESETS[preset]
    theirs, ours = build(config, device, dtype)
    inputs = Pass(config, DROID_SIM if preset == "tiny" else DROID_JOINT_POS, device, dtype)
    velocity = inputs.ours(ours)
    result: dict[str, object] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "versions": {name: version(name) for name in ("torch", "diffusers")},
        "preset": preset,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "dtype": str(dtype).removeprefix("torch."),
        "parameters": sum(weight.numel() for weight in ours.parameters()),
        "generator_tokens": inputs.places.shape[1],
    }
    found, expected = velocity(), inputs.theirs(theirs)
    for name, got, wanted in zip(MODALITIES, found, expected, strict=True):
        result[f"{name}_largest"] = float(wanted.abs().max())
        result[f"{name}_max_error"] = float((got.float() - wanted.float()).abs().max())
        result[f"{name}_relative_error"] = relative_error(got, wanted)
    result["ours_seconds"] = seconds(velocity, repeats)
    result["diffusers_seconds"] = seconds(lambda: inputs.theirs(theirs), repeats)
    if device.startswith("cuda"):
        result["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if dtype != torch.float32:  # how far each is from the same weights computed exactly
        del ours, velocity
        exact = inputs.exactly(theirs)
        for name, got, wanted, truth in zip(MODALITIES, found, expected, exact, strict=True):
            result[f"{name}_ours_to_float32"] = relative_error(got, truth)
            result[f"{name}_diffusers_to_float32"] = relative_error(wanted, truth)
    return result


def relative_error(got: Tensor, wanted: Tensor) -> float:
    """|got - wanted| / |wanted|."""
    return float((got.float() - wanted.float()).norm() / wanted.float().norm())


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="nano")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    result = compare(chosen.preset, chosen.device, getattr(torch, chosen.dtype))
    for name, value in result.items():
        print(f"{name:24} {value}")
    if chosen.out:
        chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
