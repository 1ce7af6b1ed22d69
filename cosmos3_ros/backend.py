# SPDX-License-Identifier: Apache-2.0
"""The one module of this package that knows torch: loads a checkpoint once and makes the policy and reasoner on it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch

from . import model
from .model.interface import Policy, Reasoner
from .model.memory import load_fast
from .model.policy import Cosmos3Policy
from .model.reasoner import Cosmos3Reasoner
from .model.speed import Speed
from .model.tiny import tiny_checkpoint
from .model.weights import load_model

if TYPE_CHECKING:
    from . import policy_node, reasoner_node

COMPILED = "~/.cache/cosmos3_ros/compiled"  # code that the next start need not compile again
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def embedded_checkpoint() -> Path:
    """The trained checkpoint that comes with the package; without it, random weights of the same architecture."""
    trained = Path(model.__path__[0]) / "checkpoints" / "droid_sim"
    return trained if trained.is_dir() else tiny_checkpoint()


class Models:
    """Loaded checkpoints of this process. policy, reasoner: who will ask, so that only their parts are loaded."""

    def __init__(self, policy: bool = True, reasoner: bool = True) -> None:
        self._towers = {"generator": policy, "reasoner": reasoner}
        self._loaded: dict[tuple[str, str, str, Speed], Any] = {}
        self._lock = threading.Lock()

    def policy(self, params: policy_node.Params) -> Policy:
        """The policy that the node's parameters describe."""
        if params.threads:
            torch.set_num_threads(params.threads)
        return Cosmos3Policy(
            self._model(params, params.placement),
            embodiment=params.embodiment or None,
            num_steps=params.num_steps,
            guidance=params.guidance,
            guided_steps=params.guided_steps,
            reuse_guidance=params.reuse_guidance,
            shift=params.shift,
            seed=params.seed,
            prompt_format=params.prompt_format,
            soft_rows=params.soft_rows,
        )

    def reasoner(self, params: reasoner_node.Params) -> Reasoner:
        """The reasoner that the node's parameters describe."""
        return Cosmos3Reasoner(self._model(params), max_tokens=params.max_tokens)

    def _model(self, params: policy_node.Params | reasoner_node.Params, placement: str = "both") -> Any:
        """One copy per checkpoint, device, dtype and speed, whoever asks."""
        device, dtype = resolve(params.device, params.dtype)
        speed = Speed(
            compiled=params.compile,
            graphs=params.cuda_graphs and device != "cpu",
            generator=params.weights,
            text=params.text_weights,
            placement=placement,
            kept=COMPILED if params.compile else "",
        )
        key = (params.checkpoint or str(embedded_checkpoint()), device, dtype, speed)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load_fast(key[0], device, DTYPES[dtype], speed, **self._towers)
            return self._loaded[key]


def ask(question: str, images: Sequence[Path], checkpoint: str, device: str, max_tokens: int) -> str:
    """Answer a question about image files, without ROS; ValueError names a file that is no image."""
    pixels = []
    for path in images:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"{path} is not an image that can be read")
        pixels.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return load_reasoner(checkpoint, device, "auto").ask(question, pixels, max_tokens).text


def load_reasoner(checkpoint: str, device: str, dtype: str, **settings: Any) -> Cosmos3Reasoner:
    """The reasoner of a checkpoint ("": the embedded one) without its generator; settings: see `Cosmos3Reasoner`."""
    device, dtype = resolve(device, dtype)
    loaded = load_model(checkpoint or embedded_checkpoint(), device=device, dtype=DTYPES[dtype], generator=False)
    return Cosmos3Reasoner(loaded, **settings)


def resolve(device: str, dtype: str) -> tuple[str, str]:
    """Device and dtype with `auto` decided; ValueError if they do not exist here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"parameter 'device': expected auto, cpu, cuda or cuda:N, got {device!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"parameter 'device' is {device!r}, but torch sees no CUDA GPU here; expected cpu or auto")
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    if dtype not in DTYPES:
        raise ValueError(f"parameter 'dtype': expected auto, {' or '.join(DTYPES)}, got {dtype!r}")
    return device, dtype
