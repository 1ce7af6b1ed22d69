# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 train`: a checkpoint by a recipe."""

from __future__ import annotations

import argparse
import pathlib
import sys


def add_train(commands: argparse._SubParsersAction) -> None:
    """Add `train`."""
    parser = commands.add_parser(
        "train", help="train a checkpoint by a recipe; a second call goes on where it stopped"
    )
    parser.add_argument(
        "--recipe", type=pathlib.Path, required=True, help="YAML file, see training/recipes"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out/train"), help="(default: out/train)"
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="instead of the recipe's: policy.seconds=600",
    )

    def function(chosen: argparse.Namespace) -> int:
        from ..training.recipe import read_recipe
        from ..training.worlds.own_environment import enter

        recipe = read_recipe(chosen.recipe, chosen.changes)
        enter(recipe.data.env, sys.argv[1:])
        from ..training.train import train

        train(recipe, chosen.out)
        return 0

    parser.set_defaults(function=function)
