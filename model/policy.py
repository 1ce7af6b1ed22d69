# SPDX-License-Identifier: Apache-2.0
"""Cosmos 3 as a robot policy: observation in, action chunk and imagined future out."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .acceleration.canvas_cuda import compose_on_gpu
from .autoencoder.vae import frames_from_video, video_from_pixels
from .checkpoint_io.loader import Model, load_model
from .diffusion.denoiser import Denoiser, Guidance, RtcTarget, Start, numpy_noise
from .diffusion.sampler import Schedule, checkpoint_schedule, flow_schedule
from .embodiment import EMBODIMENTS, Embodiment, find_embodiment
from .interface import NS, ActionChunk, Future, Observation, Prediction
from .language.captions import action_json, action_plain, framing
from .network.kv_cache import KVCache
from .policy_options import PolicyOptions
from .runtime.cuda_stream import CudaStream


@dataclasses.dataclass(frozen=True, slots=True)
class _Decided:
    """All that a future is imagined of: noise, with the rows as they came out in their places, and the prompt."""

    start: Start
    text: KVCache


class Cosmos3Policy:
    """A `Policy` on a loaded model.

    One thread at a time calls `infer`; `decode` may run beside it, and others.

    embodiment: one of `EMBODIMENTS` by name or value; by default the one the checkpoint names.
    options: see `PolicyOptions`. ValueError if checkpoint and embodiment do not fit.
    """

    def __init__(self, model: Model, embodiment: Embodiment | str | None = None, **options: Any):
        if model.vae is None:
            raise ValueError(
                "policy: the checkpoint was loaded without its generator (generator=False)"
            )
        self.options = PolicyOptions(**options)
        self.model = model
        self.embodiment = fit_embodiment(model, embodiment, self.options.horizon)
        if model.team and self.options.future_steps:
            raise ValueError("future_steps: expected 0 where several processes share a policy")
        self._vae = model.vae
        self._denoiser = Denoiser(model)
        self._schedule = self._make_schedule()
        self._guidance = self._make_guidance()
        self._camera = framing(self.embodiment.viewpoint, self.embodiment.view_description)
        self._lane, self._aside = CudaStream(model.device, first=True), CudaStream(model.device)
        self._member = model.team.add(self) if model.team else 0
        self.reset()

    def reset(self) -> None:
        """Forget everything about the running episode: the noise starts again from the seed."""
        self._seeds = np.random.default_rng(self.options.seed)
        self._ahead: tuple[int, Tensor, Tensor] | None = None

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        """Predict the chunk that follows `observation`.

        Rows due while `committed` lasts come back as it has them.

        The last `soft_rows` of them need not: the new rows are drawn towards those, less and less.

        ValueError names a missing view, a wrong state or names that differ, before anything is
        computed.
        """
        body = self.embodiment
        body.check_state(observation.state)
        kept = self._committed_rows(observation.stamp, committed)
        with self.model.turn, self._lane:
            clock = self._lane.clock()
            caption = self._denoiser.checked(self.caption(observation.instruction))
            canvas = self._compose(observation)
            clock.lap("compose")
            seed, *noise = self._ahead or self._draw()
            start = self._start(self._encode(canvas), observation.state, kept, *noise)
            clock.lap("encode")
            if self.model.team:  # before anything that the others have to compute too
                self.model.team.send_start(self._member, caption, start, seed)
            text, negative = self._denoiser.read(caption), self._denoiser.read("")
            clock.lap("text")
            latents, actions = self._denoiser.run(
                start, text, negative, self._schedule, self._guidance, seed
            )
            self._ahead = self._draw() if latents.is_cuda else None  # while the device computes
            assert actions is not None  # `start` has actions
            rows = actions[0].cpu().numpy()
            clock.lap("denoise")
        values = body.decode_actions(rows[int(body.state_row) :, : body.width], observation.state)
        if not np.isfinite(values).all():
            raise ValueError(
                "policy: the network returned values that are not finite; its weights may be damaged"
            )
        for row in self._decided(kept):
            values[row] = kept[row]
        chunk = ActionChunk(values, body.action_names, observation.stamp, body.step, body.discrete)
        future = _Decided(start.decided(actions), text) if self.options.future_steps else latents
        return Prediction(chunk, clock.seconds(), future)

    def follow(self, numbers: list[int]) -> None:
        """Denoise what the first process of the team was asked about, beside it."""
        assert self.model.team  # which calls
        with self._lane:
            caption, start, seed = self.model.team.receive_start(numbers, self._blank)
            text, negative = self._denoiser.read(caption), self._denoiser.read("")
            self._denoiser.run(start, text, negative, self._schedule, self._guidance, seed)

    def decode(self, prediction: Prediction) -> Future:
        """The video that goes with a prediction of this policy."""
        latents = prediction.latents
        if isinstance(latents, _Decided):
            latents = self._imagine(latents)
        with self._aside:
            frames = frames_from_video(self._vae.decode(latents))[: self.embodiment.horizon + 1]
        return Future(frames, prediction.chunk.stamp, self.embodiment.step)

    def _imagine(self, decided: _Decided) -> Tensor:
        """The latents of what will be seen while these rows are played."""
        schedule = flow_schedule(self.options.future_steps, self.options.shift)
        with self.model.turn, self._lane:
            latents = self._denoiser.run(
                decided.start, decided.text, decided.text, schedule, Guidance(1.0)
            )[0]
            self._lane.wait()  # another one goes on with them
        return latents

    def caption(self, instruction: str) -> str:
        """The text the model reads for an instruction."""
        body = self.embodiment
        place = (instruction, body.horizon + 1, body.fps, body.canvas.size, self._camera)
        if self.options.prompt_format == "plain":
            return action_plain(*place)
        return action_json(*place, idle=f"0 out of {body.horizon}." if body.idle_frames else "")

    def _make_schedule(self) -> Schedule:
        if self.options.schedule == "checkpoint":
            native = bool(self.model.index.get("use_native_flow_schedule"))
            return checkpoint_schedule(self.model.scheduler, self.options.num_steps, native)
        return flow_schedule(self.options.num_steps, self.options.shift)

    def _make_guidance(self) -> Guidance:
        options, interval = self.options, self.options.guidance_interval
        if 0 < options.guided_steps < len(self._schedule.times):
            interval = (self._schedule.times[options.guided_steps], math.inf)
        both = options.batched_guidance
        return Guidance(
            options.guidance,
            interval,
            self.model.device.type == "cuda" if both is None else both,
            reuse=options.reuse_guidance,
        )

    def _compose(self, observation: Observation) -> Tensor:
        """The picture that the model sees, uint8 [H, W, 3], made where the model is."""
        if self.model.device.type == "cuda":
            return compose_on_gpu(self.embodiment.canvas, observation.images, self.model.device)
        return torch.from_numpy(self.embodiment.compose(observation.images))

    def _encode(self, canvas: Tensor) -> Tensor:
        """The observed picture as latent frame 0, without the latents that are only padding: [1, C, 1, h, w]."""
        latent = self._vae.encode(video_from_pixels(canvas[None]))
        return latent[..., : self._shape[2], : self._shape[3]]

    @functools.cached_property
    def _blank(self) -> Start:
        """A start that shows nothing."""
        seen = torch.zeros(1, self._shape[0], 1, *self._shape[2:], device=self.model.device)
        return self._start(
            seen, np.zeros(len(self.embodiment.state), np.float32), {}, *self._draw()[1:]
        )

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        """Of the latents: channels, frames, rows, columns."""
        body, vae = self.embodiment, self._vae
        height, width = (side // vae.spatial for side in body.canvas.content)
        return (
            self.model.config.latent_channels,
            1 + math.ceil(body.horizon / vae.temporal),
            height,
            width,
        )

    def _draw(self) -> tuple[int, Tensor, Tensor]:
        """The seed of the next chunk, and its noise for latents and actions, not yet on the device."""
        seed = (
            self.options.seed if self.options.deterministic else int(self._seeds.integers(0, 2**31))
        )
        rows = (
            int(self.embodiment.state_row) + self.embodiment.horizon,
            self.model.config.action_width,
        )
        return seed, numpy_noise((1, *self._shape), seed), numpy_noise(rows, seed)

    def _committed_rows(self, stamp: int, committed: ActionChunk | None) -> dict[int, np.ndarray]:
        """Which rows of the new chunk are already decided, and their commands."""
        if committed is None:
            return {}
        body = self.embodiment
        if committed.names != body.action_names:
            raise ValueError(
                f"committed.names: expected {body.action_names}, got {committed.names}"
            )
        due = stamp + body.step * np.arange(1, body.horizon + 1)
        first = committed.start - committed.step // 2  # stamps jitter by less than half a row
        kept = {row: committed.at(int(now)) for row, now in enumerate(due) if now >= first}
        return {row: command for row, command in kept.items() if command is not None}

    def _start(
        self,
        seen: Tensor,
        state: np.ndarray,
        kept: dict[int, np.ndarray],
        noise: Tensor,
        row_noise: Tensor,
    ) -> Start:
        """Noise, with the seen frame, the state row and the decided rows in their places."""
        body, device = self.embodiment, self.model.device
        latents = torch.cat([seen, noise.to(device)[:, :, 1:]], dim=2)
        first = int(body.state_row)
        actions = row_noise.clone()
        actions[:, body.width :] = 0
        clean_rows = torch.zeros(len(actions), dtype=torch.bool)
        if first:
            _put(actions, clean_rows, [0], body.encode_state(state)[None])
        soft = sorted(kept)[len(self._decided(kept)) :]
        if kept:
            last = max(kept) + 1
            values = np.stack([kept.get(row, kept[min(kept)]) for row in range(last)])
            encoded = body.encode_actions(values, state)
            decided = self._decided(kept)
            _put(actions, clean_rows, [first + row for row in decided], encoded[decided])
        clean_frames = torch.arange(latents.shape[2], device=device) == 0
        return Start(
            latents,
            clean_frames,
            body.fps,
            actions[None].to(device),
            clean_rows.to(device),
            body.width,
            1 - first,
            domain=body.domain_id,
            wish=self._wish(encoded, soft, actions) if soft else None,
        )

    def _decided(self, kept: dict[int, np.ndarray]) -> list[int]:
        """The committed rows but the soft ones."""
        return sorted(kept)[: max(0, len(kept) - self.options.soft_rows)]

    def _wish(self, encoded: np.ndarray, rows: list[int], actions: Tensor) -> RtcTarget:
        """The soft rows with weights that fall exponentially, in the shape of `actions`."""
        wished, weights = torch.zeros_like(actions), torch.zeros(len(actions))
        first, left = int(self.embodiment.state_row), np.arange(len(rows), 0, -1) / (len(rows) + 1)
        places = [first + row for row in rows]
        wished[places, : encoded.shape[1]] = torch.from_numpy(encoded[rows]).to(wished)
        weights[places] = torch.from_numpy(left * np.expm1(left) / np.expm1(1)).to(weights)
        return RtcTarget(wished[None].to(self.model.device), weights.to(self.model.device))


def load_policy(
    path: str | Path,
    embodiment: Embodiment | str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    **options: Any,
) -> Cosmos3Policy:
    """Load a checkpoint folder for control alone (without the reasoner's parts). options: see `PolicyOptions`."""
    return Cosmos3Policy(load_model(path, device, dtype, reasoner=False), embodiment, **options)


def fit_embodiment(
    model: Model, embodiment: Embodiment | str | None, horizon: int = 0
) -> Embodiment:
    """The embodiment asked for, or the checkpoint's own, at the checkpoint's rate and chunk length."""
    trained = model.policy
    if embodiment is None:
        domain = trained.get("domain_name")
        named = trained.get("embodiment") or next(
            (e.name for e in EMBODIMENTS.values() if e.domain == domain), None
        )
        if named is None:
            raise ValueError(
                f"embodiment: {model.path} names none, expected one of {sorted(EMBODIMENTS)}"
            )
        embodiment = named
    body = find_embodiment(embodiment) if isinstance(embodiment, str) else embodiment
    if trained.get("domain_name", body.domain) != body.domain:
        trained_for = trained["domain_name"]
        raise ValueError(
            f"embodiment: {body.name} is of domain {body.domain!r}, the checkpoint of {trained_for!r}"
        )
    learned = EMBODIMENTS.get(trained.get("embodiment", ""), body)
    if (learned.kind, learned.relative, learned.normalization) != (
        body.kind,
        body.relative,
        body.normalization,
    ):
        raise ValueError(
            f"embodiment: the checkpoint was trained for {learned.name}, got {body.name}: other rows"
        )
    if body.width > model.config.action_width or body.domain_id >= model.config.domains:
        raise ValueError(
            f"embodiment: {body.name} needs {body.width} action channels in domain {body.domain_id}, "
            f"the checkpoint has {model.config.action_width} channels in {model.config.domains} domains"
        )
    longest = trained.get("action_chunk_size", body.horizon)
    if horizon > longest:
        raise ValueError(f"horizon: expected at most {longest} rows as trained, got {horizon}")
    step = round(NS / trained["conditioning_fps"]) if "conditioning_fps" in trained else body.step
    return dataclasses.replace(body, horizon=horizon or longest, step=step)


def _put(actions: Tensor, clean: Tensor, rows: list[int], values: np.ndarray) -> None:
    actions[rows, : values.shape[1]] = torch.from_numpy(values).to(actions)
    clean[rows] = True
