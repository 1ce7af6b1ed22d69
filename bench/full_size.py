# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of full size with random weights, for the other scripts in this folder."""

from __future__ import annotations

import copy
import dataclasses
import gc
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from nano_equality import build
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer

from cosmos3_ros.model.acceleration.optimize import optimize
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.autoencoder.vae import VideoAutoencoder
from cosmos3_ros.model.checkpoint_io.tiny import INDEX, SCHEDULER, VAE, VISION, write_tokenizer
from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.language.vision_encoder import Pixels, VisionEncoder
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.network.config import PRESETS, ModelConfig
from cosmos3_ros.model.network.tower import Layer
from cosmos3_ros.model.network.transformer import Transformer

DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]
DROID_SIM = EMBODIMENTS["droid_sim"]

# of the tokenizer: with it the DROID prompt has about as many tokens as with the released one, 182
VOCAB = 430
INSTRUCTION = "Put the red cube in the bowl"
QUESTION = "What do you see? What should happen next?"
WAN = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "patch_size": 2,
}
WAN |= {"temperal_downsample": [False, True, True], "in_channels": 12, "out_channels": 12}
QWEN = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_heads": 16,
    "num_position_embeddings": 2304,
}
QWEN |= {"deepstack_visual_indexes": [8, 16, 24]}
# of Qwen3-VL's preprocessor files
QWEN_PIXELS = Pixels(image_area=(65536, 16777216), video_area=(4096, 25165824))


@dataclasses.dataclass
class FullSize:
    """Random weights under our names, all beside the transformer, and diffusers' transformer."""

    config: ModelConfig
    device: str
    weights: dict[str, Tensor]
    theirs: Any
    vae: Any
    tokenizer: Any
    media: dict[str, int]
    body: Embodiment
    tier: int

    def model(self, empty: bool = False) -> Model:
        """Ours on these weights, as loaded; the autoencoder is a copy. empty: without them."""
        with torch.device("meta"):
            transformer = Transformer(self.config)
        if not empty:
            transformer.load_state_dict(self.weights, assign=True)
        transformer.requires_grad_(False).eval()
        vae = VideoAutoencoder(copy.deepcopy(self.vae))
        return Model(
            Path(), self.config, transformer, self.tokenizer, vae, None, SCHEDULER, INDEX, {}
        )

    def in_host_memory(self) -> Model:
        """A model of random weights with layers in the host's memory, as `load_fast` loads it."""
        config, gpu = self.config, self.device.startswith("cuda")
        transformer = Transformer(dataclasses.replace(config, layers=0), reasoner=False)
        layer = Layer(config, config.text_qk_norm, config.text_key_norm_for_generator)
        for part in (transformer, layer):
            part.to(torch.bfloat16 if gpu else torch.float32).to(self.device).requires_grad_(False)
        transformer.time.float()
        for tower in (transformer.text, transformer.generator):
            tower.layers = torch.nn.ModuleList(
                copy.deepcopy(layer).cpu() for _ in range(config.layers)
            )
        transformer.config = config
        return dataclasses.replace(self.model(empty=True), transformer=transformer)

    def observation(self, instruction: str = INSTRUCTION, seed: int = 0) -> Observation:
        """Camera images of usual size, and a state."""
        rng = np.random.default_rng(seed)
        images = {
            view: rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8) for view in self.body.views
        }
        return Observation(
            images, np.linspace(-0.5, 0.5, len(self.body.state), dtype=np.float32), instruction, 1
        )

    def picture(self) -> Image.Image:
        """The same images as one picture, not yet padded."""
        height, width = self.body.canvas.composite
        return Image.fromarray(self.body.compose(self.observation().images)[:height, :width])


def make(preset: str, device: str, dtype: torch.dtype) -> FullSize:
    """Made on the device, in seconds."""
    config, tiny = PRESETS[preset], preset == "tiny"
    theirs, ours = build(config, device, dtype)
    torch.manual_seed(2)
    with torch.device(device):
        vae = (
            AutoencoderKLWan(**{**VAE, **({} if tiny else WAN)})
            .to(dtype)
            .requires_grad_(False)
            .eval()
        )
    with tempfile.TemporaryDirectory() as folder:
        media = write_tokenizer(Path(folder), VOCAB)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    body, tier = (
        (dataclasses.replace(DROID_SIM, horizon=4), 256) if tiny else (DROID_JOINT_POS, 480)
    )
    return FullSize(config, device, ours.state_dict(), theirs, vae, tokenizer, media, body, tier)


def ready(preset: str, device: str, speed: RuntimeOptions) -> tuple[Model, FullSize]:
    """Both towers, autoencoder and vision encoder, made fast, which alone keep their weights.

    And the rest.
    """
    gpu = device.startswith("cuda")
    dtype = torch.bfloat16 if gpu else torch.float32
    # not inference_mode: the weights are ordinary tensors, as loaded ones are
    with torch.no_grad():
        full = make(preset, device, dtype)
        model = full.model()
        model.vision = vision_encoder(preset, full.media, device, dtype)
        full.theirs, full.weights, full.vae = None, {}, None
        free()
        optimize(model, speed, device)
    return model, full


def randomized(kind: Any, device: str, dtype: torch.dtype, *arguments: Any, **options: Any) -> Any:
    """A module of this kind with random weights, made on the device."""
    with torch.device(device):
        module = kind(*arguments, **options).to(device).requires_grad_(False).eval()
    for parameter in module.parameters():  # not its tables, which stay float32
        parameter.data = parameter.data.to(dtype)
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in module.named_parameters():
        weight.normal_(0, 0.02, generator=generator).add_(
            float("norm" in name and name.endswith("weight"))
        )
    return module


def vision_fields(preset: str) -> dict[str, Any]:
    """What a checkpoint's config.json says of its vision encoder."""
    return {
        "vision_config": VISION
        | ({} if preset == "tiny" else QWEN)
        | {"out_hidden_size": PRESETS[preset].hidden}
    }


def vision_encoder(
    preset: str, media: dict[str, int], device: str, dtype: torch.dtype
) -> VisionEncoder:
    """The vision encoder that goes with a preset."""
    return randomized(VisionEncoder, device, dtype, vision_fields(preset) | media, QWEN_PIXELS)


def pictures() -> list[np.ndarray]:
    """Three, of usual size, to ask the reasoner about."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(3)]


def free() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def relative(got: Tensor | np.ndarray, wanted: Tensor | np.ndarray) -> float:
    """|got - wanted| / |wanted|."""
    got, wanted = (torch.as_tensor(x).float().cpu() for x in (got, wanted))
    return float((got - wanted).norm() / wanted.norm())


def wait() -> None:
    """Until the device has done all."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def milliseconds(function: Callable[[], Any], runs: int) -> list[float]:
    """Wall time of each call; one that does not count comes first."""
    function()
    times = []
    for _ in range(runs):
        wait()
        since = time.perf_counter()
        function()
        wait()
        times.append(1e3 * (time.perf_counter() - since))
    return times


def run_stages(
    stages: Mapping[str, tuple[float, Callable[[], Mapping[str, Any]]]],
    seconds: float,
    save: Callable[[dict], None],
) -> dict[str, Any]:
    """Run one after the other what fits into `seconds` (each says how long it takes).

    A failure ends only its stage.
    """
    began, results = time.monotonic(), {}
    for name, (cost, stage) in stages.items():
        since = time.monotonic()
        if since - began + cost > seconds:
            results[name] = {"skipped": f"{cost:.0f} s would be too long"}
            save(results)
            continue
        try:
            results[name] = dict(stage())
        except Exception as error:
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        results[name]["stage_seconds"] = time.monotonic() - since
        for key, value in results[name].items():
            print(
                f"{name:14} {key:38} {value:.4g}"
                if isinstance(value, float)
                else f"{name:14} {key:38} {value}"
            )
        print(flush=True)
        save(results)
    return results
