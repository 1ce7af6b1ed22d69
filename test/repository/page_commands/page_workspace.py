# SPDX-License-Identifier: Apache-2.0
"""Small files under the names that the pages' commands have: what they are run on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from shell_lines import ROOT

VIEWS = {"wrist": "wrist_image_left", "a": "exterior_image_1_left", "b": "exterior_image_2_left"}
STATE = (0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0)  # rad, of DROID's arm
QUESTIONS = ({"question": "Is the drawer open?", "dimension": "semantic alignment"},)
REQUESTS = ({"name": "cup", "prompt": "A cup falls"}, {"name": "arm", "prompt": "The arm rests"})


def make_template(folder: Path) -> Path:
    """Everything that some page needs; `fill_page` takes of it."""
    folder.mkdir(parents=True)
    call("cosmos3 tiny Cosmos3-Nano", folder)
    call("cosmos3 tiny LIBERO --embodiment libero", folder)
    call("cosmos3 tiny MetaWorld --embodiment metaworld", folder)
    call("cosmos3 collect data/mine --task reach --episodes 4 --workers 1", folder)
    shutil.copy(ROOT / "config" / "droid_sim.yaml", folder / "my_robot.yaml")
    (folder / "token").write_text("word-of-the-pages\n")
    _write_media(folder)
    _write_tables(folder)
    for name, lines in {"questions": QUESTIONS, "requests": REQUESTS}.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    record(folder / "monday")
    shutil.copytree(folder / "monday", folder / "tuesday")
    return folder


def fill_page(template: Path, folder: Path, commands: list[str]) -> None:
    """A page's folder: all of the template but what its commands write themselves."""
    written = {
        words[index + 1]
        for words in map(str.split, commands)
        for index, word in enumerate(words[:-1])
        if word in ("--out", "record")
    }
    skipped = {template / name for name in written}
    shutil.copytree(
        template,
        folder,
        ignore=lambda where, names: [name for name in names if Path(where) / name in skipped],
    )


def call(text: str, folder: Path) -> None:
    """Run a command that has to end well."""
    subprocess.run(text.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL)


def record(bag: Path, seconds: float = 8.0) -> None:
    """Record the simulation while nothing moves it."""
    graph = subprocess.Popen(
        ["cosmos3", "run", "--no-policy", "--no-reasoner", "--log-level", "warn"],
        start_new_session=True,
    )
    recorder = subprocess.Popen(
        ["cosmos3", "record", str(bag)], start_new_session=True, stdout=subprocess.DEVNULL
    )
    time.sleep(15.0 + seconds)  # until both are up, on a busy machine
    for process in (recorder, graph):
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _write_media(folder: Path) -> None:
    import av

    (folder / "clips").mkdir()
    for name, view in VIEWS.items():
        (video,) = (folder / "data/mine/videos").glob(f"*{view}/*/*.mp4")
        short = name[0] if name == "wrist" else name
        shutil.copy(video, folder / f"{short}.mp4")
        shutil.copy(video, folder / "clips" / f"{short}.mp4")
        with av.open(video) as file:
            next(file.decode(video=0)).to_image().save(folder / f"{short}.png")
    for old, new in {"w.png": "first.png", "a.png": "picture.png", "a.mp4": "clip.mp4"}.items():
        shutil.copy(folder / old, folder / new)


def _write_tables(folder: Path) -> None:
    """A motion of one joint, for commands that read a table of joints."""
    names = [f"panda_joint{number}" for number in range(1, 8)]
    motion = np.tile([*STATE, 0.0], (33, 1))
    motion[:, 0] += np.linspace(0.0, 0.3, len(motion))
    # the first two have the embodiment's columns, the others the names of joint_states
    grippers = {"plan": "gripper", "other": "gripper"}
    for name in ("plan", "other", "candidate", "joints"):
        lines = [",".join(["time", *names, grippers.get(name, "finger_joint")])]
        lines += [
            ",".join(f"{value:.4f}" for value in (row / 15, *values))
            for row, values in enumerate(motion)
        ]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
