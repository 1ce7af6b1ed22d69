# SPDX-License-Identifier: Apache-2.0
"""Meta-World MT50: instructions, tiers of difficulty, and how two published protocols examine them.

Instructions are those of LeRobot's and Evo-1's clients, which agree in all tasks but push-back;
tiers those of Seo et al. (arXiv 2206.14244), which both use.
"""

from __future__ import annotations

import dataclasses

from .world import ExamProtocol

# In the order of metaworld's MT50 and of Evo-1's tasks.jsonl; without "-v3".
INSTRUCTIONS = {
    "assembly": "Pick up a nut and place it onto a peg",
    "basketball": "Dunk the basketball into the basket",
    "bin-picking": "Grasp the puck from one bin and place it into another bin",
    "box-close": "Grasp the cover and close the box with it",
    "button-press-topdown": "Press a button from the top",
    "button-press-topdown-wall": "Bypass a wall and press a button from the top",
    "button-press": "Press a button",
    "button-press-wall": "Bypass a wall and press a button",
    "coffee-button": "Push a button on the coffee machine",
    "coffee-pull": "Pull a mug from a coffee machine",
    "coffee-push": "Push a mug under a coffee machine",
    "dial-turn": "Rotate a dial 180 degrees",
    "disassemble": "Pick a nut out of a peg",
    "door-close": "Close a door with a revolving joint",
    "door-lock": "Lock the door by rotating the lock clockwise",
    "door-open": "Open a door with a revolving joint",
    "door-unlock": "Unlock the door by rotating the lock counter-clockwise",
    "hand-insert": "Insert the gripper into a hole",
    "drawer-close": "Push and close a drawer",
    "drawer-open": "Open a drawer",
    "faucet-open": "Rotate the faucet counter-clockwise",
    "faucet-close": "Rotate the faucet clockwise",
    "hammer": "Hammer a screw on the wall",
    "handle-press-side": "Press a handle down sideways",
    "handle-press": "Press a handle down",
    "handle-pull-side": "Pull a handle up sideways",
    "handle-pull": "Pull a handle up",
    "lever-pull": "Pull a lever down 90 degrees",
    "pick-place-wall": "Pick a puck, bypass a wall and place the puck",
    "pick-out-of-hole": "Pick up a puck from a hole",
    "pick-place": "Pick and place a puck to a goal",
    "plate-slide": "Slide a plate into a cabinet",
    "plate-slide-side": "Slide a plate into a cabinet sideways",
    "plate-slide-back": "Get a plate from the cabinet",
    "plate-slide-back-side": "Get a plate from the cabinet sideways",
    "peg-insert-side": "Insert a peg sideways",
    "peg-unplug-side": "Unplug a peg sideways",
    "soccer": "Kick a soccer into the goal",
    "stick-push": "Grasp a stick and push a box using the stick",
    "stick-pull": "Grasp a stick and pull a box with the stick",
    "push": "Push the puck to a goal",
    "push-wall": "Bypass a wall and push a puck to a goal",
    "push-back": "Push the puck back to a goal",
    "reach": "Reach a goal position",
    "reach-wall": "Bypass a wall and reach a goal",
    "shelf-place": "Pick and place a puck onto a shelf",
    "sweep-into": "Sweep a puck into a hole",
    "sweep": "Sweep a puck off the table",
    "window-open": "Push and open a window",
    "window-close": "Push and close a window",
}
TASKS = tuple(f"{name}-v3" for name in INSTRUCTIONS)
_ABOVE_EASY = {
    "medium": "basketball bin-picking box-close coffee-pull coffee-push hammer peg-insert-side "
    "push-wall soccer sweep sweep-into",
    "hard": "assembly hand-insert pick-out-of-hole pick-place push push-back",
    "very_hard": "disassemble pick-place-wall shelf-place stick-pull stick-push",
}
_HARDER = {tier: tuple(f"{name}-v3" for name in text.split()) for tier, text in _ABOVE_EASY.items()}
TIERS: dict[str, tuple[str, ...]] = {
    "easy": tuple(task for task in TASKS if not any(task in tier for tier in _HARDER.values())),
    **_HARDER,
}


@dataclasses.dataclass(frozen=True, slots=True)
class MetaWorldProtocol:
    """What a published loop does with an episode, besides playing it."""

    exam: ExamProtocol
    horizon: int  # steps
    camera: str
    camera_place: tuple[float, float, float] | None  # moved there, m; None: where it is
    crop: float  # the middle share of height and width that is shown
    settles: bool  # takes a step of zeros first
    mt50_scenes: bool  # scenes of the benchmark of this seed, drawn again and again; else any
    changed: dict[str, str]  # task -> another instruction


PROTOCOLS = {
    "evo1": MetaWorldProtocol(
        ExamProtocol(
            "evo1",
            "MINT-SJTU/Evo-1 @1bf31c4, MetaWorld_evaluation/mt50_evo1_client_prompt.py",
            episodes=10,
            seed=4042,
            groups=TIERS,
        ),
        horizon=400,
        camera="corner2",
        camera_place=None,
        crop=2 / 3,
        settles=True,
        mt50_scenes=True,
        changed={},
    ),
    "lerobot": MetaWorldProtocol(
        ExamProtocol(
            "lerobot",
            "huggingface/lerobot @0492c2d, src/lerobot/envs/metaworld.py",
            episodes=10,
            seed=1000,
            groups=TIERS,
        ),
        horizon=500,
        camera="corner2",
        camera_place=(0.75, 0.075, 0.7),
        crop=1.0,
        settles=False,
        mt50_scenes=False,
        changed={"push-back-v3": "Push the puck to a goal"},
    ),
}


def instruction(task: str, protocol: MetaWorldProtocol) -> str:
    """What a task is called in a protocol."""
    return protocol.changed.get(task, INSTRUCTIONS[task.removesuffix("-v3")])


def expert_name(task: str) -> str:
    """The class of metaworld.policies that solves a task."""
    words = task.removesuffix("-v3").replace("peg-insert-", "peg-insertion-").split("-")
    return f"Sawyer{''.join(word.capitalize() for word in words)}V3Policy"
