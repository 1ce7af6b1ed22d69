# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are there as a whole or not at all, whenever their writer is stopped.

What is new is written beside the old as a hidden draft, brought to the disk, and renamed. A folder
takes two renames: `recover` finishes those between which the writer was stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

if TYPE_CHECKING:  # who writes no weights needs no torch
    from torch import Tensor


def write_text(file: Path, text: str) -> None:
    """Put a text file, in UTF-8, in the place of what is there."""
    write_file(file, lambda draft: draft.write_text(text, encoding="utf-8"))


def write_file(file: Path, write: Callable[[Path], object]) -> None:
    """Put the file that `write` writes in the place of what is there.

    It is as readable as other files of the process, whatever `write` makes of it. An OSError names
    the file, not its draft.
    """
    draft = _hidden(file, "draft")
    try:
        draft.touch()
        mode = stat.S_IMODE(draft.stat().st_mode)
        write(draft)
        draft.chmod(mode)
        put(draft, file)
    except BaseException as error:
        with contextlib.suppress(OSError):  # of a folder that takes no files
            draft.unlink(missing_ok=True)
        if (
            isinstance(error, OSError)
            and error.errno
            and error.filename in (None, str(draft), draft)
        ):
            raise type(error)(error.errno, error.strerror, str(file)) from None
        raise


def write_safetensors(
    file: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None
) -> None:
    """A new safetensors file; an OSError names it.

    safetensors writes it for its user alone; here it is as readable as other files of the process.
    """
    from safetensors.torch import save_file

    file.touch()
    mode = stat.S_IMODE(file.stat().st_mode)
    try:
        save_file(dict(tensors), file, metadata=dict(about) if about else None)
    except SafetensorError as error:
        raise OSError(f"{file}: not written ({error})") from None
    file.chmod(mode)


def put(draft: Path, file: Path) -> None:
    """Rename a complete draft of the same disk to its place, so that a power cut keeps one."""
    sync(draft)
    draft.replace(file)
    sync(file.parent)


def sync(place: Path) -> None:
    """Return when a file, or the list of names in a folder, is on the disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def rewritten(folder: Path) -> Iterator[Path]:
    """A draft to change, which takes the folder's place as a whole at the end of the `with`.

    It begins as a copy of the folder, or does not exist if there is none. Weights (safetensors) in
    it are links to the old ones: they may be removed and replaced, not changed in place.
    """
    recover(folder)
    draft, old = _hidden(folder, "draft"), _hidden(folder, "old")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        if folder.exists():
            copy_tree(folder, draft, links=True)
        yield draft
        for place in [*draft.rglob("*"), draft]:
            if place.is_dir() or place.lstat().st_nlink == 1:  # links are on the disk already
                sync(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    try:
        draft.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    sync(folder.parent)
    _remove(old)


def recover(folder: Path) -> None:
    """Finish a `rewritten` that was stopped, and remove what it left."""
    draft, old = _hidden(folder, "draft"), _hidden(folder, "old")
    if old.exists() and not folder.exists():  # the draft was complete
        (draft if draft.exists() else old).rename(folder)
    for left in (draft, old):
        _remove(left)


def copy_tree(source: Path, target: Path, links: bool = False) -> None:
    """Copy a folder without its hidden files, so that its copy may be changed.

    It is as readable as other files of this process, however the source is. links: weights are hard
    links where the disk has them, and symbolic links stay what they are.
    """
    target.mkdir(parents=True)
    mode = stat.S_IMODE(target.stat().st_mode)
    ways: dict[str, Any] = {"ignore": shutil.ignore_patterns(".*"), "dirs_exist_ok": True}
    try:
        if links:
            shutil.copytree(source, target, True, copy_function=_link_weights, **ways)
        else:
            shutil.copytree(source, target, **ways)
    except shutil.Error as error:  # one line of its list
        place, _, why = error.args[0][0]
        raise OSError(f"{place}: not copied ({why})") from None
    for place in [target, *target.rglob("*")]:
        if not place.is_symlink():
            place.chmod(mode if place.is_dir() else mode & 0o666)


def _link_weights(source: str, target: str) -> str:
    """As shutil.copy2, with links to the files that are never changed in place."""
    if source.endswith(".safetensors") and not os.path.islink(source):
        with contextlib.suppress(OSError):  # a disk that has no links
            os.link(source, target)
            return target
    return str(shutil.copy2(source, target, follow_symlinks=False))


@contextlib.contextmanager
def alone(place: Path | None) -> Iterator[None]:
    """Nobody else writes to this file meanwhile, who asks in this way too.

    ValueError if somebody does. The sign is a hidden file beside it, which is gone afterwards, and
    means nothing where a process was killed. OSError for a place that cannot be written to.
    """
    if place is None:
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    sign = _hidden(place, "lock")
    try:
        handle = sign.open("w")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(place)) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(handle.fileno(), sign):  # who had it has just removed it
                raise BlockingIOError
        except BlockingIOError:
            raise ValueError(
                f"{place}: another process writes to it; expected to be alone, or another name"
            ) from None
        try:
            yield
        finally:
            sign.unlink(missing_ok=True)


def _is_at(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _hidden(place: Path, kind: str) -> Path:
    return place.with_name(f".{place.name}.{kind}")


def _remove(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
