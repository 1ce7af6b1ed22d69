# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from a frozen dataclass: a field is a parameter, its default the default, `doc` the description."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

P = TypeVar("P")


def param(default: Any, doc: str, live: bool = False) -> Any:
    """A dataclass field that is a ROS parameter. live: a change takes effect at once, not at the next configure."""
    metadata = {"doc": doc, "live": live}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def coerce(name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind` (bool, int, float, str or a list of one of them).

    An int may stand for a float.
    """
    if isinstance(kind, types.GenericAlias):
        (item,) = typing.get_args(kind)
        if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
            raise ValueError(
                f"parameter {name!r}: expected a list of {item.__name__}, got {value!r}"
            )
        return [coerce(name, item, entry) for entry in value]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(
            f"parameter {name!r}: expected {kind.__name__}, got {type(value).__name__} {value!r}"
        )
    return value


class Parameters(Generic[P]):
    """The parameters of one node, always a valid `cls`.

    `__post_init__` of `cls` checks what belongs together.

    `locked` tells whether parameters that are not live are in use just now and must not change.
    """

    def __init__(
        self, node: Node, cls: type[P], locked: Callable[[], bool] = lambda: False
    ) -> None:
        self._node, self._cls, self._locked = node, cls, locked
        self._kinds = typing.get_type_hints(cls)
        self._fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        defaults = cls()
        for name, field in self._fields.items():
            note = "" if field.metadata["live"] else " (takes effect at configure)"
            descriptor = ParameterDescriptor(
                description=field.metadata["doc"] + note, dynamic_typing=True
            )
            node.declare_parameter(name, getattr(defaults, name), descriptor)
        self.values: P = self._build(
            {name: node.get_parameter(name).value for name in self._fields}
        )
        self.changed: Callable[[set[str]], None] = lambda names: None
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _build(self, raw: dict[str, Any]) -> P:
        return self._cls(
            **{name: coerce(name, self._kinds[name], value) for name, value in raw.items()}
        )

    def _merged(self, parameters: list[Parameter]) -> dict[str, Any]:
        raw = {name: getattr(self.values, name) for name in self._fields}
        return raw | {p.name: p.value for p in parameters if p.name in self._fields}

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for parameter in parameters:
                field = self._fields.get(parameter.name)
                if field and not field.metadata["live"] and self._locked():
                    raise ValueError(
                        f"parameter {parameter.name!r} cannot change now: clean the node up first"
                    )
            self._build(self._merged(parameters))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        names = {p.name for p in parameters} & set(self._fields)
        if names:
            self.values = self._build(self._merged(parameters))
            self.changed(names)


def declare(node: Node, cls: type[P]) -> P:
    """Declare the fields of `cls` as parameters of `node` and return their values.

    ValueError names a wrong one.
    """
    return Parameters(node, cls).values
