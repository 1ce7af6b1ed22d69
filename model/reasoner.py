# SPDX-License-Identifier: Apache-2.0
"""The reasoner: the text tower as a vision-language model, asked about images and video.

It runs on the very weights that the generator reads its prompts with; only the vision encoder is
its own.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .checkpoint_io.loader import load_model
from .checkpoint_io.surfaces import end_tokens
from .checkpoint_io.yes_temperature import yes_temperature
from .embodiment.table import nearest
from .interface import Answer, Clip, check_image
from .language.chat import Turn
from .language.decode_loop import DecodeLoopPool
from .language.plain_words import PromptError, check_text, control_tokens
from .language.question_templates import TASKS, parse_boxes, split_thought
from .language.token_logprobs import LogprobReader, TokenLogprob
from .language.token_sampling import GREEDY, Sampling, TokenPicker, TokenTransfer, pieces
from .language.vision_cache import Picture, VisionCache
from .language.vision_encoder import Grid, VisionEncoder, retained, sample_frames, timestamps
from .language.yes_or_no import YesOrNo
from .loaded_model import Model

_NESTED = 8  # how often what is left without control tokens may read as another one


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """What the text tower starts from."""

    ids: Tensor  # int64 [L]
    embeds: Tensor  # [1, L, hidden]
    positions: Tensor  # int64 [3, L]
    deepstack: list[Tensor]  # [1, L, hidden] each
    position: int  # of the next token
    seconds: dict[str, float]  # of each stage so far


def spread(
    ids: Sequence[int], placeholders: Sequence[int], frames: Sequence[tuple[int, int]]
) -> tuple[Tensor, Tensor, int]:
    """Repeat each placeholder for the tokens of its frame, and give every token its position.

    m-RoPE as in Qwen2-VL (arXiv 2409.12191). ids: one placeholder (an id in `placeholders`) per
    frame; frames: rows and columns of tokens, in that order. Text counts on one by one in all three
    axes; a frame stands still in time, counts rows and columns, and takes as many positions as its
    longer side. Returns ids [L], positions [3, L] and the position after the last.
    """
    rest = iter(frames)
    out: list[int] = []
    blocks: list[np.ndarray] = []
    position = 0
    for token in ids:
        rows, columns = next(rest) if token in placeholders else (1, 1)
        out += [token] * (rows * columns)
        blocks.append(np.indices((1, rows, columns)).reshape(3, -1) + position)
        position += max(rows, columns)
    return torch.tensor(out), torch.from_numpy(np.concatenate(blocks, axis=1)), position


class Cosmos3Reasoner:
    """Answers questions; implements the `Reasoner` protocol of interface.py.

    model: the loaded checkpoint, whose transformer has its lm_head; without a vision encoder it
    answers questions about text only. max_tokens: of an answer; max_prompt: most tokens of a
    question with its pictures; system: a system message to start every chat with. sampling and
    video_pruning_rate (the share of a video's tokens to leave out, in [0, 1)) are for the questions
    that do not say otherwise.
    """

    def __init__(
        self,
        model: Model,
        max_tokens: int = 128,
        sampling: Sampling = GREEDY,
        max_prompt: int = 16384,
        system: str = "",
        video_pruning_rate: float = 0.0,
    ):
        if model.transformer.head is None:
            raise ValueError(
                f"{model.path}: loaded without its lm_head, expected load_model(..., reasoner=True)"
            )
        self.transformer = model.transformer
        self.tokenizer = model.tokenizer
        self.vision = cast("VisionEncoder | None", model.vision)
        self._vision_cache = VisionCache(self.vision, model.device) if self.vision else None
        self.max_tokens = max_tokens
        self.sampling = sampling
        self.max_prompt = max_prompt
        self.system = system
        self.video_pruning_rate = _check_pruning(video_pruning_rate)
        self.stop = stop_tokens(model)
        self._decoders = DecodeLoopPool(model)
        self._yes_or_no = YesOrNo(self.tokenizer, yes_temperature(model.path))
        self._reserved = set(control_tokens(self.tokenizer))
        self._reserved |= {*dataclasses.astuple(self.vision.media)} if self.vision else set()

    def ask(
        self,
        question: str,
        images: Sequence[np.ndarray | Clip] = (),
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Answer:
        """Answer `question` about `images` (uint8 [H, W, 3] each), in at most `max_tokens` tokens.

        Among them there may be videos.

        Raises ValueError for an empty question, one that is too long or holds reserved tokens, and
        for a bad image.
        """
        return self._answer(self._limit(max_tokens), sampling, self.prompt(question, images))

    def solve(
        self, task: str, subject: str = "", images: Sequence[np.ndarray] = (), think: bool = False
    ) -> tuple[Any, Answer]:
        """Ask the question of one of `question_templates.TASKS`.

        Returns its parsed result and the whole answer.
        """
        if task not in TASKS:
            close = nearest(task, TASKS) or ","
            raise ValueError(f"task: unknown {task!r}{close} expected one of {sorted(TASKS)}")
        answer = self.ask(TASKS[task].question(subject, think), images)
        return TASKS[task].parse(answer.text), answer

    def ask_video(
        self,
        question: str,
        frames: Sequence[np.ndarray],
        fps: float,
        rate: float = 2.0,
        pruning: float | None = None,
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Answer:
        """Answer `question` about a video.

        frames: uint8 [H, W, 3] at `fps`, of which about `rate` a second are used; pruning: share of
        the video's tokens to leave out (efficient video sampling), in [0, 1), instead of
        `video_pruning_rate`.
        """
        limit = self._limit(max_tokens)
        return self._answer(
            limit, sampling, self.video_prompt(question, frames, fps, rate, pruning)
        )

    def stream(
        self,
        question: str,
        images: Sequence[np.ndarray] = (),
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[str]:
        """Like `ask`, but yields the text as it comes, thought included.

        Bad input is refused at the call.
        """
        limit = self._limit(max_tokens)
        return pieces(self.tokens(self.prompt(question, images), limit, sampling), self.tokenizer)

    def prompt(self, question: str, images: Sequence[np.ndarray | Clip] = ()) -> Prompt:
        """What the text tower reads for a question about images and videos."""
        return self.chat([Turn("user", (*images, question))])

    def video_prompt(
        self,
        question: str,
        frames: Sequence[np.ndarray],
        fps: float,
        rate: float = 2.0,
        pruning: float | None = None,
    ) -> Prompt:
        """What the text tower reads for a question about a video.

        Each patch of frames stands after its time in seconds.
        """
        share = self.video_pruning_rate if pruning is None else _check_pruning(pruning)
        indices = sample_frames(len(frames), fps, rate)
        clip = Clip([frames[index] for index in indices], indices, fps)
        return self._read([Turn("user", (clip, question))], share)

    def chat(self, turns: Sequence[Turn]) -> Prompt:
        """What the text tower reads for a conversation, whose last turn is the user's.

        Raises ValueError as `ask` does, and if somebody else had the last word.
        """
        if not turns or turns[-1].role != "user":
            raise ValueError(
                f"turns: expected the user's last, got {[turn.role for turn in turns]}"
            )
        return self._read(turns, self.video_pruning_rate)

    @torch.inference_mode()
    def tokens(
        self,
        prompt: Prompt,
        max_tokens: int,
        sampling: Sampling | None = None,
        see: Callable[[Tensor], None] = lambda scores: None,
    ) -> Iterator[int]:
        """The tokens of the answer as they are decided, without the one that ends it.

        see: is called with the scores of each before it is chosen, float32 [vocab], whose memory
        the next ones may take.
        """
        since = time.perf_counter()
        decoder = self._decoders.take()
        try:
            scores = self._decoders.read(
                decoder,
                prompt.embeds,
                prompt.positions,
                prompt.deepstack,
                prompt.position,
                max_tokens,
            )
            since = self._lap(prompt.seconds, "prefill", since)
            pick = TokenPicker(sampling or self.sampling, prompt.ids, len(scores))
            for left in reversed(range(max_tokens)):
                see(scores)
                chosen = pick(scores)
                transfer = TokenTransfer(pick.said(chosen))
                if left and self._decoders.ahead:
                    scores = self._decoders.step(decoder, chosen)
                token = transfer.wait()
                prompt.seconds["decode"] = time.perf_counter() - since
                if token in self.stop:
                    return
                yield token
                if left and not self._decoders.ahead:
                    scores = self._decoders.step(decoder, chosen)
        finally:
            self._decoders.give(decoder)

    def scored_tokens(
        self, prompt: Prompt, max_tokens: int, sampling: Sampling | None = None, top: int = 0
    ) -> Iterator[TokenLogprob]:
        """Like `tokens`, each with its log-probability and those of the `top` likeliest."""
        reader = LogprobReader(top)
        for token in self.tokens(prompt, max_tokens, sampling, reader.see):
            yield reader.read(token)

    def _answer(self, limit: int, sampling: Sampling | None, prompt: Prompt) -> Answer:
        yes: list[float] = []

        def note(scores: Tensor) -> None:
            if not yes:
                yes.append(self._yes_or_no.probability(scores))

        tokens = list(self.tokens(prompt, limit, sampling, note))
        thought, text = split_thought(self.tokenizer.decode(tokens))
        return Answer(text, thought, parse_boxes(text), len(tokens), prompt.seconds, *yes)

    def _limit(self, max_tokens: int | None) -> int:
        limit = self.max_tokens if max_tokens is None else max_tokens
        if limit < 1:
            raise ValueError(f"max_tokens: expected at least 1, got {limit}")
        return limit

    def _encoder(self) -> VisionEncoder:
        return self._cache().vision_encoder

    def _cache(self) -> VisionCache:
        if self._vision_cache is None:
            raise ValueError(
                "this checkpoint has no vision_encoder: expected a question without images or video"
            )
        return self._vision_cache

    @torch.inference_mode()
    def _read(self, turns: Sequence[Turn], pruning: float) -> Prompt:
        since = time.perf_counter()
        media = [part for turn in turns for part in turn.parts if not isinstance(part, str)]
        for number, image in enumerate(part for part in media if not isinstance(part, Clip)):
            check_image(f"images[{number}]", image)
        ids = self.tokenize(turns)
        return self._embed(ids, [self._cache().picture(part) for part in media], pruning, since)

    def tokenize(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of the chat up to where the answer begins, with one placeholder per frame."""
        if self.system and turns[0].role != "system":
            turns = [Turn("system", (self.system,)), *turns]
        written = [
            {"role": turn.role, "content": "".join(self._write(turn.role, p) for p in turn.parts)}
            for turn in turns
        ]
        chat = self.tokenizer.apply_chat_template(
            written, tokenize=False, add_generation_prompt=True
        )
        return self.tokenizer(chat, add_special_tokens=False).input_ids

    def _write(self, role: str, part: str | np.ndarray | Clip) -> str:
        """A part of a turn as it stands in the chat.

        Words as they are, a placeholder for a picture, or one for each frame after its time.
        """
        if isinstance(part, str):
            return self._words(role, part)
        vision_encoder = self._encoder()
        if not isinstance(part, Clip):
            return self._frame(vision_encoder.media.image)
        stamps = timestamps(part.indices, part.fps, vision_encoder.pixels.temporal)
        return "".join(
            f"<{seconds:.1f} seconds>{self._frame(vision_encoder.media.video)}"
            for seconds in stamps
        )

    def _words(self, role: str, text: str) -> str:
        """The words of a turn; control tokens are refused, and left out of what the model said."""
        what = "question" if role == "user" else role
        check_text(what, text)
        for tries in reversed(range(1 + _NESTED if role == "assistant" else 1)):
            words = self.tokenizer(text, add_special_tokens=False).input_ids
            used = self._reserved.intersection(words)
            if not used:
                break
            if not tries:
                got = self.tokenizer.convert_ids_to_tokens([*used])
                raise PromptError(f"{what}: expected plain words, got {got}")
            text = self.tokenizer.decode([word for word in words if word not in used])
        return text

    def _frame(self, token: int) -> str:
        media = self._encoder().media
        return "".join(self.tokenizer.convert_ids_to_tokens([media.start, token, media.end]))

    def _embed(
        self, ids: list[int], pictures: list[Picture], pruning: float, since: float
    ) -> Prompt:
        """Put the vision encoder's features in for the placeholders.

        pruning: the share of each video's tokens to leave out.
        """
        model, vision_encoder = self.transformer, self.vision
        grids = [picture.grid for picture in pictures]
        merge, placeholders = (
            (vision_encoder.pixels.merge, [vision_encoder.media.image, vision_encoder.media.video])
            if vision_encoder
            else (1, [])
        )
        frames = [(grid[1] // merge, grid[2] // merge) for grid in grids for _ in range(grid[0])]
        if (found := sum(token in placeholders for token in ids)) != len(frames):
            raise ValueError(
                f"chat template: expected it to keep {len(frames)} places for pictures, it kept "
                f"{found}"
            )
        tokens, positions, position = spread(ids, placeholders, frames)
        if len(tokens) > self.max_prompt:
            raise ValueError(
                f"question: expected at most {self.max_prompt} tokens with pictures, got "
                f"{len(tokens)}"
            )
        tokens, positions = tokens.to(model.device), positions.to(model.device)
        prompt = Prompt(tokens, model.embed(tokens)[None], positions, [], position, {})
        since = self._lap(prompt.seconds, "prepare", since)
        if not pictures or not vision_encoder:
            return prompt
        features = self._cache().encode(pictures)
        visual = torch.isin(tokens, torch.tensor(placeholders, device=tokens.device))
        layers = [prompt.embeds, *(torch.zeros_like(prompt.embeds) for _ in features[1:])]
        for layer, feature in zip(layers, features, strict=True):
            layer[0, visual] = feature.to(layer.dtype)
        keep = torch.ones_like(visual)
        if pruning:
            keep[visual] = _retained(features, grids, merge, pruning)
        embeds, *deepstack = (layer[:, keep] for layer in layers)
        self._lap(prompt.seconds, "look", since)
        return Prompt(tokens[keep], embeds, positions[:, keep], deepstack, position, prompt.seconds)

    def _lap(self, seconds: dict[str, float], stage: str, since: float) -> float:
        """Note how long a stage took, once the device has done it; returns the time now."""
        if self.transformer.device.type == "cuda":
            torch.cuda.current_stream(self.transformer.device).synchronize()
        now = time.perf_counter()
        seconds[stage] = now - since
        return now


def _retained(features: list[Tensor], grids: list[Grid], merge: int, pruning: float) -> Tensor:
    """Which tokens of all pictures to keep: bool [n]; a picture is a video of one frame."""
    counts = [math.prod(grid) // merge**2 for grid in grids]
    seen = torch.cat(features, dim=-1).split(counts)
    parts = zip(seen, grids, strict=True)
    return torch.cat([retained(part, grid[0], pruning) for part, grid in parts])


def _check_pruning(share: float) -> float:
    if not 0 <= share < 1:
        raise ValueError(f"pruning: expected a share in [0, 1), got {share}")
    return share


def load_reasoner(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    **settings: Any,
) -> Cosmos3Reasoner:
    """The reasoner of a checkpoint folder, without the generator; settings: see `Cosmos3Reasoner`.

    To share the weights with a policy, load once with `load_model` and make both on that.
    """
    return Cosmos3Reasoner(load_model(path, device, dtype, generator=False), **settings)


def stop_tokens(model: Model) -> frozenset[int]:
    """Ids that end an answer: the tokenizer's end of turn, and those of generation_config.json."""
    return frozenset({model.tokenizer.eos_token_id, *end_tokens(model.path)})
