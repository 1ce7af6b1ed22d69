# SPDX-License-Identifier: Apache-2.0
"""Files of a benchmark: found, read and checked, each error one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def first_file(folder: Path, *names: str) -> Path:
    """The first of these files below a folder that is there; ValueError if none is."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected the folder of the benchmark, got none")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder}: expected {' or '.join(names)} in it, got neither")


def read_rows(file: Path) -> list[Mapping[str, Any]]:
    """The objects of a JSON list, or of the list in `items`; ValueError for anything else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected JSON ({' '.join(str(error).split())})") from None
    rows = found.get("items") if isinstance(found, dict) else found
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise ValueError(f"{file}: expected a list of objects, or one in `items`, got another JSON")
    return rows


def text(row: Mapping[str, Any], where: str, *keys: str) -> str:
    """The first of these fields that a row has; ValueError if that is no text, or none is there."""
    for key in keys:
        if key in row:
            value = row[key]
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{where}: expected text in {key}, got {str(value)[:40]!r}")
            return value
    raise ValueError(f"{where}: expected {' or '.join(keys)}, got {', '.join(map(str, row))}")


def below(folder: Path, name: str, where: str) -> Path:
    """A file that a row names, inside a folder; ValueError if the name leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{where}: expected a file below {folder}, got {name!r}")
    return path


def one_with_prefix(folders: Sequence[Path], prefix: str, suffixes: Sequence[str]) -> Path:
    """The file in the first of these folders that is there, by the begin of its name."""
    folder = next((each for each in folders if each.is_dir()), None)
    if folder is None:
        raise ValueError(f"expected the folder {' or '.join(map(str, folders))}, got none")
    found = sorted(
        file
        for file in folder.iterdir()
        if file.name.startswith(prefix) and file.suffix.lower() in suffixes
    )
    if not found:
        raise ValueError(f"{folder}: expected a file {prefix}*{'|'.join(suffixes)}, got none")
    return found[0]


class Prompts:
    """Prompts written out elsewhere, by name: the files that NVIDIA publishes for its results.

    A row has a `name` or `video_id`, the prompt in `json_upsampled_prompt` or `prompt`, and may
    have a `negative_prompt`. `file` is one, or a folder of them; None: the benchmark's own.
    """

    def __init__(self, file: Path | None) -> None:
        self._file, self._rows = file, dict[str, Mapping[str, Any]]()
        if file is None:
            return
        files = sorted(file.glob("*.json")) if file.is_dir() else [file]
        if not files:
            raise ValueError(f"{file}: expected JSON files with prompts, got none")
        for each in files:
            for row in read_rows(each):
                self._rows[text(row, str(each), "name", "video_id")] = row

    def of(self, name: str, own: str) -> dict[str, Any]:
        """The fields of the request for a case; ValueError if the file lacks it."""
        if self._file is None:
            return {"prompt": own}
        if name not in self._rows:
            raise ValueError(f"{self._file}: expected a prompt for {name}, got none")
        row, where = self._rows[name], f"{self._file}: {name}"
        fields: dict[str, Any] = {}
        if isinstance(row.get("json_upsampled_prompt"), dict):
            fields["prompt"] = json.dumps(row["json_upsampled_prompt"], ensure_ascii=False)
        else:
            fields["prompt"] = text(row, where, "json_upsampled_prompt", "prompt")
        if isinstance(row.get("negative_prompt"), str):
            fields["negative"] = row["negative_prompt"]
        return fields
