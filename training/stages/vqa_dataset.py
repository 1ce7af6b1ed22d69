# SPDX-License-Identifier: Apache-2.0
"""Scenes and the questions about them as tensors on the training device, and draws in which answers are balanced."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ...model.language.chat import Turn
from ...model.reasoner import Cosmos3Reasoner, spread
from ...sim.camera_table import VIEWS
from ..vqa.questions import KINDS, STATE, Lesson
from ..vqa.samples import Scene

# of the questions; all other kinds 1
SHARES = {"boxes": 3.0, "next": 2.0, "done": 2.0, "plan": 0.5}
_RARE = 16  # an answer seen less often than this is drawn less often: it would be learned by heart
# scenes that are copied to the device at once: one by one they wait for it, and for other threads
_TOGETHER = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Questions:
    """A batch. pictures: uint8 [B, views, H, W, 3].

    Tokens int64 [B, L]: question, answer and padding; positions int64
    [B, 3, L]; first, end: int64 [B], where the answer begins and the place after its last token;
    kinds: int64 [B].
    """

    pictures: Tensor
    tokens: Tensor
    positions: Tensor
    first: Tensor
    end: Tensor
    kinds: Tensor


class VqaDataset:
    """Grows by `add`, up to `capacity` scenes with pictures of `size`.

    Every row is `length` tokens long.
    """

    def __init__(self, reader: Cosmos3Reasoner, size: tuple[int, int], capacity: int, length: int):
        if reader.vision is None:
            raise ValueError(
                "reasoner: expected a checkpoint with a vision_encoder, got one without"
            )
        self.capacity, self.length, self.scenes = capacity, length, 0
        self._reader, self._eyes, self._device = reader, reader.vision, reader.transformer.device
        self._pictures = torch.empty(
            (capacity, len(VIEWS), *size, 3), dtype=torch.uint8, device=self._device
        )
        # Copied through memory that stays: fresh memory is cleared first, and a GPU reads it by way
        # of another.
        stage = (_TOGETHER, len(VIEWS), *size, 3)
        self._stage = torch.empty(stage, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        self._frame = (size[0] // self._eyes.pixels.side, size[1] // self._eyes.pixels.side)
        self._prompts: dict[tuple[str, int], list[int]] = {}
        # By the number of pictures: they come first, so that all questions with as many have the
        # same positions.
        self._positions = torch.stack([self._places(count) for count in range(len(VIEWS) + 1)]).to(
            self._device
        )
        # Of ten lessons nine were seen before: a row for each different one, and pairs of a scene
        # and what is asked.
        self._numbers: dict[Lesson, int] = {}
        self._tokens = torch.zeros((0, length), dtype=torch.int32, device=self._device)
        self._marks = torch.zeros((0, 4 + len(VIEWS)), dtype=torch.int64, device=self._device)
        # kind and answer of each, those that are sentences together
        self._groups: dict[tuple[str, str], int] = {}
        self._grouped: list[int] = []
        self._asked = np.zeros((0, 2), np.int64)  # the pairs
        self._pairs = torch.zeros((0, 2), dtype=torch.int64, device=self._device)
        self._weights = torch.zeros(0, device=self._device)

    def __len__(self) -> int:
        return len(self._asked)

    def add(self, scenes: Iterable[Scene]) -> None:
        """Take scenes in; those beyond the capacity are left out.

        ValueError for a question that is too long.
        """
        fresh = [*scenes][: self.capacity - self.scenes]
        lessons = [lesson for scene in fresh for lesson in scene.lessons]
        if not lessons:
            return
        numbers = [self._numbers.setdefault(lesson, len(self._numbers)) for lesson in lessons]
        self._learn([*self._numbers][len(self._grouped) :])
        places = np.repeat(
            np.arange(self.scenes, self.scenes + len(fresh)),
            [len(scene.lessons) for scene in fresh],
        )
        self._asked = np.concatenate([self._asked, np.stack([places, numbers], 1)])
        self._pairs = torch.from_numpy(self._asked).to(self._device)
        for begin in range(0, len(fresh), _TOGETHER):
            some = fresh[begin : begin + _TOGETHER]
            stage = self._stage[: len(some)]
            np.stack([scene.pictures for scene in some], out=stage.numpy())
            self._pictures[self.scenes : self.scenes + len(some)] = stage
            self.scenes += len(some)
        self._weigh()

    def draw(self, count: int) -> Questions:
        """`count` questions, those of one kind with every answer about equally often."""
        if not len(self):
            raise ValueError("there is nothing to ask: no scene was added")
        index = torch.multinomial(self._weights, count, replacement=True)
        scenes, lessons = self._pairs[index].unbind(1)
        pictures, first, end, kinds, *views = self._marks[lessons].unbind(1)
        return Questions(
            pictures=self._pictures[scenes[:, None], torch.stack(views, 1)],
            tokens=self._tokens[lessons].long(),
            positions=self._positions[pictures],
            first=first,
            end=end,
            kinds=kinds,
        )

    def _learn(self, lessons: list[Lesson]) -> None:
        """Write down what was never asked before."""
        if not lessons:
            return
        tokens = np.zeros((len(lessons), self.length), np.int32)
        marks = np.zeros((len(lessons), self._marks.shape[1]), np.int64)
        answers = self._answers([lesson.answer for lesson in lessons])
        for row, (lesson, answer) in enumerate(zip(lessons, answers, strict=True)):
            question = self._prompt(lesson.question, len(lesson.views))
            end = len(question) + len(answer)
            if end > self.length:
                raise ValueError(
                    f"reasoner.length: expected at least {end} for {lesson.question!r}, got {self.length}"
                )
            tokens[row, :end] = [*question, *answer]
            views = [*lesson.views, *lesson.views[:1] * (len(VIEWS) - len(lesson.views))]
            marks[row] = [len(lesson.views), len(question), end, KINDS.index(lesson.kind), *views]
            group = lesson.kind, lesson.answer if lesson.kind in STATE else ""
            self._grouped.append(self._groups.setdefault(group, len(self._groups)))
        self._tokens = torch.cat([self._tokens, torch.from_numpy(tokens).to(self._device)])
        self._marks = torch.cat([self._marks, torch.from_numpy(marks).to(self._device)])

    def _weigh(self) -> None:
        members = np.array(self._grouped)[self._asked[:, 1]]
        sizes = collections.Counter(kind for kind, _ in self._groups)
        shares = np.array([SHARES.get(kind, 1.0) / sizes[kind] for kind, _ in self._groups])
        weights = shares / np.maximum(np.bincount(members), _RARE)
        self._weights = torch.from_numpy(weights[members]).to(self._device, torch.float32)

    def _prompt(self, question: str, pictures: int) -> list[int]:
        """All that stands before the answer, with a placeholder for each token of a picture."""
        key = question, pictures
        if key not in self._prompts:
            self._prompts[key] = self._spread(question, pictures)[0].tolist()
        return self._prompts[key]

    def _places(self, pictures: int) -> Tensor:
        positions, after = self._spread("?", pictures)[1:]
        rest = torch.arange(after, after + self.length).expand(3, -1)
        return torch.cat([positions, rest], dim=1)[:, : self.length]

    def _spread(self, question: str, pictures: int) -> tuple[Tensor, Tensor, int]:
        blank = np.zeros((1, 1, 3), np.uint8)  # only that there is a picture counts here
        ids = self._reader.tokenize([Turn("user", (*[blank] * pictures, question))])
        return spread(ids, [self._eyes.media.image], [self._frame] * pictures)

    def _answers(self, texts: list[str]) -> list[list[int]]:
        """All at once: after each call of the tokenizer this thread may have to wait for others."""
        tokenizer = self._reader.tokenizer
        ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False).input_ids
        return [[*answer, tokenizer.eos_token_id] for answer in ids]
