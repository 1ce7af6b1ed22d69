# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse dynamics of one window: the video of commands, the commands of a video.

The modes `forward_dynamics` and `inverse_dynamics` of Cosmos 3 (arXiv 2606.02800), with the canvas,
the rows and the caption of a policy's embodiment.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from .autoencoder.vae import frames_from_video, video_from_frames
from .diffusion.conditioning import DenoiserInput
from .diffusion.denoiser import numpy_noise
from .embodiment.canvas import pad
from .interface import ActionChunk, Observation, Prediction
from .network.kv_cache import KVCache
from .policy import Cosmos3Policy


class Dynamics:
    """The world model of a policy's checkpoint; it samples with the policy's options.

    A window is the policy's chunk: `horizon` rows between `horizon + 1` frames. Frames are canvases
    as `Embodiment.compose` makes them, uint8 [T, H, W, 3], with or without padding; of an
    observation only the state, the instruction and the stamp count.
    """

    def __init__(self, policy: Cosmos3Policy):
        if policy.model.team:
            raise ValueError("dynamics: expected a policy that one process computes")
        self.policy = policy
        self.embodiment = policy.embodiment

    def infer_actions(self, frames: np.ndarray, observation: Observation) -> ActionChunk:
        """Inverse dynamics: the commands between two frames and the next, rows 0 .. T - 2.

        frames: 2 to `horizon + 1`; a shorter window is continued with its last frame. The
        observation is that of the first frame. ValueError if the network's rows are not finite.
        """
        policy, rows = self.policy, len(frames) - 1
        self._check(rows)
        policy.embodiment.check_state(observation.state)
        with policy.model.lock, policy.stream:
            latents = self.encode(frames)
            text = self._read(observation.instruction, idle=False)
            noise = numpy_noise(policy.row_shape, policy.options.seed)
            known = range(latents.shape[2])
            inputs = policy.denoiser_input(latents, observation.state, latents, noise, known)
            actions = self._denoise(inputs, text)[1]
            assert actions is not None  # `inputs` has actions
            found = actions[0].float().cpu().numpy()
        chunk = policy.chunk(found, observation)
        return dataclasses.replace(chunk, values=chunk.values[:rows])

    def predict_frames(
        self, first: np.ndarray, values: np.ndarray, observation: Observation, drawn: bool = False
    ) -> np.ndarray:
        """Forward dynamics: what is seen while commands are played, uint8 [N + 1, h, w, 3].

        first: the canvas seen before, [H, W, 3]; values: float32 [N, D], N up to `horizon`. The
        frames are the canvas's content, without padding; frame 0 is `first` as the autoencoder
        reproduces it. drawn: one of the possible futures, from the noise of the options' seed; else
        from the mean of the noise, which is nearest to what happens.
        """
        policy, embodiment, rows = self.policy, self.embodiment, len(values)
        self._check(rows)
        missing = np.repeat(values[-1:], embodiment.horizon - rows, axis=0)
        whole = np.concatenate([values, missing]).astype(np.float32)
        chunk = ActionChunk(
            whole,
            embodiment.action_names,
            observation.stamp,
            embodiment.step,
            embodiment.discrete,
        )
        shape = (1, *policy.latent_shape)
        noise = numpy_noise(shape, policy.options.seed) if drawn else torch.zeros(shape)
        with policy.model.lock, policy.stream:
            seen = self.encode(first[None])
            text = self._read(observation.instruction, idle=True)
            inputs = policy.denoiser_input(
                seen,
                observation.state,
                noise,
                torch.zeros(policy.row_shape),
                kept=dict(enumerate(whole)),
            )
            latents = self._denoise(inputs, text)[0]
            policy.stream.wait()  # another stream decodes them
        return policy.decode(Prediction(chunk, {}, latents)).frames[: rows + 1]

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """The frames after the autoencoder alone, without the canvas's padding."""
        vae = self.policy.model.vae
        assert vae is not None  # a policy has one
        return frames_from_video(vae.decode(self.encode(frames)))[: len(frames)]

    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents [1, C, t, h, w] of canvases, without those of padding.

        One frame, or a window, which is continued with its last frame to a whole one.
        """
        vae = self.policy.model.vae
        assert vae is not None  # a policy has one
        _, count, height, width = self.policy.latent_shape
        length = 1 if len(frames) == 1 else 1 + vae.temporal * (count - 1)
        padded = np.stack([pad(frame, self.embodiment.canvas.size) for frame in frames])
        longer = np.concatenate([padded, np.repeat(padded[-1:], length - len(padded), axis=0)])
        video = video_from_frames(longer, self.policy.model.device)
        return vae.encode(video)[..., :height, :width]

    def _check(self, rows: int) -> None:
        if not 1 <= rows <= self.embodiment.horizon:
            raise ValueError(
                f"dynamics: expected 1 to {self.embodiment.horizon} rows in a window, got {rows}"
            )

    def _read(self, instruction: str, idle: bool) -> KVCache:
        denoiser = self.policy.denoiser
        return denoiser.read(denoiser.checked(self.policy.caption(instruction, idle)))

    def _denoise(self, inputs: DenoiserInput, text: KVCache) -> tuple[Tensor, Tensor | None]:
        policy = self.policy
        negative = text if policy.guidance.scale == 1 else policy.denoiser.read("")
        return policy.denoiser.run(
            inputs, text, negative, policy.schedule, policy.guidance, policy.options.seed
        )
