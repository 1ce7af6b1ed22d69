# SPDX-License-Identifier: Apache-2.0
"""Time to decode the video of a predicted future, in parts: full size, random weights.

python bench/video_latency.py [--preset nano] [--device cuda] [--seconds 240] [--out video.json]

33 frames of 544 x 640 as 9 latents. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import statistics
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from full_size import WAN, free, milliseconds, relative, run_stages
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from cosmos3_ros.model.autoencoder import fast_decoder
from cosmos3_ros.model.autoencoder.vae import VideoAutoencoder
from cosmos3_ros.model.checkpoint_io.tiny import VAE


def decoding(vae: VideoAutoencoder, latents: Tensor) -> dict[str, float]:
    """Milliseconds of diffusers' decoder, of ours laid out, and compiled.

    How far their frames are apart.
    """
    mean, inverse = vae.scale()
    raw, found = latents.to(mean) / inverse + mean, {}
    whole = vae.module.decode(raw).sample
    found["plain_ms"] = statistics.median(milliseconds(lambda: vae.module.decode(raw), 2))
    for name, compiled in (("laid out", False), ("compiled", True)):
        if latents.is_cuda or not compiled:
            vae.optimize(compiled, graphs=False)
            found |= {f"{name}{key}": value for key, value in timed(vae, latents).items()}
            found[f"{name}, error"] = relative(vae.decode(latents), whole)
    return found


def timed(vae: VideoAutoencoder, latents: Tensor) -> dict[str, float]:
    """The median of five, and GiB above what was held before."""
    vae.decode(latents)
    held = 0
    if latents.is_cuda:
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    found = {"_ms": statistics.median(milliseconds(lambda: vae.decode(latents), 5))}
    if latents.is_cuda:
        found["_gib"] = (torch.cuda.max_memory_allocated() - held) / 2**30
    return found


class Bench:
    """The stages, on one autoencoder."""

    def __init__(self, preset: str, device: str):
        self.gpu = device.startswith("cuda")
        torch.manual_seed(2)
        with torch.device(device):
            module: Any = AutoencoderKLWan(**(VAE if preset == "tiny" else {**VAE, **WAN}))
            size = (4, 6) if preset == "tiny" else (34, 40)
            self.latents = torch.randn(1, 48, 9, *size)
        module.to(torch.bfloat16 if self.gpu else torch.float32).requires_grad_(False).eval()
        self.vae = VideoAutoencoder(module)

    def decode(self) -> dict[str, float]:
        return decoding(self.vae, self.latents)

    def ways(self) -> dict[str, float]:
        """As compiled, but with cuDNN's heuristics, and with more or fewer latents at a time."""
        found, (mean, inverse), usual = {}, self.vae.scale(), fast_decoder.LATENTS_PER_STEP
        (raw,) = self.latents.to(mean) / inverse + mean
        times = milliseconds(
            lambda: fast_decoder.decode_video(self.vae.module, raw, self.vae.decode_step), 5
        )
        found["algorithms by rule_ms"] = statistics.median(times)
        for fast_decoder.LATENTS_PER_STEP in (2, 8):
            found |= {
                f"{fast_decoder.LATENTS_PER_STEP} at once{key}": value
                for key, value in timed(self.vae, self.latents).items()
            }
        fast_decoder.LATENTS_PER_STEP = usual
        return found

    def kernels(self) -> dict[str, Any]:
        """GPU time by kernel: the compiled ones lie between the products."""
        times: Counter[str] = Counter()
        with profile(
            activities=[ProfilerActivity.CUDA] if self.gpu else [ProfilerActivity.CPU]
        ) as seen:
            self.vae.decode(self.latents)
        for event in seen.key_averages():
            times[event.key] += (
                event.self_device_time_total if self.gpu else event.self_cpu_time_total
            ) / 1e3
        between = sum(time for name, time in times.items() if name.startswith("triton"))
        found: dict[str, Any] = {"between_ms": between, "rest_ms": times.total() - between}
        return found | {name[:100]: time for name, time in times.most_common(24)}

    def convolutions(self) -> dict[str, float]:
        """Sixteen frames of each level, TFLOP/s: in three dimensions, and as single pictures."""
        found: dict[str, float] = {}
        grow = functools.partial(functional.conv_transpose2d, stride=2, padding=1)
        levels = ((1024, 68, 80), (512, 136, 160), (256, 272, 320)) if self.gpu else ((8, 6, 8),)
        make: dict[str, Any] = {
            "device": self.latents.device,
            "dtype": next(self.vae.module.parameters()).dtype,
        }
        torch.backends.cudnn.benchmark = True
        for width, height, length in levels:
            video = torch.randn(1, width, 18, height, length, **make).to(
                memory_format=torch.channels_last_3d
            )
            cube = torch.randn(width, width, 3, 3, 3, **make).to(
                memory_format=torch.channels_last_3d
            )
            pictures = torch.randn(8, width, height, length, **make).to(
                memory_format=torch.channels_last
            )
            square = torch.randn(width, width, 3, 3, **make).to(memory_format=torch.channels_last)
            larger = torch.randn(width, width, 4, 4, **make).to(memory_format=torch.channels_last)
            pixels = height * length * width**2 * 2e-9
            ways: dict[str, tuple[float, Callable[[], Tensor]]] = {
                "3-D": (
                    27 * 16,
                    functools.partial(functional.conv3d, video, cube, padding=(0, 1, 1)),
                ),
                "2-D": (9 * 8, functools.partial(functional.conv2d, pictures, square, padding=1)),
                "larger": (16 * 8, functools.partial(grow, pictures, larger)),
            }
            for name, (taps, call) in ways.items():
                found[f"{width}, {name}"] = taps * pixels / statistics.median(milliseconds(call, 5))
        torch.backends.cudnn.benchmark = False
        return found

    def exact(self) -> dict[str, float]:
        """Distance to diffusers' decoder in float32, of diffusers' and of ours."""
        mean, inverse = self.vae.scale()
        raw = self.latents.to(mean) / inverse + mean
        theirs, ours = self.vae.module.decode(raw).sample, self.vae.decode(self.latents)
        truth = copy.deepcopy(self.vae.module).float().decode(raw.float()).sample
        return {"diffusers": relative(theirs, truth), "ours": relative(ours, truth)}


def main() -> None:
    """Run the stages, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=("nano", "tiny"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=240.0, help="begin no stage that would end later"
    )
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    facts: dict[str, Any] = {name: version(name) for name in ("torch", "diffusers")}
    facts["device"] = (
        torch.cuda.get_device_name() if chosen.device.startswith("cuda") else chosen.device
    )
    with torch.inference_mode():
        bench = Bench(chosen.preset, chosen.device)
        stages = {
            "decode": (60.0, bench.decode),
            "kernels": (5.0, bench.kernels),
            "exact": (10.0, bench.exact),
            "convolutions": (10.0, bench.convolutions),
            "ways": (100.0, bench.ways),
        }
        run_stages(stages, chosen.seconds, lambda found: save(chosen.out, facts | found))
    free()


def save(out: Path | None, results: dict[str, Any]) -> None:
    if out:
        out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
