# SPDX-License-Identifier: Apache-2.0
"""Where denoising starts: what is known in its place, noise elsewhere; and the target of RTC."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..runtime.process_group import InferenceGroup


@dataclasses.dataclass(frozen=True, slots=True)
class RtcTarget:
    """Action rows that the sample is guided towards, as in real-time chunking (arXiv 2506.07339).

    The network's derivative is taken as the identity, so that nothing is propagated back; a step
    corrects its guess by the whole difference at most, because steps are few.
    """

    rows: Tensor  # float32 [1, rows, action_width]
    weights: Tensor  # float32 [rows], 0 to 1

    def guide(self, actions: Tensor, velocity: Tensor, time: float) -> Tensor:
        """The velocity at `actions`, changed so that its guess of the clean rows comes nearer."""
        sigma = time / 1000
        guess = actions - sigma * velocity
        strength = min(1.0, ((1 - sigma) ** 2 + sigma**2) / max(1 - sigma, 1e-3))
        return velocity - strength / sigma * self.weights[:, None] * (self.rows - guess)


def flatten(latents: Tensor, actions: Tensor | None) -> Tensor:
    """Latents and actions as one vector."""
    return torch.cat([part.flatten() for part in (latents, actions) if part is not None])


@dataclasses.dataclass(frozen=True, slots=True)
class DenoiserInput:
    """The sample that denoising starts from, and which of its numbers are known."""

    latents: Tensor  # float32 [1, C, T, h, w]
    clean_frames: Tensor  # bool [T], True: known
    fps: float
    actions: Tensor | None = None  # float32 [1, rows, action_width]
    clean_rows: Tensor | None = None  # bool [rows], True: known
    width: int = 0  # action channels in use; further ones are 0, but in a wider known row
    first_row: int = 1  # see `generator_positions`
    domain: int = 0  # number of the action head
    scale_single: bool = True  # see `generator_positions`
    rtc_target: RtcTarget | None = None
    # The video's tokens do not attend to the rows, see `Transformer.velocity`.
    hide_rows: bool = False
    decided: bool = False  # all rows are known: forward dynamics

    def flat(self) -> Tensor:
        """Latents and actions as one vector."""
        return flatten(self.latents, self.actions)

    def split(self, flat: Tensor) -> tuple[Tensor, Tensor | None]:
        """The inverse of `flat`."""
        count = self.latents.numel()
        actions = None if self.actions is None else flat[count:].view_as(self.actions)
        return flat[:count].view_as(self.latents), actions

    def guide(self, actions: Tensor, velocity: Tensor, time: float) -> Tensor:
        """A velocity of `actions` that is guided towards the RTC target, if there is one."""
        if self.rtc_target is None or time == 0:
            return velocity
        return self.rtc_target.guide(actions, velocity, time)

    def tensors(self) -> list[Tensor]:
        """All that changes from one observation to the next."""
        target = self.rtc_target
        parts = (self.latents, self.clean_frames, self.actions, self.clean_rows)
        targets = () if target is None else (target.rows, target.weights)
        return [part for part in (*parts, *targets) if part is not None]

    def filled(self, tensors: Sequence[Tensor]) -> DenoiserInput:
        """The same with other `tensors`."""
        rest = iter(tensors)
        latents, clean_frames = next(rest), next(rest)
        actions, clean_rows = (
            None if part is None else next(rest) for part in (self.actions, self.clean_rows)
        )
        target = None if self.rtc_target is None else RtcTarget(next(rest), next(rest))
        return dataclasses.replace(
            self,
            latents=latents,
            clean_frames=clean_frames,
            actions=actions,
            clean_rows=clean_rows,
            rtc_target=target,
        )

    def frozen(self, actions: Tensor) -> DenoiserInput:
        """The same known frames with these rows, all known: forward dynamics from mean noise.

        A sample drawn from the mean of the noise is nearer to what happens than one of many
        futures, and is always the same.
        """
        assert self.clean_rows is not None  # it has actions
        latents = torch.where(self.clean_frames[:, None, None], self.latents, 0)
        known = torch.ones_like(self.clean_rows)
        return dataclasses.replace(
            self,
            latents=latents,
            actions=actions,
            clean_rows=known,
            rtc_target=None,
            hide_rows=False,
            decided=True,
        )

    def without_future(self) -> DenoiserInput:
        """Latent frame 0 and the rows alone, for checkpoints that were trained for that too."""
        return dataclasses.replace(
            self, latents=self.latents[:, :, :1], clean_frames=self.clean_frames[:1]
        )

    def shape(self) -> tuple[Hashable, ...]:
        """All that stays from one observation to the next, and the shapes of what changes."""
        return (
            tuple(tensor.shape for tensor in self.tensors()),
            self.fps,
            self.width,
            self.first_row,
            self.domain,
            self.scale_single,
            self.rtc_target is None,
            self.hide_rows,
        )

    def clean_latents(self) -> Tensor:
        """Which latents must not change: bool, in the shape of `latents`."""
        return self.clean_frames[:, None, None].expand_as(self.latents)

    def clean_actions(self) -> Tensor:
        """Which numbers of the rows must not change: bool, in the shape of `actions`."""
        assert self.actions is not None  # who has none does not ask
        assert self.clean_rows is not None
        unused = torch.arange(self.actions.shape[2], device=self.actions.device) >= self.width
        return (self.clean_rows[:, None] | unused).expand_as(self.actions)

    def clean(self) -> Tensor:
        """Which numbers of `flat` must not change: bool, in the shape of `flat`."""
        return flatten(self.clean_latents(), None if self.actions is None else self.clean_actions())

    @staticmethod
    def joined(inputs: Sequence[DenoiserInput]) -> DenoiserInput:
        """Several inputs of one shape, without RTC target, one behind the other in the batch."""
        actions = [each.actions for each in inputs if each.actions is not None]
        return dataclasses.replace(
            inputs[0],
            latents=torch.cat([each.latents for each in inputs]),
            actions=torch.cat(actions) if actions else None,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ActionInput:
    """The action side of a `DenoiserInput`, before it is put together."""

    noise: Tensor  # float32 [rows, action_width], is not changed
    width: int  # action channels in use, of rows that are not known
    domain: int
    # row -> its numbers, as many in each row; those of a state may be more than `width`
    known: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    first_row: int = 1
    scale_single: bool = True
    rtc_target: RtcTarget | None = None


def build_input(
    noise: Tensor,
    seen: Tensor,
    known: Collection[int],
    fps: float,
    actions: ActionInput | None = None,
) -> DenoiserInput:
    """Noise with the known frames and rows in their places, on the device of `seen`.

    noise: float32 [1, C, T, h, w]; seen: latents of the first frames [1, C, n, h, w], of which the
    frames with indices `known` count.
    """
    device = seen.device
    latents = noise.to(device, copy=True, non_blocking=True)  # the host goes on, as below
    for frame in known:
        latents[:, :, frame] = seen[:, :, frame]
    clean_frames = torch.zeros(latents.shape[2], dtype=torch.bool)
    clean_frames[list(known)] = True
    if actions is None:
        return DenoiserInput(latents, clean_frames.to(device, non_blocking=True), fps)
    rows = actions.noise.clone()
    rows[:, actions.width :] = 0
    clean_rows = torch.zeros(len(rows), dtype=torch.bool)
    if actions.known:
        indices = list(actions.known)
        values = torch.from_numpy(np.stack([actions.known[index] for index in indices]))
        rows[indices, : values.shape[1]] = values.to(rows)
        clean_rows[indices] = True
    return DenoiserInput(
        latents,
        clean_frames.to(device, non_blocking=True),
        fps,
        rows[None].to(device, non_blocking=True),
        clean_rows.to(device, non_blocking=True),
        actions.width,
        actions.first_row,
        actions.domain,
        actions.scale_single,
        actions.rtc_target,
    )


def send_input(
    group: InferenceGroup, member: int, caption: str, inputs: DenoiserInput, seed: int
) -> None:
    """Order the member of the other processes to denoise `inputs`, after `caption`."""
    guided = inputs.rtc_target is not None
    group.order(member, len(caption.encode()), seed, guided, inputs.decided)
    group.send_text(caption)
    for tensor in inputs.tensors():
        group.send(tensor)


def receive_input(
    group: InferenceGroup, numbers: Sequence[int], like: DenoiserInput
) -> tuple[str, DenoiserInput, int]:
    """Caption, input and seed that `send_input` sends; numbers: those of its order.

    like: any input with the leader's shapes and constants, without an RTC target.
    """
    length, seed, guided, decided, *_ = numbers
    like = dataclasses.replace(
        like, decided=bool(decided), hide_rows=like.hide_rows and not decided
    )
    if guided and like.actions is not None:
        target = RtcTarget(like.actions, like.actions[0, :, 0])
        like = dataclasses.replace(like, rtc_target=target)
    caption = group.receive_text(length)
    tensors = [group.receive(torch.empty_like(tensor)) for tensor in like.tensors()]
    return caption, like.filled(tensors), seed
