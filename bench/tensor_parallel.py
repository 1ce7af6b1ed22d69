# SPDX-License-Identifier: Apache-2.0
"""A chunk and an answer of a network split over several GPUs, and the difference to one GPU.

torchrun --standalone --nproc-per-node 2 bench/tensor_parallel.py --tensor 2 [--preset super]
         [--weights fp8]
    [--device cuda] [--compile] [--alone] [--runs 5] [--tokens 32] [--out tensor.json]

Random weights, drawn in every process; DROID policy setting as in policy_latency.py. With twice as
many processes as --tensor, guidance is split as well. --alone: the first GPU does it by itself
before (Nano fits, Super does not).
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import statistics
import tempfile
import time
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from diffusers import AutoencoderKLWan
from full_size import INSTRUCTION, VOCAB, WAN, FullSize, free, milliseconds, relative
from torch import Tensor
from transformers import AutoTokenizer

from cosmos3_ros.model.acceleration.optimize import optimize
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.acceleration.tensor_parallel import split_of
from cosmos3_ros.model.autoencoder.vae import VideoAutoencoder
from cosmos3_ros.model.checkpoint_io.tiny import INDEX, SCHEDULER, VAE, write_tokenizer
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.language.decode_loop import DecodeLoopPool
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.network.config import PRESETS
from cosmos3_ros.model.network.transformer import Transformer
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.runtime.process_group import InferenceGroup, join, leave_processes

DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]
DROID_SIM = EMBODIMENTS["droid_sim"]

PROMPT = 930  # tokens of a question with three images of 640 x 480


class Share:
    """What one process has of the network; without a team, all of it."""

    def __init__(
        self, preset: str, device: torch.device, speed: RuntimeOptions, team: InferenceGroup | None
    ):
        config, tiny = PRESETS[preset], preset == "tiny"
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        with torch.device("meta"):
            transformer = Transformer(config)
        split = split_of(team)
        if split:
            split.apply(transformer)
        transformer.load_state_dict(
            dict(self._draw(transformer, device, dtype, split)), assign=True
        )
        transformer.time.float()
        torch.manual_seed(2)
        with torch.device(device):
            vae = (
                AutoencoderKLWan(**{**VAE, **({} if tiny else WAN)})
                .to(dtype)
                .requires_grad_(False)
                .eval()
            )
        with tempfile.TemporaryDirectory() as folder:
            write_tokenizer(Path(folder), VOCAB)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        transformer.requires_grad_(False).eval()
        self.model = Model(
            Path(),
            config,
            transformer,
            tokenizer,
            VideoAutoencoder(vae),
            None,
            SCHEDULER,
            INDEX,
            {},
            team=team,
        )
        if team:
            self.model.lock = team.lock
        if speed != RuntimeOptions():
            optimize(self.model, speed, device)
        self.body = dataclasses.replace(DROID_SIM, horizon=4) if tiny else DROID_JOINT_POS
        self.policy = Cosmos3Policy(self.model, self.body, deterministic=True)
        self.decoders = DecodeLoopPool(self.model)

    @staticmethod
    def _draw(
        transformer: Transformer, device: torch.device, dtype: torch.dtype, split: Any
    ) -> Any:
        """Every parameter by itself: the same numbers however they are shared."""
        hidden = transformer.config.hidden
        for name, place in transformer.state_dict().items():
            generator = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
            whole = torch.empty(place.shape, dtype=dtype, device=device)
            if place.dim() > 1:
                whole.normal_(
                    0, 1.0 if name == "embed.weight" else hidden**-0.5, generator=generator
                )
            else:
                whole.normal_(float("norm" in name), 0.1, generator=generator)
            yield (
                name,
                split.distributed(split.share(whole, place).clone(), place) if split else whole,
            )

    def chunk(self) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Latents, commands, and what took how long."""
        # of which it needs the embodiment
        observation = FullSize.observation(self, INSTRUCTION)  # type: ignore[arg-type]
        prediction = self.policy.infer(observation)
        return prediction.latents, torch.from_numpy(prediction.chunk.values), prediction.seconds

    @torch.inference_mode()
    def answer(self, tokens: int) -> tuple[list[int], Tensor, float, float]:
        """Greedy tokens for a prompt of noise, scores of the first, seconds of both phases."""
        model, number = self.model, self.decoders.take()
        source = torch.Generator().manual_seed(0)
        embeds = torch.randn(1, PROMPT, model.config.hidden, generator=source).to(
            model.device, model.transformer.dtype
        )
        positions = torch.arange(PROMPT, device=model.device).expand(3, -1)
        since = time.perf_counter()
        scores = first = self.decoders.read(number, embeds, positions, [], PROMPT, tokens).clone()
        said = [int(scores.argmax())]
        read = time.perf_counter()
        while len(said) < tokens:
            said.append(int(self.decoders.step(number, said[-1]).argmax()))
        self.decoders.give(number)
        return said, first, read - since, time.perf_counter() - read


def timed(
    share: Share, runs: int, tokens: int
) -> tuple[dict[str, float], tuple[Tensor, ...], list[int]]:
    """What the leader, or a GPU alone, measures; and what it said."""
    since = time.monotonic()
    latents, actions, _ = share.chunk()
    found = {"first_chunk_seconds": time.monotonic() - since}
    found["chunk_ms"] = statistics.median(milliseconds(share.chunk, runs))
    found |= {f"{stage}_ms": 1e3 * seconds for stage, seconds in share.chunk()[2].items()}
    share.answer(tokens)
    said, scores, read, decode = share.answer(tokens)
    found |= {"prefill_ms": 1e3 * read, "tokens_per_second": (tokens - 1) / decode}
    return found, (latents.cpu(), actions, scores.cpu()), said


def sums(team: InferenceGroup, share: Share, runs: int) -> float:
    """Milliseconds that the all-reduces of one guided step take alone: every process calls it."""
    if team.mesh is None:
        return 0.0
    transformer = share.model.transformer
    frames, rows, columns = share.policy.latent_shape[1:]
    count = (
        frames * -(-rows // 2) * -(-columns // 2) + share.body.horizon + int(share.body.state_row)
    )
    branches = 2 if team.branch is None else 1
    x = torch.zeros(
        branches, count, transformer.config.hidden, dtype=transformer.dtype, device=team.device
    )
    group = team.mesh.get_group()
    once = statistics.median(milliseconds(lambda: dist.all_reduce(x, group=group), runs))
    return once * 2 * transformer.config.layers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="super", choices=[*PRESETS])
    parser.add_argument("--tensor", type=int, default=2)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--weights", default="none", help="of both towers, see quantize.FORMATS")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    team = join(chosen.device, chosen.tensor)
    results = measure(team, chosen)
    if team.leads:
        print(json.dumps(results, indent=2))
        if chosen.out:
            chosen.out.write_text(json.dumps(results, indent=2) + "\n")
    leave_processes()


def measure(team: InferenceGroup, chosen: argparse.Namespace) -> dict[str, Any]:
    """Each process its part; the leader's are the results."""
    gpu, speed = (
        team.device.type == "cuda",
        RuntimeOptions(chosen.compile, generator=chosen.weights, text=chosen.weights),
    )
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "options": {key: value for key, value in vars(chosen).items() if key != "out"},
        "processes": dist.get_world_size(),
        "torch": version("torch"),
    }
    alone: tuple[Tensor, ...] = ()
    if team.leads and chosen.alone:
        results["alone"], alone, words = timed(
            Share(chosen.preset, team.device, speed, None), chosen.runs, chosen.tokens
        )
        free()
    share = Share(chosen.preset, team.device, speed, team)
    summed = sums(team, share, chosen.runs)
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    if team.leads:
        together, got, said = timed(share, chosen.runs, chosen.tokens)
        results["together"] = together | {"sums_of_a_guided_step_ms": summed}
        if alone:
            names = ("video", "actions", "scores")
            results["error"] = {
                name: relative(*both) for name, *both in zip(names, got, alone, strict=True)
            }
            same = [mine == theirs for mine, theirs in zip(said, words, strict=True)]
            results["error"]["tokens equal from the start"] = (*same, False).index(False)
        team.leave()
    else:
        team.follow()
    peaks = [torch.zeros(1) for _ in range(dist.get_world_size())]
    dist.all_gather(
        peaks, torch.tensor([torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0])
    )
    results["peak_gib"] = [float(peak) for peak in peaks]
    return results


if __name__ == "__main__":
    main()
