# SPDX-License-Identifier: Apache-2.0
"""The one module of this package that knows torch: loads a checkpoint once and makes the policy and reasoner on it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch
import torch.distributed as dist

from .acceleration.memory_budget import load_fast
from .acceleration.optimize import RuntimeOptions
from .checkpoint_io.loader import load_model
from .checkpoint_io.tiny import tiny_checkpoint
from .interface import Reasoner
from .policy import Cosmos3Policy
from .policy_options import PolicyOptions
from .reasoner import Cosmos3Reasoner
from .runtime.process_group import InferenceGroup, join

if TYPE_CHECKING:
    from ..nodes.model_params import ModelParams, PolicyModelParams
    from ..nodes.reasoner_node import Params as ReasonerParams

COMPILED = "~/.cache/cosmos3_ros/compiled"  # code that the next start need not compile again
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def embedded_checkpoint() -> Path:
    """The trained checkpoint that comes with the package.

    Without it, random weights of the same architecture.
    """
    trained = Path(__file__).parent / "checkpoints" / "droid_sim"
    return trained if trained.is_dir() else tiny_checkpoint()


class Models:
    """Loaded checkpoints of this process. policy, reasoner: who will ask, so that only their parts are loaded.

    If torchrun started several processes, they share each checkpoint: whatever is loaded here is
    loaded by the `follow` of the others too, until `close`. team: of a process that follows.
    """

    def __init__(
        self, policy: bool = True, reasoner: bool = True, team: InferenceGroup | None = None
    ) -> None:
        self._towers = (reasoner, policy)
        self._loaded: dict[tuple[str, str, str, RuntimeOptions], Any] = {}
        self._lock = threading.Lock()
        self._team = team
        if team:
            team.add(self)

    def policy(self, params: PolicyModelParams) -> Cosmos3Policy:
        """The policy that the node's parameters describe."""
        if params.threads:
            torch.set_num_threads(params.threads)
        with self._everywhere("policy", params):
            options = {f.name: getattr(params, f.name) for f in dataclasses.fields(PolicyOptions)}
            if self._team:
                options["future_steps"] = 0
            model = self._model(params, params.placement)
            return Cosmos3Policy(model, params.embodiment or None, **options)

    def reasoner(self, params: ReasonerParams) -> Reasoner:
        """The reasoner that the node's parameters describe."""
        with self._everywhere("reasoner", params):
            return Cosmos3Reasoner(self._model(params), max_tokens=params.max_tokens)

    def follow(self, numbers: list[int]) -> None:
        """Load what the first process of the team loads; what is refused here is refused there."""
        assert self._team  # which calls
        fields = json.loads(self._team.receive_text(numbers[0]))
        self._towers = tuple(fields["towers"])
        params: Any = types.SimpleNamespace(**fields["params"])
        try:
            self.policy(params) if fields["what"] == "policy" else self.reasoner(params)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)

    def close(self) -> None:
        """Let the other processes go."""
        if self._team:
            with self._team.turn:
                self._team.leave()
            dist.destroy_process_group()

    @contextlib.contextmanager
    def _everywhere(self, what: str, params: ModelParams) -> Iterator[None]:
        """What is loaded inside is loaded by all processes or by none."""
        team = self._meet(params)
        if team is None:
            yield
            return
        with team.turn:
            if team.leads:
                text = json.dumps(
                    {"what": what, "towers": self._towers, "params": dataclasses.asdict(params)}
                )
                team.order(0, len(text.encode()))
                team.send_text(text)
            with team.agreed():
                yield

    def _meet(self, params: ModelParams) -> InferenceGroup | None:
        """The processes that torchrun started, if there are others."""
        wanted = params.tensor_parallel
        with self._lock:
            if (
                self._team is None
                and dist.is_torchelastic_launched()
                and int(os.environ["WORLD_SIZE"]) > 1
            ):
                self._team = join(resolve(params.device, params.dtype)[0], wanted)
                self._team.add(self)
        team = self._team
        if team and team.tensor != wanted:
            raise ValueError(
                f"parameter 'tensor_parallel' is {wanted}, in this process it has been {team.tensor}"
            )
        if wanted > 1 and not team:
            raise ValueError(
                f"parameter 'tensor_parallel' is {wanted}, but there is one process; see torchrun"
            )
        return team

    def _model(self, params: ModelParams, placement: str = "both") -> Any:
        """One copy per checkpoint, device, dtype and speed, whoever asks."""
        device, dtype = resolve(params.device, params.dtype)
        device = str(self._team.device) if self._team else device
        speed = RuntimeOptions(
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
                self._loaded[key] = load_fast(
                    key[0], device, DTYPES[dtype], speed, *self._towers, team=self._team
                )
            return self._loaded[key]


def follow() -> int:
    """What the processes do that torchrun started beside the first one: all that its nodes need of them."""
    team = join()
    Models(team=team)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first one gets it too, and says when it is over
    team.follow()
    dist.destroy_process_group()
    return 0


def ask(
    question: str, images: Sequence[Path], checkpoint: str, device: str, max_tokens: int
) -> str:
    """Answer a question about image files, without ROS.

    ValueError names a file that is no image.
    """
    pixels = []
    for path in images:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"{path} is not an image that can be read")
        pixels.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return load_reasoner(checkpoint, device, "auto").ask(question, pixels, max_tokens).text


def load_reasoner(checkpoint: str, device: str, dtype: str, **settings: Any) -> Cosmos3Reasoner:
    """The reasoner of a checkpoint ("": the embedded one) without its generator.

    settings: see `Cosmos3Reasoner`.
    """
    device, dtype = resolve(device, dtype)
    loaded = load_model(
        checkpoint or embedded_checkpoint(), device=device, dtype=DTYPES[dtype], generator=False
    )
    return Cosmos3Reasoner(loaded, **settings)


def resolve(device: str, dtype: str) -> tuple[str, str]:
    """Device and dtype with `auto` decided; ValueError if they do not exist here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"parameter 'device': expected auto, cpu, cuda or cuda:N, got {device!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"parameter 'device' is {device!r}, but torch sees no CUDA GPU here; expected cpu or auto"
        )
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    if dtype not in DTYPES:
        raise ValueError(f"parameter 'dtype': expected auto, {' or '.join(DTYPES)}, got {dtype!r}")
    return device, dtype
