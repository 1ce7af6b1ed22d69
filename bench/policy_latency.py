# SPDX-License-Identifier: Apache-2.0
"""Time of one chunk, ours and diffusers', on the same random weights, and their difference.

python bench/policy_latency.py [--preset nano] [--device cuda] [--runs 10] [--seconds 420]
    [--stages diffusers presets ...] [--out policy.json]

DROID policy setting: one picture of 540 x 640, 33 frames, 32 action rows, 4 steps, guidance 3. See
docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import (
    Cosmos3OmniPipeline,
    CosmosActionCondition,
)
from floor import floor
from full_size import INSTRUCTION, FullSize, free, make, milliseconds, relative, run_stages, wait
from power import PowerMeter
from row_steps import attention, kernels, products, steps
from torch import Tensor
from video_latency import decoding

from cosmos3_ros.model.acceleration.optimize import optimize, round_attention
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.checkpoint_io.tiny import SCHEDULER
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.generator import ActionRequest, Generator, Request
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.network.layers import attend_to
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_options import PRESETS
from cosmos3_ros.model.runtime.quantize import quantize

SEED, SCALE, STEPS = 5, 3.0, 4
STEADY = 1.5  # s that chunks come one after the other, at least, while power is measured


class Bench:
    """The stages; each returns what it found, and leaves in `said` what later ones compare with."""

    def __init__(self, full: FullSize, runs: int):
        self.full, self.runs = full, runs
        self.gpu = full.device.startswith("cuda")
        self.said: dict[str, tuple[Tensor, Tensor]] = {}  # latents and actions, by who said them
        self.fast: Model | None = None

    # -- the same request for diffusers and ours ---------------------------------------------------

    def request(self) -> Request:
        """A policy request as diffusers understands it: no state row, its schedule, its noise."""
        full = self.full
        action = ActionRequest("policy", full.body.horizon, 8, 10, str(full.tier), "concat_view")
        return Request(
            INSTRUCTION, image=np.asarray(full.picture()), fps=15.0, action=action, steps=STEPS,
            guidance=Guidance(SCALE, batched=self.gpu), seed=SEED,
        )  # fmt: skip

    def generate(self, model: Model, name: str) -> dict[str, float]:
        """Ours on that request; the differences to everything said before."""
        generated = Generator(model, reference=True).generate(self.request())
        assert generated.actions is not None  # a policy request has them
        return self.heard(name, generated.latents.cpu(), torch.from_numpy(generated.actions))

    def heard(self, name: str, latents: Tensor, actions: Tensor) -> dict[str, float]:
        """Remember what somebody said; the differences to everything said before."""
        got = self.said[name] = latents, actions
        found = {}
        for other, wanted in self.said.items():
            for what, mine, theirs in zip(("video", "actions"), got, wanted, strict=True):
                if other != name:
                    found[f"{what}, {name} to {other}"] = relative(mine, theirs)
        return found

    # -- stages ------------------------------------------------------------------------------------

    def diffusers(self) -> dict[str, Any]:
        full = self.full
        scheduler = UniPCMultistepScheduler.from_config(SCHEDULER)
        plain = {"enable_safety_checker": False, "default_use_system_prompt": False}
        pipeline = Cosmos3OmniPipeline(full.theirs, full.tokenizer, full.vae, scheduler, **plain)
        pipeline.set_progress_bar_config(disable=True)
        where = {
            "domain_name": "droid_lerobot",
            "view_point": "concat_view",
            "resolution_tier": full.tier,
        }
        action = CosmosActionCondition("policy", full.body.horizon, image=full.picture(), **where)

        def ask(kind: str) -> Any:
            generator = torch.Generator().manual_seed(SEED)
            return pipeline(
                INSTRUCTION, action=action, fps=15.0,
                num_inference_steps=STEPS, guidance_scale=SCALE,
                generator=generator, output_type=kind,
            )  # fmt: skip

        said = ask("latent")
        found = self.heard("diffusers", said.video.cpu(), said.action[0])
        chunk, video = milliseconds(lambda: ask("latent"), 3), milliseconds(lambda: ask("np"), 1)
        return found | {
            "chunk_ms": statistics.median(chunk),
            "chunk_and_video_ms": statistics.median(video),
        }

    def plain(self) -> dict[str, Any]:
        """Ours before anything of this: eager, one guidance branch after the other."""
        model = self.full.model()
        found = self.generate(model, "plain")
        self.predicted = self._prediction(model, batched_guidance=False)
        return found | self._chunks(model, runs=3, batched_guidance=False)

    def exact(self) -> dict[str, Any]:
        """The weights in float32 tell who is nearer to the truth.

        They take the place of the others.
        """
        self.fast = self.full.theirs = None
        free()
        model = self.full.model()
        self.full.weights = {}
        model.transformer.float()
        assert model.vae is not None  # see FullSize
        model.vae.module.float()
        model.vae._scales.clear()
        truth = self.generate(model, "float32")
        return {
            key.replace("float32 to ", "") + " to float32": value for key, value in truth.items()
        }

    def compiled(self) -> dict[str, Any]:
        self.fast = model = self.full.model()
        optimize(model, RuntimeOptions(compiled=self.gpu), self.full.device)
        since = time.monotonic()
        self._prediction(model)
        found: dict[str, Any] = {}
        found["first_seconds"] = time.monotonic() - since
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        found |= self._errors("to plain", self.predicted, self._prediction(model))
        found |= self._chunks(model, self.runs) | self.generate(model, "fast")
        if self.gpu:
            mine = {tensor.data_ptr() for tensor in model.transformer.state_dict().values()}
            others = [
                tensor for tensor in self.full.weights.values() if tensor.data_ptr() not in mine
            ]
            others += self.full.vae.parameters()  # the bench alone keeps these
            found["peak_gib"] = (
                torch.cuda.max_memory_allocated() - sum(one.nbytes for one in others)
            ) / 2**30
        return found

    def graphs(self) -> dict[str, Any]:
        if not self.gpu:
            return {"skipped": "no GPU"}
        model = self._fast()
        assert model.vae is not None  # see FullSize
        model.graphs, model.vae._graphs = True, {}
        found = self._chunks(model, self.runs)
        policy = Cosmos3Policy(model, self.full.body, deterministic=True, seed=SEED)
        # recorded at the second
        first, _, third = (policy.infer(self.full.observation()) for _ in range(3))
        model.graphs = False
        said = [(one.latents.cpu(), torch.from_numpy(one.chunk.values)) for one in (first, third)]
        return found | self._errors("recorded", *said)

    def presets(self, names: Sequence[str] = tuple(PRESETS)) -> dict[str, Any]:
        """Presets as a robot would run them, recorded, guided and not, and their single steps."""
        model, found = self._fast(), {}
        self._record(model, True)
        exact = self._prediction(model)
        for guidance in (SCALE, 1.0):
            for preset in names:
                way = f"{preset}, {'guided' if guidance != 1 else 'unguided'}"
                asked: dict[str, Any] = {"preset": preset, "guidance": guidance}
                timed = self._chunks(model, self.runs, steady=STEADY * self.gpu, **asked)
                found |= {f"{way}, {key}": value for key, value in timed.items()}
                if guidance != 1:
                    found |= self._errors(way, exact, self._prediction(model, **asked))
            found |= self._recorded_as_not(model, guidance, names)
        self._record(model, False)
        policy = self._policy(model, guidance=SCALE)
        return found | steps(policy, policy.caption(INSTRUCTION))

    def presets_in_fp8(self) -> dict[str, Any]:
        """Those with full steps, attention in FP8 too, and how far that is from without."""
        model = self._fast()
        if not self.gpu:
            return {"skipped": "no GPU"}
        exact, layers = self._prediction(model), model.transformer.generator.layers
        round_attention(layers, model.device)
        try:
            found = self._errors("attention in fp8", exact, self._prediction(model))
            return found | self.presets(("exact", "fast", "faster"))
        finally:
            for layer in layers:
                layer.attend = attend_to

    def profile(self) -> dict[str, Any]:
        """Where a guided step's time on the GPU goes: ms of each kernel, longest first."""
        policy, found = self._policy(self._fast(), guidance=SCALE), {}
        for name, times in kernels(policy, policy.caption(INSTRUCTION)).items():
            found |= {f"{name}, {kernel}": ms for kernel, ms in times.items()}
        return found

    def _recorded_as_not(
        self, model: Model, guidance: float, names: Sequence[str]
    ) -> dict[str, float]:
        """How far recorded chunks are from those that are not (0: to the last bit)."""
        found = {}
        for preset in names:
            policy = self._policy(
                model, preset=preset, guidance=guidance, deterministic=True, seed=SEED
            )
            # recorded at the second
            said = [policy.infer(self.full.observation()).chunk.values for _ in range(3)]
            found[f"{preset}, guidance {guidance:g}, recorded error"] = relative(said[2], said[0])
        return found

    def parts(self) -> dict[str, Any]:
        """Products of few rows, and attention of few and many queries, by how they are computed."""
        full, found = self.full, {}
        rows, config = full.body.horizon + int(full.body.state_row), full.config
        patches = int(np.prod([-(-side // 32) for side in full.body.canvas.content]))
        keys = 182 + (1 + full.body.horizon // 4) * patches + rows
        for count in (2 * rows, rows):
            found |= products(config, count, full.device)
        for count in (rows, keys - 182):
            found |= attention(config, count, keys, full.device)
        return found

    def lossy(self) -> dict[str, Any]:
        model, found = self._fast(), {}
        ways: dict[str, dict[str, Any]] = {
            "guided once": {"guided_steps": 1},
            "guided once, reused": {"guided_steps": 1, "reuse_guidance": True},
            "2 steps": {"num_steps": 2},
        }
        exact = self._prediction(model)
        for name, options in ways.items():
            found[f"{name}, chunk_ms"] = self._chunks(model, 5, **options)["chunk_ms"]
            found |= self._errors(name, exact, self._prediction(model, **options))
        return found

    def rounded(self, kind: str) -> dict[str, Any]:
        """The generator's weights in fewer bits, from the compiled model."""
        model = self._fast()
        exact = self._prediction(model)
        quantize(model.transformer.generator.layers, kind)
        found = self._errors(kind, exact, self._prediction(model))
        found |= self._chunks(model, self.runs)
        once = self._chunks(model, 5, guided_steps=1)
        found |= {"guided once, chunk_ms": once["chunk_ms"]}
        return found | self._errors(
            "guided once too", exact, self._prediction(model, guided_steps=1)
        )

    def decode(self) -> dict[str, Any]:
        """The video of a prediction, as diffusers has it and as the nodes do."""
        vae = self.full.model(empty=True).vae
        assert vae is not None  # see FullSize
        return decoding(vae, self.said["plain"][0].to(self.full.device))

    def policy_alone(self) -> dict[str, Any]:
        """FP8, text tower in the host's memory: memory, and the time to a new instruction."""
        gc.collect()
        held = torch.cuda.memory_allocated() if self.gpu else 0  # by the other stages
        model = self.full.in_host_memory()
        optimize(
            model,
            RuntimeOptions(self.gpu, generator="fp8", text="fp8", placement="policy"),
            self.full.device,
        )
        policy = Cosmos3Policy(model, self.full.body)
        for _ in range(2):
            policy.infer(self.full.observation())
        found: dict[str, Any] = {}
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        times = []
        for number in range(3):
            wait()
            since = time.perf_counter()
            seconds = policy.infer(self.full.observation(f"Now take cube {number}")).seconds
            times.append(1e3 * (time.perf_counter() - since))
        found["new_instruction_ms"] = statistics.median(times)
        found["new_instruction_text_ms"] = 1e3 * seconds["text"]
        if self.gpu:
            found["peak_gib"] = (torch.cuda.max_memory_allocated() - held) / 2**30
        return found

    # -- helpers -----------------------------------------------------------------------------------

    def _policy(self, model: Model, **options: Any) -> Cosmos3Policy:
        with warnings.catch_warnings():  # of what random weights were not trained for
            warnings.simplefilter("ignore", UserWarning)
            return Cosmos3Policy(model, self.full.body, **options)

    def _record(self, model: Model, graphs: bool) -> None:
        """Let loops and the encoder be recorded, or not."""
        assert model.vae is not None  # see FullSize
        model.graphs = graphs and self.gpu
        model.vae._graphs = {} if graphs and self.gpu else None

    def _fast(self) -> Model:
        if self.fast is None:
            raise RuntimeError("the compiled stage failed")
        return self.fast

    def _prediction(self, model: Model, **options: Any) -> tuple[Tensor, Tensor]:
        policy = self._policy(model, deterministic=True, seed=SEED, **options)
        prediction = policy.infer(self.full.observation())
        values = torch.from_numpy(prediction.chunk.values)
        if not policy.options.future_tokens:
            return torch.zeros(0), values
        return prediction.latents.cpu(), values

    def _errors(
        self, name: str, exact: tuple[Tensor, Tensor], got: tuple[Tensor, Tensor]
    ) -> dict[str, float]:
        errors = {}
        if len(got[0]):
            errors["first frame"] = relative(got[0][:, :, 0], exact[0][:, :, 0])
            errors["video"] = relative(got[0], exact[0])
        return {
            f"{name}, {what} error": error
            for what, error in {**errors, "actions": relative(got[1], exact[1])}.items()
        }

    def _chunks(
        self, model: Model, runs: int, steady: float = 0.0, **options: Any
    ) -> dict[str, Any]:
        """Wall time from observation to chunk, and the stages on the device.

        steady: s of chunks, one after the other, with clock and energy, where they can be read.
        """
        policy = self._policy(model, **options)
        observation, stages = self.full.observation(), []

        def infer() -> None:
            stages.append(policy.infer(observation).seconds)

        since = time.perf_counter()
        infer()
        infer()
        first = time.perf_counter() - since
        began = time.perf_counter()
        infer()
        if steady:
            runs = max(runs, int(steady / (time.perf_counter() - began)))
        with PowerMeter(self.full.device) as meter:
            times = milliseconds(infer, runs)
        found: dict[str, Any] = {
            "chunk_ms": statistics.median(times),
            "chunk_p99_ms": float(np.percentile(times, 99)),
            "chunk_slowest_ms": max(times),
            "first_two_s": first,
        }
        if steady:
            found |= meter.found(runs + 1)  # one comes first, see `milliseconds`
        for stage in stages[0]:
            found[f"{stage}_ms"] = 1e3 * statistics.median(
                run[stage] for run in stages[2:] or stages
            )
        return found


def main() -> None:
    """Run the stages, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=("nano", "edge", "tiny"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument(
        "--seconds", type=float, default=420.0, help="begin no stage that would end later"
    )
    parser.add_argument(
        "--stages", nargs="+", default=[], help="only these; by default all, in their order"
    )
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    measure(chosen.preset, chosen.device, chosen.runs, chosen.seconds, chosen.out, chosen.stages)


def measure(
    preset: str,
    device: str,
    runs: int,
    seconds: float,
    out: Path | None = None,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """All stages, or only some, in the order of what they are worth."""
    since = time.monotonic()
    gpu = device.startswith("cuda")
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if gpu else device,
        "preset": preset,
        "versions": {name: version(name) for name in ("torch", "diffusers")},
    }
    with torch.inference_mode():
        bench = Bench(make(preset, device, torch.bfloat16 if gpu else torch.float32), runs)
        facts["make_seconds"] = time.monotonic() - since
        stages = {  # graphs and lossy are of FP8 weights, as they come after
            "plain": (8.0, bench.plain),
            "diffusers": (15.0, bench.diffusers),
            "compiled": (40.0, bench.compiled),
            "presets": (110.0, bench.presets),
            "fp8": (20.0, lambda: bench.rounded("fp8")),
            "presets, fp8": (120.0, bench.presets),
            "presets, fp8 attention": (60.0, bench.presets_in_fp8),
            "profile, fp8": (5.0, bench.profile),
            "parts": (30.0, bench.parts),
            "decode": (60.0, bench.decode),
            "policy alone": (45.0, bench.policy_alone),
            "floor": (2.0, lambda: floor(bench.full.config, bench.full.body, device)),
            "graphs": (15.0, bench.graphs),
            "lossy": (10.0, bench.lossy),
            "exact": (15.0, bench.exact),
        }

        if unknown := sorted({*only} - stages.keys()):
            raise SystemExit(f"--stages: expected some of {list(stages)}, got {unknown}")
        stages = {name: stage for name, stage in stages.items() if not only or name in only}

        def save(results: Mapping[str, Any]) -> None:
            if out:
                out.write_text(json.dumps(facts | results, indent=2) + "\n")

        return facts | run_stages(stages, seconds - facts["make_seconds"], save)


if __name__ == "__main__":
    main()
