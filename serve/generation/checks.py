# SPDX-License-Identifier: Apache-2.0
"""What is asked for, checked by the engine before anything is promised."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ...model.generation.action_options import ActionOptions
from ...model.generation.options import CompleteRequest
from ..http.errors import BadRequestError
from .asked import Asked, renamed
from .engine import Engine
from .job_store import INPUT, full_disk

T = TypeVar("T")


async def in_thread(check: Callable[[], T]) -> T:
    """Check in a thread, because pictures are decoded; BadRequestError says what is wrong."""
    try:
        return await asyncio.to_thread(check)
    except BadRequestError:
        raise
    except ValueError as error:
        raise renamed(error) from None


def check_actions(engine: Engine, asked: Asked, folder: Path) -> ActionOptions:
    """The request with its file in a folder; ValueError if it cannot be made."""
    given = _stored(asked, folder)
    with nameless(given):
        options = asked.act(given)
        engine.check_actions(options)
    return options


def check_video(engine: Engine, asked: Asked, folder: Path) -> tuple[Asked, dict[str, str]]:
    """The request with its number of frames, and its prompt, size and seconds as clients read them.

    folder: for the file that it begins with, while it is checked. ValueError if it cannot be made.
    """
    given = _stored(asked, folder)
    about = {"prompt": str(asked.options.get("prompt", ""))}
    with nameless(given):
        if asked.dynamics:
            action = asked.act(given)
            engine.check_actions(action)
            return asked, about | {"size": f"tier {action.tier}", "seconds": _seconds(action)}
        asked = _with_frames(engine, asked, given)
        complete = engine.complete(asked.generate(given))
    if complete.frames == 1:
        raise BadRequestError(
            "num_frames: expected 5 or more, this checkpoint makes pictures unless it is told",
            "num_frames",
        )
    size = f"{complete.size[1]}x{complete.size[0]}"
    return asked, about | {"size": size, "seconds": _seconds(complete)}


@contextlib.contextmanager
def nameless(file: str) -> Iterator[None]:
    """Errors about a file do not say where it lies here."""
    try:
        yield
    except BadRequestError:
        raise
    except ValueError as error:
        if file and file in str(error):
            words = str(error).replace(file, "the file")
            raise BadRequestError(f"input_reference: {words}", "input_reference") from None
        raise


def _with_frames(engine: Engine, asked: Asked, given: str) -> Asked:
    """Seconds as frames, 4 k + 1 of them, at the rate that the client or the checkpoint has."""
    options = dict(asked.options)
    seconds = options.pop("seconds", None)
    plain = dataclasses.replace(asked, options=options)
    if seconds is None:
        return plain
    short = dataclasses.replace(plain, options=options | {"frames": 5})
    rate = engine.complete(short.generate(given)).fps
    frames = 1 + 4 * max(1, round(seconds * rate / 4))
    return dataclasses.replace(plain, options=options | {"frames": frames})


def _stored(asked: Asked, folder: Path) -> str:
    """The path of the request's file; empty if it has none."""
    if asked.file is None:
        return ""
    file = folder / INPUT
    with full_disk():
        file.write_bytes(asked.file)
    return str(file)


def _seconds(asked: CompleteRequest | ActionOptions) -> str:
    """How long a video is."""
    return f"{asked.frames / asked.fps:.3f}".rstrip("0").rstrip(".")
