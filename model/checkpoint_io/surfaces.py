# SPDX-License-Identifier: Apache-2.0
"""What each surface (policy, reasoner, generation) needs of a checkpoint, checked.

The checks are the loader's own: `problems` by headers alone, `find_damage` reads all weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..diffusion.sampler import checkpoint_schedule
from ..embodiment.embodiment_file import FILE
from ..network.config import config_from_json
from .json_file import read_block, read_json
from .loader import (
    check_latents,
    check_placeholders,
    check_vocabulary,
    load_tokenizer,
    plan_transformer,
    plan_vae,
    plan_vision,
)
from .own_embodiment import check_channels, choose_embodiment
from .student import LEVELS, read_student
from .trained_sampling import trained_sampling
from .weights.module_plan import ModulePlan
from .yes_temperature import yes_temperature

STEPS = 4  # of a schedule that is only tried


def check_tokens(folder: Path) -> None:
    """The tokenizer with its chat template, and whether the network has its tokens."""
    tokenizer = load_tokenizer(folder / "text_tokenizer")
    file = folder / "transformer" / "config.json"
    check_vocabulary(tokenizer, config_from_json(read_json(file)))


def check_autoencoder(folder: Path) -> None:
    """The video autoencoder, and whether the network reads its latents."""
    plan = plan_vae(folder / "vae")
    plan.check()
    config = config_from_json(read_json(folder / "transformer" / "config.json"))
    check_latents(plan.module, config)


def check_schedule(folder: Path) -> None:
    """The noise levels of a student, which its generator takes from scheduler_config.json."""
    fields = read_json(folder / "scheduler" / "scheduler_config.json")
    if LEVELS in fields:
        checkpoint_schedule(fields, STEPS)


def check_scheduler_file(folder: Path) -> None:
    """That file as such: what else it says holds only where an option asks for it."""
    read_json(folder / "scheduler" / "scheduler_config.json")


def check_policy(folder: Path) -> None:
    """What checkpoint.json and embodiment.yaml say of the policy, if there is one."""
    policy = read_block(folder / "checkpoint.json", "policy")
    trained_sampling(policy)
    if policy or (folder / FILE).is_file():
        config = config_from_json(read_json(folder / "transformer" / "config.json"))
        check_channels(choose_embodiment(folder, policy, None), config)


def check_vision(folder: Path) -> None:
    """The vision encoder, which a checkpoint may be without if it does not describe one."""
    described = read_json(folder / "config.json", optional=True).get("vision_config")
    if described or (folder / "vision_encoder").is_dir():
        plan = plan_vision(folder)
        plan.check()
        encoder: Any = plan.module
        check_placeholders(load_tokenizer(folder / "text_tokenizer"), encoder)


def check_answers(folder: Path) -> None:
    """What else the reasoner reads: ends of an answer, and the temperature of its yes."""
    yes_temperature(folder)
    end_tokens(folder)


def end_tokens(folder: Path) -> list[int]:
    """Tokens that end an answer beside the tokenizer's end of turn, of generation_config.json.

    ValueError if they are no numbers of tokens.
    """
    file, name = folder / "generation_config.json", "eos_token_id"
    found = read_json(file, optional=True).get(name)
    ends = [] if found is None else found if isinstance(found, list) else [found]
    if not all(type(each) is int and each >= 0 for each in ends):
        raise ValueError(
            f"{file}: {name}: expected a token's number, or several, got {found!r:.60}"
        )
    return ends


Check = Callable[[Path], object]
_GENERATOR: tuple[Check, ...] = (
    lambda folder: plan_transformer(folder / "transformer", reasoner=False).check(),
    check_autoencoder,
    check_scheduler_file,
    read_student,
    check_tokens,
)
SURFACES = MappingProxyType(
    {
        "policy": (*_GENERATOR, check_policy),
        "generate": (*_GENERATOR, check_schedule),
        "reasoner": (
            lambda folder: plan_transformer(folder / "transformer", generator=False).check(),
            check_tokens,
            check_vision,
            check_answers,
        ),
    }
)


def problems(
    folder: Path, surfaces: Mapping[str, Sequence[Check]] = SURFACES
) -> dict[str, list[str]]:
    """Why a checkpoint cannot be loaded, as the loader says it, and the surfaces it concerns."""
    found: dict[str, list[str]] = {}
    said: dict[Check, str] = {}
    for surface, checks in surfaces.items():
        for check in checks:
            if check not in said:
                said[check] = _words(check, folder)
            if said[check] and surface not in found.setdefault(said[check], []):
                found[said[check]].append(surface)
    return found


def find_damage(folder: Path) -> dict[str, list[str]]:
    """Weights of any part that are not finite, as the loader says it, and the surfaces concerned.

    Reads all weights, and holds one at a time. A part that `problems` refuses is left out.
    """
    found: dict[str, list[str]] = {}
    for surfaces, plan in _parts(folder):
        for ours, words in plan.find_damage().items():
            found[words] = [each for each in SURFACES if ours in surfaces.get(each, ())]
    return found


def _parts(folder: Path) -> Iterator[tuple[Mapping[str, Collection[str]], ModulePlan]]:
    """The parts with weights, and the names in them that each surface needs."""
    towers = folder / "transformer"
    with contextlib.suppress(ValueError, OSError):
        whole, actor, reader = (
            plan_transformer(towers),
            plan_transformer(towers, reasoner=False).names,
            plan_transformer(towers, generator=False).names,
        )
        yield {"policy": actor, "generate": actor, "reasoner": reader}, whole
    with contextlib.suppress(ValueError, OSError):
        vae = plan_vae(folder / "vae")
        yield {"policy": vae.names, "generate": vae.names}, vae
    with contextlib.suppress(ValueError, OSError):
        vision = plan_vision(folder)
        yield {"reasoner": vision.names}, vision


def _words(check: Check, folder: Path) -> str:
    try:
        check(folder)
    except (ValueError, OSError) as error:
        return str(error)
    return ""
