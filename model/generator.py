# SPDX-License-Identifier: Apache-2.0
"""The generator in all its modes: to images and videos, forward and inverse dynamics, policy.

A text, an image or a video leads to an image or a video, with actions known or predicted.

With reference=True everything follows diffusers' Cosmos3OmniPipeline to the last digit (its
prompts, noise, schedule, and whole clips through the autoencoder); without, NVIDIA's framework, and
only pixels that condition are encoded.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .autoencoder.tiled_decoder import Tile
from .autoencoder.vae import frames_from_video, video_from_frames
from .checkpoint_io.student import LEVELS
from .diffusion.conditioning import ActionInput, DenoiserInput, build_input
from .diffusion.denoiser import Denoiser, Progress, numpy_noise
from .diffusion.guidance import Guidance
from .diffusion.sampler import Schedule, checkpoint_schedule, flow_schedule
from .embodiment.canvas import cover, pad, shrink
from .embodiment.table import nearest
from .interface import check_image
from .language.captions import (
    SYSTEM_IMAGE,
    SYSTEM_VIDEO,
    TIERS,
    action_json,
    framing,
    is_structured,
    nearest_aspect_ratio,
    video_caption,
)
from .loaded_model import Model

ACTION_MODES = ("policy", "forward_dynamics", "inverse_dynamics")


@dataclasses.dataclass(frozen=True, slots=True)
class ActionRequest:
    """The action side of a request, in the model's own numbers (see `Embodiment` for robot units).

    mode: "policy" (frame 0 known), "forward_dynamics" (frame 0 and all rows known) or
    "inverse_dynamics" (all frames known).
    """

    mode: str
    rows: int  # transitions, so there are rows + 1 frames
    domain: int  # number of the action head
    width: int  # action channels in use
    tier: str = "480"  # resolution, see `captions.TIERS`
    viewpoint: str = "ego_view"
    view_description: str = ""
    values: np.ndarray | None = None  # float32 [rows, width], the known rows of forward dynamics

    def __post_init__(self) -> None:
        if self.mode not in ACTION_MODES:
            raise ValueError(
                f"action.mode: expected one of {ACTION_MODES}, got {self.mode!r}"
                f"{nearest(self.mode, ACTION_MODES)}"
            )
        if self.tier not in TIERS:
            raise ValueError(f"action.tier: expected one of {sorted(TIERS)}, got {self.tier!r}")
        if self.rows < 1:
            raise ValueError(f"action.rows: expected at least 1, got {self.rows}")
        if (self.mode == "forward_dynamics") != (self.values is not None):
            raise ValueError(
                "action.values: expected for forward_dynamics and only there, mode is "
                f"{self.mode!r}"
            )
        if self.values is not None and self.values.shape != (self.rows, self.width):
            expected, got = [self.rows, self.width], list(self.values.shape)
            raise ValueError(f"action.values: expected {expected}, got {got}")
        if self.values is not None and not np.isfinite(self.values).all():
            raise ValueError("action.values: expected finite values, got NaN or infinite ones")


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What to generate. The mode follows from what is given, as in diffusers."""

    prompt: str  # a sentence, or a structured caption, which holds its duration and size
    frames: int = 1  # 1 without action: an image
    size: tuple[int, int] = (0, 0)  # H, W, multiples of 16; an action has its tier instead
    fps: float = 24.0
    negative: str = ""
    image: np.ndarray | None = None  # uint8 [H, W, 3], the first frame
    # uint8 [T, H, W, 3]: the first five frames, or with an action the clip that it is about
    video: np.ndarray | None = None
    known: tuple[int, ...] = (0, 1)  # indices of the latent frames of `video` that are known
    action: ActionRequest | None = None
    steps: int = 35
    guidance: Guidance = dataclasses.field(default_factory=lambda: Guidance(6.0))
    shift: float = 10.0  # of the flow schedule; 0: the schedule that the checkpoint ships
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("prompt: expected a sentence, got an empty string")
        if self.image is not None and self.video is not None:
            raise ValueError("image and video: expected at most one of them, got both")
        for name, picture in (
            ("image", self.image),
            ("video[0]", None if self.video is None else self.video[0]),
        ):
            if picture is not None:
                check_image(name, picture)
        if not self.fps > 0:
            raise ValueError(f"fps: expected a positive number, got {self.fps}")
        if self.action is not None:
            self._check_action(self.action)
        elif self.frames < 1 or min(self.size) < 16 or self.size[0] % 16 or self.size[1] % 16:
            raise ValueError(
                "frames, size: expected >= 1 and multiples of 16, got "
                f"{self.frames} and {self.size}"
            )
        elif self.video is not None and max(self.known) > (self.frames - 1) // 4:
            raise ValueError(f"known: latents {self.known} do not fit into {self.frames} frames")

    def _check_action(self, action: ActionRequest) -> None:
        if self.image is None and self.video is None:
            raise ValueError(f"image or video: expected one of them for {action.mode}, got none")
        if action.mode == "inverse_dynamics" and self.video is None:
            raise ValueError("video: expected for inverse_dynamics, got none")


@dataclasses.dataclass(frozen=True, slots=True)
class Generated:
    """latents float32 [1, 48, t, h, w] for `Generator.decode`.

    Actions float32 [rows, width] if any were predicted.
    """

    latents: Tensor
    actions: np.ndarray | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Condition:
    """What is known before denoising."""

    latents: Tensor  # [1, C, n, h, w], the first n latent frames
    known: tuple[int, ...]  # indices of those that count
    frames: int
    size: tuple[int, int]


class Generator:
    """Images, videos and actions from one loaded model."""

    def __init__(self, model: Model, reference: bool = False):
        if model.vae is None:
            raise ValueError(
                "generator: the checkpoint was loaded without its generator (generator=False)"
            )
        self.model = model
        self.reference = reference
        self._vae = model.vae
        self._denoiser = Denoiser(model)

    def generate(self, request: Request, progress: Progress | None = None) -> Generated:
        """Everything but decoding the video; progress: is called after each step."""
        self._check_width(request.action)
        condition = self._condition(request)
        wanted, unwanted, system = self._captions(request, condition)
        text, negative = self._denoiser.read(wanted, system), self._denoiser.read(unwanted, system)
        inputs = self._input(request, condition)
        guidance = dataclasses.replace(request.guidance, precise=self.reference)
        latents, rows = self._denoiser.run(
            inputs,
            text,
            negative,
            self._schedule(request),
            guidance,
            request.seed,
            progress=progress,
        )
        action = request.action
        if rows is None or action is None or action.mode == "forward_dynamics":
            return Generated(latents, None)
        return Generated(latents, rows[0, :, : action.width].cpu().numpy())

    def steps(self, request: Request) -> int:
        """How many steps `generate` takes."""
        return len(self._schedule(request).times)

    def decode(self, generated: Generated, tile: Tile | None = None) -> np.ndarray:
        """The video of what was generated: uint8 [T, H, W, 3].

        tile: decode so large a part at a time, into the host's memory.
        """
        if tile is not None:
            return frames_from_video(self._vae.decode_tiled(generated.latents, tile))
        return frames_from_video(self._vae.decode(generated.latents))

    def _check_width(self, action: ActionRequest | None) -> None:
        config = self.model.config
        if action is not None and (
            action.width > config.action_width or action.domain >= config.domains
        ):
            has = f"{config.action_width} channels in {config.domains} domains"
            raise ValueError(
                f"action: {action.width} channels in domain {action.domain}, the checkpoint has "
                f"{has}"
            )

    def _schedule(self, request: Request) -> Schedule:
        fixed = LEVELS in self.model.scheduler
        if fixed or self.reference or not request.shift:
            native = bool(self.model.index.get("use_native_flow_schedule"))
            return checkpoint_schedule(self.model.scheduler, request.steps, native)
        return flow_schedule(request.steps, request.shift)

    def _captions(self, request: Request, condition: _Condition) -> tuple[str, str, str]:
        """The prompt, what to stay away from, and the system message."""
        shape = (condition.frames, request.fps, condition.size)
        action = request.action
        system = ""
        if self.reference and self.model.index.get("default_use_system_prompt", True):
            system = SYSTEM_IMAGE if condition.frames == 1 else SYSTEM_VIDEO
        if action is None:
            unwanted = request.negative
            if self.reference:
                unwanted = video_caption(unwanted, *shape, negative=True)
            elif is_structured(request.prompt):
                return request.prompt, unwanted, system
            return video_caption(request.prompt, *shape), unwanted, system
        if self.reference:
            camera, ratio = framing(action.viewpoint), nearest_aspect_ratio(*condition.size)
        else:
            camera, ratio = framing(action.viewpoint, action.view_description), None
        return action_json(request.prompt, *shape, camera, ratio=ratio), request.negative, system

    def _condition(self, request: Request) -> _Condition:
        """Fit the known pixels into the picture and encode them."""
        clip = request.image[None] if request.image is not None else request.video
        if request.action is not None and clip is not None:
            return self._action_condition(request.action, clip)
        frames, size = request.frames, request.size
        if clip is None or (frames == 1 and request.image is not None):
            shape = (
                1,
                self.model.config.latent_channels,
                0,
                *(side // self._vae.spatial for side in size),
            )
            return _Condition(torch.zeros(shape, device=self.model.device), (), frames, size)
        known = (0,) if request.image is not None else request.known
        used = clip[: 1 + self._vae.temporal * max(known)]
        video = video_from_frames(
            np.stack([cover(frame, size) for frame in used]), self.model.device
        )
        return _Condition(self._encode(video, known, frames), known, frames, size)

    def _action_condition(self, action: ActionRequest, clip: np.ndarray) -> _Condition:
        """As `_condition`, for a clip of any size: shrunk into its tier, padded, encoded, cut."""
        frames = action.rows + 1
        count = 1 + action.rows // self._vae.temporal
        known = tuple(range(count)) if action.mode == "inverse_dynamics" else (0,)
        height, width = clip.shape[1:3]
        ratios = [
            size for name, size in TIERS[action.tier].items() if name != "2,3" or not self.reference
        ]
        size = min(ratios, key=lambda size: abs(size[0] / size[1] - height / width))
        scale = min(size[0] / height, size[1] / width, 1.0)
        content = (max(1, int(scale * height + 0.5)), max(1, int(scale * width + 0.5)))
        if self.reference:
            video = _fit_as_diffusers(video_from_frames(clip, self.model.device), content, size)
        else:
            fitted = [pad(shrink(frame, content), size) for frame in clip[: 1 + 4 * max(known)]]
            video = video_from_frames(np.stack(fitted), self.model.device)
        latents = self._encode(video, known, frames)
        rows, columns = (max(side // self._vae.spatial, 1) for side in content)
        return _Condition(latents[..., :rows, :columns], known, frames, size)

    def _encode(self, video: Tensor, known: tuple[int, ...], frames: int) -> Tensor:
        """Latents of the known frames.

        A clip that is too short is continued with its last frame.
        """
        wanted = frames if self.reference else 1 + self._vae.temporal * max(known)
        missing = max(0, wanted - video.shape[2])
        video = torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
        return self._vae.encode(video[:, :, :wanted])

    def _input(self, request: Request, condition: _Condition) -> DenoiserInput:
        """Noise, with all that is known in its place."""
        seen, action = condition.latents, request.action
        count = 1 + (condition.frames - 1) // self._vae.temporal
        shape = (1, seen.shape[1], count, *seen.shape[3:])
        row_shape = (action.rows, self.model.config.action_width) if action else (0, 0)
        noise, row_noise = self._noise(shape, row_shape, request.seed)
        actions = None
        if action is not None:
            actions = ActionInput(
                row_noise,
                action.width,
                action.domain,
                {} if action.values is None else dict(enumerate(action.values)),
                scale_single=not self.reference,
            )
        return build_input(noise, seen, condition.known, request.fps, actions)

    def _noise(
        self, shape: tuple[int, ...], rows: tuple[int, int], seed: int
    ) -> tuple[Tensor, Tensor]:
        device = self.model.device
        if not self.reference:
            return numpy_noise(shape, seed, device), numpy_noise(rows, seed, device)
        source = torch.Generator().manual_seed(seed)
        vision = torch.randn(shape, generator=source)  # one source for both, in this order
        return vision.to(device), torch.randn(rows, generator=source).to(device)


def _fit_as_diffusers(video: Tensor, content: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Resize and pad in floating point; exact for clips whose sides are multiples of 16."""
    frames = video[0].transpose(0, 1)
    if frames.shape[2:] != content:
        frames = functional.interpolate(
            frames, content, mode="bicubic", align_corners=False, antialias=True
        )
    below, right = size[0] - content[0], size[1] - content[1]
    mode = "replicate" if right >= content[1] or below >= content[0] else "reflect"
    frames = functional.pad(frames, (0, right, 0, below), mode=mode)
    return frames.transpose(0, 1).unsqueeze(0)
