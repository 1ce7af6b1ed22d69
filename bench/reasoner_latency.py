# SPDX-License-Identifier: Apache-2.0
"""How long the reasoner takes at full size, by stage: random weights in bfloat16, made on the GPU.

python bench/reasoner_latency.py [--preset nano] [--tokens 64] [--out reasoner.json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cosmos3_ros.model.config import PRESETS
from cosmos3_ros.model.interface import Answer
from cosmos3_ros.model.reasoner import Cosmos3Reasoner
from cosmos3_ros.model.transformer import Transformer
from cosmos3_ros.model.vision import Pixels, VisionEncoder
from cosmos3_ros.model.weights import Model

SPECIAL = ["<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_PIXELS = Pixels(image_area=(65536, 16777216), video_area=(4096, 25165824))  # of Qwen3-VL's preprocessor files


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte: only the number of tokens matters here."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    chat = "{% for turn in messages %}{{ turn['content'] }}<|im_end|>{% endfor %}"
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", chat_template=chat)


def make_reasoner(preset: str, device: str = "cuda") -> Cosmos3Reasoner:
    """A reasoner of the preset's size (nano or super: both have Qwen3-VL's encoder) that never ends an answer."""
    config = PRESETS[preset]
    tokenizer = make_tokenizer()
    start, end, image, video = tokenizer.convert_tokens_to_ids(SPECIAL[1:])
    fields = {
        "vision_config": {"depth": 27, "hidden_size": 1152, "out_hidden_size": config.hidden},
        "vision_start_token_id": start,
        "vision_end_token_id": end,
        "image_token_id": image,
        "video_token_id": video,
    }
    with torch.device("meta"):
        transformer = Transformer(config, generator=False)
    transformer = transformer.to(torch.bfloat16).to_empty(device=device).requires_grad_(False)
    with torch.device(device):
        vision = VisionEncoder(fields, QWEN_PIXELS).to(device).requires_grad_(False)
    for weight in vision.parameters():  # not its tables, which stay float32
        weight.data = weight.data.bfloat16()
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in (*transformer.named_parameters(), *vision.named_parameters()):
        weight.normal_(0, 0.02, generator=generator).add_(float("norm" in name and name.endswith("weight")))
    model = Model(Path(), config, transformer, tokenizer, None, vision, {}, {}, {})
    reasoner = Cosmos3Reasoner(model)
    reasoner.stop = frozenset()
    return reasoner


def measure(ask: Callable[[], Answer], runs: int = 5) -> dict[str, float]:
    """Median milliseconds of each stage, after one run that does not count."""
    ask()
    seconds = [ask().seconds for _ in range(runs)]
    return {stage: 1e3 * statistics.median(run[stage] for run in seconds) for stage in seconds[0]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="nano", choices=("nano", "super"))
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no CUDA GPU here, expected one")
    reasoner = make_reasoner(chosen.preset)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8) for _ in range(16)]
    small = [np.ascontiguousarray(frame[:360, :640]) for frame in frames]
    n = chosen.tokens
    cases: dict[str, tuple[Callable[[], Answer], Callable[[], int]]] = {
        "text": (lambda: reasoner.ask("What now?", (), n), lambda: len(reasoner.prompt("What now?").ids)),
        "1 image 640x360": (
            lambda: reasoner.ask("What now?", small[:1], n),
            lambda: len(reasoner.prompt("What now?", small[:1]).ids),
        ),
        "3 images 1280x720": (
            lambda: reasoner.ask("What now?", frames[:3], n),
            lambda: len(reasoner.prompt("What now?", frames[:3]).ids),
        ),
    }
    for pruning in (0.0, 0.5, 0.75):
        cases[f"16 frames 640x360, pruning {pruning}"] = (
            lambda pruning=pruning: reasoner.ask_video("What now?", small, 2.0, 2.0, pruning, n),
            lambda pruning=pruning: len(reasoner.video_prompt("What now?", small, 2.0, 2.0, pruning).ids),
        )
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {chosen.preset}, {n} tokens answered; medians")
    print(f"{'':32} {'prompt':>7} {'prepare':>9} {'look':>8} {'prefill':>8} {'per token':>9}  [ms]")
    rows = []
    for name, (ask, count) in cases.items():
        row = measure(ask) | {"tokens": count()}
        row["per_token"] = row["decode"] / max(1, n - 1)
        rows.append({"case": name, **row})
        times = f"{row['prepare']:9.1f} {row.get('look', 0.0):8.1f} {row['prefill']:8.1f} {row['per_token']:9.2f}"
        print(f"{name:32} {row['tokens']:7d} {times}")
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"peak memory {peak:.1f} GiB")
    if chosen.out:
        size = dataclasses.asdict(PRESETS[chosen.preset])
        chosen.out.write_text(
            json.dumps({"device": torch.cuda.get_device_name(), "config": size, "rows": rows}, indent=2)
        )


if __name__ == "__main__":
    main()
