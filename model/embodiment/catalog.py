# SPDX-License-Identifier: Apache-2.0
"""The embodiments that come with the package, and those of files and checkpoints, by name or path.

Those that come with it are the files in data/.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .embodiment_file import FILE, read_embodiment
from .spec import Embodiment
from .table import nearest

FOLDER = Path(__file__).parent / "data"


def _read_all() -> dict[str, Embodiment]:
    return {file.stem: read_embodiment(file) for file in sorted(FOLDER.glob("*.yaml"))}


EMBODIMENTS = _read_all()
SIMULATED = EMBODIMENTS["droid_sim"]  # of the embedded simulation and checkpoint


def find_embodiment(name: str) -> Embodiment:
    """The embodiment of this name, of this YAML file, or of this checkpoint folder.

    ValueError lists the known names, or says what is wrong in the file.
    """
    path = Path(os.path.expanduser(name))
    if path.suffix in (".yaml", ".yml"):
        return read_embodiment(path)
    if name in EMBODIMENTS:
        return EMBODIMENTS[name]
    with contextlib.suppress(OSError):  # of a name that no file system has
        if name and (path / FILE).is_file():
            return read_embodiment(path / FILE)
    raise ValueError(
        f"embodiment: unknown {name!r:.200}{nearest(name, EMBODIMENTS)}, expected one of "
        f"{sorted(EMBODIMENTS)}, a YAML file or the folder of a checkpoint"
    )
