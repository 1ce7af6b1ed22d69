# SPDX-License-Identifier: Apache-2.0
"""Gives a module its tensors of a checkpoint, strictly, after a check that needs headers alone.

Every tensor has to belong to a module, and every parameter of a module to a tensor.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..safetensors_io import Stored, opened
from .stored_weight import WeightLayout, explain, layout_of, owner, packed_by, used_beside

if TYPE_CHECKING:
    from ...acceleration.tensor_parallel import TensorParallelSplit

_NAMED = 8  # tensors of a list that may be long


@dataclasses.dataclass(frozen=True, slots=True)
class ModulePlan:
    """A meta-device module, and where each of its parameters lies in a checkpoint.

    names: the module's names -> names in `tensors`; skip: names that may lie there unused, with
    what they are scaled by; keep: prefixes of the module's names that become float32 whatever the
    dtype is; split: how the module is split over several processes, each of which reads its share.
    """

    folder: Path
    module: nn.Module
    tensors: Mapping[str, Stored]
    names: Mapping[str, str]
    skip: Collection[str] = ()
    keep: tuple[str, ...] = ()
    split: TensorParallelSplit | None = None

    def check(self) -> dict[str, WeightLayout]:
        """How each parameter lies in the files, by the module's names.

        ValueError names tensors that are missing, unexpected, of another shape, or in a format
        that cannot be read as what it is.
        """
        missing = [name for name in self.names.values() if name not in self.tensors]
        self._refuse("missing", missing, lambda name: packed_by(name, self.tensors))
        layouts = {ours: layout_of(theirs, self.tensors) for ours, theirs in self.names.items()}
        used = {*self.skip}.union(*(used_beside(each, self.tensors) for each in layouts.values()))
        surplus = {name for name in self.tensors.keys() - used if owner(name) not in self.skip}
        self._refuse("unexpected", sorted(surplus), explain)
        parameters = self.module.state_dict()
        for ours, layout in layouts.items():
            if layout.shape != tuple(parameters[ours].shape):
                raise ValueError(
                    f"{layout.stored.file}: {layout.name} has shape {list(layout.shape)}, expected "
                    f"{list(parameters[ours].shape)}"
                )
        return layouts

    def find_damage(self) -> dict[str, str]:
        """What the loader says of weights that are not finite, by the module's names.

        Reads every weight, one at a time. What `check` refuses is left out.
        """
        damage: dict[str, str] = {}
        with _Files(self.tensors) as files:
            for ours, theirs in sorted(self.names.items(), key=lambda item: item[1]):
                try:
                    layout = layout_of(theirs, self.tensors)
                except (ValueError, KeyError):
                    continue
                try:
                    _check_finite(layout, layout.read(lambda n: files.at(n, "cpu").get_tensor(n)))
                except ValueError as error:
                    damage[ours] = str(error)
        return damage

    def fill(self, device: torch.device, dtype: torch.dtype, host: Iterable[str] = ()) -> None:
        """Give the module its tensors, and switch it to inference.

        host: prefixes of names that stay in the host's memory. ValueError as of `check`, and for
        weights that are not finite.
        """
        layouts, parameters = self.check(), self.module.state_dict()
        loaded: dict[str, Tensor] = {}
        stays = {ours: "cpu" if ours.startswith(tuple(host)) else str(device) for ours in layouts}
        with _Files(self.tensors) as files:
            for ours in sorted(layouts, key=lambda ours: (layouts[ours].stored.file, stays[ours])):
                layout, where = layouts[ours], stays[ours]
                tensor = self._read(layout, parameters[ours], files, where)
                _check_finite(layout, tensor)
                tensor = tensor.to(torch.float32 if ours.startswith(self.keep) else dtype)
                loaded[ours] = (
                    self.split.to_distributed(tensor, parameters[ours]) if self.split else tensor
                )
        self.module.load_state_dict(loaded, strict=True, assign=True)
        self.module.requires_grad_(False).eval()

    def _read(self, layout: WeightLayout, parameter: Tensor, files: _Files, where: str) -> Tensor:
        """A weight, or this process' share of it, of which no more than that is read if it can."""
        if self.split is None:
            return layout.read(lambda name: files.at(name, where).get_tensor(name))
        if layout.plain:
            stored = files.at(layout.name, where).get_slice(layout.name)
            return self.split.read_share(stored, parameter)
        whole = layout.read(lambda name: files.at(name, where).get_tensor(name))
        return self.split.read_share(whole, parameter)

    def _refuse(self, what: str, names: list[str], explain: Callable[[str], str]) -> None:
        if not names:
            return
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        reason = next(filter(None, map(explain, names)), "")
        raise ValueError(
            f"{self.folder}: {len(names)} {what} tensor(s): {', '.join(names[:_NAMED])}{more}"
            + (f" ({reason})" if reason else "")
        )


class _Files:
    """The safetensors files of some tensors, each opened once a device; a context manager."""

    def __init__(self, tensors: Mapping[str, Stored]) -> None:
        self._tensors, self._open = tensors, contextlib.ExitStack()
        self._files: dict[tuple[Path, str], Any] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def at(self, name: str, device: str) -> Any:
        """The open file of a tensor, which then lies on the device."""
        key = (self._tensors[name].file, device)
        if key not in self._files:
            self._files[key] = self._open.enter_context(opened(*key))
        return self._files[key]


def _check_finite(layout: WeightLayout, tensor: Tensor) -> None:
    """ValueError for a weight with NaN or infinity in it: whatever is computed then means nothing.

    Both its least and its largest number are NaN if one of its numbers is.
    """
    if not tensor.numel():
        return
    if not all(bool(torch.isfinite(each)) for each in torch.aminmax(tensor)):
        raise ValueError(
            f"{layout.stored.file}: {layout.name} holds numbers that are not finite (NaN or "
            "infinite): the weights are damaged"
        )
