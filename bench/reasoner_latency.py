# SPDX-License-Identifier: Apache-2.0
"""How long the reasoner takes at full size, by stage, with random weights.

Transformers on the same ones beside it.

python bench/reasoner_latency.py [--preset nano] [--device cuda] [--tokens 64] [--seconds 200]
[--stages plain,recorded,compiled,fp8,nvfp4] [--out reasoner.json]

Stages: plain is eager, recorded has CUDA graphs (as `cosmos3 ask`), compiled has both (as `cosmos3
serve reasoner`); fp8, int8 and nvfp4 are compiled too, and eager with that word behind them.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import (
    QUESTION,
    VOCAB,
    milliseconds,
    pictures,
    randomized,
    relative,
    run_stages,
    vision_encoder,
    vision_fields,
)
from torch import Tensor
from transformers import AutoTokenizer

from cosmos3_ros.model.acceleration.optimize import optimize
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.checkpoint_io.tiny import write_tokenizer
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.network.config import PRESETS
from cosmos3_ros.model.network.transformer import Transformer
from cosmos3_ros.model.reasoner import Cosmos3Reasoner

# Ours -> transformers
RENAMED = {
    "embed.": "model.language_model.embed_tokens.",
    "head.": "lm_head.",
    "text.": "model.language_model.",
}
RENAMED |= {".attention_norm.": ".input_layernorm.", ".mlp_norm.": ".post_attention_layernorm."}
RENAMED |= {".attention.": ".self_attn.", ".out.": ".o_proj."}
RENAMED |= {f".{name}.": f".{name}_proj." for name in ("q", "k", "v", "gate", "up", "down")}


class Bench:
    """The stages; each returns what it found."""

    def __init__(self, preset: str, device: str, tokens: int):
        self.config, self.device, self.tokens = PRESETS[preset], device, tokens
        self.gpu = device.startswith("cuda")
        self.dtype = torch.bfloat16 if self.gpu else torch.float32
        with tempfile.TemporaryDirectory() as folder:
            self.media = write_tokenizer(Path(folder), VOCAB)
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
        transformer = randomized(Transformer, device, self.dtype, self.config, generator=False)
        self.weights = transformer.state_dict()
        self.fields = vision_fields(preset)
        self.vision = vision_encoder(preset, self.media, device, self.dtype)
        self.images = pictures()
        self.scores: dict[str, Tensor] = {}  # of the first token, by who gave them
        self.said: dict[str, list[int]] = {}

    def reasoner(self, speed: RuntimeOptions) -> Cosmos3Reasoner:
        """Ours on the weights, made fast; it never ends an answer."""
        with torch.device("meta"):
            transformer = Transformer(self.config, generator=False)
        transformer.load_state_dict(self.weights, assign=True)
        model = Model(
            Path(), self.config, transformer.eval(), self.tokenizer, None, self.vision, {}, {}, {}
        )
        optimize(model, speed, self.device)
        reasoner = Cosmos3Reasoner(model)
        reasoner.stop = frozenset()
        return reasoner

    def ours(self, name: str, speed: RuntimeOptions, runs: int = 5) -> dict[str, Any]:
        """Stages of an answer about nothing and about three images.

        How far the scores are from the plain ones.
        """
        gc.collect()
        reasoner, since = self.reasoner(speed), time.monotonic()
        prompt = reasoner.prompt(QUESTION, self.images)
        hidden, _ = reasoner.transformer.prefill(
            embeds=prompt.embeds, positions=prompt.positions, deepstack=prompt.deepstack
        )
        self.scores[name] = reasoner.transformer.logits(hidden[0, -1]).float()
        self.said[name] = list(reasoner.tokens(reasoner.prompt(QUESTION, self.images), self.tokens))
        found: dict[str, Any] = {"first_seconds": time.monotonic() - since}
        if "plain" in self.scores and name != "plain":
            found["scores, error"] = relative(self.scores[name], self.scores["plain"])
            same = [
                mine == theirs
                for mine, theirs in zip(self.said[name], self.said["plain"], strict=True)
            ]
            found["tokens equal from the start"] = (*same, False).index(False)
        for case, images in (("text", []), ("3 images", self.images)):
            seconds = []
            for number in range(1 + runs):
                fresh = [np.roll(image, number, 0) for image in images]
                seconds.append(reasoner.ask(QUESTION, fresh, self.tokens).seconds)
            row = {
                stage: 1e3 * statistics.median(run[stage] for run in seconds[1:])
                for stage in seconds[0]
            }
            found[f"{case}, prompt tokens"] = len(reasoner.prompt(QUESTION, images).ids)
            found |= {f"{case}, {stage}_ms": row[stage] for stage in row}
            found[f"{case}, tokens per second"] = 1e3 * (self.tokens - 1) / row["decode"]
        again = reasoner.ask(QUESTION, self.images, 1).seconds
        again = reasoner.ask(QUESTION, self.images, 1).seconds
        found["same 3 images again, prepare and look_ms"] = 1e3 * (again["prepare"] + again["look"])
        if self.gpu:
            found["allocated_gib"] = torch.cuda.memory_allocated() / 2**30
        return found

    def transformers(self) -> dict[str, Any]:
        """Text alone: prefill of as many tokens as three images take, and greedy decoding."""
        theirs = self._theirs()
        reasoner = self.reasoner(RuntimeOptions())
        ids = reasoner.prompt(QUESTION).ids[None]
        never = self.config.vocab - 1  # no token of ours ends an answer either
        options: dict[str, Any] = {
            "do_sample": False,
            "use_cache": True,
            "pad_token_id": 0,
            "eos_token_id": never,
        }

        def say(tokens: int, read: Tensor) -> Tensor:
            mask = torch.ones_like(read)
            return theirs.generate(
                read, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, **options
            )

        said = say(self.tokens, ids)[0, ids.shape[1] :].tolist()
        ours = list(
            self.reasoner(RuntimeOptions()).tokens(
                self.reasoner(RuntimeOptions()).prompt(QUESTION), self.tokens
            )
        )
        same = [mine == other for mine, other in zip(ours, said, strict=True)]
        long = torch.randint(
            0,
            VOCAB,
            (1, len(self.reasoner(RuntimeOptions()).prompt(QUESTION, self.images).ids)),
            device=ids.device,
        )
        one = statistics.median(milliseconds(lambda: say(1, ids), 3))
        many = statistics.median(milliseconds(lambda: say(self.tokens, ids), 3))
        return {
            "tokens equal from the start": (*same, False).index(False),
            "prefill of 3 images' tokens_ms": statistics.median(
                milliseconds(lambda: say(1, long), 3)
            ),
            "tokens per second": 1e3 * (self.tokens - 1) / (many - one),
        }

    def _theirs(self) -> Any:
        from transformers import Cosmos3OmniConfig, Cosmos3OmniForConditionalGeneration

        config = self.config
        text = {
            "vocab_size": config.vocab,
            "hidden_size": config.hidden,
            "intermediate_size": config.mlp,
        }
        text |= {"num_hidden_layers": config.layers, "num_attention_heads": config.heads}
        text |= {"num_key_value_heads": config.kv_heads, "head_dim": config.head_dim}
        sections = {
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "mrope_section": list(config.rope_sections),
        }
        whole = Cosmos3OmniConfig(
            text_config=text | {"rope_parameters": sections}, **self.fields, **self.media
        )
        with torch.device("meta"):
            theirs = Cosmos3OmniForConditionalGeneration(whole)
        renamed = {}
        for name, tensor in self.weights.items():
            for mine, other in RENAMED.items():
                name = name.replace(mine, other)  # noqa: PLW2901
            renamed[name] = tensor
        theirs.load_state_dict(renamed, strict=False, assign=True)
        tower = theirs.model.language_model
        tower.rotary_emb = type(tower.rotary_emb)(whole.text_config).to(self.device)
        theirs.model.visual = torch.nn.Identity()  # never asked
        return theirs.eval()


def ways(gpu: bool) -> dict[str, tuple[float, RuntimeOptions, int]]:
    """Stages of ours: seconds that each takes, how it runs, and runs to take the median of."""
    eager, fast = RuntimeOptions(), RuntimeOptions(compiled=gpu, graphs=gpu)
    return {
        "plain": (20.0, eager, 1),
        "recorded": (15.0, RuntimeOptions(graphs=gpu), 5),
        "compiled": (25.0, fast, 5),
        "fp8": (20.0, dataclasses.replace(fast, text="fp8"), 5),
        "nvfp4": (25.0, dataclasses.replace(fast, text="nvfp4"), 5),
        "int8": (15.0, dataclasses.replace(fast, text="int8"), 5),
        "fp8 eager": (25.0, dataclasses.replace(eager, text="fp8"), 1),
        "nvfp4 eager": (30.0, dataclasses.replace(eager, text="nvfp4"), 1),
    }


def measure(
    preset: str,
    device: str,
    tokens: int,
    seconds: float,
    out: Path | None = None,
    only: Collection[str] = (),
) -> dict[str, Any]:
    """All stages, or those in `only`, in the order of what they are worth."""
    since = time.monotonic()
    gpu = device.startswith("cuda")
    with torch.inference_mode():
        bench = Bench(preset, device, tokens)
        facts: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": torch.cuda.get_device_name() if gpu else device,
            "preset": preset,
            "versions": {name: found_version(name) for name in ("torch", "triton", "transformers")},
            "tokens": tokens,
        }
        stages: dict[str, tuple[float, Callable[[], dict[str, Any]]]] = {
            name: (cost, functools.partial(bench.ours, name, speed, runs))
            for name, (cost, speed, runs) in ways(gpu).items()
        }
        stages["transformers"] = (25.0, bench.transformers)
        stages = {name: stage for name, stage in stages.items() if not only or name in only}

        def save(results: Mapping[str, Any]) -> None:
            if out:
                out.write_text(json.dumps(facts | results, indent=2) + "\n")

        return facts | run_stages(stages, seconds - (time.monotonic() - since), save)


def found_version(name: str) -> str:
    """The version of an installed package, "" if it is not (torch for a CPU has no Triton)."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def main() -> None:
    """Run the stages, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=("nano", "super", "tiny"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument(
        "--seconds", type=float, default=200.0, help="begin no stage that would end later"
    )
    parser.add_argument("--stages", default="", help="only these, with commas")
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    only = [name for name in chosen.stages.split(",") if name]
    if unknown := set(only) - {*ways(gpu=False), "transformers"}:
        expected = ", ".join([*ways(gpu=False), "transformers"])
        parser.error(f"--stages: expected {expected}, got {', '.join(sorted(unknown))}")
    measure(chosen.preset, chosen.device, chosen.tokens, chosen.seconds, chosen.out, only)


if __name__ == "__main__":
    main()
