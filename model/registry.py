# SPDX-License-Identifier: Apache-2.0
"""Loads each checkpoint of a process once, and makes policies and reasoners on it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from .acceleration.options import RuntimeOptions
from .best_of.best_of_policy import BestOfPolicy
from .checkpoint_io.loader import load_fast
from .checkpoint_io.tiny import tiny_checkpoint
from .checkpoint_io.trained_tasks import EMBEDDED
from .dynamics import Dynamics
from .interface import Policy
from .language.media_file import read_media
from .model_params import (
    MediaReasonerParams,
    ModelParams,
    PolicyModelParams,
    ReasonerModelParams,
)
from .option_fields import select
from .policy import Cosmos3Policy
from .policy_options import PolicyOptions
from .reasoner import Cosmos3Reasoner
from .runtime.device import DTYPES, resolve
from .runtime.process_group import (
    TIMEOUT,
    InferenceGroup,
    check_device,
    join,
    leave_processes,
)
from .runtime.rank_processes import RankProcesses, meet
from .surprise.meter import SurpriseMeter, load_meter

LOG = logging.getLogger("cosmos3_ros.model")
FOLLOWER = (sys.executable, "-m", "cosmos3_ros.model.follower")
LAST_WORDS = 10.0  # seconds to end in order after a process of the group was lost
COMPILED = "~/.cache/cosmos3_ros/compiled"  # code that the next start need not compile again


def embedded_checkpoint() -> Path:
    """The trained checkpoint that comes with the package.

    Without it, random weights of the same architecture.
    """
    return EMBEDDED if EMBEDDED.is_dir() else tiny_checkpoint()


class Models:
    """Loaded checkpoints of this process.

    policy, reasoner: who will ask, so that only their parts are loaded.

    If torchrun started several processes, or `gpus` asks for them, they share each checkpoint:
    whatever is loaded here is loaded by the `follow` of the others too, until `close`. team: the
    group of a process that follows. lost: whether one of those that `gpus` asked for has ended;
    this process then ends too, by SIGTERM, and should say so by its exit code.
    """

    def __init__(
        self, policy: bool = True, reasoner: bool = True, team: InferenceGroup | None = None
    ) -> None:
        self._towers = (reasoner, policy)
        self._loaded: dict[tuple[str, str, str, RuntimeOptions, bool], Any] = {}
        self._lock = threading.Lock()
        self._group = team
        self._ranks: RankProcesses | None = None
        self.lost = False
        if team:
            team.add(self)

    def policy(self, params: PolicyModelParams) -> Cosmos3Policy | BestOfPolicy:
        """The policy that the node's parameters describe."""
        if params.threads:
            torch.set_num_threads(params.threads)
        with self._everywhere("policy", params):
            # A model that several processes share imagines nothing again.
            changes = {"future_steps": 0} if self._group else {}
            options = select(PolicyOptions, params, **changes)
            if self._group and self._group.splits_nothing(options.in_force().guidance):
                LOG.warning(
                    "two processes and no guidance to split: tensor_parallel 2 splits the layers"
                )
            asks = bool(options.best_of_questions)
            model = self._model(params, params.placement, asks)
            alone = dataclasses.replace(options, best_of=1, best_of_questions=())
            policy = Cosmos3Policy(model, params.embodiment or None, **dataclasses.asdict(alone))
            if options.best_of == 1:
                return policy
            return BestOfPolicy(policy, options, Cosmos3Reasoner(model) if asks else None)

    def surprise_meter(self, policy: Policy) -> SurpriseMeter:
        """What compares this policy's predictions with what comes; ValueError without reference."""
        return load_meter(own_policy(policy, "surprise"))

    def dynamics(self, policy: Policy) -> Dynamics:
        """The world model on this policy's weights, as `cosmos3 dynamics inverse` samples it."""
        inner = own_policy(policy, "recent_seconds")
        names = ("shift", "seed", "prompt_format", "schedule", "horizon")
        sampling = {name: getattr(inner.options, name) for name in names}
        return Dynamics(Cosmos3Policy(inner.model, inner.embodiment, guidance=1.0, **sampling))

    def reasoner(self, params: ReasonerModelParams) -> Cosmos3Reasoner:
        """The reasoner of the reasoner node, of `cosmos3 serve reasoner` and of `cosmos3 ask`."""
        pruning = params.video_pruning_rate if isinstance(params, MediaReasonerParams) else 0.0
        with self._everywhere("reasoner", params):
            return Cosmos3Reasoner(
                self._model(params), max_tokens=params.max_tokens, video_pruning_rate=pruning
            )

    def follow(self, numbers: list[int]) -> None:
        """Load what the first process of the group loads; what is refused here is refused there."""
        assert self._group  # which calls
        fields = json.loads(self._group.receive_text(numbers[0]))
        self._towers = tuple(fields["towers"])
        sent = fields["params"].items()  # JSON has lists for tuples
        params: Any = types.SimpleNamespace(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in sent}
        )
        try:
            self.policy(params) if fields["what"] == "policy" else self.reasoner(params)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)

    def close(self) -> None:
        """Let the other processes go."""
        if self._ranks and (self.lost or not self._group):
            self._ranks.kill()
            return
        if self._group:
            with self._group.lock:
                self._group.leave()
            leave_processes()
        if self._ranks:
            self._ranks.close()

    @contextlib.contextmanager
    def _everywhere(self, what: str, params: ModelParams) -> Iterator[None]:
        """What is loaded inside is loaded by all processes or by none."""
        group = self._meet(params)
        if group is None:
            yield
            return
        with group.lock:
            if group.leads:
                text = json.dumps(
                    {"what": what, "towers": self._towers, "params": dataclasses.asdict(params)}
                )
                group.order(0, len(text.encode()))
                group.send_text(text)
            with group.agreed():
                yield

    def _meet(self, params: ModelParams) -> InferenceGroup | None:
        """The processes that share the model, if there are others: torchrun's, or `gpus`."""
        wanted = params.tensor_parallel
        with self._lock:
            if self._group is None:
                torchrun = dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1
                if not torchrun and params.gpus > 1:
                    self._start(params)
                if torchrun or self._ranks:
                    self._group = join(resolve(params.device, params.dtype)[0], wanted)
                    self._group.add(self)
        group = self._group
        count = dist.get_world_size() if group else 1
        if params.gpus not in (count, 1 if group and not self._ranks else count):
            raise ValueError(
                f"parameter 'gpus' is {params.gpus}, in this process it has been {count}"
            )
        if group and group.tensor != wanted:
            raise ValueError(
                f"parameter 'tensor_parallel' is {wanted}, in this process it has been "
                f"{group.tensor}"
            )
        if wanted > 1 and not group:
            raise ValueError(
                f"parameter 'tensor_parallel' is {wanted}, but there is one process; see gpus"
            )
        return group

    def _start(self, params: ModelParams) -> None:
        """Start the other processes, and meet them; ValueError for more than there are GPUs."""
        count, split = params.gpus, params.tensor_parallel
        if count not in (split, 2 * split):
            raise ValueError(
                f"parameter 'gpus' is {count}, with tensor_parallel {split} expected {split} or "
                f"{2 * split}"
            )
        device = resolve(params.device, params.dtype)[0]
        check_device(device)
        if device == "cuda" and count > torch.cuda.device_count():
            raise ValueError(
                f"parameter 'gpus' is {count}, this computer has {torch.cuda.device_count()}"
            )
        self._ranks = RankProcesses(count, FOLLOWER, self._lose)
        meet(self._ranks.meeting, 0, count, TIMEOUT)

    def _lose(self, words: str) -> None:
        """End this process: what the others compute cannot be had any more."""
        self.lost = True
        print(f"error: {words}; ending", file=sys.stderr, flush=True)
        # whoever waits for the lost one in a collective operation of GPUs waits for ever
        timer = threading.Timer(LAST_WORDS, os._exit, (1,))
        timer.daemon = True
        timer.start()
        os.kill(os.getpid(), signal.SIGTERM)

    def _model(self, params: ModelParams, placement: str = "both", asks: bool = False) -> Any:
        """One copy per checkpoint, device, dtype and runtime, whoever asks.

        placement: see `RuntimeOptions`; where no policy asks, it is the reasoner's. asks: the
        policy asks a reasoner, which is loaded too then.
        """
        if asks and placement != "both":
            raise ValueError(
                f"best_of_questions: expected placement both for the reasoner, got {placement!r}"
            )
        reasoner = self._towers[0] or asks
        device, dtype = resolve(params.device, params.dtype)
        device = str(self._group.device) if self._group else device
        runtime = RuntimeOptions(
            compiled=params.compile,
            graphs=params.cuda_graphs and device != "cpu",
            generator=params.weights,
            text=params.text_weights,
            attention=params.attention,
            placement=placement if self._towers[1] else "reasoner",
            kept=COMPILED if params.compile else "",
        )
        key = (params.checkpoint or str(embedded_checkpoint()), device, dtype, runtime, reasoner)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load_fast(
                    key[0],
                    device,
                    DTYPES[dtype],
                    runtime,
                    reasoner,
                    self._towers[1],
                    team=self._group,
                    download=params.download,
                )
            return self._loaded[key]


def own_policy(policy: Policy, what: str) -> Cosmos3Policy:
    """The policy as it was loaded here; ValueError for another one."""
    inner = policy.inner if isinstance(policy, BestOfPolicy) else policy
    if not isinstance(inner, Cosmos3Policy):
        raise ValueError(f"{what}: expected a policy of these weights, got {inner!r}")
    return inner


def follow() -> int:
    """Run a process that torchrun started beside the first: do what the first one's nodes need."""
    group = join()
    Models(team=group)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first one gets it too, and says when it is over
    group.follow()
    leave_processes()
    return 0


def ask(question: str, files: Sequence[Path], params: MediaReasonerParams) -> str:
    """Answer a question about image and video files, without ROS.

    ValueError names a file that is neither.
    """
    media, models = [read_media(path) for path in files], Models(policy=False)
    try:
        return models.reasoner(params).ask(question, media).text
    finally:
        models.close()
