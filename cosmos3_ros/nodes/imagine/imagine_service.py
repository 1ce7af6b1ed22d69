# SPDX-License-Identifier: Apache-2.0
"""The service ~/imagine of the policy node: requests in, clips or one line out."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...execution.candidates.candidate import CandidateReader
from ...model.interface import ForwardDynamics, Policy, ReadsInstructions
from ...msg import Future as FutureMessage
from ...ros.messages import candidate_from, future_message
from ...srv import Imagine
from .imagination import Around, Imagination
from .spare_time import SpareTime


class Asking:
    """Who asks the policy node: whether it may, about what, and what is told when it fails.

    why_not: why the node cannot answer now, "" if it can; instruction: the one that it follows;
    log_defect: gets what is no fault of whoever asked.
    """

    def __init__(
        self,
        policy: Policy,
        why_not: Callable[[], str],
        instruction: Callable[[], str],
        log_defect: Callable[[Exception], None],
    ) -> None:
        self._policy, self._why_not, self._instruction = policy, why_not, instruction
        self._log_defect = log_defect

    def check(self) -> None:
        """ValueError says why nothing can be answered now."""
        if why := self._why_not():
            raise ValueError(why)

    def instruction(self, given: str) -> str:
        """What is given, else what is followed; ValueError for none, or one that cannot be read."""
        instruction = given.strip() or self._instruction()
        if not instruction:
            raise ValueError("instruction: expected a sentence, and none is followed either")
        if isinstance(self._policy, ReadsInstructions):
            self._policy.check_instruction(instruction)
        return instruction

    def told(self, error: Exception) -> str:
        """One line of an error for whoever asked."""
        if isinstance(error, ValueError | OSError):
            return str(error)
        self._log_defect(error)  # of torch: this one has failed, the next one may not
        return f"{type(error).__name__}: {error}"


class ImagineService:
    """Answers as `Imagine.srv` says; in the node's thread.

    publish: gets every clip.
    """

    def __init__(
        self,
        policy: Policy,
        reader: CandidateReader,
        around: Around,
        asking: Asking,
        turns: SpareTime,
        publish: Callable[[FutureMessage], None],
    ) -> None:
        self._imagination: Imagination | None = None
        self._asking, self._publish = asking, publish
        if isinstance(policy, ForwardDynamics):
            self._imagination = Imagination(policy, reader, around, turns)

    def warm_up(self, times: int) -> str:
        """Imagine a candidate `times` times, so that the first real one takes no longer.

        Returns why a policy cannot, as one of several processes; so it will say to whoever asks.
        """
        if self._imagination:
            try:
                self._imagination.warm_up(times)
            except ValueError as error:
                return str(error)
        return ""

    async def answer(
        self, request: Imagine.Request, response: Imagine.Response
    ) -> Imagine.Response:
        """Waits as a coroutine, so that pictures go on arriving."""
        began = time.monotonic()
        try:
            self._asking.check()
            if self._imagination is None:
                raise ValueError(
                    "this policy cannot imagine: expected a checkpoint in the node's own process"
                )
            instruction = self._asking.instruction(request.instruction)
            candidate = candidate_from(request.candidate)
            imagined = await self._imagination.imagine(candidate, instruction)
        except Exception as error:
            response.message = self._asking.told(error)
        else:
            response.success, response.message = True, imagined.note
            response.future = future_message(imagined.future, number=0, instruction=instruction)
            self._publish(response.future)
        response.seconds = time.monotonic() - began
        return response
