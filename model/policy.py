# SPDX-License-Identifier: Apache-2.0
"""Cosmos 3 as a robot policy: observation in, action chunk and imagined future out."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cache import KVCache
from .denoiser import Denoiser, Guidance, Start, Wish, numpy_noise
from .embodiment import EMBODIMENTS, Embodiment, find_embodiment
from .interface import NS, ActionChunk, Future, Observation, Prediction
from .prompt import action_json, action_plain, framing
from .sampler import Schedule, checkpoint_schedule, flow_schedule
from .vae import frames_from_video, video_from_frames
from .weights import Model, load_model


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyOptions:
    """How a policy samples; the defaults are those of the released DROID policies.

    guidance_interval: network times (0..1000), guidance only strictly between them. seed: of the noise; deterministic:
    the same noise for every chunk. prompt_format: "json" or "plain". horizon: rows in a chunk, 0 for as trained.
    schedule: "flow" or "checkpoint" (what scheduler_config.json says). batched_guidance: see `Guidance`.
    soft_rows: the last so many committed rows are a wish that fades, not a decision.
    """

    num_steps: int = 4
    guidance: float = 3.0
    shift: float = 5.0
    guidance_interval: tuple[float, float] | None = None
    batched_guidance: bool = False
    seed: int = 0
    deterministic: bool = False
    prompt_format: str = "json"
    schedule: str = "flow"
    horizon: int = 0
    soft_rows: int = 0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ValueError(f"num_steps: expected at least 1, got {self.num_steps}")
        if not (math.isfinite(self.guidance) and math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"guidance and shift: expected finite, shift > 0, got {self.guidance} and {self.shift}")
        if self.prompt_format not in ("json", "plain"):
            raise ValueError(f"prompt_format: expected 'json' or 'plain', got {self.prompt_format!r}")
        if self.schedule not in ("flow", "checkpoint"):
            raise ValueError(f"schedule: expected 'flow' or 'checkpoint', got {self.schedule!r}")
        if self.horizon < 0 or self.soft_rows < 0:
            raise ValueError(f"horizon and soft_rows: expected 0 or more, got {self.horizon} and {self.soft_rows}")


class Cosmos3Policy:
    """A `Policy` on a loaded model. One thread at a time calls `infer`; `decode` may run beside it.

    embodiment: one of `EMBODIMENTS` by name or value; by default the one the checkpoint names. options: see
    `PolicyOptions`. ValueError if checkpoint and embodiment do not fit.
    """

    def __init__(self, model: Model, embodiment: Embodiment | str | None = None, **options: Any):
        if model.vae is None:
            raise ValueError("policy: the checkpoint was loaded without its generator (generator=False)")
        self.options = PolicyOptions(**options)
        self.model = model
        self.embodiment = fit_embodiment(model, embodiment, self.options.horizon)
        self._vae = model.vae
        self._denoiser = Denoiser(model)
        self._schedule = self._make_schedule()
        self._camera = framing(self.embodiment.viewpoint, self.embodiment.view_description)
        self.reset()

    def reset(self) -> None:
        """Forget everything about the running episode: the noise starts again from the seed."""
        self._seeds = np.random.default_rng(self.options.seed)

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        """Predict the chunk that follows `observation`; rows due while `committed` lasts come back as it has them.

        The last `soft_rows` of them need not: the new rows are drawn towards those, less and less.

        ValueError names a missing view, a wrong state or names that differ, before anything is computed.
        """
        body = self.embodiment
        body.check_state(observation.state)
        kept = self._committed_rows(observation.stamp, committed)
        clock = _Clock(self.model.device)
        canvas = body.compose(observation.images)
        clock.lap("compose")
        text, negative = self._denoiser.read(self.caption(observation.instruction)), self._denoiser.read("")
        clock.lap("text")
        seen = self._encode(canvas)
        clock.lap("encode")
        seed = self.options.seed if self.options.deterministic else int(self._seeds.integers(0, 2**31))
        start = self._start(seen, observation.state, kept, seed)
        latents, rows = self._denoise(start, text, negative, seed)
        clock.lap("denoise")
        values = body.decode_actions(rows[int(body.state_row) :, : body.width], observation.state)
        if not np.isfinite(values).all():
            raise ValueError("policy: the network returned values that are not finite; its weights may be damaged")
        for row in self._decided(kept):
            values[row] = kept[row]
        chunk = ActionChunk(values, body.action_names, observation.stamp, body.step, body.discrete)
        return Prediction(chunk, clock.seconds, latents)

    def decode(self, prediction: Prediction) -> Future:
        """The video that goes with a prediction of this policy."""
        frames = frames_from_video(self._vae.decode(prediction.latents))[: self.embodiment.horizon + 1]
        return Future(frames, prediction.chunk.stamp, self.embodiment.step)

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

    def _encode(self, canvas: np.ndarray) -> Tensor:
        """The observed picture as latent frame 0, without the latents that are only padding: [1, C, 1, h, w]."""
        latent = self._vae.encode(video_from_frames(canvas[None], self.model.device))
        height, width = (side // self._vae.spatial for side in self.embodiment.canvas.content)
        return latent[..., :height, :width]

    def _committed_rows(self, stamp: int, committed: ActionChunk | None) -> dict[int, np.ndarray]:
        """Which rows of the new chunk are already decided, and their commands."""
        if committed is None:
            return {}
        body = self.embodiment
        if committed.names != body.action_names:
            raise ValueError(f"committed.names: expected {body.action_names}, got {committed.names}")
        due = stamp + body.step * np.arange(1, body.horizon + 1)
        first = committed.start - committed.step // 2  # stamps jitter by less than half a row
        kept = {row: committed.at(int(now)) for row, now in enumerate(due) if now >= first}
        return {row: command for row, command in kept.items() if command is not None}

    def _start(self, seen: Tensor, state: np.ndarray, kept: dict[int, np.ndarray], seed: int) -> Start:
        """Noise, with the seen frame, the state row and the decided rows in their places."""
        body, device = self.embodiment, self.model.device
        frames = 1 + math.ceil(body.horizon / self._vae.temporal)
        shape = (*seen.shape[:2], frames, *seen.shape[3:])
        latents = numpy_noise(shape, seed, device)
        latents[:, :, :1] = seen
        first = int(body.state_row)
        actions = numpy_noise((first + body.horizon, self.model.config.action_width), seed, device)
        actions[:, body.width :] = 0
        clean_rows = torch.zeros(len(actions), dtype=torch.bool, device=device)
        if first:
            _put(actions, clean_rows, [0], body.encode_state(state)[None])
        soft = sorted(kept)[len(self._decided(kept)) :]
        if kept:
            last = max(kept) + 1
            values = np.stack([kept.get(row, kept[min(kept)]) for row in range(last)])
            encoded = body.encode_actions(values, state)
            decided = self._decided(kept)
            _put(actions, clean_rows, [first + row for row in decided], encoded[decided])
        clean_frames = torch.arange(frames, device=device) == 0
        return Start(
            latents,
            clean_frames,
            body.fps,
            actions[None],
            clean_rows,
            body.width,
            1 - first,
            domain=body.domain_id,
            wish=self._wish(encoded, soft, actions) if soft else None,
        )

    def _decided(self, kept: dict[int, np.ndarray]) -> list[int]:
        """The committed rows but the soft ones."""
        return sorted(kept)[: max(0, len(kept) - self.options.soft_rows)]

    def _wish(self, encoded: np.ndarray, rows: list[int], actions: Tensor) -> Wish:
        """The soft rows with weights that fall exponentially, in the shape of `actions`."""
        wished, weights = torch.zeros_like(actions), torch.zeros(len(actions), device=actions.device)
        first, left = int(self.embodiment.state_row), np.arange(len(rows), 0, -1) / (len(rows) + 1)
        places = [first + row for row in rows]
        wished[places, : encoded.shape[1]] = torch.from_numpy(encoded[rows]).to(wished)
        weights[places] = torch.from_numpy(left * np.expm1(left) / np.expm1(1)).to(weights)
        return Wish(wished[None], weights)

    def _denoise(self, start: Start, text: KVCache, negative: KVCache, seed: int) -> tuple[Tensor, np.ndarray]:
        options = self.options
        guidance = Guidance(options.guidance, options.guidance_interval, options.batched_guidance)
        latents, actions = self._denoiser.run(start, text, negative, self._schedule, guidance, seed)
        assert actions is not None  # `start` has actions
        return latents, actions[0].cpu().numpy()


def load_policy(
    path: str | Path,
    embodiment: Embodiment | str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    **options: Any,
) -> Cosmos3Policy:
    """Load a checkpoint folder for control alone (without the reasoner's parts). options: see `PolicyOptions`."""
    return Cosmos3Policy(load_model(path, device, dtype, reasoner=False), embodiment, **options)


def fit_embodiment(model: Model, embodiment: Embodiment | str | None, horizon: int = 0) -> Embodiment:
    """The embodiment asked for, or the checkpoint's own, at the checkpoint's rate and chunk length."""
    trained = model.policy
    if embodiment is None:
        domain = trained.get("domain_name")
        named = trained.get("embodiment") or next((e.name for e in EMBODIMENTS.values() if e.domain == domain), None)
        if named is None:
            raise ValueError(f"embodiment: {model.path} names none, expected one of {sorted(EMBODIMENTS)}")
        embodiment = named
    body = find_embodiment(embodiment) if isinstance(embodiment, str) else embodiment
    if trained.get("domain_name", body.domain) != body.domain:
        trained_for = trained["domain_name"]
        raise ValueError(f"embodiment: {body.name} is of domain {body.domain!r}, the checkpoint of {trained_for!r}")
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


class _Clock:
    """Seconds per stage; waits for the device, or a stage would seem to take no time."""

    def __init__(self, device: torch.device):
        self.seconds: dict[str, float] = {}
        self._cuda = device.type == "cuda"
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        if self._cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
