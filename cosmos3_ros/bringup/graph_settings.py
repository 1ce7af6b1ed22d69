# SPDX-License-Identifier: Apache-2.0
"""The parameters that the nodes of a graph have, of what a person chose and of the robot file."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from ..model.embodiment import SIMULATED, find_embodiment
from ..robot.parameter_file import Sections, Setting, in_force
from ..robot.robot_file import embodiment_of, scene_of, urdf_of, world_of
from .graph_options import SETS, Options

EMBODIED = ("policy", "server")  # nodes that have the parameter `embodiment`


class Settings:
    """The parameters that options set, and those that the robot file has."""

    def __init__(
        self,
        options: Options,
        path: pathlib.Path,
        sections: Sections,
        fallback: Mapping[str, Any],
    ) -> None:
        self._options, self._fallback = options, fallback
        self._path, self._sections = path, sections
        self._file = {node: in_force(sections, f"/{node}") for node in SETS}
        for node in EMBODIED:
            self._check_embodiment(node)

    def given(self, node: str) -> dict[str, Any]:
        """The parameters that are set for a node, beside those of the robot file."""
        file, values = self._file[node], dict(self._shown if node == "console" else {})
        for parameter, option in SETS[node].items():
            value = getattr(self._options, option)
            if value is None and parameter not in file:
                value = self._fallback.get(option)
            if value is not None:
                values[parameter] = value
        if node == "sim" and "publish_clock" not in (values | file) and self._follows_clock():
            values["publish_clock"] = True
        follows = "use_sim_time" in SETS[node] and "use_sim_time" not in (values | file)
        if follows and self._options.sim and self._publishes_clock():
            values["use_sim_time"] = True
        if "urdf" in file and (described := urdf_of(self._path, file["urdf"].value)):
            values["urdf"] = described
        scene = scene_of(self._path, self._sections)
        if node == "sim" and scene:
            values["scene"] = scene
        if node in EMBODIED:
            values |= self._embodiment(node, values)
        return values

    def _check_embodiment(self, node: str) -> None:
        """ValueError for an embodiment of the robot file that nobody knows, also if unused."""
        wanted = embodiment_of(self._path, self._sections, node)
        said = self._file[node].get("embodiment")
        try:
            if wanted:
                find_embodiment(wanted)
        except ValueError as error:
            raise ValueError(f"{said.place}: {error}" if said else str(error)) from None

    def _embodiment(self, node: str, values: Mapping[str, Any]) -> dict[str, str]:
        """That of a node in place of the robot file's, if it is another.

        The embedded checkpoint moves the embedded simulation, in the place of whichever robot that
        stands.
        """
        file, sections = self._file[node], self._sections
        others = any(self._value(values, file, name) for name in ("checkpoint", "policy_url"))
        elsewhere = scene_of(self._path, sections) or world_of(sections)
        wanted = embodiment_of(self._path, sections, node)
        if wanted and wanted != SIMULATED.name and self._options.sim and not (others or elsewhere):
            return {"embodiment": ""}
        return {"embodiment": wanted} if wanted.endswith((".yaml", ".yml")) else {}

    @property
    def _shown(self) -> dict[str, Any]:
        """What the console shows, and that a simulation may be moved by whoever looks."""
        shown: dict[str, Any] = {"robot": str(self._path), "simulation": self._options.sim}
        says = "control" in self._file["console"]
        return shown | ({"control": True} if self._options.sim and not says else {})

    def value(self, node: str, parameter: str) -> Any:
        """What a node will have as a parameter; None if its own default."""
        return self._value(self.given(node), self._file[node], parameter)

    def place(self, node: str, parameter: str) -> str:
        """Where in the robot file a parameter of a node is set; "": an option or nobody does."""
        said = self._file[node].get(parameter)
        return f"{said.place}: {parameter}" if said and parameter not in self.given(node) else ""

    def _follows_clock(self) -> bool:
        return any(self.value(node, "use_sim_time") for node in SETS if node != "sim")

    def _publishes_clock(self) -> bool:
        """Whether the robot file's simulation does, whoever asked for it."""
        said = self._file["sim"].get("publish_clock")
        return said is not None and said.value is True

    def _value(self, given: Mapping[str, Any], file: Mapping[str, Setting], name: str) -> Any:
        said = file.get(name)
        return given.get(name, said.value if said else None)

    def replaced(self, node: str, given: Mapping[str, Any]) -> list[str]:
        """In words, which values of the robot file the given ones replace."""
        return [
            f"{node}: {name} {value!r} instead of {said.value!r} ({said.place})"
            for name, value in given.items()
            if (said := self._file[node].get(name))
            and not _same(said.value, value)
            and name != "urdf"  # the path of the robot description is only made whole
        ]


def _same(said: Any, value: Any) -> bool:
    """Whether a value is that of the robot file, whose paths count from where it lies."""
    return bool(said == value or (str(value).startswith("/") and str(value).endswith(f"/{said}")))
