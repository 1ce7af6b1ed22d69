# SPDX-License-Identifier: Apache-2.0
"""The service ~/imagine of the policy node: requests in, clips or one line out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from ...execution.candidates.candidate import CandidateReader
from ...model.embodiment import JOINTS
from ...model.interface import ForwardDynamics, Policy
from ...robot.joint_map import JointMap
from ...ros.messages import candidate_from, future_message
from ...srv import Imagine
from ..policy_params import Params
from .imagination import Around, Imagination


class ImagineService:
    """Answers as `Imagine.srv` says; in the node's thread.

    why_not: why the node cannot answer now, "" if it can; instruction: the one that it follows.
    """

    def __init__(
        self,
        policy: Policy,
        robot: JointMap,
        params: Params,
        around: Around,
        why_not: Callable[[], str],
        instruction: Callable[[], str],
        log: Any,
    ) -> None:
        embodiment = policy.embodiment
        self._imagination: Imagination | None = None
        self._why_not, self._instruction, self._log = why_not, instruction, log
        if embodiment.kind == JOINTS and isinstance(policy, ForwardDynamics):
            reader = CandidateReader(embodiment, robot, tuple(params.lower), tuple(params.upper))
            self._imagination = Imagination(policy, reader, around, params.imagine_patience)

    def warm_up(self, times: int) -> None:
        """Imagine a candidate `times` times, so that the first real one takes no longer.

        A policy that cannot, as one of several processes, says why; so it will to whoever asks.
        """
        if self._imagination:
            try:
                self._imagination.warm_up(times)
            except ValueError as error:
                self._log.info(f"~/imagine is not answered: {error}")

    @property
    def has_model(self) -> bool:
        """Whether it computes: the policy is to begin no chunk then."""
        return self._imagination is not None and self._imagination.is_computing

    def poll(self) -> None:
        """Begin what waits, if there is room for it."""
        if self._imagination:
            self._imagination.poll()

    def cancel(self) -> None:
        """Give up what waits or is computed."""
        if self._imagination:
            self._imagination.cancel("the policy node was stopped")

    def close(self) -> None:
        """Wait for the end of what is computed."""
        if self._imagination:
            self._imagination.close()

    async def answer(
        self, request: Imagine.Request, response: Imagine.Response
    ) -> Imagine.Response:
        """Waits as a coroutine, so that pictures go on arriving."""
        began = time.monotonic()
        try:
            instruction = request.instruction.strip() or self._instruction()
            imagination = self._ready(instruction)
            imagined = await imagination.imagine(candidate_from(request.candidate), instruction)
        except (ValueError, OSError) as error:
            response.message = str(error)
        except Exception as error:  # of torch: this candidate has failed, the next one may not
            self._log.error(f"a candidate was not imagined\n{traceback.format_exc()}")
            response.message = f"{type(error).__name__}: {error}"
        else:
            response.success, response.message = True, imagined.note
            response.future = future_message(imagined.future, number=0, instruction=instruction)
        response.seconds = time.monotonic() - began
        return response

    def _ready(self, instruction: str) -> Imagination:
        """ValueError says why nothing can be imagined."""
        if why := self._why_not():
            raise ValueError(why)
        if self._imagination is None:
            raise ValueError(
                "this policy cannot imagine: expected a checkpoint in the node's own process, and "
                "an embodiment that acts by joints"
            )
        if not instruction:
            raise ValueError("instruction: expected a sentence, and none is followed either")
        return self._imagination
