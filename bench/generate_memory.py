# SPDX-License-Identifier: Apache-2.0
"""Peak memory and time a step of a text-to-video, ours and diffusers': full size, random weights.

python bench/generate_memory.py [--preset nano] [--device cuda] [--compile] [--weights fp8]
    [--attention fp8] [--steps 4] [--sizes 93x480x832 189x720x1280] [--no-decode]
    [--seconds 540] [--out generate.json]

Memory is what PyTorch allocates above the weights, beside what `generation_memory` computes; the
decoder runs with the tile that fits a card of 24, one of 48 GB, and this one. On a CPU only times
are measured. `--preset tiny --device cpu --sizes 5x64x96` takes seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import Cosmos3OmniPipeline
from full_size import WAN, free, make, run_stages, wait

from cosmos3_ros.model.acceleration.generation_memory import (
    Need,
    Video,
    decode_bytes,
    denoise_bytes,
    generation_need,
)
from cosmos3_ros.model.acceleration.memory_budget import GIB
from cosmos3_ros.model.acceleration.optimize import optimize
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.checkpoint_io.tiny import SCHEDULER, VAE
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.generator import Generated, Generator, Request
from cosmos3_ros.model.network.config import PRESETS

PROMPT = "A robot arm puts the red cube in the bowl, and the camera moves slowly around the table."
# GiB that are free on a card of 24 GB with FP8 weights and one tower, and on one of 48 GB
CARDS = {"24": 23.0, "48": 44.0}


class Peak:
    """GiB allocated at most inside the block, above what was allocated before; 0.0 on a CPU."""

    def __init__(self, gpu: bool) -> None:
        self.gpu, self.gib = gpu, 0.0

    def __enter__(self) -> Peak:
        free()
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
            self._held = torch.cuda.memory_allocated()
        return self

    def __exit__(self, *_: object) -> None:
        if self.gpu:
            self.gib = (torch.cuda.max_memory_allocated() - self._held) / GIB


class Laps:
    """Seconds between calls, each after the device has done all."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, *_: Any) -> dict[str, Any]:
        wait()
        self.times.append(time.perf_counter())
        return {}

    def median(self) -> float:
        """Without the first step, in which libraries choose their kernels."""
        pairs = itertools.pairwise(self.times)
        return statistics.median(after - before for before, after in pairs)


class Bench:
    """Both implementations on one set of weights."""

    def __init__(self, preset: str, device: str, steps: int, runtime: RuntimeOptions, decode: bool):
        self.gpu = device.startswith("cuda")
        self.number = 2 if self.gpu else 4
        dtype = torch.bfloat16 if self.gpu else torch.float32
        self.config, self.steps = PRESETS[preset], steps
        self.vae = {**VAE, **({} if preset == "tiny" else WAN)}
        self.full = make(preset, device, dtype)
        self.model = self.full.model()
        self.runtime, self.decode = runtime, decode
        self.generator: Generator | None = None

    def ours(self, video: Video) -> dict[str, Any]:
        """One request, its memory beside what is computed, and its video with every tile."""
        if self.generator is None:  # after diffusers, whose weights are joined to others here
            optimize(self.model, self.runtime, self.full.device)
            self.generator = Generator(self.model)
        size = (video.height, video.width)
        request = Request(
            PROMPT,
            frames=video.frames,
            size=size,
            steps=self.steps,
            guidance=Guidance(6.0),
        )
        laps, latents = Laps(), video.latents(self.vae)
        self.generator.generate(dataclasses.replace(request, steps=1))
        with Peak(self.gpu) as peak:
            generated = self.generator.generate(request, laps)
        computed = denoise_bytes(self.config, latents, self.number) / GIB
        found: dict[str, Any] = {"step_s": laps.median()}
        found |= {"denoise_gib": peak.gib, "denoise_computed_gib": computed}
        if not self.decode:
            return found
        slim = RuntimeOptions(generator="fp8", text="fp8", placement="policy")
        for card, room in (*CARDS.items(), ("this", 1e3)):
            runtime = slim if card == "24" else self.runtime
            need = generation_need(
                self.config, runtime, self.vae, video, room, self.number, reasoner=False
            )
            found |= self.decoded(generated, need, card)
        return found

    def decoded(self, generated: Generated, need: Need, card: str) -> dict[str, Any]:
        """Seconds and GiB of decoding with the tile of a card."""
        assert self.generator is not None
        height, width = generated.latents.shape[3:]
        sides = (min(need.tile.height, height), min(need.tile.width, width))
        with Peak(self.gpu) as peak:
            since = time.perf_counter()
            self.generator.decode(generated, need.tile)
            wait()
            seconds = time.perf_counter() - since
        computed = decode_bytes(self.vae, sides, self.number) / GIB
        name = f"card {card}"
        return {
            f"{name}, tile": list(sides),
            f"{name}, decode_s": seconds,
            f"{name}, decode_gib": peak.gib,
            f"{name}, decode_computed_gib": computed,
            f"{name}, whole_computed_gib": need.peak,
        }

    def diffusers(self, video: Video) -> dict[str, Any]:
        """The same request to diffusers' pipeline, without its decoder."""
        native = {**SCHEDULER, "use_karras_sigmas": False, "flow_shift": 10.0}
        pipeline = Cosmos3OmniPipeline(
            self.full.theirs,
            self.full.tokenizer,
            self.full.vae,
            UniPCMultistepScheduler.from_config(native),
            enable_safety_checker=False,
            default_use_system_prompt=False,
            use_native_flow_schedule=True,
        )
        pipeline.set_progress_bar_config(disable=True)
        laps = Laps()
        with Peak(self.gpu) as peak:
            pipeline(
                prompt=PROMPT,
                num_frames=video.frames,
                height=video.height,
                width=video.width,
                num_inference_steps=self.steps,
                guidance_scale=6.0,
                generator=torch.Generator().manual_seed(0),
                output_type="latent",
                callback_on_step_end=laps,
            )
        return {"step_s": laps.median(), "denoise_gib": peak.gib}


def compare(found: dict[str, Any]) -> dict[str, Any]:
    """With our time of a step as a share of diffusers'."""
    for name in [name for name in found if name.startswith("ours ")]:
        theirs = found.get(name.replace("ours", "diffusers"), {})
        if "step_s" in found[name] and "step_s" in theirs:
            found[name]["step of diffusers'"] = found[name]["step_s"] / theirs["step_s"]
    return found


def main() -> None:
    """Run the stages, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=tuple(PRESETS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--attention", default="none")
    parser.add_argument("--no-decode", action="store_true", help="only the steps")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--sizes", nargs="+", default=["93x480x832", "189x720x1280"])
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    videos = {text: Video(*map(int, text.split("x"))) for text in chosen.sizes}
    facts: dict[str, Any] = {name: version(name) for name in ("torch", "diffusers")}
    gpu = chosen.device.startswith("cuda")
    facts["device"] = torch.cuda.get_device_name() if gpu else chosen.device

    def save(found: dict[str, Any]) -> None:
        if chosen.out:
            chosen.out.write_text(json.dumps(facts | compare(found), indent=2) + "\n")

    with torch.no_grad():
        runtime = RuntimeOptions(
            compiled=chosen.compile, generator=chosen.weights, attention=chosen.attention
        )
        facts["options"] = dataclasses.asdict(runtime)
        bench = Bench(
            chosen.preset, chosen.device, chosen.steps, runtime, decode=not chosen.no_decode
        )
        stages: dict[str, Any] = {}
        for each in ("diffusers", "ours"):
            for text, video in videos.items():
                cost = 1.5e-8 * video.frames * video.height * video.width * chosen.steps
                stages[f"{each} {text}"] = (
                    30.0 + cost if gpu else 1.0,
                    lambda video=video, each=each: getattr(bench, each)(video),
                )
        found = compare(run_stages(stages, chosen.seconds, save))
    for name, values in found.items():
        if share := values.get("step of diffusers'"):
            print(f"{name}: a step takes {share:.2f} of diffusers'")


if __name__ == "__main__":
    main()
