# SPDX-License-Identifier: Apache-2.0
"""Cosmos 3 as a robot policy: observation in, action chunk and imagined future out."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .acceleration.canvas_cuda import GpuComposer
from .arrays import widened
from .autoencoder.vae import frames_from_video, video_from_pixels
from .checkpoint_io.loader import load_model
from .checkpoint_io.own_embodiment import check_channels, choose_embodiment
from .checkpoint_io.student import LEVELS, read_student
from .diffusion.conditioning import (
    ActionInput,
    DenoiserInput,
    RtcTarget,
    build_input,
    receive_input,
    send_input,
)
from .diffusion.denoiser import Denoiser, numpy_noise
from .diffusion.guidance import Guidance
from .diffusion.sampler import Schedule, checkpoint_schedule, flow_schedule
from .embodiment import Embodiment
from .interface import ActionChunk, Future, Observation, Prediction, committed_rows
from .language.captions import action_json, action_plain, framing
from .language.plain_words import check_text
from .loaded_model import Model
from .network.kv_cache import KVCache
from .policy_options import PolicyOptions
from .runtime.cuda_stream import CudaStream
from .shortcuts import check_shortcuts


@dataclasses.dataclass(frozen=True, slots=True)
class _FrozenRows:
    """What a future is imagined from: noise with the chunk's rows put in, and the prompt."""

    inputs: DenoiserInput
    text: KVCache


class Cosmos3Policy:
    """A `Policy` on a loaded model.

    One thread at a time calls `infer`; `decode` may run beside it, in several threads.

    embodiment: by name, file or value; by default the checkpoint's own.
    options: see `PolicyOptions`. ValueError if checkpoint and embodiment do not fit.
    """

    def __init__(self, model: Model, embodiment: Embodiment | str | None = None, **options: Any):
        if model.vae is None:
            raise ValueError(
                "policy: the checkpoint was loaded without its generator (generator=False)"
            )
        self.options = PolicyOptions(**options).in_force()
        if self.options.best_of > 1:
            raise ValueError("best_of: expected 1, `BestOfPolicy` draws several of this policy's")
        self.model = model
        self._check_student()
        self.embodiment = fit_embodiment(model, embodiment, self.options.horizon)
        if model.team and self.options.future_steps:
            raise ValueError("future_steps: expected 0 where several processes share a policy")
        self._vae = model.vae
        self._composer = GpuComposer(self.embodiment.canvas, model.device)
        self.denoiser = Denoiser(model)
        self.schedule = self._make_schedule()
        self.guidance = self._make_guidance()
        self._trained = check_shortcuts(model, self.options, self.schedule)
        self._camera = framing(self.embodiment.viewpoint, self.embodiment.view_description)
        self.stream = CudaStream(model.device, first=True)
        self._decode_stream = CudaStream(model.device)
        self._member = model.team.add(self) if model.team else 0
        self.reset()

    def reset(self) -> None:
        """Forget everything about the running episode: the noise starts again from the seed."""
        self._seeds = np.random.default_rng(self.options.seed)
        self._ahead: tuple[int, Tensor, Tensor] | None = None

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        """Predict the chunk that follows `observation`.

        Rows due while `committed` lasts come back as it has them, but for the last `soft_rows`: the
        new rows are guided towards those, less and less.

        ValueError names a missing view, a wrong state or names that differ, before anything is
        computed.
        """
        self.embodiment.check_state(observation.state)
        kept = committed_rows(committed, self.embodiment, observation.stamp)
        with self.model.lock, self.stream:
            clock = self.stream.clock()
            caption = self.denoiser.checked(self.caption(observation.instruction))
            canvas = self.compose(observation)
            clock.lap("compose")
            seed, noise, row_noise = self.next_noise()
            seen = self.encode(canvas)
            whole = self.denoiser_input(seen, observation.state, noise, row_noise, kept=kept)
            inputs = self.shortened(whole)
            clock.lap("encode")
            if self.model.team:  # before anything that the others have to compute too
                send_input(self.model.team, self._member, caption, inputs, seed)
            text, negative = self.denoiser.read(caption), self.denoiser.read("")
            clock.lap("text")
            latents, actions = self._denoise(inputs, text, negative, seed)
            # while the device computes
            self._ahead = self.draw_noise() if latents.is_cuda else None
            rows = actions[0].cpu().numpy()
            clock.lap("denoise")
        chunk = self.chunk(rows, observation)
        self.keep(chunk, kept)
        return Prediction(chunk, clock.seconds(), self.future(whole, latents, actions, text))

    def keep(self, chunk: ActionChunk, kept: Mapping[int, np.ndarray]) -> None:
        """Put the committed rows but the soft ones back into a chunk, to the last bit."""
        for row in self._frozen(kept):
            chunk.values[row] = kept[row]

    def future(self, whole: DenoiserInput, latents: Tensor, actions: Tensor, text: KVCache) -> Any:
        """What `decode` makes the video of; whole: all of the input, see `shortened`."""
        if self.options.future_tokens and not self.options.future_steps:
            return latents
        return _FrozenRows(whole.frozen(actions), text)

    def _denoise(
        self, inputs: DenoiserInput, text: KVCache, negative: KVCache, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Latents and rows; where all rows are known, only the video is computed, in every step."""
        full_steps = () if inputs.decided else self.options.full_steps
        latents, actions = self.denoiser.run(
            inputs, text, negative, self.schedule, self.guidance, seed, full_steps
        )
        assert actions is not None  # `inputs` has actions
        return latents, actions

    def chunk(self, rows: np.ndarray, observation: Observation) -> ActionChunk:
        """The model's rows float32 [rows, action_width] as commands that answer `observation`.

        ValueError if they are not finite.
        """
        embodiment = self.embodiment
        own = rows[int(embodiment.state_row) :, : embodiment.width]
        values = embodiment.decode_actions(own, observation.state)
        if not np.isfinite(values).all():
            raise ValueError(
                "policy: the network returned values that are not finite; its weights may be "
                "damaged"
            )
        return ActionChunk(
            values, embodiment.action_names, observation.stamp, embodiment.step, embodiment.discrete
        )

    def follow(self, numbers: list[int]) -> None:
        """Denoise what the first process of the group was asked about, beside it."""
        assert self.model.team  # which calls
        with self.stream:
            caption, inputs, seed = receive_input(self.model.team, numbers, self._blank)
            text, negative = self.denoiser.read(caption), self.denoiser.read("")
            self._denoise(inputs, text, negative, seed)

    def imagine(self, observation: Observation, candidate: ActionChunk) -> Prediction:
        """`candidate` played after `observation`, and for `decode` what will be seen then.

        Forward dynamics: nothing is decided, and the policy's own noise stays as it is. Rows of the
        chunk are what the candidate says at their times; where it is over, its last command goes
        on. ValueError names what does not fit.
        """
        embodiment = self.embodiment
        embodiment.check_state(observation.state)
        if self.model.team:
            raise ValueError("imagine: expected a policy that one process computes")
        if candidate.names != embodiment.action_names:
            raise ValueError(
                f"candidate.names: expected {embodiment.action_names}, got {candidate.names}"
            )
        due = observation.stamp + embodiment.step * np.arange(1, embodiment.horizon + 1)
        commands = [candidate.at(min(int(now), candidate.end)) for now in due]
        values = np.stack([command for command in commands if command is not None])
        rows = torch.zeros(self.row_shape)
        own = embodiment.model_rows(observation.state, values)
        rows[:, : own.shape[1]] = torch.from_numpy(own)
        with self.model.lock, self.stream:
            clock = self.stream.clock()
            text = self.denoiser.read(self.denoiser.checked(self.caption(observation.instruction)))
            clock.lap("text")
            seen = self.encode(self.compose(observation))
            clock.lap("encode")
            nothing = torch.zeros(1, *self.latent_shape), torch.zeros(self.row_shape)
            inputs = self.denoiser_input(seen, observation.state, *nothing)
            frozen = inputs.frozen(rows[None].to(self.model.device))
            latents = self._seen(_FrozenRows(frozen, text))
            clock.lap("denoise")
        chunk = ActionChunk(
            values, embodiment.action_names, observation.stamp, embodiment.step, embodiment.discrete
        )
        return Prediction(chunk, clock.seconds(), latents)

    def decode(self, prediction: Prediction) -> Future:
        """The video that goes with a prediction of this policy."""
        latents = self.latents(prediction)
        with self._decode_stream:
            frames = frames_from_video(self._vae.decode(latents))[: self.embodiment.horizon + 1]
        return Future(frames, prediction.chunk.stamp, self.embodiment.step)

    def latents(self, prediction: Prediction) -> Tensor:
        """That video as latents, float32 [1, *latent_shape], not decoded.

        With `future_steps` and from `imagine` it is computed now.
        """
        latents = prediction.latents
        return self._imagine(latents) if isinstance(latents, _FrozenRows) else latents

    def _imagine(self, frozen: _FrozenRows) -> Tensor:
        """The latents of what will be seen while these rows are played."""
        with self.model.lock, self.stream:
            return self._seen(frozen)

    def _seen(self, frozen: _FrozenRows) -> Tensor:
        """As `_imagine`, for who holds the model."""
        schedule = flow_schedule(self.options.future_steps or 1, self.options.shift)
        latents, _ = self.denoiser.run(
            frozen.inputs, frozen.text, frozen.text, schedule, Guidance(1.0)
        )
        self.stream.wait()  # another one goes on with them
        return latents

    def check_instruction(self, instruction: str) -> None:
        """PromptError, a ValueError, if the network cannot read it: too long, control tokens."""
        self.denoiser.checked(self.caption(instruction))

    def caption(self, instruction: str, idle: bool = True) -> str:
        """The text the model reads for an instruction; idle: say that it is to be moved all along.

        That is told where actions are wanted or given, not where they are read out of a video.
        """
        check_text("prompt", instruction)
        embodiment = self.embodiment
        frames, size = embodiment.horizon + 1, embodiment.canvas.size
        words = (instruction, frames, embodiment.fps, size, self._camera)
        if self.options.prompt_format == "plain":
            return action_plain(*words)
        told = idle and embodiment.idle_frames
        return action_json(*words, idle=f"0 out of {embodiment.horizon}." if told else "")

    @property
    def student(self) -> bool:
        """Whether the checkpoint is a few-step student: levels and guidance are its own."""
        return LEVELS in self.model.scheduler

    def _check_student(self) -> None:
        made = read_student(self.model.path) if self.student else None
        if made and "policy" not in made.modes:
            raise ValueError(
                f"policy: expected a checkpoint for one, {self.model.path} is a student for "
                f"{', '.join(made.modes)}"
            )

    def _make_schedule(self) -> Schedule:
        if self.student or self.options.schedule == "checkpoint":
            native = bool(self.model.index.get("use_native_flow_schedule"))
            return checkpoint_schedule(self.model.scheduler, self.options.num_steps, native)
        return flow_schedule(self.options.num_steps, self.options.shift)

    def _make_guidance(self) -> Guidance:
        options, interval = self.options, self.options.guidance_interval
        if self.student:
            return Guidance(1.0)
        if 0 < options.guided_steps < len(self.schedule.times):
            interval = (self.schedule.times[options.guided_steps], math.inf)
        both = options.batched_guidance
        return Guidance(
            options.guidance,
            interval,
            self.model.device.type == "cuda" if both is None else both,
            reuse=options.reuse_guidance,
        )

    def compose(self, observation: Observation) -> Tensor:
        """The picture that the model sees, uint8 [H, W, 3], made where the model is."""
        if self.model.device.type == "cuda":
            return self._composer(observation.images, recorded=self.model.graphs)
        return torch.from_numpy(self.embodiment.compose(observation.images))

    def encode(self, canvas: Tensor) -> Tensor:
        """The observed picture as latent frame 0, without latents of padding: [1, C, 1, h, w]."""
        latent = self._vae.encode(video_from_pixels(canvas[None]))
        return latent[..., : self.latent_shape[2], : self.latent_shape[3]]

    @functools.cached_property
    def _blank(self) -> DenoiserInput:
        """An input that shows nothing."""
        channels, _, *size = self.latent_shape
        seen = torch.zeros(1, channels, 1, *size, device=self.model.device)
        state = self.embodiment.neutral_state()
        _, noise, row_noise = self.draw_noise()
        return self.shortened(self.denoiser_input(seen, state, noise, row_noise))

    def shortened(self, inputs: DenoiserInput) -> DenoiserInput:
        """The part of the input that the options say is computed with the rows."""
        return inputs if self.options.future_tokens else inputs.without_future()

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Of the latents: channels, frames, rows, columns."""
        embodiment, vae = self.embodiment, self._vae
        height, width = (side // vae.spatial for side in embodiment.canvas.content)
        frames = 1 + math.ceil(embodiment.horizon / vae.temporal)
        return (self.model.config.latent_channels, frames, height, width)

    @property
    def row_shape(self) -> tuple[int, int]:
        """Of the model's action rows, the state row included: rows, action_width."""
        rows = int(self.embodiment.state_row) + self.embodiment.horizon
        return (rows, self.model.config.action_width)

    def next_noise(self) -> tuple[int, Tensor, Tensor]:
        """As `draw_noise`; what was drawn while the device computed the last chunk, if it was."""
        drawn, self._ahead = self._ahead or self.draw_noise(), None
        return drawn

    def draw_noise(self) -> tuple[int, Tensor, Tensor]:
        """The next chunk's seed, and its noise for latents and actions, not yet on the device."""
        options = self.options
        seed = options.seed if options.deterministic else int(self._seeds.integers(0, 2**31))
        return seed, *self.noise_of(seed)

    def noise_of(self, seed: int) -> tuple[Tensor, Tensor]:
        """The noise of a seed for latents and actions, not yet on the device."""
        noises = [numpy_noise(shape, seed) for shape in ((1, *self.latent_shape), self.row_shape)]
        if self.model.device.type == "cuda":  # so that the copies are asynchronous
            noises = [noise.pin_memory() for noise in noises]
        return noises[0], noises[1]

    def denoiser_input(
        self,
        seen: Tensor,
        state: np.ndarray,
        noise: Tensor,
        row_noise: Tensor,
        known: Sequence[int] = (0,),
        kept: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> DenoiserInput:
        """Noise, with the known latent frames of `seen`, the state and the committed rows.

        kept: commands of rows that are committed already.
        """
        embodiment = self.embodiment
        first = int(embodiment.state_row)
        rows = {0: widened(embodiment.encode_state(state), embodiment.channels)} if first else {}
        target = None
        if kept:
            last = max(kept) + 1
            values = np.stack([kept.get(row, kept[min(kept)]) for row in range(last)])
            encoded = widened(embodiment.encode_actions(values, state), embodiment.channels)
            frozen = self._frozen(kept)
            rows |= {first + row: encoded[row] for row in frozen}
            if soft := sorted(kept)[len(frozen) :]:
                target = self._rtc_target(encoded, soft)
        actions = ActionInput(
            row_noise,
            embodiment.width,
            embodiment.domain_id,
            rows,
            first_row=1 - first,
            rtc_target=target,
        )
        inputs = build_input(noise, seen, known, embodiment.fps, actions)
        decided = len(rows) == self.row_shape[0]  # forward dynamics
        hide = self._trained.hidden_rows and tuple(known) == (0,) and not decided
        return dataclasses.replace(inputs, hide_rows=hide, decided=decided)

    def _frozen(self, kept: Mapping[int, np.ndarray]) -> list[int]:
        """The committed rows but the soft ones."""
        return sorted(kept)[: max(0, len(kept) - self.options.soft_rows)]

    def _rtc_target(self, encoded: np.ndarray, rows: list[int]) -> RtcTarget:
        """The soft rows, with weights that fall exponentially (arXiv 2506.07339)."""
        targets, weights = torch.zeros(self.row_shape), torch.zeros(self.row_shape[0])
        first, left = int(self.embodiment.state_row), np.arange(len(rows), 0, -1) / (len(rows) + 1)
        indices = [first + row for row in rows]
        targets[indices, : encoded.shape[1]] = torch.from_numpy(encoded[rows]).to(targets)
        weights[indices] = torch.from_numpy(left * np.expm1(left) / np.expm1(1)).to(weights)
        return RtcTarget(targets[None].to(self.model.device), weights.to(self.model.device))


def load_policy(
    path: str | Path,
    embodiment: Embodiment | str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    **options: Any,
) -> Cosmos3Policy:
    """Load a checkpoint folder for control alone (without the reasoner's parts).

    options: see `PolicyOptions`.
    """
    return Cosmos3Policy(load_model(path, device, dtype, reasoner=False), embodiment, **options)


def fit_embodiment(
    model: Model, embodiment: Embodiment | str | None, horizon: int = 0
) -> Embodiment:
    """The embodiment that a loaded model is run with, see `choose_embodiment`."""
    wanted = choose_embodiment(model.path, model.policy_config, embodiment, horizon)
    check_channels(wanted, model.config)
    return wanted
