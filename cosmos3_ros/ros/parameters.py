# SPDX-License-Identifier: Apache-2.0
"""The fields of a frozen dataclass as the parameters of a ROS node, see `model.option_fields`."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..model.option_fields import coerce, fields, to_plain

P = TypeVar("P")


class Parameters(Generic[P]):
    """The parameters of one node, always a valid `cls`.

    `__post_init__` of `cls` checks what belongs together.

    `locked` tells whether parameters that are not live are in use now and must not change.
    """

    def __init__(
        self, node: Node, cls: type[P], locked: Callable[[], bool] = lambda: False
    ) -> None:
        self._node, self._cls, self._locked = node, cls, locked
        self._kinds = typing.get_type_hints(cls)
        self._live = {name: bool(field.metadata.get("live")) for name, field in fields(cls).items()}
        defaults = cls()
        for name, field in fields(cls).items():
            note = "" if self._live[name] else " (takes effect at configure)"
            descriptor = ParameterDescriptor(
                description=field.metadata.get("doc", "") + note, dynamic_typing=True
            )
            default = to_plain(self._kinds[name], getattr(defaults, name))
            node.declare_parameter(name, default, descriptor)
        self.values: P = self._build({name: node.get_parameter(name).value for name in self._live})
        self.changed: Callable[[set[str]], None] = lambda names: None
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _build(self, raw: dict[str, Any]) -> P:
        values = {
            name: coerce(name, self._kinds[name], [] if value is None else value)
            for name, value in raw.items()  # an empty list is no value to ROS
        }
        return self._cls(**values)

    def _merged(self, parameters: list[Parameter]) -> dict[str, Any]:
        raw = {name: to_plain(self._kinds[name], getattr(self.values, name)) for name in self._live}
        return raw | {p.name: p.value for p in parameters if p.name in self._live}

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for parameter in parameters:
                if not self._live.get(parameter.name, True) and self._locked():
                    raise ValueError(
                        f"parameter {parameter.name!r} cannot change now: clean the node up first"
                    )
            self._build(self._merged(parameters))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        names = {p.name for p in parameters} & self._live.keys()
        if names:
            self.values = self._build(self._merged(parameters))
            self.changed(names)


def declare(node: Node, cls: type[P]) -> P:
    """Declare the fields of `cls` as parameters of `node` and return their values.

    ValueError names a wrong one.
    """
    return Parameters(node, cls).values
