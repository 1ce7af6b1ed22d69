# SPDX-License-Identifier: Apache-2.0
"""Trainings that differ in a few options, side by side on the very same demonstrations.

Experts demonstrate once, one device encodes, and each arm trains in a process of its own, as
`cosmos3 train` does, on the windows that all get. Without it, two trainings of a few minutes differ
by what their experts had time for. Arms that share a GPU get equal parts of it.

python bench/objective_ablation.py --recipe training/recipes/polish.yaml --out out/ablation \
    --devices cuda:0 --encoder cuda:1 --arm "now" --arm "apart objective.row_levels=0.5" \
    data.workers=26 policy.seconds=900

Each arm leaves OUT/NAME/checkpoint, for `cosmos3 eval`.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Generator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from cosmos3_ros.model.embodiment import find_embodiment
from cosmos3_ros.training import train as training
from cosmos3_ros.training.data.background_loader import BackgroundLoader
from cosmos3_ros.training.data.clip_source import make_clips
from cosmos3_ros.training.data.episodes import Clip
from cosmos3_ros.training.recipe import Recipe, read_recipe
from cosmos3_ros.training.stages import policy as policy_stage
from cosmos3_ros.training.stages.autoencoder import load_autoencoder
from cosmos3_ros.training.stages.latent_encoder import Encoded, Encoder

AT_ONCE = 64  # clips that are encoded together


def packed(windows: Encoded) -> tuple[Any, ...]:
    """Through a queue as numpy: torch would pass every tensor as an open file."""
    latents = windows.latents.cpu().view(torch.int16).numpy()
    return latents, windows.rows.numpy(), windows.truth.numpy(), windows.asked, windows.whole


def unpacked(parts: tuple[Any, ...]) -> Encoded:
    latents, rows, truth, asked, whole = parts
    latents = torch.from_numpy(latents).view(torch.bfloat16)
    return Encoded(latents, torch.from_numpy(rows), torch.from_numpy(truth), asked, whole)


class SharedFeed:
    """Stands for latent_encoder.Feed: takes what was encoded for all arms.

    A thread empties the queue all the time: whoever asks a queue now and then gets what its pipe
    holds, which is less than one message.
    """

    def __init__(self, encoder: Encoder, windows: multiprocessing.Queue):
        self.shape, self._windows = encoder.shape, windows
        self._received = BackgroundLoader(self._receive)

    def take(self) -> list[Encoded]:
        self._received.wait_for(1)
        return self._received.take()

    def close(self) -> None:
        """Nothing: the thread ends with the process."""

    def _receive(self) -> Generator[Encoded]:
        while True:
            yield from map(unpacked, self._windows.get())


def _no_clips(*_: Any) -> Generator[Clip]:
    yield from ()


def train_arm(name: str, recipe: Recipe, out: Path, windows: multiprocessing.Queue) -> None:
    """`cosmos3 train`, but for where its windows come from."""
    training.make_clips = _no_clips
    policy_stage.Feed = lambda encoder, *_, **__: SharedFeed(encoder, windows)
    training.train(recipe, out, lambda line: print(f"{name}: {line}", flush=True))


def feed(recipe: Recipe, device: str, arms: list[BaseProcess], queues: list[Any]) -> int:
    """Demonstrate, encode and hand out until the last arm has ended; the number of clips."""
    embodiment = find_embodiment(recipe.embodiment)
    encoder = Encoder(load_autoencoder(Path(recipe.start), torch.device(device)), embodiment)
    source = BackgroundLoader(lambda: make_clips(recipe.data, embodiment))
    try:
        source.wait_for(recipe.data.warm_up)
        while any(arm.is_alive() for arm in arms):
            source.wait_for(source.made - len(source.clips) + AT_ONCE)
            windows = [packed(part) for part in encoder.encode(source.take())]
            for waiting in queues:
                waiting.put(windows)
    finally:
        source.close()
        for waiting in queues:
            waiting.cancel_join_thread()
    return source.made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--devices", nargs="+", default=["auto"], help="that the arms share")
    parser.add_argument("--encoder", default="cpu", help="device that encodes for all")
    parser.add_argument("--arm", action="append", required=True, help="NAME KEY=VALUE ...")
    parser.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE", help="of the recipe, in all arms"
    )
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    arms, queues, recipe = [], [], read_recipe(chosen.recipe, chosen.changes)
    for number, (name, *changes) in enumerate(arm.split() for arm in chosen.arm):
        device = chosen.devices[number % len(chosen.devices)]
        own = read_recipe(
            chosen.recipe, [*chosen.changes, *changes, f"device={device}", "data.warm_up=0"]
        )
        queues.append(context.Queue())
        arms.append(
            context.Process(target=train_arm, args=(name, own, chosen.out / name, queues[-1]))
        )
    for arm in arms:
        arm.start()
    print(f"{feed(recipe, chosen.encoder, arms, queues)} clips for each arm")
    if any(arm.exitcode for arm in arms):
        raise SystemExit(f"arms ended with {[arm.exitcode for arm in arms]}")


if __name__ == "__main__":
    main()
