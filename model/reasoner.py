# SPDX-License-Identifier: Apache-2.0
"""The reasoner: the text tower as a vision-language model that answers questions about images and video.

It runs on the very weights that the generator reads its prompts with; only the vision encoder is its own.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .decoding import GREEDY, Sampling, TokenPicker, pieces
from .interface import Answer, check_image
from .tasks import TASKS, parse_boxes, split_thought
from .transformer import Transformer
from .vision import Grid, Pixels, VisionEncoder, image_patches, retained, sample_frames, timestamps, video_patches


@dataclasses.dataclass(frozen=True, slots=True)
class MediaTokens:
    """Ids of the tokens around and in place of pictures: start and end of each, and one per image or video patch."""

    start: int
    end: int
    image: int
    video: int


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """What the text tower starts from.

    ids int64 [L]; embeds [1, L, hidden]; positions int64 [3, L]; deepstack: [1, L, hidden] each; position: of the next
    token; seconds: what it took so far.
    """

    ids: Tensor
    embeds: Tensor
    positions: Tensor
    deepstack: list[Tensor]
    position: int
    seconds: dict[str, float]


def spread(ids: Sequence[int], places: Sequence[int], frames: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, int]:
    """Repeat each placeholder for the tokens of its frame, and give every token its position.

    ids: one placeholder (an id in `places`) per frame; frames: rows and columns of tokens, in that order. Text counts
    on one by one in all three axes; a frame stands still in time, counts rows and columns, and takes as many positions
    as its longer side. Returns ids [L], positions [3, L] and the position after the last.
    """
    rest = iter(frames)
    out: list[int] = []
    blocks: list[np.ndarray] = []
    place = 0
    for token in ids:
        rows, columns = next(rest) if token in places else (1, 1)
        out += [token] * (rows * columns)
        blocks.append(np.indices((1, rows, columns)).reshape(3, -1) + place)
        place += max(rows, columns)
    return torch.tensor(out), torch.from_numpy(np.concatenate(blocks, axis=1)), place


class Cosmos3Reasoner:
    """Answers questions; implements the `Reasoner` protocol of interface.py.

    model: the transformer, with its lm_head; tokenizer: the checkpoint's, with its chat template; media: its picture
    tokens; stop: ids that end an answer; vision and pixels: None for a reasoner that only reads; max_tokens: of an
    answer; max_prompt: most tokens of a question with its pictures; system: a system message to start from.
    """

    def __init__(
        self,
        model: Transformer,
        max_tokens: int = 128,
        *,
        tokenizer: Any,
        media: MediaTokens,
        stop: frozenset[int],
        vision: VisionEncoder | None = None,
        pixels: Pixels | None = None,
        sampling: Sampling = GREEDY,
        max_prompt: int = 16384,
        system: str = "",
    ):
        self.model = model
        self.max_tokens = max_tokens
        self.tokenizer = tokenizer
        self.media = media
        self.stop = stop
        self.vision = vision
        self.pixels = pixels
        self.sampling = sampling
        self.max_prompt = max_prompt
        self.system = system
        added = tokenizer.added_tokens_decoder.items()
        special = {number for number, token in added if token.special and token.content not in ("<think>", "</think>")}
        self.reserved = special | stop | {*dataclasses.astuple(media)}

    def ask(
        self,
        question: str,
        images: Sequence[np.ndarray] = (),
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Answer:
        """Answer `question` about `images` (uint8 [H, W, 3] each), in at most `max_tokens` tokens.

        Raises ValueError for an empty question, one that is too long or holds reserved tokens, and for a bad image.
        """
        return self._answer(self._limit(max_tokens), sampling, self.prompt(question, images))

    def solve(
        self, task: str, subject: str = "", images: Sequence[np.ndarray] = (), think: bool = False
    ) -> tuple[Any, Answer]:
        """Ask the question of one of `tasks.TASKS`; returns its parsed result and the whole answer."""
        if task not in TASKS:
            raise ValueError(f"task: unknown {task!r}, expected one of {sorted(TASKS)}")
        answer = self.ask(TASKS[task].question(subject, think), images)
        return TASKS[task].parse(answer.text), answer

    def ask_video(
        self,
        question: str,
        frames: Sequence[np.ndarray],
        fps: float,
        rate: float = 2.0,
        pruning: float = 0.0,
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Answer:
        """Answer `question` about a video: uint8 [H, W, 3] frames at `fps`, of which about `rate` a second are used.

        pruning: share of the video's tokens to leave out (efficient video sampling), in [0, 1).
        """
        limit = self._limit(max_tokens)
        return self._answer(limit, sampling, self.video_prompt(question, frames, fps, rate, pruning))

    def stream(
        self,
        question: str,
        images: Sequence[np.ndarray] = (),
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[str]:
        """Like `ask`, but yields the text as it comes, thought included; bad input is refused at the call."""
        limit = self._limit(max_tokens)
        return pieces(self.tokens(self.prompt(question, images), limit, sampling), self.tokenizer)

    @torch.inference_mode()
    def prompt(self, question: str, images: Sequence[np.ndarray] = ()) -> Prompt:
        """What the text tower reads for a question about images."""
        since = time.perf_counter()
        for number, image in enumerate(images):
            check_image(f"images[{number}]", image)
        ids = self._tokenize(self._frame(self.media.image) * len(images), question)
        pictures = [image_patches(image, self._eyes()[1], self.model.device) for image in images]
        return self._embed(ids, pictures, 0.0, since)

    @torch.inference_mode()
    def video_prompt(
        self, question: str, frames: Sequence[np.ndarray], fps: float, rate: float = 2.0, pruning: float = 0.0
    ) -> Prompt:
        """What the text tower reads for a question about a video: each patch of frames after its time in seconds."""
        since = time.perf_counter()
        if not 0 <= pruning < 1:
            raise ValueError(f"pruning: expected a share in [0, 1), got {pruning}")
        pixels = self._eyes()[1]
        picked = sample_frames(len(frames), fps, rate)
        stamps = timestamps(picked, fps, pixels.temporal)
        text = "".join(f"<{seconds:.1f} seconds>{self._frame(self.media.video)}" for seconds in stamps)
        ids = self._tokenize(text, question)
        video = video_patches([frames[index] for index in picked], pixels, self.model.device)
        return self._embed(ids, [video], pruning, since)

    @torch.inference_mode()
    def tokens(self, prompt: Prompt, max_tokens: int, sampling: Sampling | None = None) -> Iterator[int]:
        """The tokens of the answer as they are decided, without the one that ends it."""
        since = time.perf_counter()
        hidden, cache = self.model.prefill(embeds=prompt.embeds, positions=prompt.positions, deepstack=prompt.deepstack)
        scores = self.model.logits(hidden[0, -1]).float()
        since = self._lap(prompt.seconds, "prefill", since)
        pick = TokenPicker(sampling or self.sampling, prompt.ids, len(scores))
        for number in range(max_tokens):
            token = pick(scores)
            prompt.seconds["decode"] = time.perf_counter() - since
            if token in self.stop:
                return
            yield token
            place = torch.full((3, 1), prompt.position + number, device=self.model.device)
            step = torch.tensor([[token]], device=self.model.device)
            hidden, _ = self.model.prefill(step, positions=place, cache=cache)
            scores = self.model.logits(hidden[0, -1]).float()

    def _answer(self, limit: int, sampling: Sampling | None, prompt: Prompt) -> Answer:
        tokens = list(self.tokens(prompt, limit, sampling))
        thought, text = split_thought(self.tokenizer.decode(tokens))
        return Answer(text, thought, parse_boxes(text), len(tokens), prompt.seconds)

    def _limit(self, max_tokens: int | None) -> int:
        limit = self.max_tokens if max_tokens is None else max_tokens
        if limit < 1:
            raise ValueError(f"max_tokens: expected at least 1, got {limit}")
        return limit

    def _eyes(self) -> tuple[VisionEncoder, Pixels]:
        if self.vision is None or self.pixels is None:
            raise ValueError("this reasoner has no vision encoder: expected a question without images or video")
        return self.vision, self.pixels

    def _frame(self, token: int) -> str:
        return "".join(self.tokenizer.convert_ids_to_tokens([self.media.start, token, self.media.end]))

    def _tokenize(self, pictures: str, question: str) -> list[int]:
        """Ids of the chat up to where the answer begins, pictures before words, one placeholder per frame."""
        if not question.strip():
            raise ValueError("question: expected a sentence, got an empty string")
        words = self.tokenizer(question, add_special_tokens=False).input_ids
        if used := self.reserved.intersection(words):
            raise ValueError(f"question: expected plain words, got {self.tokenizer.convert_ids_to_tokens([*used])}")
        turns = [{"role": "system", "content": self.system}] if self.system else []
        turns.append({"role": "user", "content": pictures + question})
        chat = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return self.tokenizer(chat, add_special_tokens=False).input_ids

    def _embed(self, ids: list[int], pictures: list[tuple[Tensor, Grid]], pruning: float, since: float) -> Prompt:
        """Put what the vision encoder sees into the places kept for it, and leave out the share `pruning` of that."""
        places = [self.media.image, self.media.video]
        merge = 1 if self.pixels is None else self.pixels.merge
        frames = [(grid[1] // merge, grid[2] // merge) for _, grid in pictures for _ in range(grid[0])]
        tokens, positions, position = spread(ids, places, frames)
        if len(tokens) > self.max_prompt:
            raise ValueError(f"question: expected at most {self.max_prompt} tokens with pictures, got {len(tokens)}")
        tokens, positions = tokens.to(self.model.device), positions.to(self.model.device)
        prompt = Prompt(tokens, self.model.embed(tokens)[None], positions, [], position, {})
        since = self._lap(prompt.seconds, "prepare", since)
        if not pictures:
            return prompt
        features = self._eyes()[0](torch.cat([patches for patches, _ in pictures]), [grid for _, grid in pictures])
        visual = torch.isin(tokens, torch.tensor(places, device=tokens.device))
        layers = [prompt.embeds, *(torch.zeros_like(prompt.embeds) for _ in features[1:])]
        for layer, feature in zip(layers, features, strict=True):
            layer[0, visual] = feature.to(layer.dtype)
        keep = torch.ones_like(visual)
        if pruning:
            keep[visual] = retained(torch.cat(features, dim=-1), len(frames), pruning)
        embeds, *deepstack = (layer[:, keep] for layer in layers)
        self._lap(prompt.seconds, "look", since)
        return Prompt(tokens[keep], embeds, positions[:, keep], deepstack, position, prompt.seconds)

    def _lap(self, seconds: dict[str, float], stage: str, since: float) -> float:
        """Note how long a stage took, once the device has done it; returns the time now."""
        if self.model.device.type == "cuda":
            torch.cuda.current_stream(self.model.device).synchronize()
        now = time.perf_counter()
        seconds[stage] = now - since
        return now
